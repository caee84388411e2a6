"""The workers and GPUs of an installation."""
