"""Advice before a training: train, use a prompt, use retrieval, or work on the data first."""
