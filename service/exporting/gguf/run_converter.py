"""``python -m service.exporting.gguf.run_converter SCRIPT …``: runs a converter of llama.cpp.

A small model's conversion takes 3.9 s of CPU time instead of 6 s: most of it is imports.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from pathlib import Path

from service.imports import quick_imports


def main(script: str, arguments: list[str]) -> None:
    """Run a converter as Python would, and end the process with its status."""
    # Only the processors of images use it. With it, transformers also loads torch's compiler.
    sys.modules["torchvision"] = None  # type: ignore[assignment]
    with quick_imports():
        from transformers import AutoConfig, AutoTokenizer  # noqa: F401  # what converters use
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    status = _run(script)
    sys.stdout.flush()
    sys.stderr.flush()
    # Destroying all objects takes a second, and libraries then write about leaks to stderr.
    os._exit(status)


def _run(script: str) -> int:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # process boundary: written to stderr, as Python does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
