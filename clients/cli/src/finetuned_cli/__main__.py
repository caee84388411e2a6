"""Entry point of `python -m finetuned_cli`."""

from finetuned_cli import main

main()
