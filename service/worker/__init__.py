"""The worker: arq on the cpu and gpu queues, and the reconciler that loses nothing."""
