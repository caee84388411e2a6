"""Modules that libraries import only when they are used: by then, the process can open no file.

Their sources are read into memory before. Compiled modules cannot be loaded like this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType


class LateModules(InspectLoader, MetaPathFinder):
    """Imports the modules of packages from memory, after the usual finders found nothing."""

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
