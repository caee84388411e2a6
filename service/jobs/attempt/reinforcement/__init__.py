"""The worker's part in reinforcement trainings.

`rounds.py` answers the trainer's requests and grades the answers, `sampling.py` samples them on the
engine, and `policy.py` publishes the adapter that the engine samples from.
"""
