"""The plan of a job before it runs: files, hyperparameters, memory and duration.

`hyperparameters.py` and `memory_plan.py` are pure.
"""
