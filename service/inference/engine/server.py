"""``python -m service.inference.engine.server OPTIONS``: vLLM's OpenAI server, started faster.

vLLM's own entry point imports five thousand modules, a fifth of the time in garbage collections.

With `--headless`, the process computes a part of an engine whose server runs on another machine.
"""

from __future__ import annotations

import os
import sys

from service.garbage_collection import quick_imports

HEADLESS = "--headless"


def main() -> None:
    """Serve as the command line says, until the process is asked to stop."""
    if HEADLESS in sys.argv:
        _compute()
        return
    with quick_imports():
        from vllm.entrypoints.launchers.api_server.entry import main as serve
    serve()


def _compute() -> None:
    """Compute for the server of another machine. Only the command `vllm serve` does so."""
    with quick_imports():
        from vllm.entrypoints.cli.serve import ServeSubcommand
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # as the command does
    parser = FlexibleArgumentParser()
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers())
    command.cmd(parser.parse_args([command.name, *sys.argv[1:]]))


if __name__ == "__main__":
    main()
