#!/usr/bin/env python3
"""Container health check: exits with 0 if the server returns 200, otherwise with 1.

    healthcheck.py PORT_VARIABLE PATH

The port is read from the same environment variable that the server uses. Requests bypass proxies
and try `localhost` over IPv4 and IPv6. The API speaks https if it has a certificate, which need not
name `localhost`.
"""

import http.client
import os
import ssl
import sys


def main(port_variable: str, path: str) -> int:
    """Send one request and return the exit code."""
    port = int(os.environ[port_variable])
    connection = http.client.HTTPConnection("localhost", port, timeout=3)
    if port_variable == "FINETUNED_API_PORT" and os.environ.get("FINETUNED_API_TLS_CERT"):
        unchecked = ssl.create_default_context()  # it asks this container
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("localhost", port, timeout=3, context=unchecked)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status != http.HTTPStatus.OK)
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
