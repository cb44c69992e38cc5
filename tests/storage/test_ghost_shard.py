"""A shard of ghosts has the same ones whether they have been sorted in or not."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.contributions import DELETED
from dynacache.storage.ghost_shard import TAIL_COUNT, Ghost, GhostShard

STEPS = st.lists(
    st.tuples(st.sampled_from(["leave", "leave", "take", "find", "settle"]), st.integers(0, 40)), max_size=200
)


@given(STEPS)
def test_a_shard_finds_and_takes_what_was_left_settled_or_not(steps: list[tuple[str, int]]) -> None:
    shard = GhostShard()
    model: dict[int, Ghost] = {}
    for step, (kind, name) in enumerate(steps):
        number = name << 50 | name * 0x0101_0101
        if kind == "leave" and number not in model:
            model[number] = (number, step, 16 | name & 1, name)
            if shard.leave(*model[number]):
                shard.settle()
        elif kind == "take":
            assert shard.take(number) == model.pop(number, (0, 0, 0, 0))[2]
        elif kind == "settle":
            shard.settle()
        assert shard.find(number) == model.get(number)
        assert len(shard.tail) < TAIL_COUNT * 28
        assert (shard.count, shard.recount()) == (len(model), len(model))
        assert shard.deleted == sum(left[2] & DELETED for left in model.values())
    shard.settle()
    assert [shard.ghost(place) for place in range(shard.count)] == sorted(model.values())


def test_a_fingerprint_is_not_found_across_two_rows() -> None:
    shard = GhostShard()
    shard.leave(7, 1 << 8, 16, 0)
    shard.leave(9, 2, 16, 3)
    for number in (1 << 8, 2, 16, 16 << 8, 1 << 40):
        assert shard.find(number) is None
    assert shard.find(9) == (9, 2, 16, 3)
