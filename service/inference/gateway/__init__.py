"""The inference routes: authentication, model lookup and streaming of responses."""

from service.inference.gateway.app import Gateway
from service.inference.gateway.parameters import PATHS

__all__ = ["PATHS", "Gateway"]
