"""What an invalidation costs a node: its answer, with and without entries, and the sweep that follows.

What: one node core in a process of its own, its store filled with tagged entries. ``measure`` times the turns that
serve ``INVALIDATE`` of a tag that nothing has, then invalidates the tag that every entry has, and times each turn
until the store is swept, with reads in between.

Invariant: time passes as the node asks for it: between two turns lies what ``next_deadline`` says, in virtual time, so
the seconds of the sweep are those that a node would take, and the turns are timed as they run.

Why the node and not a client: what is claimed is that the work does not grow with the number of entries, and that no
turn is long. A socket adds the same to both.
"""

import json
import subprocess
import sys
from random import Random
from statistics import median

import attrs

from dynacache.cli.bench.core_node import START_MS, CoreNode, still
from dynacache.cli.processes import StartFailed
from dynacache.node import Node
from dynacache.placement.partitions import key_hash
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.attachments import pack_tags
from dynacache.wire.epoch_names import TAG
from dynacache.wire.messages import DONE, GET, INVALIDATE, MISS

__all__ = ["InvalidationFigures", "main", "measure", "run_here"]

_REPEATS = 400
_SWEEP_LIMIT_S = 600.0


@attrs.frozen
class InvalidationFigures:
    """What was measured with one number of entries. Turns in milliseconds, wall and processor time."""

    entries: int
    answer_median_ms: float
    answer_longest_cpu_ms: float
    sweep_s: float
    """From the invalidation of everything until nothing of it is held any more."""
    sweep_cpu_s: float
    longest_slice_ms: float
    longest_slice_cpu_ms: float
    slices: int
    stale_reads: int
    """Reads during the sweep that returned what had been invalidated."""


def measure(entries: int) -> InvalidationFigures:
    """Measure in a child process; raises StartFailed."""
    ended = subprocess.run(
        [sys.executable, "-m", "dynacache.cli.bench.invalidation", str(entries)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise StartFailed(f"the measurement ended with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}")
    return InvalidationFigures(**json.loads(ended.stdout))


def run_here(entries: int) -> InvalidationFigures:
    """Fill and measure in this process, without its garbage collector meanwhile."""
    bench = CoreNode.with_room_for(entries)
    _fill(bench.node, entries)
    with still():
        return _measured(bench, entries)


def _measured(bench: CoreNode, entries: int) -> InvalidationFigures:
    node = bench.node
    bench.settle()
    answers = [_invalidate(bench, b"nothing has %d" % number) for number in range(_REPEATS)]
    for _ in range(3):
        bench.now_s += 20.0
        while not node.engine.is_swept:
            bench.turn()
            bench.pass_time()
    bench.now_s += 20.0
    _invalidate(bench, b"all")
    began_s, slices, stale = bench.now_s, [], 0
    draws = Random(1)
    while not node.engine.is_swept:
        assert bench.now_s - began_s < _SWEEP_LIMIT_S, "the sweep does not end"
        bench.pass_time()
        _, wall_ms, cpu_ms = bench.turn()
        slices.append((wall_ms, cpu_ms))
        replies, _, _ = bench.turn((GET, 1, b"key:%d" % draws.randrange(max(1, entries))))
        stale += replies[0][0] != MISS
    return InvalidationFigures(
        entries=entries,
        answer_median_ms=round(median(wall for wall, _ in answers), 4),
        answer_longest_cpu_ms=round(max(cpu for _, cpu in answers), 4),
        sweep_s=round(bench.now_s - began_s, 3),
        sweep_cpu_s=round(sum(cpu for _, cpu in slices) / 1000, 3),
        longest_slice_ms=round(max((wall for wall, _ in slices), default=0.0), 3),
        longest_slice_cpu_ms=round(max((cpu for _, cpu in slices), default=0.0), 3),
        slices=len(slices),
        stale_reads=stale,
    )


def _invalidate(bench: CoreNode, tag: bytes) -> tuple[float, float]:
    bench.now_s += 0.001
    replies, wall_ms, cpu_ms = bench.turn((INVALIDATE, 1, TAG, b"", tag, 1))
    assert replies[-1][0] == DONE, replies
    return wall_ms, cpu_ms


def _fill(node: Node, entries: int) -> None:
    issuer, shift, engine = ActorIssuer(2), node.shared.partition_shift, node.engine
    flags = packed.RAW | packed.TAGGED
    for number in range(entries):
        key = b"key:%d" % number
        payload = pack_tags([b"all", b"group:%d" % (number % 1000)]) + b"%064d" % number
        record, _ = packed.write(None, issuer, (START_MS << 16) + number % 65_536, 0, flags, payload, START_MS)
        engine.put(key_hash(key) >> shift, key, record)


def main(arguments: list[str]) -> int:
    """Measure as the argument says and print the figures."""
    print(json.dumps(attrs.asdict(run_here(int(arguments[0])))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
