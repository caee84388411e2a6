"""Routing of OpenAI requests to the right adapter on the right engine.

`gateway`: the four inference routes, which run in the API process. `upstreams`: the gateway's view
of the engines: replica selection and the HTTP client. `engine`: the code that runs in vLLM's
processes (resolver, guard, adapter cache) and the command line that starts them.
"""
