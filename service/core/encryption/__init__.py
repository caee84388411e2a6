"""Encryption of stored objects with wrapped data keys, and signatures (Ed25519)."""
