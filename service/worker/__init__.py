"""The worker: arq on the cpu and gpu queues, plus the reconciler that recovers lost work."""
