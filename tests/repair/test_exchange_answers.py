"""The answering side alone: what one message gets as its answer."""

from typing import Any

from pyroaring import BitMap

from dynacache.repair.copy_state import pack_partitions, pack_state
from dynacache.repair.differences import Entry, pack_entries
from dynacache.repair.exchange_nodes import TOP, pack_numbers, unpack_numbers
from dynacache.repair.exchange_session import NOT_NOW, OTHER_SET, WAS_COMPARED
from dynacache.repair.exchange_store import GHOST
from dynacache.wire.messages import COMPARE, COMPARED, DIFFERENCES, ENTRIES, RECORDS, WRITE_ACK
from tests.repair.exchange_world import Owner, World

_NO_STATE = [b"", b""]


def _world() -> tuple[World, Owner, list[Any]]:
    world = World()
    replies: list[Any] = []
    world.reply = lambda connection, message: replies.append(message)  # type: ignore[method-assign]
    owner = world.owners["b"]
    for index in range(100):
        owner.make(b"key%d" % index, b"value")
    world.now_s += 10
    return world, owner, replies


def _compare(owner: Owner, nodes: list[int], digests: list[int], state: Any = _NO_STATE, out: bytes = b"") -> None:
    message = (COMPARE, 7, owner.hybrid, owner.digest, state, out, pack_numbers("I", nodes), pack_numbers("Q", digests))
    owner.exchange.handlers[COMPARE](1, "a", message)


def _top(owner: Owner) -> int:
    top = 0
    for root in owner.engine.roots:
        top ^= root
    return top


def test_an_equal_top_is_a_sync_of_everything_and_clears_every_mark() -> None:
    _, owner, replies = _world()
    view = owner.exchange.ground.peers["a"]
    _compare(owner, [TOP], [_top(owner)])
    [reply] = replies
    assert reply[0] == COMPARED
    assert reply[3:] == (_NO_STATE, WAS_COMPARED, b"", b"", [], None)
    assert not view.dirty
    assert owner.exchange.last_sync_ms(9) == owner.now_ms
    assert view.due_s > owner.now_s


def test_an_unequal_top_is_answered_with_what_changed_here() -> None:
    _, owner, replies = _world()
    view = owner.exchange.ground.peers["a"]
    owner.exchange.ground.absorb()
    view.dirty.clear()
    owner.make(b"key1", b"other")
    _compare(owner, [TOP], [1])
    reply = replies[0]
    assert unpack_numbers("Q", reply[6], 1)[0] == _top(owner)
    [leaf] = unpack_numbers("I", reply[8], 10)
    assert owner.exchange.ground.forest.partition(leaf) == owner.partition(b"key1")
    assert view.dirty


def test_too_many_changes_are_not_listed() -> None:
    _, owner, replies = _world()
    owner.engine.tree_level = lambda partition: 8  # type: ignore[method-assign]
    _compare(owner, [TOP], [1])
    assert replies[0][8] is None


def test_nodes_deeper_than_our_tree_name_its_level() -> None:
    _, owner, replies = _world()
    forest = owner.exchange.ground.forest
    _compare(owner, [forest.node(2, 0, 0), forest.node(2, 9, 5)], [owner.engine.roots[2], 1])
    assert replies[0][5] == b""
    assert replies[0][7] == [[2, owner.engine.tree_level(2)]]


def test_other_sets_and_unfinished_expiry_are_said() -> None:
    _, owner, replies = _world()
    owner.engine.warming = BitMap([3])
    _compare(owner, [TOP], [1])
    assert (replies[0][3], replies[0][4]) == (pack_state(BitMap([3]), BitMap()), OTHER_SET)
    _compare(owner, [TOP], [1], out=pack_partitions(BitMap([3])))
    assert replies[1][4] == WAS_COMPARED
    _compare(owner, [owner.exchange.ground.forest.node(3, 0, 0)], [1])
    assert replies[2][4] == OTHER_SET
    owner.engine.sweep = lambda now_ms: False  # type: ignore[method-assign]
    _compare(owner, [TOP], [1], out=pack_partitions(BitMap([3])))
    assert replies[3][4] == NOT_NOW


def test_a_stale_copy_is_compared_with_a_stale_asker_only() -> None:
    _, owner, replies = _world()
    owner.engine.stale = BitMap([3])
    node = owner.exchange.ground.forest.node(3, 0, 0)
    _compare(owner, [node], [1])
    assert replies[0][4] == OTHER_SET
    _compare(owner, [node], [1], state=pack_state(BitMap(), BitMap([3])))
    assert replies[1][4] == WAS_COMPARED
    assert owner.engine.stale
    _compare(owner, [node], [owner.engine.roots[3]], state=pack_state(BitMap(), BitMap([3])))
    assert not owner.engine.stale


def test_entries_of_a_partition_that_may_not_be_compared_are_for_later() -> None:
    _, owner, replies = _world()
    owner.engine.warming = BitMap([3])
    part = [3, 3, pack_numbers("H", [2]), pack_numbers("I", [0]), b""]
    owner.exchange.handlers[ENTRIES](1, "a", (ENTRIES, 7, owner.hybrid, owner.digest, 5, [part]))
    assert replies[0][0] == DIFFERENCES
    assert replies[0][4] == []
    assert list(unpack_numbers("I", replies[0][5], 5)) == [owner.exchange.ground.forest.node(3, 3, 2)]


def _records(owner: Owner, payload: Any, wanted: Any = (), orders: Any = (), asker: str = "a") -> None:
    message = (RECORDS, 7, owner.hybrid, owner.digest, payload, list(wanted), list(orders))
    owner.exchange.handlers[RECORDS](1, asker, message)


def test_records_are_merged_one_by_one_and_refusals_named() -> None:
    world, owner, replies = _world()
    record = world.owners["a"].make(b"new", b"value")
    _records(owner, [b"bad", b"bad", b"new", record])
    [reply] = replies
    assert reply[0] == WRITE_ACK
    assert [position for position, _ in reply[3]] == [0]
    assert reply[4:] == ([], 0)
    assert owner.held(b"new") == record


def test_what_became_of_a_record_goes_back_to_an_owner_but_not_to_one_that_hands_over() -> None:
    world, owner, replies = _world()
    for place, asker in enumerate(("a", "nobody")):
        theirs = world.owners["a"].make(b"both%d" % place, b"one")
        owner.make(b"both%d" % place, b"another")
        _records(owner, [b"both%d" % place, theirs], asker=asker)
    third = owner.held(b"both0")
    assert third not in (None, theirs)
    assert [reply[4] for reply in replies] == [[b"both0", third], []]


def test_wanted_records_are_given_in_order_and_the_rest_counted() -> None:
    _, owner, replies = _world()
    _records(owner, [], [b"key1", b"gone", b"key2"])
    assert replies[0][4] == [b"key1", owner.held(b"key1"), b"key2", owner.held(b"key2")]
    assert replies[0][5] == 3
    for index in range(4):
        owner.make(b"large%d" % index, bytes(300_000))
    _records(owner, [], [b"large%d" % index for index in range(4)])
    assert replies[1][4][::2] == [b"large0"]
    assert replies[1][5] == 1


def test_a_copy_that_may_not_be_compared_gives_nothing() -> None:
    _, owner, replies = _world()
    owner.engine.stale = BitMap([owner.partition(b"key1")])
    _records(owner, [], [b"key1"])
    assert replies[0][4:] == ([], 1)
    owner.engine.stale.clear()
    _records(owner, [], [b"key1"], asker="nobody")
    assert replies[1][4:] == ([], 1)


def test_orders_are_obeyed() -> None:
    _, owner, _ = _world()
    entry = Entry(77 << 50, 8, owner.now_ms - 5_000, 0, GHOST)
    before = owner.engine.root(3)
    _records(owner, [], [], [[3, pack_entries([entry]), b""]])
    assert owner.engine.root(3) == before ^ 8
    _records(owner, [], [], [[3, b"", pack_numbers("Q", [entry.fingerprint])]])
    assert owner.engine.root(3) == before


def test_an_answer_waits_for_the_rate_and_then_goes() -> None:
    world, owner, replies = _world()
    pace = owner.exchange.ground.pace
    pace.moved(3 * pace.bytes_per_s, world.now_s)
    _compare(owner, [TOP], [_top(owner)])
    assert not replies
    due_s = owner.exchange.answers.next_due_s()
    assert due_s > world.now_s
    owner.exchange.answers.tick()
    assert not replies
    world.now_s = due_s + 0.01
    owner.exchange.answers.tick()
    assert len(replies) == 1
    assert owner.exchange.answers.next_due_s() == float("inf")


def test_a_stranger_that_shares_nothing_learns_nothing() -> None:
    _, owner, replies = _world()
    message = (COMPARE, 7, owner.hybrid, owner.digest, _NO_STATE, b"", pack_numbers("I", [TOP]), pack_numbers("Q", [0]))
    owner.exchange.handlers[COMPARE](1, "nobody", message)
    assert replies[0][4] == OTHER_SET
