"""From training files to batches of token IDs."""
