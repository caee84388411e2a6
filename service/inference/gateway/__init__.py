"""The inference routes: how a request is checked, admitted, sent to an engine and answered.

`exchange` handles a request from its arrival to its end, `admission` admits and accounts for it,
and `client` reads it and sends the response. `parameters` lists the allowed parameters; `messages`,
`request_types`, `tools` and `constraints` check them, with the errors of `refusals`.
`engine_errors` translates the engine's errors, and `usage_tap` finds token counts.
"""

from service.inference.gateway.app import Gateway
from service.inference.gateway.parameters import PATHS

__all__ = ["PATHS", "Gateway"]
