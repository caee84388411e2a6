"""Experiment tracking: a job's metrics, sent to an MLflow server that the operator allows."""
