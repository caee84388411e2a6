"""Tenants: projects, their API keys and roles."""
