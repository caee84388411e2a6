"""The OpenAPI document: FastAPI's, completed with shared parts and recorded examples."""
