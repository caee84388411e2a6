"""What a job needs before it runs: hyperparameters, memory, time, and the data to train on."""
