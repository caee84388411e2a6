"""What runs inside vLLM's own processes, and how they are started."""
