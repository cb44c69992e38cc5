"""The laws of versions over traces of three replicas with loss, reordering, eviction and amnesia.

`tests.replicas.World` checks at every step: packed results equal the kernel's, no dot is minted twice, and what lives
is what an oracle of causal pasts says lives. The tests here drive it, and see it fail on the bugs that it must find.
"""

from functools import reduce
from itertools import permutations

from hypothesis import given

from dynacache.datatypes.counter import increment
from dynacache.datatypes.reading import read
from dynacache.versioning import packed
from dynacache.versioning.layout import decode
from tests.replicas import Operation, World, run_until_breach
from tests.strategies import operations, record_lists, seeded_operations

PLAIN = ("write", "write", "delete", "deliver", "deliver", "lose", "exchange", "read", "evict", "restart")
COUNTING = ("increment", "increment", "deliver", "deliver", "lose", "exchange", "evict", "restart", "advance")


@given(operations())
def test_every_step_agrees_with_the_kernel_and_with_the_oracle(trace: list[Operation]) -> None:
    World().run(trace)


def test_long_random_traces_hold_too() -> None:
    assert run_until_breach(120, "", lambda seed: seeded_operations(seed, count=150)) == {}


def test_resuming_an_own_base_after_a_merge_is_caught_by_the_ledger() -> None:
    breaches = run_until_breach(300, "resume", lambda seed: seeded_operations(seed, PLAIN))
    assert breaches.get("DotMintedTwice", 0) > 0


def test_keeping_the_incarnation_over_a_loss_of_memory_is_caught_by_the_ledger() -> None:
    breaches = run_until_breach(300, "restart", lambda seed: seeded_operations(seed, PLAIN))
    # A base of the same process is never issued twice, so the harm needs the process to forget its bases as well.
    assert breaches.get("DotMintedTwice", 0) > 0


@given(record_lists(3))
def test_merge_is_associative_commutative_and_idempotent_on_bytes(records: list[bytes]) -> None:
    first, second, third = records
    assert packed.merge(first, second) == packed.merge(second, first)
    assert packed.merge(packed.merge(first, second), third) == packed.merge(first, packed.merge(second, third))
    assert packed.merge(first, first) is first
    merged = packed.merge(first, second)
    assert packed.merge(merged, second) is merged


@given(record_lists(4))
def test_any_order_of_delivery_ends_in_the_same_bytes(records: list[bytes]) -> None:
    ends = {reduce(packed.merge, order) for order in permutations(records)}
    assert len(ends) == 1


@given(record_lists(2))
def test_equal_bytes_if_and_only_if_equal_states(records: list[bytes]) -> None:
    first, second = records
    assert (first == second) == (decode(first) == decode(second))
    assert packed.matches_prefix(first, packed.version_prefix(second)) == (first == second)
    assert (packed.version_digest(first) == packed.version_digest(second)) == (first == second)


@given(operations(COUNTING))
def test_increments_sum_exactly(trace: list[Operation]) -> None:
    world = World()
    for operation in trace:
        world.run([attrs_without_expiry(operation)])
        for record, knowledge in zip(world.records, world.knowledge, strict=True):
            if record is not None:
                local, _, value = increment(record, world.issuers[0], 0, 0, 0, world.now_ms)
                assert value == sum(world.deltas[update] for update in knowledge.history)
                assert decode(local).context.keys() >= decode(record).context.keys()


@given(operations())
def test_replicas_read_the_same_once_they_hold_the_same(trace: list[Operation]) -> None:
    world = World().run(trace)
    held = [packed.strip_local(record) for record in world.records if record is not None]
    if held:
        forward = reduce(packed.merge, held)
        backward = reduce(packed.merge, reversed(held))
        assert read(forward, world.now_ms) == read(backward, world.now_ms)


@given(operations())
def test_cleaning_does_not_change_what_is_read(trace: list[Operation]) -> None:
    world = World().run(trace)
    for record in world.records:
        if record is not None:
            before = read(record, world.now_ms)
            remains = packed.clean(record, world.now_ms)
            assert before.found <= (remains is not None)
            if remains is not None:
                after = read(remains, world.now_ms)
                assert (after.found, after.payload, after.siblings) == (before.found, before.payload, before.siblings)
                assert packed.clean(remains, world.now_ms) is remains


@given(record_lists(2))
def test_a_touch_commutes_with_any_concurrent_update(records: list[bytes]) -> None:
    first, second = records
    touched = packed.touch(first, 2**50, None)
    assert packed.merge(touched, second) == packed.merge(second, touched)
    merged = packed.merge(first, second)
    again = packed.merge(merged, touched)
    assert again == packed.merge(touched, second)
    # Nothing that the other side superseded comes back by it.
    assert decode(again).dots.keys() == decode(merged).dots.keys()


def attrs_without_expiry(operation: Operation) -> Operation:
    """An increment without expiry, so that the sum is simply all of history."""
    return Operation(operation.kind, operation.replica, operation.other, operation.amount, flag=False)
