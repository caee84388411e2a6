"""The API key of a request, its project, and their limits."""
