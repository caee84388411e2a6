"""Job planning before a run: hyperparameters, memory, duration, and the training data."""
