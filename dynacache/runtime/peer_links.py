"""The outbound links to peers: two for each, dialled until they stand, and dialled again when they break.

What: `connect` keeps a link of role PEER and one of role BULK to a node, in one task each; `disconnect` ends them. The
node hears of each through the data loop: `Connected` when the hello is done, `Disconnected` when a link broke or, with
connection 0, when it could not be made.

Invariant: a link exists only to the node whose name was asked for: whoever else answers at that address is refused. At
any moment a link has at most one connection.

Why two: repair, hints and large values must not delay acknowledgements (DESIGN section 3). Why the waits grow to
`BACKOFF_LIMIT_S` only, and are drawn between half and all of that: a dead node costs a connect every second or two,
while a node that comes back is found within two seconds, and not by everybody at once. Why a link that is cut ends
after `SILENCE_LIMIT_S`: after a long cut the system waits as long again before it sends what was lost once more; a new
connection is there at once.
"""

import random
import socket
from collections.abc import Callable

import attrs
import trio

from dynacache.errors import ConnectionLost, DynacacheError
from dynacache.events import Address, Disconnected, Note
from dynacache.runtime.connections import Connection
from dynacache.runtime.data_loop import DataLoop
from dynacache.runtime.exchange import dial
from dynacache.runtime.listener import prepare_stream
from dynacache.types import NodeId, Role
from dynacache.wire.handshake import Initiator

__all__ = ["BACKOFF_FIRST_S", "BACKOFF_LIMIT_S", "CONNECT_TIMEOUT_S", "SILENCE_LIMIT_S", "PeerLinks", "backoff_s"]

BACKOFF_FIRST_S = 0.1
BACKOFF_LIMIT_S = 2.0
CONNECT_TIMEOUT_S = 3.0
SILENCE_LIMIT_S = 8.0
"""Seconds without the other machine acknowledging what was sent after which a link has ended."""
_ROLES = (Role.PEER, Role.BULK)


def backoff_s(failures: int, random_source: random.Random) -> float:
    """Seconds to wait after so many failures in a row: doubling to the cap, between half and all of it."""
    full_s = min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * (1 << min(failures, 10)))
    return full_s * random_source.uniform(0.5, 1.0)


@attrs.define(eq=False)
class _Link:
    """One connection's worth of a peer: its task's scope, and the connection while there is one."""

    node_id: NodeId
    address: Address
    role: Role
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    connection: Connection | None = attrs.field(default=None, init=False)


@attrs.define(eq=False)
class PeerLinks:
    """Every outbound link of one node."""

    loop: DataLoop
    nursery: trio.Nursery
    initiator: Callable[[Role], Initiator]
    """Makes the hello of an outbound connection, with a fresh nonce."""
    note: Callable[[Note], None]
    random_source: random.Random
    _links: dict[NodeId, list[_Link]] = attrs.field(factory=dict, init=False)

    def connect(self, node_id: NodeId, address: Address) -> None:
        """Keep links to a node; a new address replaces the old one, the same one changes nothing."""
        links = self._links.get(node_id)
        if links is not None:
            if links[0].address == address:
                return
            self.disconnect(node_id)
        links = self._links[node_id] = [_Link(node_id, address, role) for role in _ROLES]
        for link in links:
            self.nursery.start_soon(self._keep, link)

    def disconnect(self, node_id: NodeId) -> None:
        """Drop the links to a node and dial it no more."""
        for link in self._links.pop(node_id, ()):
            link.scope.cancel()
            if link.connection is not None:
                self.loop.transport.close(link.connection)

    async def _keep(self, link: _Link) -> None:
        failures = 0
        said = ""
        with link.scope:
            while True:
                error = await self._stand(link)
                failures = 0 if error is None else failures + 1
                if error is None:
                    said = ""
                elif str(error) != said:
                    said = str(error)
                    fields = {"peer": link.node_id, "role": link.role.name.lower(), "reason": said}
                    self.note(Note("peer.unreachable", fields, "warning"))
                await trio.sleep(backoff_s(failures, self.random_source))

    async def _stand(self, link: _Link) -> DynacacheError | None:
        """Make one connection and wait for its end; None if it had stood, else why it could not be made."""
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                stream = await dial(link.address)
        except trio.TooSlowError:
            return self._failed(link, ConnectionLost(f"no connection within {CONNECT_TIMEOUT_S:g} s"))
        except DynacacheError as error:
            return self._failed(link, error)
        descriptor = stream.socket.detach()
        connected = socket.socket(fileno=descriptor)
        prepare_stream(connected, int(SILENCE_LIMIT_S * 1000))
        ended = trio.Event()
        reasons: list[DynacacheError | None] = []

        def note_end(error: DynacacheError | None) -> None:
            reasons.append(error)
            ended.set()

        connection = self.loop.transport.adopt(connected, self.initiator(link.role), link.node_id, note_end)
        link.connection = connection
        try:
            await ended.wait()
        finally:
            link.connection = None
        if connection.node_id is not None:
            return None
        return self._failed(link, reasons[0] or ConnectionLost("the other end closed the connection in the hello"))

    def _failed(self, link: _Link, error: DynacacheError) -> DynacacheError:
        if link.role is Role.PEER:
            self.loop.add_input(Disconnected(0, link.node_id))
        return error
