# Generated from finetuned._async by `make clients`. Do not edit.
"""The synchronous client, of which `make clients` makes the synchronous one."""
