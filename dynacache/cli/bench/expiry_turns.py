"""What a million entries that expire cost the core of a node: each turn, by processor time.

What: one node core in a process of its own (`core_node`), filled with entries whose expiries lie evenly in ten seconds.
``measure`` lets requests of other keys come on schedule while they expire, and times every turn.

Invariant: virtual time passes as the node asks for it and as requests come, and a turn takes as much of it as it took
of the processor. So the node is as late, and as often in the way of a request, as it would be with a processor of its
own, whatever else this machine does.

Why beside `expiry`, which watches a real node: what that one sees from outside contains what the operating system does
with two processes. Both figures are printed.
"""

import json
import subprocess
import sys
from random import Random

import attrs

from dynacache.cli.bench.core_node import CoreNode, still
from dynacache.cli.bench.cpu import resident_bytes
from dynacache.cli.bench.job import percentile
from dynacache.cli.processes import StartFailed
from dynacache.events import Message
from dynacache.node import Node
from dynacache.placement.partitions import key_hash
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.messages import GET, PAYLOAD_RAW, SET

__all__ = ["TurnFigures", "main", "measure", "run_here"]

_RATE = 2_000.0
_QUIET_S = 2.0
_REST_S = 2.0
_AFTER_S = 5.0
"""Seconds from the end of the quiet requests to the first expiry."""
_LOAD_KEYS = 10_000
_LOAD_VALUE = b"v" * 100
_SET_SHARE = 0.2
_LEVEL_ONE = 1


@attrs.frozen
class TurnFigures:
    """What was measured with one number of entries, by processor time."""

    entries: int
    entry_us: float
    """What an entry that expires costs: the turns in which any did, less what the same number of requests took in
    quiet."""
    longest_turn_ms: float
    turns: int
    late_s: float
    """How long the last of those due in one second was there after that second."""
    quiet_p99_ms: float
    meanwhile_p99_ms: float
    """Waiting and turn of a request, without any network."""
    left: int
    resident_bytes: tuple[int, int, int]
    """Of the process, as the system counts them: before the fill, full, and when everything was gone."""


def measure(entries: int, within_s: float) -> TurnFigures:
    """Measure in a child process; raises StartFailed."""
    ended = subprocess.run(
        [sys.executable, "-m", "dynacache.cli.bench.expiry_turns", str(entries), str(within_s)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise StartFailed(f"the measurement ended with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}")
    told = json.loads(ended.stdout)
    return TurnFigures(**told | {"resident_bytes": tuple(told["resident_bytes"])})


@attrs.define(eq=False)
class _Stream:
    """Requests on schedule, and the turns that serve them."""

    core: CoreNode
    source: Random
    latencies_ms: list[float] = attrs.field(factory=list)
    turns_ms: list[float] = attrs.field(factory=list)
    late_s: float = 0.0
    _due_since_s: float = 0.0

    def run(self, seconds: float) -> None:
        """Let requests come for so long."""
        core, node = self.core, self.core.node
        next_s = core.now_s
        until_s = next_s + seconds
        while core.now_s < until_s:
            if next_s > core.now_s:
                core.now_s = min(next_s, max(core.now_s, node.next_deadline()))
            waiting: list[float] = []
            while next_s <= core.now_s:
                waiting.append(next_s)
                next_s += 1 / _RATE
            _, _, taken_ms = core.turn(*[self._draw() for _ in waiting])
            core.now_s += max(0.000001, taken_ms / 1000)
            self.turns_ms.append(taken_ms)
            self.latencies_ms += [(core.now_s - due_s) * 1000 for due_s in waiting]
            self._look(node)

    def p99_ms(self) -> float:
        """The 99th percentile of what requests have waited so far, which is forgotten."""
        found = percentile(sorted(self.latencies_ms), 0.99) if self.latencies_ms else 0.0
        self.latencies_ms.clear()
        return found

    def _look(self, node: Node) -> None:
        """Note for how long something that is due has been there."""
        if not node.engine.due_count(node.shared.now_ms):
            self._due_since_s = 0.0
            return
        self._due_since_s = self._due_since_s or self.core.now_s
        self.late_s = max(self.late_s, self.core.now_s - self._due_since_s)

    def _draw(self) -> Message:
        key = b"load:%d" % int(self.source.random() * _LOAD_KEYS)
        if self.source.random() < _SET_SHARE:
            return [SET, 1, key, PAYLOAD_RAW, _LOAD_VALUE, _LEVEL_ONE]
        return [GET, 1, key, _LEVEL_ONE]


def run_here(entries: int, within_s: float) -> TurnFigures:
    """Fill and measure in this process, without its garbage collector meanwhile."""
    core = CoreNode.with_room_for(entries + _LOAD_KEYS)
    ends_ms = core.now_ms + int((_QUIET_S + _AFTER_S) * 1000)
    base_bytes = resident_bytes() or 0
    _fill(core.node, entries, ends_ms, int(within_s * 1000))
    with still():
        core.settle()
        full_bytes = resident_bytes() or 0
        stream = _Stream(core, Random(1))
        for number in range(_LOAD_KEYS):
            core.turn([SET, 1, b"load:%d" % number, PAYLOAD_RAW, _LOAD_VALUE, _LEVEL_ONE])
        stream.run(_QUIET_S)
        quiet_ms, quiet_p99_ms = sum(stream.turns_ms), stream.p99_ms()
        core.now_s = max(core.now_s, 1.0 + _QUIET_S + _AFTER_S)
        stream.turns_ms.clear()
        stream.run(within_s + _REST_S)
        cost_ms = sum(stream.turns_ms) - quiet_ms * (within_s + _REST_S) / _QUIET_S
        return TurnFigures(
            entries=entries,
            entry_us=round(1000 * cost_ms / max(1, entries), 3),
            longest_turn_ms=round(max(stream.turns_ms), 3),
            turns=len(stream.turns_ms),
            late_s=round(stream.late_s, 3),
            quiet_p99_ms=round(quiet_p99_ms, 3),
            meanwhile_p99_ms=round(stream.p99_ms(), 3),
            left=core.node.engine.statistics().expiring,
            resident_bytes=(base_bytes, full_bytes, resident_bytes() or 0),
        )


def _fill(node: Node, entries: int, ends_ms: int, within_ms: int) -> None:
    issuer, shift, engine, now_ms = ActorIssuer(2), node.shared.partition_shift, node.engine, node.shared.now_ms
    for number in range(entries):
        key, time = b"key:%d" % number, (now_ms << 16) + number % 65_536
        expire_ms = ends_ms + number * within_ms // entries
        record, _ = packed.write(None, issuer, time, expire_ms, packed.RAW, b"%064d" % number, now_ms)
        engine.put(key_hash(key) >> shift, key, record)


def main(arguments: list[str]) -> int:
    """Measure as the arguments say and print the figures."""
    print(json.dumps(attrs.asdict(run_here(int(arguments[0]), float(arguments[1])))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
