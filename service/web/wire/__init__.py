"""HTTP to and from sockets: the server's protocol on uvicorn, heads, and batched writes.

Only `protocol` uses private parts of uvicorn. Nothing here knows a route.
"""
