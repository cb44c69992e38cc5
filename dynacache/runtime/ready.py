"""Whether a node is ready: asked over the wire, as a supervisor would.

What: `ready` asks one node for its state and returns it.

Invariant: it returns only when the node knows the member table; before that, while no node answers, or when the secret
is wrong, it raises an error of the tree whose exit code says which. Partitions that are still warming do not make a
node unready: it serves, and says *unknown* where it cannot know (DESIGN section 6).
"""

from typing import Any

import attrs
import trio

from dynacache.errors import NotReady, ProtocolError
from dynacache.events import Address
from dynacache.runtime.entropy import draw_nonce
from dynacache.runtime.exchange import ask
from dynacache.types import NodeId, Role
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import REPORT, REPORTED

__all__ = ["READY_TIMEOUT_S", "Readiness", "ready"]

READY_TIMEOUT_S = 5.0


@attrs.frozen
class Readiness:
    """What a ready node said."""

    node_id: NodeId
    members: int
    warming_partitions: int
    report: dict[str, Any]


async def ready(address: Address, secret: str | None = None, timeout_s: float = READY_TIMEOUT_S) -> Readiness:
    """Ask the node at ``address``; raises NotReady, ConnectionLost, AuthenticationFailed and others of the tree."""
    hello = Initiator(Role.CLIENT, b"", "", secret, draw_nonce())
    try:
        with trio.fail_after(timeout_s):
            reply = await ask(address, hello, [REPORT, 1, "status"], REPORTED)
    except trio.TooSlowError as error:
        raise NotReady(f"{address[0]}:{address[1]} did not answer within {timeout_s:g} s") from error
    report = reply[2] if len(reply) > 2 else None
    if not isinstance(report, dict):
        raise ProtocolError("a malformed REPORTED: expected a request id and a map")
    if not report.get("ready", True):
        raise NotReady(f"{address[0]}:{address[1]} does not know the cluster yet")
    return Readiness(
        hello.peer_node_id, len(report.get("members", ())), int(report.get("warming_partitions", 0)), report
    )
