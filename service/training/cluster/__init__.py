"""Training on several machines: the ranks of a run as actors of a Ray cluster."""
