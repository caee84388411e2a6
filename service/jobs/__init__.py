"""Fine-tuning jobs: the API, the job lifecycle, and the events of a running job."""
