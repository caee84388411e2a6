"""Locked-down child processes that run the Python sources of graders."""
