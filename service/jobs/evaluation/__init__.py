"""The evaluation of a finished job: base, best prompt and tuned model on the held-out rows."""
