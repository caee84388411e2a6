"""Plans a job before it runs: files, hyperparameters, memory and duration.

`hyperparameters.py` resolves every `auto`, `memory_plan.py` decides how a training fits a machine,
`speed.py` estimates its duration, and `prepare_task.py` is the task. `hyperparameters.py` and
`memory_plan.py` are pure.
"""
