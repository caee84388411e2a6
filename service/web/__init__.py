"""HTTP: the server's protocol, middleware, authentication, and the OpenAPI document."""
