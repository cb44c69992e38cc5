"""A table always knows its size, stays dense, and keeps the order of arrival."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.accounting import capacity, dictionary_bytes, object_bytes
from dynacache.storage.tables import HOLES_FREE, TABLE_BYTES, Table, TableSet

OPERATIONS = st.lists(st.tuples(st.sampled_from(["insert", "remove", "rotate"]), st.integers(0, 120)), max_size=400)


@given(OPERATIONS)
def test_size_and_order_against_a_plain_list(operations: list[tuple[str, int]]) -> None:
    table: Table[int] = Table()
    order: list[bytes] = []
    size = table.size_bytes
    for name, number in operations:
        key = b"%d" % number
        if name == "insert" and key not in order:
            order.append(key)
            foreseen = table.next_growth_bytes()
            growth = table.insert(key, number)
            assert growth == foreseen
        elif name != "insert" and key in order:
            order.remove(key)
            if name == "rotate":
                order.append(key)
            growth = table.rotate(key) if name == "rotate" else table.remove(key)
            assert name == "rotate" or growth <= 0
        else:
            continue
        size += growth
        assert size == table.size_bytes == dictionary_bytes(table.entries)
        assert list(table.entries) == order
        assert table.holes <= HOLES_FREE + len(order) // 8
        assert table.room + table.holes + len(order) == capacity(size), "every slot is free, dead or taken"


def test_churn_does_not_let_a_dictionary_grow() -> None:
    table: Table[int] = Table()
    for number in range(600):
        table.insert(b"%d" % number, number)
    size = table.size_bytes
    for number in range(600, 6_000):
        table.remove(b"%d" % (number - 600))
        table.insert(b"%d" % number, number)
    assert table.size_bytes <= size * 2
    for number in range(5_400, 6_000):
        table.remove(b"%d" % number)
    assert table.size_bytes == sys.getsizeof({})


def test_rotation_takes_the_key_object_that_it_is_given() -> None:
    table: Table[int] = Table()
    table.insert(b"key:1", 1)
    given_key = b"key:%d" % 1
    table.rotate(given_key)
    assert next(iter(table.entries)) is given_key


def test_a_table_costs_what_the_constant_says() -> None:
    table: Table[int] = Table()
    real = sys.getsizeof(table) + 2 * sys.getsizeof(10**6) + 2 * 8
    assert real <= TABLE_BYTES <= 1.3 * real


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7), st.integers(0, 5)), max_size=200))
def test_occupied_lists_exactly_the_shards_that_hold_something(steps: list[tuple[bool, int, int]]) -> None:
    tables = TableSet()
    tables.extend(8)
    held: set[tuple[int, bytes]] = set()
    for is_insert, shard, number in steps:
        key = b"%d" % number
        if is_insert and (shard, key) not in held:
            held.add((shard, key))
            tables.insert(shard, key, b"record")
        elif not is_insert and (shard, key) in held:
            held.remove((shard, key))
            tables.remove(shard, key)
        assert sorted(tables.occupied) == sorted({shard for shard, _ in held})
        assert tables.count == len(held)
        objects = sum(object_bytes(len(key)) + object_bytes(6) for _, key in held)
        assert tables.contents_bytes() == tables.size_bytes + objects


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 400)), unique=True, max_size=900), st.data())
def test_many_that_go_at_once_leave_what_they_leave_one_by_one(
    entries: list[tuple[int, int]], data: st.DataObject
) -> None:
    tables, single = TableSet(), TableSet()
    for each in (tables, single):
        each.extend(8)
        for shard, number in entries:
            each.insert(shard, b"%d" % number, b"record")
    going = data.draw(st.lists(st.sampled_from(entries), unique=True)) if entries else []
    before = tables.size_bytes
    growth = tables.remove_many([shard for shard, _ in going], [b"%d" % number for _, number in going])
    for shard, number in going:
        single.remove(shard, b"%d" % number)
    assert growth == tables.size_bytes - before <= 0
    assert tables.count == single.count
    assert sorted(tables.occupied) == sorted(single.occupied)
    assert [list(table.entries) for table in tables.tables] == [list(table.entries) for table in single.tables]
    for table in tables.tables:
        assert table.size_bytes == dictionary_bytes(table.entries)
        assert table.room + table.holes + len(table.entries) == capacity(table.size_bytes)
        assert table.holes <= HOLES_FREE + len(table.entries)
