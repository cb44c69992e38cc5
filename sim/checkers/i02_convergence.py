"""I2: after the faults all owners of a key hold the same version set, evicted entries excepted.

What: at the end, what every owner holds of a key, cleaned at one common moment, has the same version prefix; and within
a bound of virtual time the cluster has come to rest (``sim.world.rest``): nothing is filled, stale or departing, no
hint is kept, no change of members is under way, and the owners' trees are equal where no difference is settled.

Invariant kept by: ``repair.exchange``, ``repair.transfer``, ``coordination.hint_replay``. Nobody reads to help: the
only reads after the faults come after what is judged here, but for scenarios that have no healing.

What eviction excuses is the owner that evicted the key in its present life and does not hold it: eviction is local, and
makes no difference (promise P5). All others must agree, unless one of those owners evicted a version that is newer than
anything the others hold: that version hides theirs, so that no read may return or repair them (DESIGN section 9), until
replicas repair each other. Who was filled by a node that had evicted the version which the others hold, or had no room
for it, and remembers it as that one did, need not hold it either: its tree is right. A store that evicts nothing may
refuse a version while it is full; one that evicts refuses only tombstones, which it never throws out. Above its
watermark (``storage.replica``) a store takes no key from repair that it does not hold: what others have would throw out
what is used here. The same goes for a namespace that has nearly all of its share.
"""

from dynacache.storage.records import is_tombstone
from dynacache.storage.replica import ADMIT_SHARE
from dynacache.versioning import packed

from ..evidence import Evidence, NodeSnapshot, Violation
from ..history import StoreCause
from . import i02_settings
from .case import Case
from .invalidations import namespace_of

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each key whose owners differ, and one if the hints did not drain."""
    if evidence.stopped_early:
        return []
    case = Case.of(evidence)
    found = []
    if not evidence.converged:
        found.append(Violation("I2", None, f"the cluster did not come to rest: {evidence.unfinished}"))
    evicted, reaped = _gone(evidence, StoreCause.EVICT), _gone(evidence, StoreCause.REAP)
    for key, owners in sorted(evidence.owners.items()):
        ghosts = {node_id: evicted[node_id, key] for node_id in owners if (node_id, key) in evicted}
        held = {
            node_id: _held(evidence.snapshots[node_id], key, case.end_ms)
            for node_id in owners
            if node_id in evidence.snapshots and node_id not in ghosts
        }
        judged = {
            node_id: _prefix(record)
            for node_id, record in held.items()
            if not _refused(case, node_id, key, held) and not _took_over(case, node_id, key, held)
        }
        if all(record is None or is_tombstone(record) for record in held.values()):
            # A tombstone is dropped here a moment before it is there, by the clock or since all are known to hold it.
            judged = {node_id: prefix for node_id, prefix in judged.items() if (node_id, key) not in reaped}
        if len(set(judged.values())) > 1 and not _hidden(held, ghosts):
            shown = ", ".join(f"{node_id} {_shown(prefix)}" for node_id, prefix in judged.items())
            found.append(Violation("I2", key, f"the owners hold different versions: {shown}"))
    return [*found, *i02_settings.check(evidence)]


def _gone(evidence: Evidence, cause: StoreCause) -> dict[tuple[str, bytes], int]:
    """Return, by node and key, the hybrid time of what left there for a cause, where that was the last to happen to the
    key in the life that the node has at the end."""
    until = evidence.snapshots_sequence
    last = {
        (event.node_id, event.key): event
        for event in evidence.store_events
        if not event.place and (until is None or event.sequence <= until)
    }
    return {
        (node_id, key): _time(event.before)
        for (node_id, key), event in last.items()
        if event.cause is cause
        and event.before is not None
        and node_id in evidence.snapshots
        and evidence.snapshots[node_id].incarnation == event.incarnation
    }


def _hidden(held: dict[str, bytes | None], ghosts: dict[str, int]) -> bool:
    """Return whether something was evicted that is newer than all that is held elsewhere."""
    newest = max((_time(record) for record in held.values() if record is not None), default=0)
    return max(ghosts.values(), default=0) > newest


def _took_over(case: Case, node_id: str, key: bytes, held: dict[str, bytes | None]) -> bool:
    """Return whether who holds nothing was filled by an owner that had evicted what others hold, and has taken over
    what that one remembers of it: then their trees are equal, and nobody brings the rest. The one that evicted it may
    have lost its place to the one that it filled (seed 491)."""
    newest = max((_time(record) for record in held.values() if record is not None), default=0)
    remembered = case.evidence.snapshots[node_id].remembered.get(key, 0)
    return held[node_id] is None and remembered >= max(newest, 1) and remembered in case.evicted_times(key)


def _refused(case: Case, node_id: str, key: bytes, held: dict[str, bytes | None]) -> bool:
    """Return whether a node's full store has declined what others hold of a key, or refused to merge it."""
    snapshot = case.evidence.snapshots[node_id]
    if held[node_id] is None and snapshot.used_bytes > case.evidence.options.storage_limit_bytes * ADMIT_SHARE:
        return True
    if held[node_id] is None and namespace_of(key)[0].decode() in snapshot.without_room:
        return True
    return key in snapshot.refused


def _held(snapshot: NodeSnapshot, key: bytes, now_ms: int) -> bytes | None:
    record = snapshot.records.get(key)
    return None if record is None else packed.clean(packed.strip_local(record), now_ms)


def _prefix(record: bytes | None) -> bytes | None:
    return None if record is None else packed.version_prefix(record)


def _time(record: bytes) -> int:
    time: int = packed.HEADER.unpack_from(record)[5]
    return time


def _shown(prefix: bytes | None) -> str:
    return "nothing" if prefix is None else prefix.hex()
