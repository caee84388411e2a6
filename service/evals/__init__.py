"""Evaluations: OpenAI's `/v1/evals`, and the task that samples and grades the items of a run."""
