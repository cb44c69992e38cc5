"""Planted bugs in versions: dots, clocks, merging, touches.

What: each breaks one rule of ``dynacache.versioning``, or the use that a coordinator makes of it.

Invariant: as in ``bug``. The scenarios use two clients: client 1 reaches every node and so writes at the first owner,
client 0 is kept from it for a while and writes at the next one; that makes concurrent versions.
"""

from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32

import attrs

from dynacache.coordination.read_operation import ReadOperation
from dynacache.node import Node
from dynacache.versioning import kernel, packed
from dynacache.versioning.actors import Actor, Dot
from dynacache.versioning.kernel import State, Version

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS", "Merge"]

Merge = Callable[[State, State], State]


def _reuse_actors(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Node, config: Any, node_id: str, *rest: Any) -> None:
        original(self, config, node_id, *rest)
        issuer = self.shared.issuer
        issuer.incarnation = crc32(node_id.encode())
        issuer.incarnation_bytes = issuer.incarnation.to_bytes(8, "big")

    return init


def _actor_reused() -> Scenario:
    script = Script.of()
    first = script.owners()[0]
    script.set(0.5)
    script.fault(1.5, "crash", node=first, down_s=1.0)
    for step in range(4):
        script.set(8.0 + step)
    return script.scenario()


def _resume_own(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda entries, own, issuer: original(entries, 1, issuer)


def _own_base_resumed() -> Scenario:
    """The first owner evicts what it alone held, and has the version before it back from another."""
    script = Script.of(hint_settle_s=12.0, healing=False)
    first = script.owners()[0]
    script.hide(0.0, 9.0, 0, [first])
    script.set(0.5, client=1)
    script.part(1.0, 9.0, [first])
    script.set(2.0, client=1, level=1, size=60_000)
    script.fault(3.0, "memory", node=first, limit_bytes=1, duration_s=2.0)
    script.set(5.0, client=0)
    script.set(25.0, client=1)
    return script.scenario(27.0)


def _forget_superseded(original: Merge) -> Merge:
    def merge(first: State, second: State) -> State:
        merged = original(first, second)
        alive = {dot[0] for dot in merged.dots}
        return attrs.evolve(merged, context={actor: n for actor, n in merged.context.items() if actor in alive})

    return merge


def _rounds(rounds: int, *, then: bool = True) -> Scenario:
    """Concurrent writes at the first owner and another one, merged, and superseded by one write, several times."""
    script = Script.of(hint_settle_s=1.0)
    owners = script.owners()
    script.set(0.5)
    for number in range(rounds):
        begin_s = 1.0 + 20.0 * number
        hidden = list(owners[: 1 + number % 2])
        script.part(begin_s, begin_s + 5.0, [owners[0]])
        script.hide(begin_s, begin_s + 5.0, 0, hidden)
        script.set(begin_s + 1.0, client=0)
        script.set(begin_s + 1.5, client=1, level=1)
        if then:
            script.get(begin_s + 14.0, client=1, level=4)
            script.set(begin_s + 15.0, client=1)
    return script.scenario(2.0 + 20.0 * rounds)


def _keep_newest(original: Merge) -> Merge:
    def merge(first: State, second: State) -> State:
        merged = original(first, second)
        newest = max(merged.dots, key=lambda dot: (merged.dots[dot].time, dot), default=None)
        return merged if newest is None else attrs.evolve(merged, dots={newest: merged.dots[newest]})

    return merge


def _keep_superseded(original: Merge) -> Merge:
    def merge(first: State, second: State) -> State:
        return attrs.evolve(original(first, second), dots={**first.dots, **second.dots})

    return merge


def _never_supersede(original: Callable[..., State]) -> Callable[..., State]:
    def write(state: State, dot: Dot, version: Version, context: Mapping[Actor, int] | None) -> State:
        return original(state, dot, version, {} if context is None else context)

    return write


def _touch_newer(original: Callable[..., bytes]) -> Callable[..., bytes]:
    def touch(old: bytes, expire_ms: int, dot: Dot | None = None) -> bytes:
        touched = original(old, expire_ms, dot)
        if touched is old or touched[1] == packed.MANY:
            return touched
        head = packed.HEADER.unpack_from(touched)
        return packed.HEADER.pack(*head[:5], head[5] + 1, *head[6:]) + touched[packed.HEADER_BYTES :]

    return touch


def _touched() -> Scenario:
    script = Script.of()
    script.set(0.5, ttl_s=20.0)
    script.at(1.5, OperationKind.TOUCH, ttl_s=60.0)
    return script.scenario(4.0)


def _pick_older(original: Callable[..., None]) -> Callable[..., None]:
    def take(self: ReadOperation, node_id: str, answer: Any) -> None:
        before = self.merged
        original(self, node_id, answer)
        if before is not None and self.merged is not None:
            found = (before, self.records.get(node_id, before))
            self.merged = min(found, key=lambda record: packed.HEADER.unpack_from(record)[5])

    return take


def _stale_replica() -> Scenario:
    """One owner missed a write, and its hint waits long."""
    script = Script.of(hint_settle_s=40.0, read_level=3, write_level=3, healing=False)
    last = script.owners()[2]
    script.set(0.5, level=3)
    script.part(1.0, 9.0, [last])
    script.set(2.0, level=3)
    for step in range(48):  # only few reads have the stale answer last, and which ones depends on every draw
        script.get(13.0 + step / 4, level=3)
    return script.scenario()


BUGS = (
    Bug(
        "actor id reused after memory loss", "I14",
        "a process takes its actor id from its name instead of its start, and counts from 1 again",
        (Patch(Node, "__init__", _reuse_actors),), _actor_reused,
    ),
    Bug(
        "own base resumed after a merge", "I14",
        "a coordinator goes on under its own actor although it came back by merge",
        (Patch(packed, "_advance", _resume_own),), _own_base_resumed,
    ),
    Bug(
        "clock merge forgets a dot", "I14",
        "merging keeps only the actors of versions that live",
        (Patch(kernel, "merge", _forget_superseded),), lambda: _rounds(3),
    ),
    Bug(
        "merge resolves", "I14",
        "merging concurrent versions keeps the newest and drops the other",
        (Patch(kernel, "merge", _keep_newest),), lambda: _rounds(1),
    ),
    Bug(
        "merge keeps the superseded", "I4",
        "merging keeps every version of either side, whatever the other has seen",
        (Patch(kernel, "merge", _keep_superseded),), lambda: _rounds(2),
    ),
    Bug(
        "a plain set leaves siblings", "I4",
        "a write without context supersedes nothing when there are siblings",
        (Patch(kernel, "write", _never_supersede),), lambda: _rounds(1),
    ),
    Bug(
        "a touch makes a version newer", "I3",
        "extending an expiry also raises the version's time, and so changes who wins",
        (Patch(packed, "touch", _touch_newer),), _touched,
    ),
    Bug(
        "read repair picks the older version", "I9",
        "a read that meets two versions goes on with the older one",
        (Patch(ReadOperation, "_take", _pick_older),), _stale_replica,
    ),
)  # fmt: skip
"""Bugs in versions."""
