#!/usr/bin/env python3
"""Ends with 0 when the server of this container answers 200, else with 1.

    healthcheck.py PORT_VARIABLE PATH

The port is read from the environment, as the server reads it. No proxy is asked, and
`localhost` is tried as IPv4 and IPv6.
"""

import http.client
import os
import sys


def main(port_variable: str, path: str) -> int:
    """Ask once."""
    connection = http.client.HTTPConnection("localhost", int(os.environ[port_variable]), timeout=3)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status != http.HTTPStatus.OK)
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
