"""Fine-tuning jobs: what is asked, how a job lives, what it tells while it runs."""
