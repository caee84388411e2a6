"""The whole service on one machine (`up`): folders, GPU placement and supervised processes."""
