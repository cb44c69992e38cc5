"""The birth record: a pure function of its founders, told apart from every other, refused when it does not add up."""

import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.placement.birth_record import BirthRecord, Candidate, incarnations_from_wire
from dynacache.placement.checks import WireValueError
from dynacache.placement.table import MemberState

candidates = st.lists(
    st.builds(
        Candidate,
        node_id=st.sampled_from(["a", "b", "c", "d"]),
        incarnation=st.integers(0, 2**64 - 1),
        host=st.just("10.0.0.1"),
        port=st.integers(1, 65_535),
        zone=st.sampled_from(["", "z"]),
        weight=st.integers(1, 64),
    ),
    min_size=1,
    unique_by=lambda candidate: candidate.node_id,
)


@given(candidates, st.randoms(use_true_random=False))
def test_whoever_sees_the_same_candidates_writes_the_same_record(
    founders: list[Candidate], draw: random.Random
) -> None:
    shuffled = draw.sample(founders, len(founders))
    assert BirthRecord.of_candidates(founders, 1024, 3) == BirthRecord.of_candidates(shuffled, 1024, 3)


def test_the_cluster_id_never_changes() -> None:
    """A node that came back with another release must find its cluster again."""
    record = BirthRecord.derive((("a", 1), ("b", 2**63)), 1024, 3)
    assert record.cluster_id.hex() == "6c3fb6bf7f52604e1752198caecd0dfa"


def test_each_part_counts() -> None:
    records = [
        BirthRecord.derive((("a", 1), ("b", 1)), 1024, 3),
        BirthRecord.derive((("a", 1), ("b", 2)), 1024, 3),
        BirthRecord.derive((("a", 1), ("c", 1)), 1024, 3),
        BirthRecord.derive((("a", 1),), 1024, 3),
        BirthRecord.derive((("a", 1), ("b", 1)), 2048, 3),
        BirthRecord.derive((("a", 1), ("b", 1)), 1024, 2),
    ]
    assert len({record.cluster_id for record in records}) == len(records)


@given(candidates)
def test_the_wire_keeps_records_and_candidates(founders: list[Candidate]) -> None:
    record = BirthRecord.of_candidates(founders, 256, 2)
    assert BirthRecord.from_wire(msgpack.unpackb(msgpack.packb(record.to_wire()))) == record
    for founder in founders:
        assert Candidate.from_wire(msgpack.unpackb(msgpack.packb(founder.to_wire()))) == founder


@given(candidates)
def test_the_first_table_holds_the_founders(founders: list[Candidate]) -> None:
    record = BirthRecord.of_candidates(founders, 256, 2)
    table = record.first_table(founders)
    assert (table.cluster_id, table.partition_count, table.replication_factor) == (record.cluster_id, 256, 2)
    assert [(entry.node_id, entry.generation) for entry in table.entries.values()] == list(record.founders)
    assert {entry.state for entry in table.entries.values()} == {MemberState.NORMAL}
    assert [entry.port for entry in table.entries.values()] == [item.port for item in sorted(founders)]


def test_only_the_very_process_is_a_founder() -> None:
    record = BirthRecord.derive((("a", 1), ("b", 2)), 1024, 3)
    assert record.is_founded_by("b", 2)
    assert not record.is_founded_by("b", 3)
    assert not record.is_founded_by("c", 2)


def test_a_record_that_does_not_add_up_is_refused() -> None:
    wire = BirthRecord.derive((("a", 1), ("b", 2)), 1024, 3).to_wire()
    with pytest.raises(WireValueError, match=r"cluster id: got 0{32}, expected .* follows from the founders"):
        BirthRecord.from_wire([bytes(16), *wire[1:]])
    with pytest.raises(WireValueError, match="cluster id"):
        BirthRecord.from_wire([*wire[:3], [["a", 1], ["b", 3]]])


@pytest.mark.parametrize(
    "wire",
    [None, [], [["a", 1], ["a", 2]], [["b", 1], ["a", 1]], [["a", -1]], [["a"]], [["", 1]], [[1, "a"]], "ab", {"a": 1}],
)
def test_malformed_incarnations_are_refused(wire: object) -> None:
    with pytest.raises(WireValueError):
        incarnations_from_wire(wire, "founders")


@pytest.mark.parametrize(
    ("position", "named"), list(enumerate(["node id", "incarnation", "host", "port", "zone", "weight"]))
)
def test_a_bad_field_of_a_candidate_is_named(position: int, named: str) -> None:
    wire = Candidate("a", 1, "h", 1, "z", 1).to_wire()
    wire[position] = None
    with pytest.raises(WireValueError, match=f"^{named}.*: got None"):
        Candidate.from_wire(wire)
