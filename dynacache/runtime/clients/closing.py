"""How the clients close a connection.

What: `close_now` closes a socket at once; where calls on it went unanswered, what it has not sent yet is thrown away.

Invariant: bytes that were not sent when a connection was given up are never delivered afterwards.

Why: a call without an answer may be repeated elsewhere under its operation id. Its first attempt, held up by a dead
network and delivered when that heals, would otherwise be carried out after what was written since.
"""

import contextlib
import socket
import struct

__all__ = ["close_now"]

_AT_ONCE = struct.pack("ii", 1, 0)


def close_now(ended: socket.socket, *, discard: bool) -> None:
    """Close a socket; with ``discard`` the other end sees a reset and unsent bytes are gone."""
    if discard:
        with contextlib.suppress(OSError):
            ended.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    ended.close()
