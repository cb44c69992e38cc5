"""One operation from the caller to its end: what is asked, and its fate.

What: a `Call` holds a wire message (its request id and timeout are filled in at each attempt), what routing, retries
and decoding need to know of it, and then what became of it. `chunks` cuts many calls into batches of bounded size.

Invariant: ``repeatable`` is true only for what may be applied twice without anyone noticing. A call has ended when
``reply`` is a reply other than ERROR, or ``error`` is set by `client/retries.py`.

Why: one mutable slotted object for a call's whole life costs a third of separate request, attempt and result objects,
and pipelines, batches and single operations are all lists of it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from dynacache.client.results import Decoder, Reply
from dynacache.errors import DynacacheError, ProtocolError, UncertainError
from dynacache.wire.messages import ERROR, SET

if TYPE_CHECKING:
    from dynacache.client.routing import Endpoint

__all__ = ["BATCH_LIMIT_BYTES", "BATCH_LIMIT_CALLS", "Address", "Call", "chunks"]

Address = tuple[str, int]
ResultT = TypeVar("ResultT", covariant=True)

BATCH_LIMIT_CALLS: Final = 1024
"""Calls that one caller has under way at a time; a longer pipeline is sent in several batches."""
BATCH_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes of one such batch; a single larger value is a batch of its own."""


@attrs.define(eq=False)
class Call(Generic[ResultT]):
    """An operation and its fate."""

    message: list[Any]
    timeout_position: int
    """Where the message carries its timeout; 0 for messages without one."""
    key: bytes | None
    """Decides which nodes are asked first; None for whichever node."""
    decode: Decoder
    repeatable: bool
    changes: bool
    """Whether it may change anything; an unknown fate of one that does must be told."""
    timeout_s: float | None = None
    """The caller's own; None for the client's."""
    spread: bool = False
    """Any owner will do."""
    default: Any = None
    address: Address | None = None
    """The only node to ask; None for the best one."""
    partition: int | None = None
    """Decides which nodes are asked first where no key does."""

    deadline_s: float = 0.0
    """Monotonic seconds; set when the call starts."""
    attempts: int = 0
    tried: "tuple[Endpoint, ...]" = ()
    """Endpoints that failed this call; others are preferred."""
    endpoint: "Endpoint | None" = None
    """Where the present attempt goes."""
    reply: Reply | None = None
    error: DynacacheError | None = None
    uncertain: DynacacheError | None = None
    """The first attempt of unknown fate: if no later one succeeds, this is what the caller must hear."""
    waiter: Any = None
    """What the shell waits on."""

    @property
    def failed(self) -> bool:
        """Whether the present attempt ended without a result."""
        return self.reply is None or self.reply[0] == ERROR

    def result(self, wall_ms: int) -> ResultT:
        """The decoded answer, given this machine's clock; raises what the call ended with.

        An answer that cannot be understood is a ProtocolError for a read; of a write, nobody knows what became.
        """
        if self.error is not None:
            raise self.error
        assert self.reply is not None
        try:
            result: ResultT = self.decode(self.reply, self.default, wall_ms)
        except (AttributeError, IndexError, ProtocolError, TypeError, ValueError) as error:
            kind = UncertainError if self.changes else ProtocolError
            raise kind(f"a malformed answer of kind {self.reply[0]!r}: {error}") from error
        return result


def chunks(calls: Sequence[Call[Any]]) -> Iterator[Sequence[Call[Any]]]:
    """Cut calls into batches within the limits, each of at least one call, in order."""
    if len(calls) <= BATCH_LIMIT_CALLS and sum(map(_payload_bytes, calls)) <= BATCH_LIMIT_BYTES:
        if calls:
            yield calls
        return
    batch: list[Call[Any]] = []
    batch_bytes = 0
    for call in calls:
        size = _payload_bytes(call)
        if batch and (len(batch) == BATCH_LIMIT_CALLS or batch_bytes + size > BATCH_LIMIT_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(call)
        batch_bytes += size
    yield batch


def _payload_bytes(call: Call[Any]) -> int:
    message = call.message
    return len(message[4]) if message[0] == SET else 0
