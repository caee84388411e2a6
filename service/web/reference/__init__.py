"""The pages of the API: what it is, and its reference."""
