"""HTTP without a domain: authentication, permissions, audit, errors, idempotency and OpenAPI.

Modules that workers import too do not import FastAPI, which takes 0.15 s.
"""
