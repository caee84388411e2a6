"""Encryption at rest: objects in storage, under data keys that a master key wraps."""
