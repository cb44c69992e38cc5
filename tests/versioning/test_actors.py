"""Actors: bases are issued once, and run out with a clear error."""

import pytest

from dynacache.errors import InvalidRequest, Overloaded
from dynacache.versioning.actors import BASE_LIMIT, INCARNATION_LIMIT, ActorIssuer


def test_every_base_is_new() -> None:
    issuer = ActorIssuer(7)
    assert [issuer.next_base() for _ in range(3)] == [1, 2, 3]


def test_the_last_base_is_issued_and_then_no_more() -> None:
    issuer = ActorIssuer(7, last_base=BASE_LIMIT - 1)
    assert issuer.next_base() == BASE_LIMIT
    with pytest.raises(Overloaded, match="restart the node"):
        issuer.next_base()
    assert issuer.last_base == BASE_LIMIT


@pytest.mark.parametrize("incarnation", [-1, INCARNATION_LIMIT + 1])
def test_an_incarnation_must_fit_64_bits(incarnation: int) -> None:
    with pytest.raises(InvalidRequest, match=str(incarnation)):
        ActorIssuer(incarnation)


def test_the_packed_incarnation_is_what_a_clock_holds() -> None:
    assert ActorIssuer(INCARNATION_LIMIT).incarnation_bytes == b"\xff" * 8
    assert ActorIssuer(258).incarnation_bytes == bytes([0, 0, 0, 0, 0, 0, 1, 2])
