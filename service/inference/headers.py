"""Headers and routes between gateway or worker and the engine's guard."""

ADAPTER = "x-finetuned-adapter"
"""The adapter a request needs, percent-encoded; the guard holds it on disk meanwhile."""

SLEEP_PATH, WAKE_PATH = "/engine/sleep", "/engine/wake"
"""For a worker that trains on the engine's GPU: `?holder=NAME`, and `lease_s` for sleep."""
