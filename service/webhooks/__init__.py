"""Webhooks: signed HTTP requests that report when a fine-tuning job ends."""
