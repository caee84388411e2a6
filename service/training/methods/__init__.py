"""The trainer of each training method.

`trainer` has what all of them add to transformers' Trainer. Each method is a module with its loss,
and extends TRL's trainer where there is one. `reference` keeps the scores of the reference model,
and `sampling` has answers sampled and graded for reinforcement.
"""
