"""I15: accounting equals a recount, and a tree equals one rebuilt from what is stored and witnessed.

What: wherever a gauge or a snapshot carries both figures they are equal: bytes of the store, bytes of hints; and
every tree equals one that is built afresh (``Engine.check_trees``).

Invariant kept by: ``storage.holdings`` (``usage() == recount()``), ``repair.hints`` (``recount_bytes``),
``storage.trees``.

Why at random moments: a figure that is right at the end may have been wrong while it mattered.
"""

from ..evidence import Evidence, Violation

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for the first wrong figure of each kind of each node."""
    found: dict[tuple[str, str], Violation] = {}
    for gauge in evidence.gauges:
        at = f"at {gauge.at_s:.3f} s"
        _compare(found, gauge.node_id, "bytes of the store", gauge.used_bytes, gauge.recounted_bytes, at)
        _compare(found, gauge.node_id, "bytes of hints", gauge.hint_bytes, gauge.hint_recounted_bytes, at)
        _compare(found, gauge.node_id, "trees that equal a rebuild", gauge.trees, gauge.trees_right, at)
    for snapshot in evidence.snapshots.values():
        used, recounted = snapshot.used_bytes, snapshot.recounted_bytes
        _compare(found, snapshot.node_id, "bytes of the store", used, recounted, "at the end")
    return list(found.values())


def _compare(
    found: dict[tuple[str, str], Violation], node_id: str, name: str, kept: int, recounted: int | None, when: str
) -> None:
    if recounted is not None and kept != recounted and (node_id, name) not in found:
        text = f"{name} of {node_id}: {kept} on account, {recounted} counted {when}"
        found[node_id, name] = Violation("I15", None, text, ())
