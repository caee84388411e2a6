"""Headers and routes that the gateway and the worker use to talk to the engine's guard."""

ADAPTER = "x-finetuned-adapter"
"""The adapter that a request needs, percent-encoded. The guard keeps it on disk during the
request."""

SLEEP_PATH, WAKE_PATH = "/engine/sleep", "/engine/wake"
"""Routes for a worker that trains on the engine's GPU. Parameters: `?holder=NAME`, and `lease_s`
for sleep."""
