"""Fine-tuning jobs, from the request to the registered model. A job reads files and base models.

`create.py` checks requests, `planning/` chooses hyperparameters and memory settings, `dispatch.py`
and `fair_share.py` decide which job a worker takes next, `attempt/` runs trainings, `lifecycle.py`
decides each change of status, and `recovery.py` what happens to lost attempts. `checkpoints.py`
decides from which checkpoint a training resumes.
"""
