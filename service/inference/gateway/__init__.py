"""The inference routes: who may ask, for which model, and bytes as they come."""

from service.inference.gateway.app import PATHS, Gateway

__all__ = ["PATHS", "Gateway"]
