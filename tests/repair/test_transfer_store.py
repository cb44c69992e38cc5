"""The real store is what transfers need of one."""

from dynacache.repair.transfer_store import REFUSED, SnapshotPages, TransferStore
from dynacache.storage import engine as storage_engine
from tests.storage.builders import START_MS, engine_of, value


def test_the_number_that_says_refused_is_the_engine_s() -> None:
    assert REFUSED == storage_engine.REFUSED


def test_the_engine_gives_and_takes_partitions() -> None:
    source, target = engine_of(), engine_of()
    for number in range(50):
        source.put(1, b"key %d" % number, value())
    giving: TransferStore = source
    taking: TransferStore = target
    pages: SnapshotPages = giving.snapshot(1)
    cursor: int | None = 0
    while cursor is not None:
        records, ghosts, cursor = pages.page(cursor, 1_000)
        for place in range(0, len(records), 2):
            taking.merge_cold(1, records[place], records[place + 1], START_MS)
        taking.take_ghosts(1, ghosts)
    assert len(target.items(1)) == 50
    assert giving.root(1) == taking.root(1) != 0
    taking.discard_older(1, START_MS + 1)
    assert not target.items(1)
