"""Headers between the gateway and the engine's guard."""

ADAPTER = "x-finetuned-adapter"
"""The adapter a request needs, percent-encoded; the guard holds it on disk meanwhile."""
