"""What the asker does about each entry in which the two sides differ."""

import pytest

from dynacache.repair.differences import Entry, unpack_entries
from dynacache.repair.exchange_decisions import Decisions, Side
from dynacache.repair.exchange_nodes import unpack_numbers
from dynacache.repair.exchange_session import Session
from dynacache.repair.exchange_store import GHOST, RESIDENT, TOMBSTONE
from tests.repair.exchange_world import Owner, World

PARTITION = 5


class _Case:
    """An owner with some keys of one partition, and decisions about them."""

    def __init__(self, count: int = 3, *, their_room: object = True, one_way: bool = False) -> None:
        world = World()
        self.owner: Owner = world.owners["a"]
        keys = (b"key%d" % index for index in range(100_000))
        self.keys = [key for key in keys if self.owner.partition(key) == PARTITION][:count]
        for key in self.keys:
            self.owner.make(key, b"value")
        world.now_s += 10
        ground = self.owner.exchange.ground
        self.session = Session(ground, ground.peers["b"], self.owner.now_ms, one_way=one_way)
        self.decisions = Decisions(self.session, their_room, set())

    def fingerprint(self, key: bytes) -> int:
        """Return a key's fingerprint."""
        return self.owner.engine.fingerprint(PARTITION, key)

    def side(self, key: bytes, kind: int = RESIDENT, age_ms: int = 5_000, expire_s: int = 0) -> Side:
        """Return one entry as a side has it."""
        entry = Entry(self.fingerprint(key), age_ms, self.owner.now_ms - age_ms, expire_s, kind)
        return {entry.fingerprint: (entry, key if entry.is_held else None)}


def test_what_they_lack_is_sent_and_what_we_lack_is_wanted() -> None:
    case = _Case()
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0]), case.side(case.keys[1]))
    leaf = case.decisions.leaf(case.keys[0])
    assert list(case.decisions.records) == [(leaf, case.keys[0], case.owner.held(case.keys[0]))]
    assert list(case.decisions.wanted) == [case.keys[1]]
    assert case.decisions.orders() == []
    assert not case.decisions.later


def test_of_two_records_the_newer_travels_and_of_equally_old_ones_ours() -> None:
    case = _Case()
    key = case.keys[0]
    case.decisions.decide(PARTITION, 3, case.side(key, age_ms=6_000), case.side(key, TOMBSTONE, age_ms=5_000))
    assert list(case.decisions.wanted) == [key]
    case.decisions.decide(PARTITION, 3, case.side(key, age_ms=5_000), case.side(key, age_ms=6_000))
    assert len(case.decisions.records) == 1


def test_what_they_have_no_room_for_is_told_once_though_they_have_for_other_keys() -> None:
    case = _Case(their_room=[b"other", b"key"])
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0]), {})
    assert not case.decisions.records
    assert len(case.decisions.orders()) == 1
    case = _Case(their_room=[b"other"])
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0]), {})
    assert len(case.decisions.records) == 1


def test_what_they_have_no_room_for_is_told_once() -> None:
    case = _Case(their_room=False)
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0]), {})
    [[partition, ghosts, drops]] = case.decisions.orders()
    assert partition == PARTITION
    assert [entry.fingerprint for entry in unpack_entries(ghosts)] == [case.fingerprint(case.keys[0])]
    assert drops == b""
    assert case.decisions.orders() == []
    assert not case.decisions.records


def test_ghosts_that_nobody_needs_go_on_both_sides() -> None:
    case = _Case()
    ours, theirs = case.keys[:2]
    for key in (ours, theirs):
        case.owner.engine.remove(PARTITION, key)
    time = (case.owner.now_ms - 5_000) << 16
    case.owner.engine.witness_many(PARTITION, [(case.fingerprint(ours), 8, time, 0, False)])
    before = case.owner.engine.root(PARTITION)
    case.decisions.decide(PARTITION, 3, case.side(ours, GHOST), case.side(theirs, GHOST))
    assert case.owner.engine.root(PARTITION) == before ^ 8
    [[_, _, drops]] = case.decisions.orders()
    assert list(unpack_numbers("Q", drops, 5)) == [case.fingerprint(theirs)]
    assert case.session.result.gained == 1


@pytest.mark.parametrize(("age_ms", "expire_in_s"), [(500, 0), (5_000, 1)])
def test_what_is_young_or_about_to_go_is_for_later(age_ms: int, expire_in_s: int) -> None:
    case = _Case()
    expire_s = case.owner.now_ms // 1000 + expire_in_s if expire_in_s else 0
    case.decisions.decide(PARTITION, 3, {}, case.side(case.keys[0], age_ms=age_ms, expire_s=expire_s))
    assert case.decisions.later == {case.decisions.leaf(case.keys[0])}
    assert not case.decisions.wanted


def test_who_hands_over_brings_and_takes_nothing() -> None:
    case = _Case(one_way=True)
    mine, theirs, ghost = case.keys
    case.decisions.decide(PARTITION, 3, case.side(mine), {**case.side(theirs), **case.side(ghost, GHOST)})
    assert [key for _, key, _ in case.decisions.records] == [mine]
    assert not case.decisions.wanted
    assert case.decisions.orders() == []


@pytest.mark.parametrize("age_ms", [500, 6_000])
def test_who_hands_over_waits_for_nothing_that_is_written_over_there(age_ms: int) -> None:
    case = _Case(one_way=True)
    both, theirs, _ = case.keys
    case.decisions.decide(
        PARTITION, 3, case.side(both, age_ms=9_000), case.side(both, age_ms=age_ms) | case.side(theirs, age_ms=age_ms)
    )
    assert not case.decisions.later, "a key that clients write all the time is always young at its owners"
    assert [key for _, key, _ in case.decisions.records] == [both], "ours may be concurrent: brought once, and done"
    assert not case.decisions.wanted


def test_who_hands_over_has_nothing_to_bring_of_what_it_has_evicted() -> None:
    case = _Case(one_way=True)
    key = case.keys[0]
    case.decisions.decide(PARTITION, 3, case.side(key, GHOST, age_ms=9_000), case.side(key, age_ms=6_000))
    assert not case.decisions.records
    assert not case.decisions.wanted
    assert not case.decisions.later


def test_what_is_young_here_is_handed_over_later() -> None:
    case = _Case(one_way=True)
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0], age_ms=500), {})
    assert case.decisions.later == {case.decisions.leaf(case.keys[0])}


def test_who_hands_over_is_done_when_an_owner_has_made_a_third_version_of_it() -> None:
    case = _Case(one_way=True)
    merged = case.owner.world.owners["b"].make(case.keys[0], b"of b")
    before = case.owner.held(case.keys[0])
    case.decisions.take([case.keys[0], merged])
    assert case.owner.held(case.keys[0]) == before
    assert not case.decisions.later, "else it would be brought for ever (seed 50)"
    assert not case.decisions.records


def test_a_record_that_went_meanwhile_is_for_later() -> None:
    case = _Case()
    case.owner.engine.remove(PARTITION, case.keys[0])
    case.decisions.decide(PARTITION, 3, case.side(case.keys[0]), {})
    assert case.decisions.later
    assert not case.decisions.records


def test_a_third_version_goes_back_once() -> None:
    case = _Case()
    other = case.owner.world.owners["b"]
    record = other.make(case.keys[0], b"of b")
    for expected in (1, 1):
        case.decisions.take([case.keys[0], record])
        assert len(case.decisions.records) == expected
    assert case.decisions.later


def test_a_refused_record_leaves_its_leaf_for_later() -> None:
    case = _Case()
    case.decisions.take([case.keys[0], b"malformed"])
    assert case.decisions.later
    assert case.session.result.refused == 1
    with pytest.raises(ValueError, match="keys and records in turn"):
        case.decisions.take([case.keys[0]])
