"""The best prompt for the base model: an instruction and examples from the training rows."""
