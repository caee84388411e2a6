"""Projects (tenants), and who may act for them: API keys, roles, service accounts, tokens.

Every other record belongs to a project. Knows `usage/`, and no other domain. `records.py` has
projects and keys, `oidc.py` verifies tokens of an identity provider, `storage_use.py` counts bytes
and refuses writes beyond a quota, `deletion.py` deletes all that a project has, and `key_uses.py`
records when keys were last used.
"""
