"""Chooses the engine of a request and sends it there. Knows no keys and no records.

`upstreams` decides which model's engine gets a request and when it is sent again, `fair_queue` how
many requests an engine gets and whose is next, `replicas` which replica gets it, `health` when a
replica is ejected and when it returns, and `discovery` which replicas exist. `client` and
`connection` speak HTTP.
"""

from service.inference.upstreams.client import Answer, NotSent, Timeouts, header_lines
from service.inference.upstreams.health import ReplicaState
from service.inference.upstreams.replicas import Replica
from service.inference.upstreams.upstreams import Upstreams

__all__ = [
    "Answer",
    "NotSent",
    "Replica",
    "ReplicaState",
    "Timeouts",
    "Upstreams",
    "header_lines",
]
