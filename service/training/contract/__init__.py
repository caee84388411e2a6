"""The interface between a worker and its trainer process: spec, messages and failures."""
