"""The contract between a worker and its trainer.

`spec` is everything that a run receives, `protocol` the messages that both exchange, `methods` and
`hyperparameters` what can be chosen, `failures` why a run ends, and `samples` the files of
reinforcement. The worker and the API import this package, so it imports no torch, and nothing else
of training.
"""
