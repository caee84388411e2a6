"""Entry point that lets child processes be started as `python -m service.cli`."""

from service.cli.app import main

main()
