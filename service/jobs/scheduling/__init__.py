"""Job scheduling: which job runs next, and when it may use the GPU."""
