"""Which server and which key: arguments, then the environment, then what `finetuned login` kept.

OpenAI's variables (OPENAI_API_KEY, OPENAI_BASE_URL) are not read on purpose: a program that
has them for api.openai.com would send that key here, or private rows there.
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
    """A server and a key for it. The key is not shown by `repr`."""

    base_url: str
    api_key: str = field(repr=False)


def config_file() -> Path:
    """`$XDG_CONFIG_HOME/finetuned/config.json`."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "config.json"


def state_folder() -> Path:
    """`$XDG_STATE_HOME/finetuned`, where unfinished uploads are noted."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def _xdg(variable: str, fallback: str) -> Path:
    given = os.environ.get(variable, "")
    # Relative paths are to be ignored, says the XDG specification.
    root = Path(given) if given and Path(given).is_absolute() else Path.home() / fallback
    return root / "finetuned"


def with_v1(url: str) -> str:
    """The address with `/v1` at its end; raises ConfigurationError where it is none."""
    url = url.strip().rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"'{url}' is no address of a server.", next_step="Write it as https://HOST[:PORT]."
        )
    return url if url.endswith("/v1") else f"{url}/v1"


def resolve(api_key: str | None = None, base_url: str | None = None) -> Target:
    """The server and key to use; raises ConfigurationError without a key.

    A key that was kept for one server is sent to no other.
    """
    kept = read()
    url = base_url or os.environ.get(ENV_URL) or (kept.base_url if kept else DEFAULT_URL)
    url = with_v1(url)
    key = api_key or os.environ.get(ENV_KEY) or (kept.api_key if kept else "")
    given = api_key or os.environ.get(ENV_KEY)
    if not given and kept and kept.base_url != url:
        raise ConfigurationError(
            f"There is no API key for {url}: the one that was kept is for {kept.base_url}.",
            next_step=f"Run `finetuned login --url {url}`, or set {ENV_KEY}.",
        )
    if not key:
        raise ConfigurationError(
            "There is no API key.", next_step=f"Run `finetuned login`, or set {ENV_KEY}."
        )
    return Target(url, key)


def read() -> Target | None:
    """What `finetuned login` kept; None where nothing was."""
    path = config_file()
    try:
        kept = json.loads(path.read_text("utf-8"))
        return Target(with_v1(kept["base_url"]), kept["api_key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigurationError(
            f"{path} cannot be read.", next_step="Delete it and run `finetuned login` again."
        ) from e


def write(target: Target) -> Path:
    """Keep a server and its key, for this user's eyes alone."""
    path = config_file()
    body = {"base_url": target.base_url, "api_key": target.api_key}
    write_private(path, json.dumps(body, indent=2) + "\n")
    return path


def forget() -> bool:
    """Delete what was kept; whether there was anything."""
    path = config_file()
    if not path.exists():
        return False
    path.unlink()
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, in a folder of mode 0700 where it is new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it 0600 from its first moment on.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
