"""Advice before a training: train, use a prompt, use retrieval, or work on the data first.

`task.py` asks the base model with the parts of `jobs.evaluation`; `service.verdict.advice` decides.
"""
