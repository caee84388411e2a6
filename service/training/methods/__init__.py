"""Training methods and their trainers."""
