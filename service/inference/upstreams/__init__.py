"""The gateway's view of the engines: replica selection and the HTTP client."""

from service.inference.upstreams.client import NotSent, Timeouts, header_lines
from service.inference.upstreams.upstreams import Answer, Upstreams

__all__ = ["Answer", "NotSent", "Timeouts", "Upstreams", "header_lines"]
