"""Bytes to and from sockets, for less than the libraries take for them."""
