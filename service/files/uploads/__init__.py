"""Multipart uploads: large files sent in parts, in any order, and then joined."""
