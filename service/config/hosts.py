"""The form of host names in addresses."""

NAME = r"(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
HOST = rf"{NAME}(?::[0-9]{{1,5}})?"
"""A name or address, with or without a port."""
