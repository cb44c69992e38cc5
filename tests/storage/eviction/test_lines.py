"""Queues keep their order and their account, whatever is taken, removed and swept."""

from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.eviction.lines import KEY_BLOCK_BYTES, SHARD_BLOCK_BYTES, KeyLine, ShardLine
from dynacache.storage.tables import TableSet


def test_a_shard_line_is_first_in_first_out() -> None:
    line = ShardLine()
    growth = sum(line.append(number % 7) for number in range(1_000))
    assert growth == line.size_bytes == line.recount_bytes() == 4 * SHARD_BLOCK_BYTES
    assert [line.pop() for _ in range(1_000)] == [number % 7 for number in range(1_000)]
    assert line.pop() is None
    line.append(3)
    assert (line.pop(), line.pop(), line.count) == (3, None, 0)


@given(st.lists(st.tuples(st.sampled_from(["append", "append", "pop", "removed"]), st.integers(0, 3)), max_size=1500))
def test_a_shard_line_takes_as_many_numbers_of_a_shard_as_it_has_entries(steps: list[tuple[str, int]]) -> None:
    line, entries = ShardLine(), Counter[int]()
    for step, shard in steps * 3:
        if step == "append":
            line.append(shard)
            entries[shard] += 1
        elif step == "removed" and entries[shard]:
            line.removed(shard)
            entries[shard] -= 1
        elif step == "pop":
            taken = line.pop()
            assert (taken is None) == (entries.total() == 0)
            if taken is not None:
                entries[taken] -= 1
        assert line.size_bytes == line.recount_bytes()
        assert line.count == entries.total() + line.stale
        assert line.stale <= 65 + (line.count >> 3) + 256
    rest = Counter[int]()
    while (taken := line.pop()) is not None:
        rest[taken] += 1
    assert rest == +entries


def test_removals_alone_leave_no_blocks_behind() -> None:
    line = ShardLine()
    for number in range(20_000):
        line.append(number % 5)
        line.removed(number % 5)
    assert line.size_bytes <= 3 * SHARD_BLOCK_BYTES


@given(st.lists(st.one_of(st.none(), st.integers(0, 5_000)), max_size=600))
def test_a_key_line_is_first_in_first_out(steps: list[int | None]) -> None:
    line, model = KeyLine(), deque[tuple[int, bytes, int]]()
    for step in steps:
        if step is None:
            assert line.pop() == (model.popleft() if model else None)
        else:
            before = line.size_bytes
            growth = line.append(step & 3, b"%d" % step, step)
            assert line.size_bytes == before + growth
            model.append((step & 3, b"%d" % step, step))
        assert (line.count, line.held_bytes) == (len(model), sum(size for _, _, size in model))
        assert line.size_bytes == line.recount_bytes()
        assert line.size_bytes <= KEY_BLOCK_BYTES * (len(model) // 64 + 2)
    assert [line.pop() for _ in range(len(model))] == list(model)


@given(st.lists(st.one_of(st.integers(0, 3), st.none(), st.lists(st.integers(0, 3), max_size=300)), max_size=400))
def test_many_removals_at_once_are_counted_and_swept(steps: list[int | list[int] | None]) -> None:
    line, entries = ShardLine(), Counter[int]()
    for step in steps * 3:
        if isinstance(step, int):
            for shard in [step] * 40:
                line.append(shard)
            entries[step] += 40
        elif step is None:
            taken = line.pop()
            assert (taken is None) == (entries.total() == 0)
            if taken is not None:
                entries[taken] -= 1
        else:
            gone = list((entries & Counter(step)).elements())
            line.removed_many(gone)
            entries.subtract(gone)
        assert line.size_bytes == line.recount_bytes()
        assert line.count == entries.total() + line.stale
    rest = Counter[int]()
    while (taken := line.pop()) is not None:
        rest[taken] += 1
    assert rest == +entries


def test_masses_that_go_leave_few_blocks_behind_even_where_the_shards_are_wrong() -> None:
    line = ShardLine()
    for number in range(100_000):
        line.append(number % 1_000)
    for first in range(0, 100_000, 250):
        line.removed_many([number % 1_000 for number in range(first, first + 250)])
    assert line.size_bytes <= 8 * SHARD_BLOCK_BYTES
    for number in range(1_000):
        line.append(number % 10)
    line.removed_many([number % 1_000 for number in range(50_000)])  # bounded, whatever is claimed
    assert line.count >= 0


@given(st.lists(st.one_of(st.integers(0, 900), st.none(), st.lists(st.integers(0, 900), max_size=300)), max_size=600))
def test_keys_of_entries_that_are_gone_are_swept_out_and_the_others_keep_their_order(
    steps: list[int | list[int] | None],
) -> None:
    line, tables, queued = KeyLine(), TableSet(), list[bytes]()
    tables.extend(4)

    def is_there(key: bytes) -> bool:
        return key in tables.tables[int(key) & 3].entries

    for step in steps * 2:
        if isinstance(step, int):
            key = b"%d" % step
            if not is_there(key) and key not in queued:
                tables.insert(step & 3, key, b"record")
                line.append(step & 3, key, step)
                queued.append(key)
        elif step is None:
            item = line.pop()
            while item is not None and not is_there(item[1]):
                queued.remove(item[1])
                item = line.pop()
            if item is not None:
                assert item[1] == next(key for key in queued if is_there(key))
                queued.remove(item[1])
                tables.remove(item[0], item[1])
        else:
            gone = [number for number in sorted(set(step)) if is_there(b"%d" % number)]
            tables.remove_many([number & 3 for number in gone], [b"%d" % number for number in gone])
            line.note_gone(len(gone), tables.tables)
        assert line.size_bytes == line.recount_bytes()
        assert line.count >= tables.count
        assert line.held_bytes >= sum(int(key) for table in tables.tables for key in table.entries)
    rest = [item[1] for item in iter(line.pop, None) if is_there(item[1])]
    assert rest == [key for key in queued if is_there(key)]
    assert (line.count, line.held_bytes) == (0, 0)


def test_a_mass_that_goes_leaves_few_keys_behind() -> None:
    line, tables = KeyLine(), TableSet()
    tables.extend(1)
    for number in range(20_000):
        line.append(0, b"%d" % number, 100)
    for number in range(0, 20_000, 100):
        tables.insert(0, b"%d" % number, b"record")
    for _ in range(19_800 // 50):
        line.note_gone(50, tables.tables)
    assert 200 <= line.count <= 1_500
    assert line.size_bytes == line.recount_bytes()
