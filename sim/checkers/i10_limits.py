"""I10: memory and every queue stay within their limits, always.

What: each gauge has its limit beside it. The store may pass its limit by one entry, as it says itself.

Invariant kept by: ``storage.holdings``, ``repair.hints``, ``coordination.shared``, ``coordination.operation_ids``.

A namespace with a share of the memory has no more than that for longer than a moment, in which clean-up brings it down
to a share or a limit that has become smaller; a process that stands still cleans up nothing.

While a fault has lowered a store's limit the clean-up has to evict down to it first, so the options' own limit counts.
"""

from collections.abc import Iterator

from ..evidence import Evidence, Gauge, Violation

__all__ = ["check"]

_GAUGES_ABOVE = 3
_ENTRY_BYTES = 1_000
"""What an entry takes beside its value, at most."""
_STANDSTILLS = frozenset({"pause", "slow", "standstill"})


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
    return [*found.values(), *_shares(evidence)]


def _shares(evidence: Evidence) -> Iterator[Violation]:
    """Yield the first time that each namespace had more than its share at each node for several gauges on end."""
    above: dict[tuple[str, str], int] = {}
    slack = evidence.options.value_bytes_maximum + _ENTRY_BYTES
    for gauge in evidence.gauges:
        for name, limit in gauge.group_limit_bytes.items():
            size, place = gauge.group_bytes.get(name, 0), (gauge.node_id, name)
            if size <= limit + slack or _stands_still(evidence, gauge):
                above[place] = 0
                continue
            above[place] = above.get(place, 0) + 1
            if above[place] == _GAUGES_ABOVE:
                text = (
                    f"memory of namespace {name} at {gauge.node_id} was {size} at {gauge.at_s:.3f} s, its share of it "
                    f"is {limit}"
                )
                yield Violation("I10", None, text, ())


def _stands_still(evidence: Evidence, gauge: Gauge) -> bool:
    """Return whether a process was paused or slow shortly before it was gauged."""
    return any(
        fault.kind in _STANDSTILLS
        and gauge.node_id in fault.arguments.get("nodes", (fault.arguments.get("node"),))
        and evidence.start_s + fault.at_s <= gauge.at_s
        and gauge.at_s <= evidence.start_s + fault.at_s + float(fault.arguments["duration_s"]) + 2.0
        for fault in evidence.faults
    )


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
