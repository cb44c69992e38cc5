"""What a process answers while it does not know its cluster.

What: ``answer_before_birth`` takes what came in one turn: questions of the birth exchange are answered by the birth
machine, clients are told ``NotReady``, and links of nodes that are further already are closed.

Invariant: no client is served before the member table is known.

Why like runtime/birth.py: founders that start at different moments meet exactly these answers.
"""

from collections.abc import Sequence
from typing import Any

from dynacache.errors import NotReady
from dynacache.membership.birth import Birth
from dynacache.types import Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.messages import BIRTH, CLIENT_REQUESTS, ERROR

from .connections import Connections
from .network import Network

__all__ = ["answer_before_birth"]


def answer_before_birth(
    connections: Connections, network: Network, birth: Birth, now_s: float, received: Sequence[tuple[int, list[Any]]]
) -> None:
    """Answer what came in; nothing else happens before the birth."""
    for number, messages in received:
        for message in messages:
            connection = connections.by_number.get(number)
            if connection is None:
                break
            if connection.role is Role.CLIENT:
                rid = message[1] if message[0] in CLIENT_REQUESTS and len(message) > 1 else 0
                reply = [ERROR, rid, NotReady.code, "this node does not know the cluster yet"]
                network.send(connection.end, frame_of_messages([reply]))
            elif message[0] == BIRTH:
                answer = birth.handle_request(now_s, message[1] if len(message) > 1 else None)
                network.send(connection.end, frame_of_messages([[BIRTH, answer]]))
            else:
                connections.close(connection)
