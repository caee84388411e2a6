"""The inference routes: who may ask, for which model, and bytes as they come."""

from service.inference.gateway.app import PATHS, Gateway, routes

__all__ = ["PATHS", "Gateway", "routes"]
