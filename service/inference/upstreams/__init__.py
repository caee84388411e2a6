"""The engines as the gateway sees them: which replica takes a request, and how it is asked."""

from service.inference.upstreams.answers import Answer
from service.inference.upstreams.client import NotSent, Timeouts
from service.inference.upstreams.upstreams import Upstreams

__all__ = ["Answer", "NotSent", "Timeouts", "Upstreams"]
