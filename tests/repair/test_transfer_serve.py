"""The giving side: pages, snapshots, limits, and what is refused."""

from typing import Any

import msgpack
import pytest

from dynacache.config.transfer import TransferConfig
from dynacache.placement.partitions import key_hash
from dynacache.placement.table import MemberState
from dynacache.repair.transfer_messages import Outcome
from dynacache.wire.messages import PULL
from tests.repair.transfer_world import Member, World, record_of, table_of

THREE = dict.fromkeys("abc", MemberState.NORMAL)
MORE, LAST, LOST, BUSY = map(int, Outcome)


def world_of(count: int = 1_000, size: int = 300, **options: Any) -> tuple[World, Member]:
    """A world in which the node a holds ``count`` records."""
    world = World(table_of(THREE, partition_count=16), settings=TransferConfig(**options))
    a = world.members["a"]
    for number in range(count):
        a.store.put(b"key %d" % number, record_of(size))
    return world, a


def pull(a: Member, *wanted: list[int], limit: int = 4_096, puller: str = "b") -> Any:
    """Return the page that a PULL is answered with."""
    message = msgpack.unpackb(msgpack.packb((PULL, 1, 0, a.digest, wanted, limit)))
    a.core.handlers[PULL](1, puller, message)
    return a.world.answers[-1]


def test_pages_until_the_last_hold_everything_once() -> None:
    _, a = world_of()
    cursor, found, outcome = 0, [], MORE
    while outcome == MORE:
        ((partition, outcome, cursor, records, _),) = pull(a, [5, cursor, 0])[5]
        assert partition == 5
        assert sum(map(len, records)) <= 4_096
        found += records[::2]
    assert outcome == LAST
    assert found == list(a.store.records[5])
    assert not a.core.server.open_count


def test_a_page_goes_on_with_the_next_partition_while_there_is_room() -> None:
    _, a = world_of(count=32, size=10)
    parts = pull(a, *([partition, 0, 0] for partition in range(16)), limit=65_536)[5]
    assert [part[:2] for part in parts] == [[partition, LAST] for partition in range(16)]
    parts = pull(a, *([partition, 0, 0] for partition in range(16)), limit=200)[5]
    assert 1 <= len(parts) < 16


def test_equal_roots_end_a_partition_without_its_content() -> None:
    _, a = world_of()
    assert pull(a, [5, 0, a.store.root(5)])[5] == [[5, LAST, 0, [], b""]]
    assert not a.store.snapshots


def test_a_lost_page_can_be_asked_for_again() -> None:
    _, a = world_of()
    ((_, _, cursor, _, _),) = pull(a, [5, 0, 0])[5]
    again = [pull(a, [5, cursor, 0])[5] for _ in range(2)]
    assert again[0] == again[1]


def test_a_cursor_of_another_snapshot_means_nothing() -> None:
    _, a = world_of()
    ((_, _, cursor, _, _),) = pull(a, [5, 0, 0])[5]
    pull(a, [5, 0, 0])
    assert pull(a, [5, cursor, 0])[5] == [[5, LOST, 0, [], b""]], "it was begun anew"
    ((_, _, cursor, _, _),) = pull(a, [5, 0, 0])[5]
    assert pull(a, [6, cursor, 0])[5] == [[6, LOST, 0, [], b""]], "another partition"
    assert pull(a, [5, cursor, 0], puller="c")[5] == [[5, LOST, 0, [], b""]], "another puller"


def test_few_snapshots_are_kept_and_those_nobody_comes_back_for_are_dropped() -> None:
    world, a = world_of(snapshot_limit=1, snapshot_idle_s=3.0)
    assert pull(a, [0, 0, 0], puller="b")[5][0][1] == MORE
    assert pull(a, [0, 0, 0], puller="c")[5] == [[0, BUSY, 0, [], b""]]
    assert a.core.server.open_count == 1
    assert a.core.next_due_s() == world.now_s + 3.0
    world.run(3.1)
    assert a.core.server.open_count == 0
    assert a.core.statistics()["snapshots_lost"] == 1
    for name in "bc":
        world.restart(name)
    for name in "bc":
        world.run_until_complete(name, 20.0)
        assert world.members[name].store.records == a.store.records


def test_a_busy_node_gives_small_pages() -> None:
    _, a = world_of()
    a.load = 1.0
    ((_, outcome, _, records, _),) = pull(a, [5, 0, 0], limit=65_536)[5]
    assert outcome == MORE
    assert 3_000 < sum(map(len, records)) <= 4_096


def test_the_rate_of_giving_is_kept() -> None:
    world, a = world_of(bytes_per_s=100_000)
    outcomes = [pull(a, [each, 0, 0], limit=8_192)[5][0][1] for each in range(5)]
    assert outcomes == [MORE, MORE, BUSY, BUSY, BUSY]
    world.run(1.0)
    assert pull(a, [4, 0, 0])[5][0][1] == MORE


def test_what_is_not_complete_and_what_hints_there_are_is_said() -> None:
    _, a = world_of()
    a.store.warming.add(3)
    a.hints["b"] = 12
    page = pull(a)
    assert page[3][0]
    assert page[3][1] == b""
    assert page[4] == 12
    assert page[5] == []


@pytest.mark.parametrize(
    "fields",
    [
        [[[0, 0]], 4_096],
        [[[16, 0, 0]], 4_096],
        [[[0, -1, 0]], 4_096],
        [[[0, 0, 0]] * 257, 4_096],
        [[[0, 0, 0]], 0],
        [[[0, 0, 0]], 1 << 20],
        [5, 4_096],
        [[[0, 0, 0]]],
    ],
)
def test_a_malformed_pull_is_refused(fields: list[Any]) -> None:
    _, a = world_of(0)
    with pytest.raises(ValueError, match=r"got|expected"):
        a.core.handlers[PULL](1, "b", [PULL, 1, 0, a.digest, *fields])
    assert not a.core.server.open_count


def test_only_owners_serve() -> None:
    world = World(table_of({**THREE, "d": MemberState.NORMAL}))
    a = world.members["a"]
    foreign = next(partition for partition in range(64) if partition not in a.placement.owned_by("a"))
    with pytest.raises(ValueError, match=f"PULL of partition {foreign}, which this node does not own"):
        pull(a, [foreign, 0, 0])


def test_what_arrives_after_the_snapshot_is_not_in_it_and_what_goes_is_left_out() -> None:
    _, a = world_of()
    ((_, _, cursor, first, _),) = pull(a, [5, 0, 0])[5]
    keys = [key for key in a.store.records[5] if key not in first]
    new = next(b"new %d" % number for number in range(1_000) if key_hash(b"new %d" % number) >> a.store.shift == 5)
    a.store.put(new, record_of())
    del a.store.records[5][keys[0]]
    ((_, outcome, _, rest, _),) = pull(a, [5, cursor, 0], limit=262_144)[5]
    assert outcome == LAST
    assert rest[::2] == keys[1:]
