"""From an OpenAI request to the right adapter on the right engine.

`gateway`: the four inference routes, inside the api. `upstreams`: the engines as the gateway
sees them, which replica takes a request and how it is asked. `engine`: what runs inside vLLM's
own processes (resolver, guard, adapter cache) and the command line that starts them.
"""
