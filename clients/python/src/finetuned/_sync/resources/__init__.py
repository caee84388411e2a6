# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods that only call a route, generated."""
