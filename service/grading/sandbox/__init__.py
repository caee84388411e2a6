"""Runs the Python sources of graders in locked-down child processes.

`sandbox.py` is the parent and `child.py` the child. `seccomp.py` decides which system calls a child
may make, and `modules.py` what a source may import.
"""
