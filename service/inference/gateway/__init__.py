"""The inference routes: how a request is checked, admitted, sent to an engine and answered.

`exchange` handles a request, `admission` admits and accounts for it, `parameters` and its neighbors
check its body, `engine_errors` translates errors, `client` is the side of the client.
"""

from service.inference.gateway.app import Gateway
from service.inference.gateway.parameters import PATHS

__all__ = ["PATHS", "Gateway"]
