"""Recognizers: kinds of personal data that a project defines with patterns and terms."""
