"""Detection and redaction of personal data."""
