"""The training loop: plan, run, checkpoints, selection of the best one, memory and estimates."""
