"""Server and API key lookup: arguments, then the environment, then a profile of `finetuned login`.

OpenAI's variables (OPENAI_API_KEY, OPENAI_BASE_URL) are deliberately ignored: a program that
sets them for api.openai.com would send that key here, or private rows there.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from finetuned.errors import ConfigurationError

ENV_KEY, ENV_URL = "FINETUNED_API_KEY", "FINETUNED_BASE_URL"
ENV_PROFILE = "FINETUNED_PROFILE"
DEFAULT_PROFILE = "default"
DEFAULT_URL = "http://127.0.0.1:8000/v1"

_PROFILES = "profiles"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Target:
    """A server address and its API key. `repr` does not show the key."""

    base_url: str
    api_key: str = field(repr=False)


def config_file() -> Path:
    """Return `$XDG_CONFIG_HOME/finetuned/config.json`."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "config.json"


def state_folder() -> Path:
    """Return `$XDG_STATE_HOME/finetuned`, where unfinished uploads are recorded."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def _xdg(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable, "")
    # The XDG specification says to ignore relative paths.
    root = Path(given) if given and Path(given).is_absolute() else Path.home() / fallback
    return root / "finetuned"


def with_v1(url: str) -> str:
    """Append `/v1` to the address. Raises ConfigurationError if it is not a valid URL.

    Without a scheme, it is http on this machine and in private networks, and https elsewhere.
    """
    url = url.strip()
    if url and "://" not in url:
        url = f"{'http' if _is_near(f'//{url}') else 'https'}://{url}"
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")) or not _host(url):
        raise ConfigurationError(
            f"'{url}' is not a valid server address.", next_step="Use https://HOST[:PORT]."
        )
    return url if url.endswith("/v1") else f"{url}/v1"


def is_loopback(url: str) -> bool:
    """Return whether an address is on loopback."""
    return _is_near(url, "is_loopback")


def _is_near(url: str, kind: str = "is_private") -> bool:
    host = _host(url)
    try:
        return bool(getattr(ipaddress.ip_address(host), kind))
    except ValueError:
        return host == "localhost"


def _host(url: str) -> str:
    """Return the host of an address, or nothing if the address is invalid."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    return "" if " " in url else parts.hostname or ""


def profile_name(given: str | None = None) -> str:
    """Return the profile to use: the given one, else that of FINETUNED_PROFILE, else `default`."""
    name = given or os.environ.get(ENV_PROFILE) or DEFAULT_PROFILE
    if not _PROFILE_NAME.fullmatch(name):
        raise ConfigurationError(
            f"'{name}' is not a valid name of a profile.",
            next_step="Use up to 64 letters, digits, dots, hyphens and underscores.",
        )
    return name


def set_variables() -> list[str]:
    """Return the environment variables that are set and go before profiles."""
    return [name for name in (ENV_KEY, ENV_URL) if os.environ.get(name)]


def resolve(
    api_key: str | None = None, base_url: str | None = None, profile: str | None = None
) -> Target:
    """Return the server and API key to use. Raises ConfigurationError without a key.

    A key saved for one server is never sent to another.
    """
    name = profile_name(profile)
    saved = read(name)
    url = base_url or os.environ.get(ENV_URL) or (saved.base_url if saved else DEFAULT_URL)
    url = with_v1(url)
    given = api_key or os.environ.get(ENV_KEY)
    if given:
        return Target(url, given)
    if saved is None:
        raise ConfigurationError(
            "There is no API key."
            if name == DEFAULT_PROFILE
            else f"There is no profile '{name}' with an API key.",
            next_step=f"Run `{_login(name)}`, or set {ENV_KEY}.",
        )
    if saved.base_url != url:
        raise ConfigurationError(
            f"There is no API key for {url}: the saved key is for {saved.base_url}.",
            next_step=f"Run `{_login(name)} --url {url}`, or set {ENV_KEY}.",
        )
    return saved


def _login(profile: str) -> str:
    return "finetuned login" + ("" if profile == DEFAULT_PROFILE else f" --profile {profile}")


def read(profile: str | None = None) -> Target | None:
    """Return what `finetuned login` saved in a profile, or None."""
    return profiles().get(profile_name(profile))


def profiles() -> dict[str, Target]:
    """Return all that `finetuned login` saved, by the name of the profile."""
    path = config_file()
    try:
        saved = json.loads(path.read_text("utf-8"))
        found = {
            name: Target(with_v1(one["base_url"]), one["api_key"])
            for name, one in saved.get(_PROFILES, {}).items()
        }
        if "base_url" in saved or not found:
            default = Target(with_v1(saved["base_url"]), saved["api_key"])
            found = {DEFAULT_PROFILE: default, **found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigurationError(
            f"{path} cannot be read.", next_step="Delete it and run `finetuned login` again."
        ) from e
    return found


def write(target: Target, profile: str | None = None) -> Path:
    """Save a server and its API key in a profile, readable only by the current user."""
    return _write({**profiles(), profile_name(profile): target})


def forget(profile: str | None = None) -> bool:
    """Delete a profile. Returns whether there was one."""
    kept = profiles()
    if kept.pop(profile_name(profile), None) is None:
        return False
    if kept:
        _write(kept)
    else:
        config_file().unlink()
    return True


def _write(targets: dict[str, Target]) -> Path:
    bodies = {
        name: {"base_url": target.base_url, "api_key": target.api_key}
        for name, target in targets.items()
    }
    # Earlier versions have no profiles, and read the default one at the top.
    body: dict[str, object] = dict(bodies.pop(DEFAULT_PROFILE, {}))
    if bodies:
        body[_PROFILES] = bodies
    path = config_file()
    write_private(path, json.dumps(body, indent=2) + "\n")
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600 atomically. A new parent folder gets mode 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp creates the file with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
