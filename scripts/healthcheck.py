#!/usr/bin/env python3
"""Container health check: exits with 0 if the server returns 200, otherwise with 1.

    healthcheck.py PORT_VARIABLE PATH

The port is read from the same environment variable that the server uses. Requests bypass proxies
and try `localhost` over IPv4 and IPv6.
"""

import http.client
import os
import sys


def main(port_variable: str, path: str) -> int:
    """Send one request and return the exit code."""
    connection = http.client.HTTPConnection("localhost", int(os.environ[port_variable]), timeout=3)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status != http.HTTPStatus.OK)
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
