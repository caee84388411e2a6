"""The engines as the gateway and workers see them: which one gets a request, and HTTP to it.

`upstreams` routes, `fair_queue` limits and orders requests, `replicas` selects, `health` ejects,
`discovery` finds, `client` and `connection` speak HTTP.
"""

from service.inference.upstreams.client import Answer, NotSent, Timeouts, header_lines
from service.inference.upstreams.upstreams import Upstreams

__all__ = ["Answer", "NotSent", "Timeouts", "Upstreams", "header_lines"]
