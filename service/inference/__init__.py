"""Inference: OpenAI's requests to models, on the engines that serve them.

`gateway` answers them in the API process; it knows keys, models, limits and usage. `upstreams`
chooses an engine and speaks HTTP to it; it knows no keys and no records. `background` sends the
requests of workers. `engine` starts vLLM and runs in its processes (resolver, guard, adapters).
"""
