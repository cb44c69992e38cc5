"""I2: after the faults all owners of a key hold the same version set, evicted entries excepted.

What: at the end, what every owner holds of a key, cleaned at one common moment, has the same version prefix; and the
hints have drained.

Invariant kept by: ``coordination.hint_replay``, ``coordination.read_repair``. Until replicas repair themselves the run
ends with one read of each key at level all, which is allowed to do the repairing.

An owner that has evicted the key since it last held it, or whose store is too full to take it, is left out: eviction is
local, and makes no difference (promise P5).
"""

from dynacache.versioning import packed

from ..evidence import Evidence, NodeSnapshot, Violation
from ..history import StoreCause
from .case import Case

__all__ = ["check"]

_FULL_SHARE = 0.7
"""A store this full may refuse a version."""


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for each key whose owners differ, and one if the hints did not drain."""
    if evidence.stopped_early:
        return []
    case = Case.of(evidence)
    found = []
    if not evidence.converged:
        left = sum(len(snapshot.hints) for snapshot in evidence.snapshots.values())
        found.append(Violation("I2", None, f"the cluster did not come to rest: {left} hints are left"))
    evicted_at = _last_evictions(evidence)
    for key, owners in sorted(evidence.owners.items()):
        held = {
            node_id: _held(evidence.snapshots[node_id], key, case.end_ms)
            for node_id in owners
            if node_id in evidence.snapshots and not _excused(evidence, node_id, key, evicted_at)
        }
        if len(set(held.values())) > 1 and not _hides(evidence, owners, key, evicted_at):
            shown = ", ".join(f"{node_id} {_shown(prefix)}" for node_id, prefix in held.items())
            found.append(Violation("I2", key, f"the owners hold different versions: {shown}"))
    return found


def _hides(evidence: Evidence, owners: tuple[str, ...], key: bytes, evicted: dict[tuple[str, bytes], bool]) -> bool:
    """Tell whether an owner evicted the key: an older version found elsewhere is then neither returned nor repaired."""
    return any(
        evicted.get((node_id, key), False) and key not in evidence.snapshots[node_id].records
        for node_id in owners
        if node_id in evidence.snapshots
    )


def _held(snapshot: NodeSnapshot, key: bytes, now_ms: int) -> bytes | None:
    record = snapshot.records.get(key)
    left = None if record is None else packed.clean(packed.strip_local(record), now_ms)
    return None if left is None else packed.version_prefix(left)


def _excused(evidence: Evidence, node_id: str, key: bytes, evicted: dict[tuple[str, bytes], bool]) -> bool:
    snapshot = evidence.snapshots[node_id]
    if evicted.get((node_id, key), False) and key not in snapshot.records:
        return True
    limit = evidence.options.storage_limit_bytes
    squeezed = any(fault.kind == "memory" and fault.arguments["node"] == node_id for fault in evidence.faults)
    return squeezed or snapshot.used_bytes > limit * _FULL_SHARE


def _last_evictions(evidence: Evidence) -> dict[tuple[str, bytes], bool]:
    """Return, by node and key, whether the last change of its store was an eviction."""
    return {
        (event.node_id, event.key): event.cause is StoreCause.EVICT
        for event in evidence.store_events
        if not event.place
    }


def _shown(prefix: bytes | None) -> str:
    return "nothing" if prefix is None else prefix.hex()
