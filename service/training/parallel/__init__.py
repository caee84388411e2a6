"""Training on several GPUs."""
