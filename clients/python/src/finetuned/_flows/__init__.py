"""Flows behind the client's methods, one module per API resource."""
