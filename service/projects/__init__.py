"""Projects (tenants), and who may act for them: API keys, roles, service accounts, tokens.

Every other record belongs to a project. Knows no other domain.
"""
