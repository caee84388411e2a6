"""What FastAPI cannot know of the API's description: the answers, errors, inference routes.

`document` puts openapi.json together, from what FastAPI tells of the routes, `parts` that many
operations share, `parameters`, the `inference` routes, which are none of FastAPI's, and `examples`:
requests and answers of a running api, written by `make openapi-examples`.
"""

from service.web.openapi.document import describe

__all__ = ["describe"]
