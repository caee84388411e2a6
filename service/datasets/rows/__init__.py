"""The rows of a training file: their shape, canonical form and split."""
