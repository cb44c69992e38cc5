"""Addresses of nodes as people write them.

What: `parse_addresses` takes ``"host:port"``, ``"[::1]:port"``, a host alone, a comma-separated list of these, or
several strings, and returns (host, port) pairs in order.

Invariant: at least one pair, each with a port from 1 to 65,535, none twice; anything else is an InvalidRequest that
names the text.

Why: the same text must mean the same in an option, an environment variable and a call.
"""

from collections.abc import Iterable
from typing import Final

from dynacache.errors import InvalidRequest

__all__ = ["DEFAULT_PORT", "parse_addresses"]

DEFAULT_PORT: Final = 7400


def parse_addresses(addresses: str | Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Return the (host, port) pairs; raises InvalidRequest."""
    texts = [addresses] if isinstance(addresses, str) else list(addresses)
    parts = [part.strip() for text in texts for part in _text(text).split(",") if part.strip()]
    if not parts:
        raise InvalidRequest(f"addresses: got {addresses!r}, expected at least one host:port")
    return tuple(dict.fromkeys(_parse(part) for part in parts))


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidRequest(f"addresses: got {text!r}, expected text such as 127.0.0.1:{DEFAULT_PORT}")
    return text


def _parse(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        separator, port = rest[:1], rest[1:]
        well_formed = bool(bracket) and separator in ("", ":")
    elif text.count(":") > 1:
        host, separator, port, well_formed = text, "", "", True
    else:
        host, separator, port = text.partition(":")
        well_formed = True
    if separator and not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        well_formed = False
    if not well_formed or not host:
        raise InvalidRequest(f"addresses: got {text!r}, expected host:port with a port from 1 to 65535")
    return host, int(port) if separator else DEFAULT_PORT
