"""Batches: OpenAI's `/v1/batches`, and the task that answers the requests of a file."""
