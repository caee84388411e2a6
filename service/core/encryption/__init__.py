"""Encryption of stored objects, and signatures.

`sealed.py` is the format of an encrypted object, `keyring.py` finds and makes the data key of each
project, `master.py` wraps data keys, and `signing.py` signs for the installation (Ed25519).
"""
