"""Entry point of `python -m finetuned.cli`."""

from finetuned.cli import main

main()
