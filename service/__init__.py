"""finetuned: fine-tune open models on your own hardware and serve them privately."""

__version__ = "0.3.0"
