"""HTTP without a domain: authentication, permissions, audit, errors, idempotency and OpenAPI.

Knows `work/` and `config/`. `auth.py` decides who a caller is, `permissions.py` which role may do
what, and `request_audit.py` which requests leave an entry in the audit log. `resources.py` has the
pages and errors of all resources, `deps.py` the dependencies of routes, `error_handlers.py` the
status and body of each failure, and `idempotency.py` creates an object once. `openapi/` completes
openapi.json; `wire/` speaks HTTP with uvicorn.

Modules that workers import too do not import FastAPI, which takes 0.15 s.
"""
