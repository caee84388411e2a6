"""Webhooks: signed HTTP requests that report the end of a fine-tuning job."""
