"""Reviews: what people decide on single rows of a file, before a cleaning applies it."""
