"""The parts of the OpenAPI document that FastAPI cannot generate.

`document` assembles openapi.json from FastAPI's description of the routes and from the other
modules: `parts` that many operations share, `parameters`, and `examples`: requests and responses
recorded from a running API by `make openapi-examples`.
"""

from service.web.openapi.document import describe

__all__ = ["describe"]
