"""What one node knows of another: a member record, and which of two records wins.

A record says where a node listens, which life of it is meant (generation, incarnation), and how it fares. The
generation grows with every start of the process, the incarnation only by the node itself, whenever it contradicts an
accusation. Everything a node hears is a record, and hearing is one operation: keep the larger of two records in a
total order. So the outcome of any number of messages does not depend on their order, their repetition or their path.

Invariants: the stored (generation, incarnation) never goes down; two views that have seen the same evidence are
equal.

The order is (generation, incarnation, precedence of the state), then address and description, which differ at equal
life only when two processes claim one name, and then every view must still settle on the same one. At an equal life,
a worse state wins, since only the node itself may contradict it, by a higher incarnation (SWIM, Das et al. 2002,
section 4.2). LEFT closes the life: it is said by the node itself, with `stopped` when it will come back to its place,
without it when it gave the place up.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

__all__ = [
    "ADDRESS_HOST_LIMIT_BYTES",
    "GENERATION_LIMIT",
    "INCARNATION_LIMIT",
    "NODE_ID_LIMIT_BYTES",
    "PRECEDENCE",
    "ZONE_LIMIT_BYTES",
    "Address",
    "Claim",
    "Member",
    "NodeState",
]

Address = tuple[str, int]
"""A host name or textual IP address, and a port."""

NODE_ID_LIMIT_BYTES: Final = 64
ZONE_LIMIT_BYTES: Final = 64
ADDRESS_HOST_LIMIT_BYTES: Final = 255
GENERATION_LIMIT: Final = 2**64
INCARNATION_LIMIT: Final = 2**32
_WEIGHT_LIMIT: Final = 2**32
_VERSION_LIMIT: Final = 256


class NodeState(enum.IntEnum):
    """How a node fares; the numbers are the ones on the wire."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


PRECEDENCE: Final[dict[tuple[NodeState, bool], int]] = {
    (NodeState.ALIVE, False): 0,
    (NodeState.SUSPECT, False): 1,
    (NodeState.DEAD, False): 2,
    (NodeState.LEFT, True): 3,
    (NodeState.LEFT, False): 4,
}
"""Which state wins at an equal (generation, incarnation), by (state, stopped); a pair that is missing cannot exist."""


@attrs.frozen
class Member:
    """One record about one node. Raises ValueError, naming the field, for anything out of range.

    `weight` is the node's relative share of the data; `protocol_minimum` and `protocol_maximum` are the versions it
    speaks.
    """

    node_id: str
    host: str
    port: int
    generation: int
    incarnation: int = 0
    state: NodeState = NodeState.ALIVE
    stopped: bool = False
    zone: str = ""
    weight: int = 1
    protocol_minimum: int = 1
    protocol_maximum: int = 1

    def __attrs_post_init__(self) -> None:
        _check_text("node_id", self.node_id, 1, NODE_ID_LIMIT_BYTES)
        _check_text("host", self.host, 1, ADDRESS_HOST_LIMIT_BYTES)
        _check_text("zone", self.zone, 0, ZONE_LIMIT_BYTES)
        _check_number("port", self.port, 0, 65_536)
        _check_number("generation", self.generation, 0, GENERATION_LIMIT)
        _check_number("incarnation", self.incarnation, 0, INCARNATION_LIMIT)
        _check_number("weight", self.weight, 1, _WEIGHT_LIMIT)
        _check_number("protocol_minimum", self.protocol_minimum, 0, _VERSION_LIMIT)
        _check_number("protocol_maximum", self.protocol_maximum, self.protocol_minimum, _VERSION_LIMIT)
        if (self.state, self.stopped) not in PRECEDENCE:
            raise ValueError(
                f"state {self.state!r} with stopped={self.stopped!r}: only a node that LEFT can be stopped"
            )

    @property
    def address(self) -> Address:
        """Where the node listens."""
        return (self.host, self.port)

    @property
    def life(self) -> tuple[int, int]:
        """(generation, incarnation): which life of the node the record is about."""
        return (self.generation, self.incarnation)

    @property
    def is_live(self) -> bool:
        """True for ALIVE and SUSPECT: not known to be down."""
        return self.state <= NodeState.SUSPECT

    @property
    def order_key(self) -> tuple[int, int, int, str, int, str, int, int, int]:
        """The total order of records about one node; of two records the one with the larger key is kept."""
        return (
            self.generation,
            self.incarnation,
            PRECEDENCE[self.state, self.stopped],
            self.host,
            self.port,
            self.zone,
            self.weight,
            self.protocol_minimum,
            self.protocol_maximum,
        )

    @property
    def without_incarnation(self) -> tuple[object, ...]:
        """All that others may want to know: the order without the incarnation, which only answers accusations."""
        generation, _, *others = self.order_key
        return (generation, *others)

    def in_state(self, state: NodeState, *, stopped: bool = False) -> Member:
        """The same life in another state."""
        return attrs.evolve(self, state=state, stopped=stopped)


@attrs.frozen
class Claim:
    """A member record as somebody says it: `source` is the id of the node whose own observation it is."""

    member: Member
    source: str


def _check_text(name: str, value: str, minimum_bytes: int, maximum_bytes: int) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be text without lone surrogates, got {value!r}") from None
    if not minimum_bytes <= size <= maximum_bytes:
        raise ValueError(f"{name} must have {minimum_bytes} to {maximum_bytes} bytes, got {size}")


def _check_number(name: str, value: int, minimum: int, limit: int) -> None:
    if type(value) is not int or not minimum <= value < limit:
        raise ValueError(f"{name} must be an integer from {minimum} to {limit - 1}, got {value!r}")
