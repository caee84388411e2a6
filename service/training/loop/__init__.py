"""The training loop: run, checkpoints, selection of the best one, and memory."""
