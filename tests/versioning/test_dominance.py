"""Dominance on bytes: never anything but what the kernel says, and no detour where the answer is plain."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning import kernel
from dynacache.versioning.actors import Actor
from dynacache.versioning.dominance import FAST_ENTRY_LIMIT, dominating
from dynacache.versioning.kernel import REGISTER, State, Version
from dynacache.versioning.layout import decode, encode
from tests.strategies import actors


@st.composite
def single_records(draw: st.DrawFn) -> bytes:
    """A record with one live version at the head of its actor, under any clock."""
    context = draw(st.dictionaries(actors(), st.integers(1, 3), min_size=1, max_size=4))
    actor = draw(st.sampled_from(sorted(context)))
    return single(context, actor)


def single(context: dict[Actor, int], actor: Actor) -> bytes:
    version = Version(REGISTER, 0, 1000 * actor[0] % 7 + context[actor], 0, 0, b"x")
    return encode(State(context, frozenset(), {(actor, context[actor]): version}), 0)


@given(single_records(), single_records())
def test_an_answer_is_the_kernels_merge(first: bytes, second: bytes) -> None:
    answer = dominating(first, second)
    if answer is not None:
        assert answer is first or answer is second
        assert answer == encode(kernel.merge(decode(first), decode(second)), 0)


@given(single_records(), st.data())
def test_a_successor_is_always_recognised(record: bytes, data: st.DataObject) -> None:
    context = dict(decode(record).context)
    actor = data.draw(actors())
    context[actor] = context.get(actor, 0) + 1
    successor = single(context, actor)
    assert dominating(record, successor) is successor
    assert dominating(successor, record) is successor


def test_concurrent_versions_and_long_clocks_are_left_to_the_kernel() -> None:
    first, second = single({(1, 1): 1}, (1, 1)), single({(2, 1): 1}, (2, 1))
    assert dominating(first, second) is None
    context = {(incarnation, 0): 1 for incarnation in range(FAST_ENTRY_LIMIT + 1)}
    assert dominating(single(context, (0, 0)), single({(0, 0): 1}, (0, 0))) is None
