"""Capture: chats of a project that are redacted, stored for a while, and become training files."""
