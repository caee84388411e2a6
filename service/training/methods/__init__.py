"""Training methods: the trainer of each, derived from TRL's and `trainer.AdapterTrainer`."""
