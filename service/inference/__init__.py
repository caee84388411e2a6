"""From an OpenAI request to the right adapter on the right engine.

In the api: `gateway` (the four inference routes) over `upstreams` (the engines). In the
engine's processes: `resolver` (vLLM's plugin) over `adapters`, and `engine_guard` (ASGI
middleware of vLLM's server). `launch` builds the command line that brings them together.
"""
