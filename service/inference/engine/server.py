"""``python -m service.inference.engine.server OPTIONS``: vLLM's OpenAI server, started faster.

vLLM's own entry point imports five thousand modules, a fifth of the time in garbage collections.

With `--headless`, the process computes a part of an engine whose server runs on another machine.
"""

from __future__ import annotations

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
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    cli_env_setup()
    ServeSubcommand.cmd(make_arg_parser(FlexibleArgumentParser()).parse_args())


if __name__ == "__main__":
    main()
