"""Code that starts vLLM and that runs in its processes; nothing else of the service imports vLLM.

`launch` writes the command line from `sizing`; `process` is what vLLM's processes share; `resolver`
and `adapters` load adapters; `guard` protects the routes; the others correct what vLLM answers.
"""
