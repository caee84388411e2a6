"""A single attempt to run a job: the trainer process, its records and its artifacts."""
