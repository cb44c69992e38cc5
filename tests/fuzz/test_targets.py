"""The fuzzer's targets hold for their seeds and for what Hypothesis makes of them, so CI has a short run of each."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.wire import messages as wire
from tests.fuzz.targets import PEER, TARGETS, World, run_one, seeds


@pytest.mark.parametrize("seed", seeds(), ids=bytes.hex)
def test_seeds(seed: bytes) -> None:
    run_one(seed)


def test_every_target_has_a_seed() -> None:
    assert {seed[0] % len(TARGETS) for seed in seeds()} == set(range(len(TARGETS)))


@pytest.mark.parametrize("target", range(len(TARGETS)), ids=[target.__name__ for target in TARGETS])
@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes(target: int, data: bytes) -> None:
    run_one(bytes((target,)) + data)


class Deaf:
    """A gate that answers nobody."""

    def serve(self, *_: object) -> None:
        """Drop everything."""


def test_a_node_that_would_not_serve_is_noticed() -> None:
    here = World()
    here.still_serves()
    here.node.gate = Deaf()  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        here.still_serves()


FOUND: list[list[object]] = [
    # A map where a reply was expected: looking up its request id raised KeyError.
    [wire.FORWARD_REPLY, 1, [{}]],
]


@pytest.mark.parametrize("message", FOUND)
def test_messages_that_once_raised(message: list[object]) -> None:
    here = World()
    here.handle([(PEER, [message])])
    here.still_serves()
