"""A cluster is born once: how a starting node finds the cluster, or founds it with others.

What: a machine that the runtime drives before the node exists. ``tick`` says whom to ask; replies, requests of others
and failures to reach them come back in. It ends in one outcome: ``Born`` (this process is a founder and starts with a
complete, empty memory), ``Joined`` (the cluster exists; this process is warming, at its old place or, if it had none,
OUTSIDE), or ``Failed`` with the error the process ends with. After a birth it goes on answering, and asks one member in
turn every two seconds, because a founder that was killed and started without seeds knows nobody.

Invariant: a birth record that exists beats everything; no process signs a new one before each of its seeds and each
candidate it knows of has answered it. A founder killed and started again with an empty memory never founds a second
cluster (the agreement, its proof and its fault model: ``founding``). Where a seed has not answered yet a founder waits,
it does not guess; ``waiting`` says for what.

Limit: with more candidates than founders, give each of them all addresses as seeds. A founder that comes back without
seeds could otherwise meet a newcomer before a member of its cluster calls on it, and found another one with it.

Why no disk: a cache may run without one, so the memory of the others is the only memory a restarted node can have.
"""

from collections.abc import Iterator

import attrs

from dynacache.errors import ClusterMismatch, DynacacheError, NoSeedNorFounders, SeedsUnreachable, StartupError
from dynacache.membership.birth_messages import (
    REASON_LIMIT_CHARACTERS,
    Asking,
    BirthMessage,
    Known,
    Numbers,
    Refused,
    Standing,
    decode,
    encode,
)
from dynacache.membership.birth_outcome import PLACELESS, BirthOutcome, Born, Failed, Joined, outcome_of
from dynacache.membership.founding import Founding
from dynacache.placement.birth_record import MAX_FOUNDERS, BirthRecord, Candidate
from dynacache.placement.checks import WireValueError, integer
from dynacache.placement.partitions import DEFAULT_PARTITION_COUNT, partition_shift
from dynacache.placement.table import MAX_REPLICATION_FACTOR, MemberTable
from dynacache.types import NodeId

__all__ = [
    "ANNOUNCE_INTERVAL_S",
    "ASK_INTERVAL_S",
    "ASK_TIMEOUT_S",
    "Address",
    "AskState",
    "Birth",
    "BirthOutcome",
    "Born",
    "Failed",
    "Joined",
]

ASK_INTERVAL_S = 0.2
"""From an answer to the next question to the same address."""
ASK_TIMEOUT_S = 2.0
"""An address that neither answered nor failed is asked again after this."""
ANNOUNCE_INTERVAL_S = 2.0
"""After the birth, one member is asked in this interval, whatever the size of the cluster."""

Address = tuple[str, int]


@attrs.frozen
class AskState:
    """Send ``message`` to ``address``; hand back the reply, or that there was none."""

    address: Address
    message: dict[str, object]


@attrs.define(kw_only=True)
class Birth:
    """One process's way into a cluster. ``founders`` None: it only joins; else it founds with that many.

    Raises ``WireValueError`` for a parameter out of range. The outcome may stand from the start.
    """

    node_id: NodeId
    incarnation: int  # u64, new at every start
    host: str
    port: int
    zone: str = ""
    weight: int = 1
    founders: int | None = None
    seeds: tuple[Address, ...] = ()
    partition_count: int = DEFAULT_PARTITION_COUNT
    replication_factor: int = 3
    expected_cluster_id: bytes | None = None  # then nothing is founded, and no other cluster joined
    join_timeout_s: float = 10.0
    outcome: BirthOutcome | None = attrs.field(default=None, init=False)
    _me: Candidate = attrs.field(init=False)
    _founding: Founding | None = attrs.field(default=None, init=False)
    _connected: frozenset[NodeId] = attrs.field(default=frozenset(), init=False)
    _ask_at: dict[Address, float] = attrs.field(factory=dict, init=False)
    _answered_seeds: set[Address] = attrs.field(factory=set, init=False)
    _reasons: dict[Address, str] = attrs.field(factory=dict, init=False)
    _note: str = attrs.field(default="", init=False)
    _deadline_s: float | None = attrs.field(default=None, init=False)
    _announce_at: float | None = attrs.field(default=None, init=False)
    _announced: NodeId = attrs.field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        place = (self.host, self.port, self.zone, self.weight)
        self._me = Candidate.from_wire([self.node_id, self.incarnation, *place])
        partition_shift(self.partition_count)
        integer(self.replication_factor, "replication factor", 1, MAX_REPLICATION_FACTOR)
        self.seeds = tuple(seed for seed in dict.fromkeys(self.seeds) if seed != (self.host, self.port))
        if self.founders is None:
            if not self.seeds:
                self._fail(NoSeedNorFounders("neither a seed other than this node nor a number of founders was given"))
            return
        integer(self.founders, "founders", 1, MAX_FOUNDERS)
        if self.expected_cluster_id is None:
            numbers = Numbers(self.founders, self.partition_count, self.replication_factor)
            self._founding = Founding(self._me, numbers)
            self._advance()

    # What the runtime calls

    def tick(self, now_s: float) -> list[AskState]:
        """Return whom to ask now. Call it at ``next_deadline``, after the birth too."""
        if self._deadline_s is None:
            self._deadline_s = now_s + self.join_timeout_s
        if self.outcome is None and self.founders is None and now_s >= self._deadline_s:
            self._fail(SeedsUnreachable(f"no seed led to a cluster: {self._seed_reasons()}"))
        if isinstance(self.outcome, Failed):
            return []
        if self.outcome is not None:
            return list(self._announce(now_s, self.outcome.table))
        targets = self._targets()
        self._ask_at = {address: self._ask_at.get(address, now_s) for address in targets}
        due = [address for address in targets if self._ask_at[address] <= now_s]
        self._ask_at |= dict.fromkeys(due, now_s + ASK_TIMEOUT_S)
        message = self._state()
        return [AskState(address, message) for address in due]

    def next_deadline(self) -> float:
        """Return when ``tick`` is due, in the seconds of ``now_s``; minus infinity before the first tick."""
        if self._deadline_s is None:
            return float("-inf")
        if isinstance(self.outcome, Failed):
            return float("inf")
        if self.outcome is not None:
            return float("-inf") if self._announce_at is None else self._announce_at
        join_deadline = self._deadline_s if self.founders is None else float("inf")
        return min((join_deadline, *self._ask_at.values()))

    def handle_request(self, now_s: float, message: object) -> dict[str, object]:
        """Take in another node's question and return the reply; any object at all gets one."""
        try:
            decoded = decode(message)
        except WireValueError as error:
            return encode(Refused(str(error)[:REASON_LIMIT_CHARACTERS]))
        self._receive(now_s, None, decoded)
        return self._state()

    def handle_reply(self, now_s: float, address: Address, message: object) -> None:
        """Take in the reply of an address that ``tick`` named; a malformed one counts as none."""
        try:
            decoded = decode(message)
        except WireValueError as error:
            self.handle_unreachable(now_s, address, f"answered with a malformed message: {error}")
            return
        if isinstance(decoded, Refused):
            self.handle_unreachable(now_s, address, f"refused: {decoded.reason}")
            return
        self._postpone(now_s, address)
        self._reasons.pop(address, None)
        if address in self.seeds:
            self._answered_seeds.add(address)
        self._receive(now_s, address, decoded)

    def handle_unreachable(self, now_s: float, address: Address, reason: str) -> None:
        """Note that an address that ``tick`` named did not answer, and why."""
        self._postpone(now_s, address)
        if self.outcome is None and (address in self.seeds or address in self._ask_at):
            self._reasons[address] = reason

    def set_table(self, table: MemberTable) -> None:
        """Give the present member table, which answers carry from now on; only after the birth."""
        if isinstance(self.outcome, Born | Joined):
            self.outcome = attrs.evolve(self.outcome, table=self.outcome.table.merge(table))

    def set_connected(self, node_ids: frozenset[NodeId]) -> None:
        """Name the members with an open link; they know the cluster and are not asked in turn."""
        self._connected = node_ids

    def waiting(self) -> str:
        """Return in one sentence what the birth waits for; empty once there is an outcome."""
        if self.outcome is not None:
            return ""
        if self._founding is None:
            return f"waiting for a cluster: {self._seed_reasons()}"
        return f"{self._waiting_founder(self._founding)}{self._note}"

    # How a message is taken in

    def _receive(self, now_s: float, address: Address | None, message: BirthMessage) -> None:
        if self.outcome is not None:
            return
        if isinstance(message, Known):
            self._adopt(address, message)
        elif isinstance(message, Standing):
            if self._founding is None:
                if address in self.seeds:  # a cluster is being born there: give it the time it takes
                    self._deadline_s = now_s + self.join_timeout_s
            elif message.numbers != self._founding.numbers:
                self._differ(address, message, self._founding.numbers)
            else:
                self._founding.absorb(message)
                self._advance()
        elif address is not None:
            self._reasons[address] = "answered, but knows no cluster and founds none"
            self._advance()

    def _advance(self) -> None:
        founding = self._founding
        if founding is None or self.outcome is not None:
            return
        founding.advance(may_promise=self._answered_seeds.issuperset(self.seeds))
        if founding.name_taken_by is not None:
            rival = founding.name_taken_by
            self._fail(StartupError(f"the name {rival.node_id} is taken by a node at {rival.host}:{rival.port}"))
        elif founding.decided is not None:
            numbers = (self.partition_count, self.replication_factor)
            record = BirthRecord.of_candidates(founding.decided, *numbers)
            self._settle(record, record.first_table(founding.decided))

    def _adopt(self, address: Address | None, known: Known) -> None:
        expected = self.expected_cluster_id
        if expected is not None and known.record.cluster_id != expected:
            if address is not None:
                found = known.record.cluster_id.hex()
                self._fail(ClusterMismatch(f"{_shown(address)} is of cluster {found}, expected {expected.hex()}"))
        elif address is not None or self.node_id in known.table.entries:
            # A cluster that calls on us unasked is ours only if we have a place there.
            self._settle(known.record, known.table)

    def _differ(self, address: Address | None, other: Standing, mine: Numbers) -> None:
        text = f"{other.node_id} was started with {attrs.asdict(other.numbers)}, this node with {attrs.asdict(mine)}"
        if address in self.seeds:
            self._fail(StartupError(text))
        else:
            self._note = f"; not counted: {text}"

    def _settle(self, record: BirthRecord, table: MemberTable) -> None:
        self.outcome = outcome_of(record, table, self._me if self._founding is None else self._founding.me)

    def _fail(self, error: DynacacheError) -> None:
        self.outcome = Failed(error)

    # What is sent to whom

    def _state(self) -> dict[str, object]:
        if isinstance(self.outcome, Failed):
            return encode(Refused(str(self.outcome.error)[:REASON_LIMIT_CHARACTERS]))
        if self.outcome is not None:
            return encode(Known(self.node_id, self.outcome.record, self.outcome.table))
        return encode(Asking(self.node_id) if self._founding is None else self._founding.standing())

    def _targets(self) -> list[Address]:
        candidates = () if self._founding is None else self._founding.candidates
        addresses = dict.fromkeys((*self.seeds, *((candidate.host, candidate.port) for candidate in candidates)))
        return [address for address in addresses if address != (self.host, self.port)]

    def _announce(self, now_s: float, table: MemberTable) -> Iterator[AskState]:
        """Call on the next member in turn, so that one that came back without seeds hears of its cluster."""
        if self._announce_at is None:
            self._announce_at = now_s + ANNOUNCE_INTERVAL_S
        if now_s < self._announce_at:
            return
        self._announce_at = now_s + ANNOUNCE_INTERVAL_S
        members = [
            entry
            for entry in table.entries.values()
            if entry.state not in PLACELESS and entry.node_id not in self._connected and entry.node_id != self.node_id
        ]
        following = next(
            (entry for entry in members if entry.node_id > self._announced), members[0] if members else None
        )
        if following is not None:
            self._announced = following.node_id
            yield AskState((following.host, following.port), self._state())

    def _postpone(self, now_s: float, address: Address) -> None:
        if address in self._ask_at:
            self._ask_at[address] = now_s + ASK_INTERVAL_S

    # What is said to people

    def _seed_reasons(self) -> str:
        return "; ".join(f"{_shown(seed)} {self._reasons.get(seed, 'has not answered')}" for seed in self.seeds)

    def _waiting_founder(self, founding: Founding) -> str:
        silent = [_shown(seed) for seed in self.seeds if seed not in self._answered_seeds]
        if silent:
            return f"waiting for an answer of each seed, still silent: {', '.join(silent)}"
        unheard = [f"{other.node_id} at {_shown((other.host, other.port))}" for other in founding.unheard]
        if unheard:
            return f"waiting for an answer of each candidate, still silent: {', '.join(unheard)}"
        if founding.round is None:
            names = ", ".join(candidate.node_id for candidate in founding.candidates)
            return f"waiting for founders: {len(founding.candidates)} of {founding.numbers.founders} here ({names})"
        return f"waiting for signatures of {', '.join(founding.unpromised) or 'the last founders'}"


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
