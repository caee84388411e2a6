"""Runs one source of a grader in a locked-down process. The parent is `sandbox.py`.

The first line of stdin is the setup; every further line is an item. Each gets one JSON line on
stdout. The source runs only after the process is locked down. The kernel enforces the lock, so
Python code that reaches `os` or `ctypes` can do no more than other code.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import hashlib
import importlib
import io
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Final

from service.grading.sandbox import seccomp
from service.grading.sandbox.modules import library_of


class LateModules(InspectLoader, MetaPathFinder):
    """Imports modules of packages from memory, if the usual finders find nothing."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[Path, bytes]] = {}

    def keep(self) -> None:
        """Read the sources of all packages that are loaded, other than Python's own."""
        for name, module in list(sys.modules.items()):
            if "." not in name and name not in sys.stdlib_module_names:
                for folder in getattr(module, "__path__", ()):
                    self._read(name, Path(folder))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._sources:
            return None
        return spec_from_loader(fullname, self, origin=str(self._sources[fullname][0]))

    def is_package(self, fullname: str) -> bool:
        """Return whether a module is a package."""
        return self._sources[fullname][0].name == "__init__.py"

    def get_source(self, fullname: str) -> str:
        """Return the text of a module."""
        return self._sources[fullname][1].decode()

    def _read(self, package: str, folder: Path) -> None:
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            if "tests" not in parts:
                below = parts[:-1] if parts[-1] == "__init__" else parts
                self._sources[".".join((package, *below))] = (file, file.read_bytes())


_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_NOBODY: Final = 65_534
_MAX_DETAIL_CHARS: Final = 1_000
_FILE: Final = "<grader>"
_NO_DATA: Final = "The data of NLTK, such as punkt and wordnet, is not available to graders."
# numpy loads these when they are first used, which the lock would prevent.
_LOADED_WITH: Final = {
    "numpy": ("numpy.fft", "numpy.linalg", "numpy.ma", "numpy.polynomial", "numpy.random"),
    "datetime": ("_strptime",),
    "time": ("_strptime",),
    "rapidfuzz": ("rapidfuzz.distance", "rapidfuzz.fuzz", "rapidfuzz.process", "rapidfuzz.utils"),
}

Grade = Callable[[dict[str, Any], dict[str, Any]], Any]


def main() -> None:
    """Serve items until stdin is closed."""
    requests = sys.stdin.buffer
    setup = json.loads(requests.readline())
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), _Discarded(), _Discarded()
    sys.argv = []
    try:
        _load(setup["modules"])
        _drop_privileges(setup["parent"])
        _limit(setup["memory_bytes"])
        seccomp.install()
    except OSError as error:
        _reply({"unavailable": str(error)})
        os._exit(0)
    except Exception as error:  # noqa: BLE001 - a library may raise anything
        _reply({"missing": f"{type(error).__name__}: {error}"[:_MAX_DETAIL_CHARS]})
        os._exit(0)
    _reply({"locked": True})
    _serve(requests, setup["source"])
    os._exit(0)


def _serve(requests: BinaryIO, source: str) -> None:
    try:
        grade = _define(source)
    except BaseException as error:  # noqa: BLE001 - the source may raise anything
        _reply({"error": _describe(error)})
        return
    _reply({"ready": True})
    for line in requests:
        _reply(_answer(grade, line))


def _answer(grade: Grade, line: bytes) -> dict[str, Any]:
    number = None
    try:
        request = json.loads(line)
        number = request["number"]
        return {"number": number, "score": _number(grade(request["sample"], request["item"]))}
    except BaseException as error:  # noqa: BLE001 - the source may raise anything
        return {"number": number, "error": _describe(error)}


def _define(source: str) -> Grade:
    namespace: dict[str, Any] = {"__name__": "grader", "__builtins__": builtins}
    exec(compile(source, _FILE, "exec", dont_inherit=True), namespace)  # noqa: S102
    grade: Grade = namespace["grade"]
    return grade


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"grade must return a number, and returned {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"grade must return a finite number, and returned {number}")
    return number


def _describe(error: BaseException) -> str:
    """Return the exception's type, message, and line in the source."""
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == _FILE:
            line = step.tb_lineno
        step = step.tb_next
    text = type(error).__name__
    with contextlib.suppress(BaseException):  # __str__ may be the source's
        text = f"{text}: {_NO_DATA if 'NLTK Downloader' in str(error) else error}"
    text = text[:_MAX_DETAIL_CHARS].rstrip(": ")
    return text if line is None else f"{text} (line {line})"


def _reply(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


class _Discarded(io.TextIOBase):
    """A text file that discards its input."""

    def write(self, text: str) -> int:
        return len(text)


def _load(modules: list[str]) -> None:
    """Import the modules, and those that they would import when first used."""
    for module in modules:
        if (library := library_of(module)) is not None:
            _load_library(module, library)
            continue
        importlib.import_module(module)
        for below in _LOADED_WITH.get(module, ()):
            importlib.import_module(below)
    if any(map(library_of, modules)):
        late = LateModules()
        late.keep()
        sys.meta_path.append(late)
    hashlib.sha256(b"").digest()


def _load_library(module: str, library: str) -> None:
    importlib.import_module(library)
    if library == "sklearn":
        _find_thread_pools()
    with contextlib.suppress(ModuleNotFoundError):  # a function, or a mistake of the source
        importlib.import_module(module)
    for loaded in (sys.modules[library], sys.modules.get(module)):
        for name in getattr(loaded, "__all__", ()):
            with contextlib.suppress(Exception):
                getattr(loaded, name)  # some load a module only now


def _find_thread_pools() -> None:
    """Make scikit-learn look for threaded libraries, for which it reads /proc."""
    importlib.import_module("sklearn.cluster").KMeans(1, n_init=1).fit([[0.0]])


def _drop_privileges(parent: int) -> None:
    """Become nobody if this process may, and end when the parent does."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError):  # root without capabilities, or not root
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # setuid resets it
    if os.getppid() != parent:
        os._exit(0)


def _limit(memory_bytes: int) -> None:
    """Set resource limits. `memory_bytes` is in addition to the memory that is already mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    mapped_bytes = pages * resource.getpagesize()
    limits = {
        resource.RLIMIT_AS: mapped_bytes + memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
