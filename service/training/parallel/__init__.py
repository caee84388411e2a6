"""Training on several GPUs of a machine, or of a Ray cluster."""
