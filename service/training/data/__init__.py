"""From training files to batches of token IDs.

In the order of the data: `rows` reads lines, `held_out` chooses those for validation and test,
`tokenization` decides which tokens are learned, with templates that `rendering` runs within limits,
`load` does all of it for a run, `layout` decides the order and what goes through the model at once,
and `batches` makes the tensors. Only `batches` imports torch.
"""
