"""Sweeps: jobs that differ in some hyperparameters, of which `halving.py` stops the worse ones."""
