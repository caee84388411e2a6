"""Attempts at trainings: one attempt is what one worker does for a job under one lease.

`train_task.py` takes an attempt and records its outcome, `trainer_process.py` runs the trainer in a
child process, which knows neither Redis nor storage, `recorder.py` stores what it reports,
`serving_check.py` compares the engine with the trainer, and `gpu_lock.py` lets engines on the same
GPU sleep during a training.
"""
