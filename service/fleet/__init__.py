"""Workers, their capacity and GPUs, and the metrics that Redis knows."""
