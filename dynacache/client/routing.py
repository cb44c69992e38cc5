"""Which node a request goes to.

What: a `Router` knows the seeds and, once a node has pushed its topology, every member, its state, and the owners of
each partition. `choose` names the endpoint to ask next.

Invariants: an owner that can be reached is preferred to any other node, and among owners the first in preference order,
so that all clients meet at one coordinator and a client reads where it wrote; a read that may be stale goes round the
owners instead. An endpoint that failed `FAILURES_BEFORE_AVOIDING` times in a row is avoided for 1 s, doubling
to 10 s, and then tried by one request at a time until an answer comes. When nothing better is left, avoided and dead
nodes are asked after all: routing never refuses. Member tables merge, so pushes from several nodes may come in any
order.

Why: each coordinator that is not an owner costs a hop, and two coordinators for one key can mint concurrent versions
(DESIGN section 3, rule 6, and section 7). The client's own failure accrual reacts within a request's time, long before
the membership protocol has made up its mind; what the client sees counts more than what it is told, so a connection
that answers is used although its node is said to be dead.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from dynacache.errors import InvalidRequest, ProtocolError
from dynacache.namespaces.names import DEFAULT, FACTOR_LIMIT, check_name, prefix, with_factor
from dynacache.placement.partitions import key_hash, partition_of_key
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState, MemberTable
from dynacache.types import MEMBER_STOPPING

if TYPE_CHECKING:
    from dynacache.client.calls import Call

__all__ = [
    "AVOID_FIRST_S",
    "AVOID_LONGEST_S",
    "FAILURES_BEFORE_AVOIDING",
    "MEMBER_ALIVE",
    "PROBE_S",
    "Address",
    "Endpoint",
    "Router",
]

Address = tuple[str, int]

FAILURES_BEFORE_AVOIDING: Final = 3
AVOID_FIRST_S: Final = 1.0
AVOID_LONGEST_S: Final = 10.0
PROBE_S: Final = 1.0
"""How long one request is given to show that an avoided endpoint works again, before another one tries."""
MEMBER_ALIVE: Final = 0
"""The state of a live member in a pushed topology."""
_GONE: Final = frozenset({MemberState.LEFT, MemberState.REMOVED})


@attrs.define(eq=False)
class Endpoint:
    """One address, with what this client has seen of it."""

    address: Address
    node_id: str | None = None
    """Who answers there, as told by the hello or the member table."""
    alive: bool = True
    """What the cluster says of it."""
    connections: int = 0
    """Connections that are open now, their hello done; counted by the shell."""
    failures: int = 0
    """Failures since the last answer."""
    avoided_until_s: float = 0.0
    avoided_for_s: float = 0.0
    probed_until_s: float = 0.0

    def usable(self, now_s: float) -> bool:
        """Whether a request sent there now has good prospects."""
        if self.failures:
            return self.avoided_until_s <= now_s and self.alive
        return self.alive or self.connections > 0

    def answered(self) -> None:
        """An answer came: all is well again."""
        self.failures = 0
        self.avoided_until_s = self.avoided_for_s = self.probed_until_s = 0.0

    def failed(self, now_s: float, weight: int = 1) -> None:
        """A request failed; with a weight of `FAILURES_BEFORE_AVOIDING`, the endpoint is certainly of no use now.

        What fails while the endpoint is avoided belongs to the same trouble and does not lengthen it.
        """
        self.failures += weight
        if self.failures >= FAILURES_BEFORE_AVOIDING and self.avoided_until_s <= now_s:
            self.avoided_for_s = min(max(2 * self.avoided_for_s, AVOID_FIRST_S), AVOID_LONGEST_S)
            self.avoided_until_s = now_s + self.avoided_for_s

    def __str__(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@attrs.define(eq=False)
class Router:
    """The client's picture of the cluster."""

    endpoints: dict[Address, Endpoint] = attrs.field(factory=dict, init=False)
    """Every address known: seeds as given, and the members."""
    table: MemberTable | None = attrs.field(default=None, init=False)
    compressions: dict[str, str] = attrs.field(factory=dict, init=False)
    """How large values are compressed, by namespace; one object for the router's life."""
    _factors: dict[bytes, int] = attrs.field(factory=dict, init=False)
    """Replication factors of namespaces that have one of their own, by what their qualified keys begin with."""
    _seeds: tuple[Endpoint, ...] = attrs.field(init=False)
    _states: dict[str, int] = attrs.field(factory=dict, init=False)
    _by_node: dict[str, Endpoint] = attrs.field(factory=dict, init=False)
    _partitions: list[tuple[Endpoint, ...]] = attrs.field(factory=list, init=False)
    _shift: int = attrs.field(default=0, init=False)
    _members: tuple[Endpoint, ...] = attrs.field(default=(), init=False)
    _others: tuple[Endpoint, ...] = attrs.field(default=(), init=False)
    """Seeds that are not known to be members; all there is before the first topology."""
    _turn: int = attrs.field(default=0, init=False)

    @classmethod
    def from_seeds(cls, addresses: Sequence[Address]) -> "Router":
        """A router that knows nothing but where to ask first."""
        router = cls()
        router._seeds = router._others = tuple(router._endpoint(address) for address in dict.fromkeys(addresses))
        return router

    def choose(
        self, key: bytes | None, spread: bool, now_s: float, tried: tuple[Endpoint, ...] = (), probe: bool = True
    ) -> Endpoint:
        """The endpoint to ask now; ``tried`` ones only when nothing else is left.

        ``probe`` allows the call to be the one that tries an endpoint after its time of avoidance.
        """
        owners: tuple[Endpoint, ...] = ()
        if key is not None and self._partitions:
            partition = key_hash(key) >> self._shift if key[0] or not self._factors else self._numbered(key)
            owners = self._partitions[partition]
            if spread and len(owners) > 1:
                self._turn = turn = (self._turn + 1) % len(owners)
                owners = owners[turn:] + owners[:turn]
            first = owners[0] if owners else None
            if first is not None and not first.failures and first.usable(now_s) and first not in tried:
                return first
        return self._choose_slowly(owners, now_s, tried, probe)

    def choose_for(self, call: "Call[Any]", now_s: float) -> Endpoint:
        """The endpoint to ask for a call now."""
        if call.address is not None:
            return self._endpoint(call.address)
        if call.partition is not None:
            return self._choose_slowly(self.owners_of(call.partition), now_s, call.tried, call.repeatable)
        return self.choose(call.key, call.spread, now_s, call.tried, call.repeatable)

    def _numbered(self, key: bytes) -> int:
        """Return the partition of a qualified key whose namespace may have a replication factor of its own."""
        factor = self._factors.get(key[: 2 + key[1]], 0)
        number = partition_of_key(with_factor(key, factor) if factor else key, self._shift)
        return number if number < len(self._partitions) else 0

    def numbers_of(self, head: bytes) -> range:
        """Return the partitions of the namespace whose qualified keys begin so; none before the first topology."""
        count = 0 if self.table is None else self.table.partition_count
        factor = self._factors.get(head, 0)
        return range(factor * count, (factor + 1) * count)

    def owners_of(self, partition: int) -> tuple[Endpoint, ...]:
        """The owners of a partition in order of preference; none before the first topology."""
        return self._partitions[partition] if partition < len(self._partitions) else ()

    @property
    def nodes(self) -> tuple[Endpoint, ...]:
        """Every member; the seeds before the first topology."""
        return self._members if self.table is not None else self._seeds

    def _choose_slowly(
        self, owners: tuple[Endpoint, ...], now_s: float, tried: tuple[Endpoint, ...], probe: bool
    ) -> Endpoint:
        """The best of all endpoints: untried before tried, usable before not, owners before others."""
        self._turn += 1
        turn = self._turn % max(len(self._members), 1)
        order = (*owners, *self._members[turn:], *self._members[:turn], *self._others)
        candidates = list(dict.fromkeys(order))
        for endpoint in candidates:
            if endpoint in tried or not endpoint.usable(now_s):
                continue
            if endpoint.failures < FAILURES_BEFORE_AVOIDING:
                return endpoint
            if probe and endpoint.probed_until_s <= now_s:
                endpoint.probed_until_s = now_s + PROBE_S
                return endpoint
        last_tried = {endpoint: position for position, endpoint in enumerate(tried)}
        return min(
            candidates,
            key=lambda endpoint: (
                not endpoint.usable(now_s) or endpoint.failures >= FAILURES_BEFORE_AVOIDING,
                last_tried.get(endpoint, -1),
                endpoint.avoided_until_s,
            ),
        )

    @property
    def cluster_id(self) -> bytes:
        """The cluster this client belongs to, empty before the first topology; no node of another one is accepted."""
        return b"" if self.table is None else self.table.cluster_id

    def endpoint_at(self, address: Address) -> Endpoint:
        """The endpoint of an address that the caller insists on."""
        return self._endpoint(address)

    def learn_node(self, endpoint: Endpoint, node_id: str) -> None:
        """The hello told who answers at an endpoint: this address works, so it is the one to use for that node."""
        endpoint.node_id = node_id
        if self._by_node.get(node_id, endpoint) is not endpoint:
            self._rebuild()

    def update(self, table: Any, states: Any, now_s: float, compressions: Any = None, factors: Any = None) -> None:
        """Take a pushed topology (wire forms), and what it says of namespaces; raises ProtocolError if it is malformed
        or of another cluster."""
        try:
            told = MemberTable.from_wire(table)
            merged = told if self.table is None else self.table.merge(told)
        except (ValueError, TypeError) as error:
            raise ProtocolError(f"a malformed topology: {error}") from error
        if not isinstance(states, dict):
            raise ProtocolError("a malformed topology: the states of the members are a map")
        changed = self.table is None or merged.digest != self.table.digest
        self.table = merged
        self._states = states
        if changed:
            self._rebuild()
        self._apply_states(now_s)
        self.compressions.clear()
        if isinstance(compressions, dict):
            known = ((name, how) for name, how in compressions.items() if isinstance(name, str) and how == "zstandard")
            self.compressions.update(known)
        self._factors.clear()
        if isinstance(factors, dict):
            for name, factor in factors.items():
                if type(factor) is int and 0 < factor <= FACTOR_LIMIT and _is_name(name):
                    self._factors[prefix(name)] = factor

    def _endpoint(self, address: Address) -> Endpoint:
        endpoint = self.endpoints.get(address)
        if endpoint is None:
            endpoint = self.endpoints[address] = Endpoint(address)
        return endpoint

    def _rebuild(self) -> None:
        """Members, owners and the order of the rest, after the table or an address changed."""
        if self.table is None:
            return
        works = {seed.node_id: seed for seed in self._seeds if seed.failures < FAILURES_BEFORE_AVOIDING}
        by_node: dict[str, Endpoint] = {}
        for node_id, entry in self.table.entries.items():
            if entry.state not in _GONE:
                endpoint = by_node[node_id] = works.get(node_id) or self._endpoint((entry.host, entry.port))
                endpoint.node_id = node_id
        placement = Placement.from_table(self.table)
        self._by_node = by_node
        self._partitions = [tuple(by_node[owner] for owner in owners) for owners in placement.owners_by_partition]
        self._shift = placement.shift
        self._members = tuple(dict.fromkeys(by_node.values()))
        self._others = tuple(seed for seed in self._seeds if seed not in self._members)
        self.endpoints = {endpoint.address: endpoint for endpoint in (*self._members, *self._others)}

    def _apply_states(self, now_s: float) -> None:
        for node_id, endpoint in self._by_node.items():
            state = self._states.get(node_id, MEMBER_ALIVE)
            if state == MEMBER_STOPPING:
                # It says so itself, and refuses: as good as an answer of that kind. Others still call it alive.
                endpoint.failed(now_s, FAILURES_BEFORE_AVOIDING)
                continue
            alive = state == MEMBER_ALIVE
            if alive and not endpoint.alive:
                endpoint.avoided_until_s = min(endpoint.avoided_until_s, now_s)
            endpoint.alive = alive


def _is_name(name: object) -> bool:
    """Tell whether it names a namespace, and not the default one; what a later release tells besides is passed over."""
    try:
        return check_name(name) != DEFAULT
    except InvalidRequest:
        return False
