"""So that a child process can be started as `python -m service.cli`."""

from service.cli.app import main

main()
