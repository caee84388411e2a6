"""Permissions of other projects to use a trained model."""
