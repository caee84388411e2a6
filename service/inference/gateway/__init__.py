"""The inference routes: who may ask, for which model, and bytes as they come."""

from service.inference.gateway.app import Gateway
from service.inference.gateway.parameters import PATHS

__all__ = ["PATHS", "Gateway"]
