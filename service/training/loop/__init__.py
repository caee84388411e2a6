"""The training loop.

`run` is a run from start to end, and `plan` what it needs to begin: learning rates, steps of
evaluations. `progress` reports steps and decides when to save and stop, `checkpoints` verifies what
a run resumes from, `selection` chooses the best evaluation and stops early, `pacing` rests for
chats, `float16` scales the loss, `memory` fits a run into memory, and `estimate` predicts what it
takes, without torch, for the API and the worker.
"""
