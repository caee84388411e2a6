"""The worker's part in reinforcement: answers of the engine to prompts, and their rewards."""
