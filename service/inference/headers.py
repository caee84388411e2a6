"""Headers, routes and messages between the gateway, the worker and the engine's guard."""

ADAPTER = "x-finetuned-adapter"
"""The adapter that a request needs, percent-encoded. The guard keeps it on disk during the
request."""

SLEEP_PATH, WAKE_PATH = "/engine/sleep", "/engine/wake"
"""Routes for a worker that trains on the engine's GPU. Parameters: `?holder=NAME`, and `lease_s`
for sleep."""

CONSTRAINT_TOO_COMPLEX = "finetuned: the schema or grammar takes too long"
CONSTRAINT_BUSY = "finetuned: too many new schemas and grammars"
"""The engine's messages for a constraint that it does not compile, and for one that would have to
wait too long."""

STOPPING = "x-finetuned-stopping"
"""In a response of an engine that takes no more requests, because it stops after the open ones."""
