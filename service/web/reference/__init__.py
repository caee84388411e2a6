"""The pages of the API: an overview, and its reference."""
