"""A machine with NVIDIA GPUs, as NVML describes it: nvidia-ml-py loads a library that a test made.

`fake_nvml.c` is that library. It takes what it answers from a file, so that processes that a test
has started see what happens to a GPU later.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from service.fleet.nvml import GAUGES

SOURCE = Path(__file__).with_name("fake_nvml.c")
LOST, RESET_REQUIRED, MISMATCH, NOT_LOADED, NO_PERMISSION = 15, 16, 18, 9, 4
THERMAL = 0x40


@dataclass(frozen=True)
class Card:
    """A GPU, or the slice of the one with the number `parent`."""

    uuid: str
    name: str = "NVIDIA L4"
    mib: int = 23034
    used_mib: int = 512
    capability: str = "8.9"
    busy: int = 50
    error: int = 0
    slowed: int = 0
    parent: int = -1


@dataclass
class Machine:
    """The machine that the library describes. Assignments of `cards` take effect at once."""

    folder: Path
    cards: list[Card] = field(default_factory=list)
    driver: str = "580.95.05"
    init: int = 0

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs to see this machine."""
        return {"LD_LIBRARY_PATH": str(self.folder), "FAKE_NVML": str(self.folder / "gpus")}

    def write(self, *cards: Card, driver: str | None = None, init: int | None = None) -> None:
        """Set the cards, the driver's version, and the result of nvmlInit."""
        self.cards = list(cards) or self.cards
        self.driver = driver or self.driver
        self.init = self.init if init is None else init
        lines = [f"{self.driver} {self.init}"]
        for card in self.cards:
            fields = (card.uuid, card.name, card.mib, card.used_mib, card.capability, card.busy)
            lines.append("|".join(map(str, (*fields, card.error, card.slowed, card.parent))))
        draft = self.folder / "draft"
        draft.write_text("\n".join(lines) + "\n", "ascii")
        draft.rename(self.folder / "gpus")

    def fail(self, index: int, error: int) -> None:
        """Let one card return an error from now on; 0 repairs it."""
        cards = list(self.cards)
        cards[index] = replace(cards[index], error=error)
        self.write(*cards)


@contextmanager
def machine(folder: Path, *cards: Card, driver: str = "580.95.05") -> Iterator[Machine]:
    """Show this process a machine with these cards."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
    found = Machine(folder)
    found.write(*cards, driver=driver)
    nvml: Any = importlib.import_module("pynvml")
    before = os.environ.get("FAKE_NVML")
    os.environ["FAKE_NVML"] = found.variables["FAKE_NVML"]
    loaded = ctypes.CDLL(str(library))  # dlopen finds it by its name from now on
    _forget(nvml)
    try:
        yield found
    finally:
        if nvml.nvmlLib is not None:
            _close(nvml.nvmlLib)
        _close(loaded)
        _forget(nvml)
        os.environ.pop("FAKE_NVML")
        for gauge in GAUGES:  # of cards that the next test does not have
            gauge.clear()
        if before is not None:
            os.environ["FAKE_NVML"] = before


def _close(library: ctypes.CDLL) -> None:
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def _forget(nvml: Any) -> None:
    nvml.nvmlLib, nvml._nvmlLib_refcount = None, 0
    nvml._nvmlGetFunctionPointer_cache.clear()
