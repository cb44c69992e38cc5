"""Hypothesis strategies and builders for member tables."""

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from dynacache.placement.table import MemberEntry, MemberState, MemberTable

CLUSTER_ID = bytes(range(16))


def entry(node_id: str, state: MemberState = MemberState.NORMAL, zone: str = "", weight: int = 1) -> MemberEntry:
    """A member's entry with an ordinary address."""
    return MemberEntry(node_id, 1, 1, state, zone, weight, "10.0.0.1", 7400)


def table_of(entries: Iterable[MemberEntry], partition_count: int = 1024, replication_factor: int = 3) -> MemberTable:
    """A table of these entries."""
    return MemberTable.of(CLUSTER_ID, partition_count, replication_factor, entries)


def cluster(count: int, zones: Sequence[str] = ("",), partition_count: int = 1024) -> MemberTable:
    """A table of `count` NORMAL members, spread over the zones in turn."""
    members = (entry(f"node-{index}", zone=zones[index % len(zones)]) for index in range(count))
    return table_of(members, partition_count)


_written = st.builds(
    MemberEntry,
    node_id=st.sampled_from(["a", "b", "c"]),
    generation=st.integers(0, 2),
    version=st.integers(0, 2),
    state=st.sampled_from(MemberState),
    zone=st.sampled_from(["", "z"]),
    weight=st.integers(1, 2),
    host=st.sampled_from(["h", "i"]),
    port=st.integers(1, 2),
    place=st.integers(1, 2),
)

entries = st.builds(lambda entry, level: entry.at_removal(max(level, entry.removal)), _written, st.integers(0, 3))

tables = st.builds(table_of, st.lists(entries, max_size=6))
