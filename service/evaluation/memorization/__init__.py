"""Probes for training text that a tuned model returns: canaries, continuations, personal data."""
