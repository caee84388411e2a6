"""The audit log: who did what, from where, and with what result."""
