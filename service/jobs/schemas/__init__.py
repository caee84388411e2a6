"""API schemas for fine-tuning jobs: OpenAI's objects plus additional fields."""
