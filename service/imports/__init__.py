"""Imports of adapters that were trained elsewhere.

`routes` accepts an uploaded archive, and `task` unpacks it in a child process, matches its tensors
with the base model (`service.models.adapter_check`), and registers the model.
"""
