"""Server and API key lookup: arguments, then the environment, then the `finetuned login` config.

OpenAI's variables (OPENAI_API_KEY, OPENAI_BASE_URL) are deliberately ignored: a program that
sets them for api.openai.com would send that key here, or private rows there.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from finetuned.errors import ConfigurationError

ENV_KEY, ENV_URL = "FINETUNED_API_KEY", "FINETUNED_BASE_URL"
DEFAULT_URL = "http://127.0.0.1:8000/v1"


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
    """Append `/v1` to the address. Raises ConfigurationError if it is not a valid URL."""
    url = url.strip().rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"'{url}' is not a valid server address.", next_step="Use https://HOST[:PORT]."
        )
    return url if url.endswith("/v1") else f"{url}/v1"


def resolve(api_key: str | None = None, base_url: str | None = None) -> Target:
    """Return the server and API key to use. Raises ConfigurationError without a key.

    A key saved for one server is never sent to another.
    """
    saved = read()
    url = base_url or os.environ.get(ENV_URL) or (saved.base_url if saved else DEFAULT_URL)
    url = with_v1(url)
    key = api_key or os.environ.get(ENV_KEY) or (saved.api_key if saved else "")
    given = api_key or os.environ.get(ENV_KEY)
    if not given and saved and saved.base_url != url:
        raise ConfigurationError(
            f"There is no API key for {url}: the saved key is for {saved.base_url}.",
            next_step=f"Run `finetuned login --url {url}`, or set {ENV_KEY}.",
        )
    if not key:
        raise ConfigurationError(
            "There is no API key.", next_step=f"Run `finetuned login`, or set {ENV_KEY}."
        )
    return Target(url, key)


def read() -> Target | None:
    """Return what `finetuned login` saved, or None."""
    path = config_file()
    try:
        saved = json.loads(path.read_text("utf-8"))
        return Target(with_v1(saved["base_url"]), saved["api_key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigurationError(
            f"{path} cannot be read.", next_step="Delete it and run `finetuned login` again."
        ) from e


def write(target: Target) -> Path:
    """Save a server and its API key, readable only by the current user."""
    path = config_file()
    body = {"base_url": target.base_url, "api_key": target.api_key}
    write_private(path, json.dumps(body, indent=2) + "\n")
    return path


def forget() -> bool:
    """Delete the saved config. Returns whether there was one."""
    path = config_file()
    if not path.exists():
        return False
    path.unlink()
    return True


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
