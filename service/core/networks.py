"""Parses IP addresses and ranges, and compares them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def network(text: str) -> Network:
    """Parse an address or a range in CIDR notation. Raises ValueError."""
    try:
        return ip_network(text)
    except ValueError as e:
        raise ValueError(
            f"'{text[:64]}' is not an IP address or a range such as 192.0.2.0/24 or "
            "2001:db8::/32, without bits after the prefix"
        ) from e


@lru_cache(maxsize=1024)
def address_of(text: str) -> Address | None:
    """Parse an address, or return None. An IPv4 address that is written as IPv6 becomes IPv4."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether one of the ranges contains the address."""
    return any(address in network for network in networks)
