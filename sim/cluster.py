"""A simulated cluster for tests of applications: real node cores, real client core, virtual time, faults on demand.

What: ``SimulatedCluster.start`` brings a cluster to life. ``client`` gives a cache with the operations of
`dynacache.Client`; each call lets virtual time run until its answer is there. ``begin`` on a client starts a call and
leaves it under way, so that several can meet. ``fault`` breaks something, ``faults_from_seed`` draws a whole schedule,
``heal`` ends all of it, ``settle`` also waits until nothing is left to repair.

Invariant: what happens is a function of the seed and of what the test does, in that order; no real time passes but
that of computing. An exception that leaves a node's core is raised by whichever call lets time run.

Why the calls block, and the cluster stands still between them: a test reads as one story, and code that was written
for the synchronous client runs under simulation as it is.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs

from dynacache.client.options import Options as ClientOptions
from dynacache.client.requests import LevelName, Requests
from dynacache.errors import UnavailableError

from .cluster_client import Caller, Pending, SimulatedClient, short
from .faults import draw as fault_draw
from .faults.schedule import FAULT_KINDS, Fault
from .options import Options
from .world.world import PORT, World

__all__ = ["STORY_LIMIT", "SimulatedCluster"]

STORY_LIMIT: Final = 200
"""Lines of the story that are kept, the latest ones."""
_BIRTH_LIMIT_S = 60.0
_STEP_S = 0.05
_DEFAULTS: Final[dict[str, float]] = {
    "duration_s": math.inf,
    "down_s": math.inf,
    "within_s": 5.0,
    "after_s": 5.0,
    "apart_s": 5.0,
}
"""What a fault is given when the test does not say: it lasts until ``heal``; who is removed was dead for a while."""
_NAMING = frozenset({"node", "nodes", "first", "second", "sources", "targets", "side"})


@attrs.define(eq=False, repr=False)
class SimulatedCluster:
    """A cluster under virtual time. ``seed`` decides everything that chance decides."""

    options: Options
    world: World
    story: deque[str] = attrs.field(factory=lambda: deque(maxlen=STORY_LIMIT))
    """What the test did and what became of it, a line each, with the virtual second."""
    _clients: int = 0
    _healed: int = 0

    @classmethod
    def start(cls, seed: int = 1, **options: Any) -> "SimulatedCluster":
        """Return a cluster that has been born and whose nodes know each other.

        ``options`` are fields of ``sim.options.Options``: ``nodes``, ``zones``, ``replication_factor``,
        ``storage_limit_bytes``, ``loss_rate``, ... Everything else has its default, which is fair weather. Raises
        ValueError for a name that is none.
        """
        names = [field.name for field in attrs.fields(Options) if field.name != "seed"]
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise ValueError(f"simulated cluster: got {', '.join(unknown)}, expected some of {', '.join(names)}")
        drawn = Options(**{"seed": seed, **options, "clients": 0})
        if drawn.replication_factor > drawn.nodes:
            drawn = attrs.evolve(drawn, replication_factor=drawn.nodes)
        cluster = cls(drawn, World(drawn))
        cluster.world.begin()
        born = cluster.wait_until(lambda: cluster.world.founders_serve() and cluster.world.is_linked(), _BIRTH_LIMIT_S)
        if not born:
            raise UnavailableError(f"seed {seed}: the cluster was not born within {_BIRTH_LIMIT_S:.0f} virtual seconds")
        return cluster

    def __repr__(self) -> str:
        return f"<simulated cluster, seed {self.seed}, {len(self.running)} of {len(self.nodes)} nodes serving>"

    @property
    def seed(self) -> int:
        """What decides everything that chance decides."""
        return self.options.seed

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node that there may be: ``n1``, ``n2``, ..., then those that may join, ``j1``, ..."""
        return tuple(self.world.machines)

    @property
    def running(self) -> tuple[str, ...]:
        """The nodes that serve now."""
        return tuple(name for name, machine in self.world.machines.items() if machine.node is not None)

    @property
    def now_s(self) -> float:
        """The virtual second."""
        return self.world.heap.now_s

    def client(
        self,
        *,
        read_level: LevelName | None = None,
        write_level: LevelName | None = None,
        timeout: float = 5.0,
        max_staleness: float | None = None,
    ) -> SimulatedClient:
        """Return another client process; the options mean what they mean to `dynacache.Client`."""
        options = ClientOptions(read_level, write_level, timeout, max_staleness)
        world, index = self.world, self._clients
        self._clients += 1
        name = f"client{index}"
        world.trouble.clients += (name,)
        seeds = [(node, PORT) for node in fault_draw.node_names(self.options)]
        secret = next(iter(world.machines.values())).settings.secret
        caller = Caller(
            name,
            index,
            tuple(world.draws.stream("seeds", name).sample(seeds, len(seeds))),
            secret,
            options.timeout_s,
            world.heap,
            world.network,
            world.draws,
            world.recorder,
            _no_record,
        )
        caller.requests = requests = Requests(options, caller.requests.client_id)
        return SimulatedClient(name, requests, caller, self._run_until_done, self._tell)

    # Time

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self._run(end_s)

    def wait_until(self, true: Callable[[], bool], limit_s: float = 60.0) -> bool:
        """Let time pass until something is so; False when it is not within ``limit_s``."""
        end_s = self.now_s + limit_s
        while not true():
            if self.now_s >= end_s:
                return False
            self.advance(min(_STEP_S, end_s - self.now_s))
        return True

    # Faults

    def fault(self, kind: str, *, after_s: float = 0.0, **arguments: Any) -> None:
        """Break something, now or after some virtual seconds.

        ``kind`` and its arguments are those of ``faults.schedule.FAULT_KINDS``, but ``after_s`` is always the
        time until it happens. A duration that is left out lasts until ``heal``; who left stays away. Raises ValueError
        for a kind, argument or name that there is not.
        """
        defaults = {name: _DEFAULTS[name] for name in FAULT_KINDS.get(kind, ()) if name in _DEFAULTS}
        fault = Fault(after_s, kind, defaults | arguments)
        known = (*self.world.machines, *self.world.trouble.clients)
        for name in sorted(_NAMING.intersection(fault.arguments)):
            given = fault.arguments[name]
            for each in [given] if isinstance(given, str) else given:
                if each not in known:
                    raise ValueError(f"fault {kind}: got {name} {each!r}, expected one of {', '.join(known)}")
        if after_s > 0:
            self.world.heap.after(after_s, self._apply, fault, self._healed)
        else:
            self._apply(fault, self._healed)

    def faults_from_seed(
        self, duration_s: float, *, per_minute: float = 20.0, kinds: Iterable[str] = tuple(FAULT_KINDS)
    ) -> tuple[Fault, ...]:
        """Draw faults from the seed and let them happen over the next virtual seconds; returns what will happen.

        At most one node loses its memory, however often, so what a quorum acknowledged must survive.
        """
        chosen = tuple(kinds)
        unknown = sorted(set(chosen) - set(FAULT_KINDS))
        if unknown:
            raise ValueError(f"faults: got {', '.join(unknown)}, expected some of {', '.join(FAULT_KINDS)}")
        options = attrs.evolve(
            self.options,
            fault_kinds=chosen,
            faults_per_minute=per_minute,
            duration_s=duration_s,
            clients=self._clients,
            startup_faults=False,
        )
        faults = fault_draw.draw(options, self.world.draws)
        for fault in faults:
            self.world.heap.after(fault.at_s, self._apply, fault, self._healed)
        return faults

    def heal(self) -> None:
        """End every fault, also those still to come: network whole, clocks right, every founder started."""
        self._healed += 1
        self._tell("heal")
        self.world.end_faults()

    def settle(self, limit_s: float = 120.0) -> None:
        """Heal, and wait until all nodes know each other, none is being filled and no hint is left; raises
        UnavailableError if that fails."""
        self.heal()
        world = self.world

        def settled() -> bool:
            return world.founders_serve() and world.is_linked() and world.is_drained() and world.is_filled()

        if not self.wait_until(settled, limit_s):
            raise UnavailableError(f"the cluster has not settled within {limit_s:g} virtual seconds")

    # Inside

    def _apply(self, fault: Fault, healed: int) -> None:
        if healed == self._healed:
            said = ", ".join(f"{name}={short(value)}" for name, value in sorted(fault.arguments.items()))
            self._tell(f"fault {fault.kind} {said}")
            self.world.trouble.apply(fault)

    def _run(self, until_s: float) -> None:
        """Run until a moment, or until a call has ended."""
        heap = self.world.heap
        heap.halted = False
        heap.run(until_s)
        heap.halted = False
        if self.world.error is not None:
            self._tell(self.world.failure)
            raise self.world.error

    def _run_until_done(self, pending: Pending[Any]) -> None:
        limit_s = pending.call.deadline_s + 1.0
        while not pending.done:
            if self.now_s >= limit_s:
                raise UnavailableError(f"{pending.text} has not ended by its deadline")
            self._run(limit_s)

    def _tell(self, text: str) -> None:
        self.story.append(f"{self.now_s:10.3f} {text}")


def _no_record(_: object) -> None:
    """Calls of a test leave a line in the story, and no record for checkers."""
