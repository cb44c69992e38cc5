"""How a node gets into a cluster before there is a node: drives the birth machine over real connections.

What: `BirthCore` answers what comes in while there is no node: questions of the birth exchange from peers, `NotReady`
to clients, and it closes the links of peers that are further already. `BirthDriver` carries the machine's own questions
to other addresses, one short connection for each, until there is an outcome; after it, `announce` goes on, so that a
founder that came back without memory or seeds hears of its cluster.

Invariant: no client is served before the member table is known. The machine asks an address again only after the last
question to it has ended or timed out, so there is at most one connection for each address.

When a refusal ends the start: a wrong secret, another cluster or an unknown protocol version cannot be cured by
waiting. But a refusal does not tell which of the two ends is wrong, and one badly configured newcomer must not stop the
others: so it is fatal only once every seed has refused and none has answered; where one seed answers, the refusals of
others are noted.
"""

from collections.abc import Callable, Sequence

import attrs
import trio

from dynacache.errors import AuthenticationFailed, ClusterMismatch, DynacacheError, NotReady, VersionMismatch
from dynacache.events import (
    Address,
    Close,
    Connected,
    ConnectionId,
    Disconnected,
    Effects,
    Input,
    Message,
    Note,
    Received,
)
from dynacache.membership.birth import ASK_TIMEOUT_S, AskState, Birth, BirthOutcome, Failed
from dynacache.runtime.entropy import monotonic_now
from dynacache.runtime.exchange import ask
from dynacache.types import Instant, Role
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import BIRTH, CLIENT_REQUESTS, ERROR

__all__ = ["WAITING_NOTE_INTERVAL_S", "BirthCore", "BirthDriver"]

WAITING_NOTE_INTERVAL_S = 5.0
_REFUSALS = (AuthenticationFailed, ClusterMismatch, VersionMismatch)


@attrs.define(eq=False)
class BirthCore:
    """The core of the data loop until there is a node."""

    birth: Birth
    changed: Callable[[], None]
    """Called when the machine took something in and may have come to an outcome."""
    _roles: dict[ConnectionId, Role] = attrs.field(factory=dict, init=False)

    def handle(self, now: Instant, received: Sequence[Received], inputs: Sequence[Input] = ()) -> Effects:
        """Answer what came in; nothing else happens before the birth."""
        effects = Effects()
        for item in inputs:
            if isinstance(item, Connected):
                self._roles[item.connection] = item.role
            elif isinstance(item, Disconnected):
                self._roles.pop(item.connection, None)
        for connection, messages in received:
            for message in messages:
                self._answer(now, connection, message, effects)
        return effects

    def next_deadline(self) -> float:
        """The driver keeps the machine's time; the loop need not wake for it."""
        return float("inf")

    def _answer(self, now: Instant, connection: ConnectionId, message: Message, effects: Effects) -> None:
        if self._roles.get(connection, Role.CLIENT) is Role.CLIENT:
            request_id = message[1] if message[0] in CLIENT_REQUESTS and len(message) > 1 else 0
            effects.send(connection, [ERROR, request_id, NotReady.code, "this node does not know the cluster yet"])
        elif message[0] == BIRTH:
            reply = self.birth.handle_request(now.monotonic_s, message[1] if len(message) > 1 else None)
            self.changed()
            effects.send(connection, [BIRTH, reply])
        else:
            # A link of a node that was born before us; it comes again in a moment, and its requests fail at once.
            effects.others.append(Close(connection, "this node does not know the cluster yet"))


@attrs.define(eq=False)
class BirthDriver:
    """Asks on behalf of the machine."""

    birth: Birth
    initiator: Callable[[], Initiator]
    """Makes the hello of one question, with a fresh nonce and what is known of the cluster."""
    note: Callable[[Note], None]
    _news: trio.Event = attrs.field(factory=trio.Event, init=False)
    _refused: dict[Address, DynacacheError] = attrs.field(factory=dict, init=False)
    _answered: bool = attrs.field(default=False, init=False)
    _fatal: DynacacheError | None = attrs.field(default=None, init=False)

    def changed(self) -> None:
        """Look at the machine again soon."""
        self._news.set()

    async def run(self) -> BirthOutcome:
        """Drive the machine to its outcome."""
        noted_s = monotonic_now()
        async with trio.open_nursery() as nursery:
            while self.birth.outcome is None and self._fatal is None:
                await self._step(nursery)
                if monotonic_now() - noted_s >= WAITING_NOTE_INTERVAL_S and self.birth.outcome is None:
                    noted_s = monotonic_now()
                    self.note(Note("birth.waiting", {"reason": self.birth.waiting()}))
            nursery.cancel_scope.cancel()
        outcome = self.birth.outcome
        if outcome is None:
            assert self._fatal is not None
            return Failed(self._fatal)
        return outcome

    async def announce(self) -> None:
        """After the birth: go on asking as the machine wishes, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._step(nursery)

    async def _step(self, nursery: trio.Nursery) -> None:
        """Send the questions that are due, then wait for news or for the next ones."""
        self._news = trio.Event()
        for question in self.birth.tick(monotonic_now()):
            nursery.start_soon(self._ask, question)
        if isinstance(self.birth.outcome, Failed):
            return
        wait_s = self.birth.next_deadline() - monotonic_now()
        with trio.move_on_after(max(0.01, min(wait_s, WAITING_NOTE_INTERVAL_S))):
            await self._news.wait()

    async def _ask(self, question: AskState) -> None:
        address = question.address
        try:
            with trio.fail_after(ASK_TIMEOUT_S * 0.9):
                reply = await ask(address, self.initiator(), [BIRTH, question.message], BIRTH)
        except trio.TooSlowError:
            self._unreachable(address, "did not answer in time")
        except DynacacheError as error:
            if isinstance(error, _REFUSALS):
                self._note_refusal(address, error)
            self._unreachable(address, str(error))
        else:
            self._answered = True
            self.birth.handle_reply(monotonic_now(), address, reply[1] if len(reply) > 1 else None)
            self.changed()

    def _unreachable(self, address: Address, reason: str) -> None:
        self.birth.handle_unreachable(monotonic_now(), address, reason)
        self.changed()

    def _note_refusal(self, address: Address, error: DynacacheError) -> None:
        if address not in self._refused:
            fields = {"address": f"{address[0]}:{address[1]}", "reason": str(error)}
            self.note(Note("birth.refused", fields, "warning"))
        self._refused[address] = error
        if not self._answered and self.birth.outcome is None and self._refused.keys() >= set(self.birth.seeds):
            self._fatal = type(error)(f"{address[0]}:{address[1]}: {error}")
