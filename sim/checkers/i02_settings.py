"""I2, as far as settings go: at rest all nodes hold the same of each namespace, and none older than was acknowledged.

What: when the cluster has come to rest, every running node's catalogue says the same of every namespace; and it says
what an acknowledged change said, or what a later one did.

Invariant kept by: ``coordination.catalogue``, ``node.catalogue_sync``, ``node.catalogue_change``.

Left out: a change of which as many nodes lost their memory as make a quorum, while it was made or before it had spread,
which is beyond the fault model, and one that was acknowledged by fewer than a quorum.
"""

from collections.abc import Iterator

from dynacache.coordination.namespaces import SETTINGS_KIND
from dynacache.types import Level

from ..evidence import Evidence, Violation
from ..history import OperationKind, Outcome
from .invalidations import lost_while_spreading

__all__ = ["check"]


def check(evidence: Evidence) -> Iterator[Violation]:
    """Yield a violation for each namespace of which nodes say different things, and each change that was undone."""
    if not evidence.converged or evidence.stopped_early:
        return
    held = {node_id: snapshot.settings for node_id, snapshot in evidence.snapshots.items()}
    for name in sorted({name for settings in held.values() for name in settings}):
        versions = {node_id: settings[name][0] for node_id, settings in held.items() if name in settings}
        # That a namespace was dropped is forgotten by each node when its time is over.
        if len({settings.get(name) for settings in held.values()} - {None}) > 1 or _is_missing(held, name):
            shown = ", ".join(f"{node_id} {versions.get(node_id, 'nothing')}" for node_id in sorted(held))
            yield Violation("I2", None, f"the settings of {name[1:]!r} differ: {shown}")
    for operation in evidence.history:
        if operation.kind is not OperationKind.CONFIGURE or operation.outcome is not Outcome.OK:
            continue
        if operation.level < Level.QUORUM or lost_while_spreading(evidence, operation):
            continue
        name = SETTINGS_KIND + operation.arguments.get("namespace", b"")
        older = sorted(
            node_id for node_id, settings in held.items() if settings.get(name, (0, b""))[0] < operation.result
        )
        if older:
            text = f"operation {operation.number} (configure, acknowledged as version {operation.result}) is undone at "
            yield Violation("I2", None, text + ", ".join(older), (operation.call_sequence,))


def _is_missing(held: dict[str, dict[bytes, tuple[int, bytes]]], name: bytes) -> bool:
    """Return whether some nodes know a namespace, not as dropped, and some do not know it."""
    known = [settings[name] for settings in held.values() if name in settings]
    return len(known) < len(held) and any(value for _, value in known)
