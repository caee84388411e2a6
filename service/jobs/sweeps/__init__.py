"""Sweeps: jobs that differ in some hyperparameters, of which only the best train to the end."""
