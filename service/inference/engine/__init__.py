"""Code that starts vLLM and that runs in its processes; nothing else of the service imports vLLM.

`launch` builds vLLM's command line, with sizes from `sizing`.
`process` sets up vLLM's processes; `resolver` and `adapters` load adapters; `guard` restricts the
routes and `sleep` puts the engine to sleep. `constraint_limits` and `constraint_trials` reject slow
schemas and grammars. `answer_fields`, `tool_calls`, `rotary`, `cpu`, `cpu_fork` and `cpu_lora`
correct vLLM.
"""
