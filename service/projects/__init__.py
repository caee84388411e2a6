"""Projects (tenants), API keys and roles."""
