"""Fine-tuning jobs: the API, the lifecycle, planning, the queue, attempts, sweeps and tracking.

`checkpoints.py` decides from which checkpoint a training resumes. A job reads files and base
models, and its attempts use the contract of `training`.
"""
