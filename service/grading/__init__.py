"""Graders: how an answer of a model is scored. Pure: no settings, store or HTTP."""
