"""How membership behaves at ten, a hundred and a thousand nodes.

What: ``measure`` runs one life of a cluster of SWIM cores and returns what was seen; ``combine`` adds up several lives
of the same size, since a small cluster has too few deaths for a percentile.

A life: a settled cluster, to which a tenth of the nodes joins within one second through any of three seeds (up to
``COLD_LIMIT`` nodes all join so); then 120 virtual seconds: 30 quiet ones, in which the load at rest is counted; 45 in
which one node in fifty crashes within the first ten; 45 in which one node in ten is slow and one datagram in a hundred
is lost. A slow node is blocked again and again, 0.25 to 4 s each time with 1 to 4 s between, like a process that its
collector or its host holds up.

Detection is counted from the crash: the first view that holds the node SUSPECT, the first that holds it DEAD, and the
moment when the last running view does. A false death is one view that holds a running node DEAD, once for each time;
suspicions likewise. An event is a crash, or one time that a slow node was held up.

``PLAIN`` is the protocol without Lifeguard and without last calls: no local health, and suspicions of one length.

Invariant: a pure function of nodes and seed.
"""

import math
from collections.abc import Callable, Sequence

import attrs

from dynacache.config.membership import MembershipConfig
from dynacache.membership.state import Address, Member, NodeState

from .draws import Stream
from .gossip_world import GossipNode, GossipWorld, Traffic

__all__ = [
    "COLD_LIMIT",
    "CRASH_S",
    "PLAIN",
    "QUIET_S",
    "SLOW_S",
    "Life",
    "Load",
    "Summary",
    "combine",
    "measure",
    "percentile",
    "repeats",
]

COLD_LIMIT = 200
QUIET_S = 30.0
CRASH_S = 45.0
SLOW_S = 45.0
PLAIN = MembershipConfig(health_limit=1, suspicion_maximum_factor=1.0, suspicion_confirmations=0, last_calls_limit=0)
_CRASHES_WITHIN_S = 10.0
_NODES_PER_CRASH = 50
_JOIN_LIMIT_S = 90.0
_SEEDS = 3
_SLOW_SHARE = 0.1
_LOSS = 0.01
_BLOCKED_S = (0.25, 4.0)
_FREE_S = (1.0, 4.0)


@attrs.frozen
class Load:
    """What one node sends in one second: datagrams, the part of them that is rumours, and full exchanges of tables
    apart. Bytes of datagrams are those of the packet, without 28 of IP and UDP."""

    datagrams: float
    datagram_bytes: float
    gossip: float
    """Datagrams of rumours alone; the others are probes and answers, on which rumours may ride."""
    rumour_bytes: float
    exchanges: float
    exchange_bytes: float

    @classmethod
    def of(cls, traffic: Traffic, nodes: int, seconds: float) -> "Load":
        """Share traffic among nodes and seconds."""
        each = nodes * seconds
        return cls(
            datagrams=traffic.datagrams / each,
            datagram_bytes=traffic.datagram_bytes / each,
            gossip=traffic.gossip / each,
            rumour_bytes=traffic.rumour_bytes / each,
            exchanges=traffic.exchanges / each,
            exchange_bytes=traffic.exchange_bytes / each,
        )

    @property
    def probes(self) -> float:
        """Datagrams that are probes and answers."""
        return self.datagrams - self.gossip

    @property
    def probe_bytes(self) -> float:
        """Bytes of them, without the rumours that rode on them."""
        return self.datagram_bytes - self.rumour_bytes


@attrs.frozen
class Life:
    """What was seen in one life of one cluster. Times in virtual seconds."""

    nodes: int
    seed: int
    joined: int
    """Nodes that joined."""
    join_s: float
    """From the start of the last one until every view was complete; infinity if it was not in time."""
    crashes: int
    suspected_s: tuple[float, ...]
    """For each crash that somebody suspected."""
    dead_s: tuple[float, ...]
    """For each crash that somebody held DEAD."""
    buried_s: tuple[float, ...]
    """For each crash that all views held DEAD in the end."""
    quiet: Load
    crashing: Load
    slow: Load
    slow_nodes: int
    holdups: int
    """How often one of them was held up."""
    false_suspicions_healthy: int
    false_suspicions_slow: int
    false_deaths_healthy: int
    """Views in which a running node that is not slow was held DEAD."""
    false_deaths_slow: int
    false_deaths_fair: int
    """The same before anything was slow or lost."""
    virtual_s: float
    events: int


@attrs.frozen
class Summary:
    """Several lives of clusters of one size."""

    nodes: int
    lives: int
    joined: int
    join_p50_s: float
    join_max_s: float
    crashes: int
    suspected_p50_s: float
    suspected_p99_s: float
    dead_p50_s: float
    dead_p99_s: float
    buried_p50_s: float
    buried_p99_s: float
    unburied: int
    quiet: Load
    crashing: Load
    slow: Load
    datagrams_per_crash: float
    """What one crash costs each node, beyond the load at rest; in the next for each time a slow node is held up."""
    datagrams_per_holdup: float
    false_suspicions_healthy: int
    false_suspicions_slow: int
    false_deaths_healthy: int
    false_deaths_slow: int
    false_deaths_fair: int
    slow_node_minutes: float
    """Virtual minutes that all nodes together lived in the phase with slow nodes and loss."""
    virtual_s: float
    events: int


@attrs.define(eq=False)
class _Register:
    """Watches every change of every view."""

    world: GossipWorld
    crashed_at_s: dict[str, float] = attrs.field(factory=dict)
    suspected_at_s: dict[str, float] = attrs.field(factory=dict)
    dead_at_s: dict[str, float] = attrs.field(factory=dict)
    buried_in: dict[str, set[str]] = attrs.field(factory=dict)
    buried_at_s: dict[str, float] = attrs.field(factory=dict)
    slow_ids: frozenset[str] = frozenset()
    is_slow_phase: bool = False
    holdups: int = 0
    suspicions: dict[str, int] = attrs.field(factory=lambda: {"healthy": 0, "slow": 0, "fair": 0})
    deaths: dict[str, int] = attrs.field(factory=lambda: {"healthy": 0, "slow": 0, "fair": 0})

    def crash(self, node: GossipNode) -> None:
        """Crash a node, and look out for what others make of it."""
        name = node.swim.own.node_id
        self.crashed_at_s[name] = self.world.now_s
        self.buried_in[name] = set()
        self.world.crash(node)
        for viewers in self.buried_in.values():
            viewers.discard(name)

    def note(self, viewer: GossipNode, member: Member, previous: NodeState | None) -> None:
        """Take in one change of one view."""
        if member.node_id not in self.crashed_at_s:
            self._note_running(member)
            return
        if member.state is NodeState.SUSPECT:
            self.suspected_at_s.setdefault(member.node_id, self.world.now_s)
        elif member.state is NodeState.DEAD:
            self._bury(member.node_id, viewer)

    def _bury(self, name: str, viewer: GossipNode) -> None:
        self.dead_at_s.setdefault(name, self.world.now_s)
        viewers = self.buried_in[name]
        viewers.add(viewer.swim.own.node_id)
        if len(viewers) >= len(self.world.nodes) - len(self.crashed_at_s):
            self.buried_at_s.setdefault(name, self.world.now_s)

    def _note_running(self, member: Member) -> None:
        kind = "slow" if member.node_id in self.slow_ids else "healthy" if self.is_slow_phase else "fair"
        if member.state is NodeState.SUSPECT:
            self.suspicions[kind] += 1
        elif member.state is NodeState.DEAD:
            self.deaths[kind] += 1


def repeats(nodes: int) -> int:
    """Return how many lives a cluster of that size is given, so that there are some twenty deaths."""
    return math.ceil(20 / _crash_count(nodes))


def measure(
    nodes: int, seed: int, config: MembershipConfig | None = None, tell: Callable[[str], None] = lambda _: None
) -> Life:
    """Return what one life of a cluster of ``nodes`` shows; raises ValueError below 5. ``tell`` hears the phases."""
    if nodes < 5:
        raise ValueError(f"nodes: got {nodes}, expected at least 5")
    world = GossipWorld(seed, config or MembershipConfig())
    register = _Register(world)
    tell("join")
    joined, join_s = _join(world, nodes)
    world.watchers.append(register.note)
    began_s = world.now_s
    tell("quiet")
    quiet = _counted(world, QUIET_S)
    tell("crashes")
    crashes = _plan_crashes(world, register)
    crashing = _counted(world, CRASH_S)
    tell("slow nodes")
    slow_nodes = _make_slow(world, register)
    slow = _counted(world, SLOW_S)
    return Life(
        nodes=nodes,
        seed=seed,
        joined=joined,
        join_s=join_s,
        crashes=crashes,
        suspected_s=_since_crash(register, register.suspected_at_s),
        dead_s=_since_crash(register, register.dead_at_s),
        buried_s=_since_crash(register, register.buried_at_s),
        quiet=quiet,
        crashing=crashing,
        slow=slow,
        slow_nodes=slow_nodes,
        holdups=register.holdups,
        false_suspicions_healthy=register.suspicions["healthy"],
        false_suspicions_slow=register.suspicions["slow"],
        false_deaths_healthy=register.deaths["healthy"],
        false_deaths_slow=register.deaths["slow"],
        false_deaths_fair=register.deaths["fair"],
        virtual_s=world.now_s - began_s,
        events=world.events,
    )


def combine(lives: Sequence[Life]) -> Summary:
    """Return the sums and percentiles of lives of one size; raises ValueError for none, or for several sizes."""
    if len({life.nodes for life in lives}) != 1:
        raise ValueError(f"got lives of {sorted({life.nodes for life in lives})} nodes, expected one size")
    first = lives[0]
    suspected = [each for life in lives for each in life.suspected_s]
    dead = [each for life in lives for each in life.dead_s]
    buried = [each for life in lives for each in life.buried_s]
    joins = [life.join_s for life in lives]
    crashes = sum(life.crashes for life in lives)
    holdups = sum(life.holdups for life in lives)
    return Summary(
        nodes=first.nodes,
        lives=len(lives),
        joined=first.joined,
        join_p50_s=percentile(joins, 0.5),
        join_max_s=max(joins),
        crashes=crashes,
        suspected_p50_s=percentile(suspected, 0.5),
        suspected_p99_s=percentile(suspected, 0.99),
        dead_p50_s=percentile(dead, 0.5),
        dead_p99_s=percentile(dead, 0.99),
        buried_p50_s=percentile(buried, 0.5),
        buried_p99_s=percentile(buried, 0.99),
        unburied=crashes - len(buried),
        quiet=_mean([life.quiet for life in lives]),
        crashing=_mean([life.crashing for life in lives]),
        slow=_mean([life.slow for life in lives]),
        datagrams_per_crash=sum(_beyond_rest(life, life.crashing) for life in lives) * CRASH_S / crashes,
        datagrams_per_holdup=sum(_beyond_rest(life, life.slow) for life in lives) * SLOW_S / max(1, holdups),
        false_suspicions_healthy=sum(life.false_suspicions_healthy for life in lives),
        false_suspicions_slow=sum(life.false_suspicions_slow for life in lives),
        false_deaths_healthy=sum(life.false_deaths_healthy for life in lives),
        false_deaths_slow=sum(life.false_deaths_slow for life in lives),
        false_deaths_fair=sum(life.false_deaths_fair for life in lives),
        slow_node_minutes=sum(life.nodes - life.crashes for life in lives) * SLOW_S / 60,
        virtual_s=sum(life.virtual_s for life in lives),
        events=sum(life.events for life in lives),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed; NaN for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _join(world: GossipWorld, nodes: int) -> tuple[int, float]:
    """Let nodes join; return how many, and how long after the last start every view was complete."""
    settled = 0 if nodes <= COLD_LIMIT else nodes - nodes // 10
    world.found(settled)
    seeds: list[Address] = [(f"10.0.0.{number}", 7400) for number in range(_SEEDS)]
    world.run(1.0)
    draw = world.random("joins").random
    starts = [draw() for _ in range(nodes - settled)]
    for after_s in starts:
        world.at(world.now_s + after_s, world.start, seeds)
    world.run(max(starts))
    join_s = world.run_until(lambda: all(node.live_view == nodes for node in world.nodes), _JOIN_LIMIT_S)
    # What was news a moment ago is still told for a while; that is no load at rest.
    world.run_until(lambda: not world.rumours(), _JOIN_LIMIT_S, 1.0)
    return nodes - settled, join_s


def _counted(world: GossipWorld, seconds: float) -> Load:
    """Let time pass and return the load of those who run at the end."""
    before = world.counted()
    world.run(seconds)
    return Load.of(world.counted().since(before), len(world.running()), seconds)


def _beyond_rest(life: Life, load: Load) -> float:
    return load.datagrams - life.quiet.datagrams


def _plan_crashes(world: GossipWorld, register: _Register) -> int:
    """Have one node in fifty crash, none of them a seed."""
    draws = world.random("crashes")
    victims = draws.sample(world.nodes[_SEEDS:], _crash_count(len(world.nodes)))
    for victim in victims:
        world.at(world.now_s + draws.uniform(0.0, _CRASHES_WITHIN_S), register.crash, victim)
    return len(victims)


def _crash_count(nodes: int) -> int:
    return max(1, nodes // _NODES_PER_CRASH)


def _make_slow(world: GossipWorld, register: _Register) -> int:
    """Have one node in ten be slow, and the network lose, from now on."""
    world.weather = attrs.evolve(world.weather, loss=_LOSS)
    running = world.running()
    chosen = world.random("slow").sample(running, max(1, round(len(running) * _SLOW_SHARE)))
    register.slow_ids = frozenset(node.swim.own.node_id for node in chosen)
    register.is_slow_phase = True
    for node in chosen:
        _hold_up(world, register, node, world.stream("slow", node.number))
    return len(chosen)


def _hold_up(world: GossipWorld, register: _Register, node: GossipNode, draws: Stream) -> None:
    """Block a node for a while, after a while, for ever."""

    def again() -> None:
        blocked_s = draws.uniform(*_BLOCKED_S)
        register.holdups += 1
        world.block(node, blocked_s)
        world.at(world.now_s + blocked_s + draws.uniform(*_FREE_S), again)

    world.at(world.now_s + draws.uniform(0.0, _FREE_S[1]), again)


def _since_crash(register: _Register, at_s: dict[str, float]) -> tuple[float, ...]:
    return tuple(at_s[name] - crashed_s for name, crashed_s in register.crashed_at_s.items() if name in at_s)


def _mean(loads: Sequence[Load]) -> Load:
    rows = [attrs.astuple(load) for load in loads]
    return Load(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))
