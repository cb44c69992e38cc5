"""I10: memory and every queue stay within their limits, always.

What: each gauge has its limit beside it. The store may pass its limit by one entry, as it says itself.

Invariant kept by: ``storage.holdings``, ``repair.hints``, ``coordination.shared``, ``coordination.operation_ids``.

While a fault has lowered a store's limit the clean-up has to evict down to it first, so the options' own limit counts.
"""

from collections.abc import Iterator

from ..evidence import Evidence, Gauge, Violation

__all__ = ["check"]


def check(evidence: Evidence) -> list[Violation]:
    """Return a violation for the first time that each queue of each node passed its limit."""
    squeezed = {fault.arguments["node"] for fault in evidence.faults if fault.kind == "memory"}
    found: dict[tuple[str, str], Violation] = {}
    for gauge in evidence.gauges:
        least_limit = evidence.options.storage_limit_bytes if gauge.node_id in squeezed else 0
        for name, size, limit in _measures(gauge, least_limit):
            if limit and size > limit and (gauge.node_id, name) not in found:
                text = f"{name} of {gauge.node_id} was {size} at {gauge.at_s:.3f} s, the limit is {limit}"
                found[gauge.node_id, name] = Violation("I10", None, text, ())
    return list(found.values())


def _measures(gauge: Gauge, least_limit: int) -> Iterator[tuple[str, int, int]]:
    """Yield (name, size, limit); a limit of 0 was not gauged."""
    limit = max(gauge.limit_bytes, least_limit)
    yield "memory of the store", gauge.used_bytes, limit + gauge.largest_entry_bytes if limit else 0
    yield "memory of tombstones", gauge.tombstone_bytes, gauge.tombstone_limit_bytes
    yield "memory of hints", gauge.hint_bytes, gauge.hint_limit_bytes
    for target, size in gauge.hint_bytes_by_target.items():
        yield f"memory of hints for {target}", size, gauge.hint_target_limit_bytes
    for target, count in gauge.hint_count_by_target.items():
        yield f"number of hints for {target}", count, gauge.hint_target_limit_count
    yield "requests in flight", gauge.pending, gauge.pending_limit
    yield "operation ids", gauge.operation_ids, gauge.operation_id_limit
    yield "names in the catalogue", gauge.catalogue, gauge.catalogue_limit
