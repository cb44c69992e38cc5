"""Everything that checkers may look at, gathered by one run: plain values, no machine in it.

What: ``Evidence`` holds the options, the history, every change of every store, what each node held at the end, gauges
taken along the way, the traces of membership and member tables, the life of each machine, and the network's account.

Invariant: evidence is data. A checker needs no cluster, so it is tested on evidence that was made by hand; every field
has a default for that.

Times are virtual seconds (``at_s``), the first of a run is ``world.START_S``; ``sequence`` as in ``history``.
"""

from typing import Any

import attrs

from .faults.schedule import Fault
from .history import OperationRecord, StoreEvent
from .options import Options

__all__ = [
    "CatalogueEvent",
    "Evidence",
    "Gauge",
    "KeyHappening",
    "MachineEvent",
    "MembershipEvent",
    "NodeSnapshot",
    "Subscriber",
    "TableEvent",
    "Told",
    "Traffic",
    "Violation",
]


@attrs.frozen
class Violation:
    """One breach of one invariant; ``sequences`` name the events that show it."""

    invariant: str
    """"I1", "I2", ..."""
    key: bytes | None
    text: str
    sequences: tuple[int, ...] = ()


@attrs.frozen
class Gauge:
    """Sizes of one node at one moment. Every ``x_limit`` bounds its ``x``."""

    at_s: float
    node_id: str
    used_bytes: int
    limit_bytes: int
    recounted_bytes: int | None = None
    """The same by visiting everything; None when this gauge did not recount."""
    tombstone_bytes: int = 0
    tombstone_limit_bytes: int = 0
    hint_bytes: int = 0
    hint_limit_bytes: int = 0
    hint_bytes_by_target: dict[str, int] = attrs.field(factory=dict)
    hint_target_limit_bytes: int = 0
    hint_count_by_target: dict[str, int] = attrs.field(factory=dict)
    hint_target_limit_count: int = 0
    hint_recounted_bytes: int | None = None
    pending: int = 0
    pending_limit: int = 0
    operation_ids: int = 0
    operation_id_limit: int = 0
    ghosts: int = 0
    catalogue: int = 0
    catalogue_limit: int = 0
    group_bytes: dict[str, int] = attrs.field(factory=dict)
    """What the keys and values of each namespace take that has a share of the memory of its own."""
    group_limit_bytes: dict[str, int] = attrs.field(factory=dict)
    largest_entry_bytes: int = 0
    """The store may exceed its limit by one entry."""
    trees: int = 0
    trees_right: int | None = None
    """Of that many trees, those that equal one built afresh from what is stored and remembered; None: not looked at."""


@attrs.frozen
class NodeSnapshot:
    """One node at the end of the run."""

    node_id: str
    incarnation: int
    hybrid_ms: int
    records: dict[bytes, bytes]
    """Key to packed record, tombstones included, as held (whether expired or not)."""
    complete: bool = True
    warming_partitions: tuple[int, ...] = ()
    hints: tuple[tuple[str, bytes, bytes], ...] = ()
    """(target, key, record) still held for others."""
    pending: int = 0
    used_bytes: int = 0
    recounted_bytes: int = 0
    evicted: int = 0
    table_digest: int = 0
    catalogue_digest: int = 0
    settings: dict[bytes, tuple[int, bytes]] = attrs.field(factory=dict)
    """What its catalogue says of namespaces: name of the entry to (stamp, value)."""
    without_room: frozenset[str] = frozenset()
    """Namespaces that have nearly all of their share of the memory here, and are brought nothing new by repair."""
    member_states: dict[str, int] = attrs.field(factory=dict)
    """What it thinks of each member (``membership.state.NodeState`` as int)."""
    counters: dict[str, int] = attrs.field(factory=dict)
    refused: frozenset[bytes] = frozenset()
    """Keys for which the last that a replica was to merge found no room in its full store."""
    remembered: dict[bytes, int] = attrs.field(factory=dict)
    """Of keys that some store has evicted and this one does not hold: the time of what it knows to be evicted."""


@attrs.frozen
class CatalogueEvent:
    """A node took an entry into its catalogue: settings of a namespace, or an epoch."""

    sequence: int
    at_s: float
    node_id: str
    incarnation: int
    name: bytes
    stamp: int
    value: bytes


@attrs.frozen
class KeyHappening:
    """A node had an event for its subscribers, whoever they are; or, with an empty key, began to have any (``change``
    1) or has none any more (0)."""

    sequence: int
    at_s: float
    node_id: str
    incarnation: int
    change: int
    """A ``dynacache.types.KeyChange`` as int."""
    key: bytes
    hybrid_ms: int


@attrs.frozen
class Subscriber:
    """Who wanted to be told of which changes, from when on; ``prefix`` is qualified."""

    name: str
    prefix: bytes
    changes: int
    began_sequence: int


@attrs.frozen
class Told:
    """What a subscriber heard of one node.

    ``kind``: subscribed; event (``change``, ``key``, ``event_ms`` as told); lost (``count``, None for unknown); quiet:
    a question that was asked at ``asked_sequence`` was answered with nothing; refused: there will be nothing more.
    """

    sequence: int
    at_s: float
    name: str
    node_id: str
    kind: str
    change: int = 0
    key: bytes = b""
    event_ms: int = 0
    count: int | None = 0
    asked_sequence: int = 0


@attrs.frozen
class MembershipEvent:
    """A node changed its mind about another: ``state`` is alive, suspect, dead, left."""

    sequence: int
    at_s: float
    observer: str
    subject: str
    state: str
    stopped: bool = False


@attrs.frozen
class TableEvent:
    """A node began to use a member table; ``members`` is [(node id, MemberState as int, zone, weight), ...]."""

    sequence: int
    at_s: float
    node_id: str
    digest: int
    members: tuple[tuple[str, int, str, int], ...]
    owners: tuple[tuple[str, ...], ...]
    """Owners by partition, as the node has them."""

    factors: tuple[int, ...] = ()
    """Replication factors beside the cluster's, ascending; their partitions are numbered after its own."""


@attrs.frozen
class MachineEvent:
    """Something happened to a machine.

    ``kind``: started, serving (there is a node), crashed, stopping, stopped, halted, paused, resumed, isolated,
    joined (healed), clock. ``detail`` is plain values.
    """

    sequence: int
    at_s: float
    node_id: str
    kind: str
    incarnation: int = 0
    detail: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Traffic:
    """What crossed the network between nodes in one phase: birth, safety, drain, read, settle, rest."""

    phase: str
    begin_s: float
    end_s: float
    messages: dict[str, int] = attrs.field(factory=dict)
    """Messages by name (WRITE, READ, ...), DATAGRAM included."""
    wire_bytes: dict[str, int] = attrs.field(factory=dict)
    """Bytes by stream (peer, bulk, client, datagram)."""
    repair_bytes: int = 0
    """Bytes of repair, values left out."""
    differences: int = 0
    """Differences that repair found."""
    exchanges: int = 0
    """Exchanges that were begun."""


@attrs.frozen
class Evidence:
    """All that one run left behind."""

    options: Options
    history: tuple[OperationRecord, ...] = ()
    store_events: tuple[StoreEvent, ...] = ()
    snapshots: dict[str, NodeSnapshot] = attrs.field(factory=dict)
    """The nodes that run at the end, by id."""
    gauges: tuple[Gauge, ...] = ()
    membership: tuple[MembershipEvent, ...] = ()
    tables: tuple[TableEvent, ...] = ()
    catalogue: tuple[CatalogueEvent, ...] = ()
    happenings: tuple[KeyHappening, ...] = ()
    subscribers: tuple[Subscriber, ...] = ()
    told: tuple[Told, ...] = ()
    machines: tuple[MachineEvent, ...] = ()
    faults: tuple[Fault, ...] = ()
    """As applied, in order of time."""
    traffic: tuple[Traffic, ...] = ()
    owners: dict[bytes, tuple[str, ...]] = attrs.field(factory=dict)
    """Key to its owners in order, by the table at the end."""
    partitions: dict[bytes, int] = attrs.field(factory=dict)
    """Key to its partition."""
    witnessed: dict[bytes, frozenset[int]] = attrs.field(factory=dict)
    """Keys that repair asked a full store to remember instead of take, each with the hybrid times of the versions."""
    snapshots_sequence: int | None = None
    """Events up to this number came before the snapshots; None when all did."""
    final_reads: tuple[OperationRecord, ...] = ()
    """The one read of each key at level all, after the faults; also the last records of ``history``."""
    notes: tuple[tuple[float, str, str, dict[str, Any]], ...] = ()
    """(at_s, node id, event, fields) of every note a node wrote."""
    start_s: float = 0.0
    calm_sequence: int = 0
    """From here on all nodes reach each other, and nobody writes; 0 when that never came."""
    faults_end_s: float = 0.0
    """From here on nothing is wrong with network, clocks and machines."""
    end_s: float = 0.0
    converged: bool = True
    """False when the cluster did not come to rest in the time given."""
    unfinished: str = ""
    """What was left to do then."""
    stopped_early: str = ""
    """Why the run ended before its last phase (an exception left a node); empty for none."""
