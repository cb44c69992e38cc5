"""Both ends of the hello against each other, and against everything a stranger might say."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import (
    AuthenticationFailed,
    ClusterMismatch,
    DynacacheError,
    ProtocolError,
    SeedsUnreachable,
    VersionMismatch,
)
from dynacache.types import Role
from dynacache.wire.handshake import Acceptor, Initiator, refusal_of
from dynacache.wire.messages import HELLO, PROOF, WELCOME
from tests.wire.strategies import messages

CLUSTER = b"c" * 16
OTHER_CLUSTER = b"d" * 16


def initiator(**changes: Any) -> Initiator:
    fields: dict[str, Any] = {"role": Role.PEER, "cluster_id": CLUSTER, "node_id": "a", "secret": "s"}
    return Initiator(**fields | {"nonce": b"1" * 32} | changes)


def acceptor(**changes: Any) -> Acceptor:
    return Acceptor(**{"cluster_id": CLUSTER, "node_id": "b", "secret": "s", "nonce": b"2" * 32} | changes)


def greet(first: Initiator, second: Acceptor) -> None:
    """Run the whole exchange."""
    (welcome,) = second.receive(first.first())
    (proof,) = first.receive(welcome)
    assert not second.done
    assert second.receive(proof) == []


@pytest.mark.parametrize("secret", [None, "", "s", "ä long secret" * 20])
@pytest.mark.parametrize("role", [Role.PEER, Role.BULK])
def test_two_peers(secret: str | None, role: Role) -> None:
    first, second = initiator(secret=secret, role=role), acceptor(secret=secret)
    greet(first, second)
    assert first.done
    assert second.done
    assert (first.peer_node_id, first.peer_cluster_id, first.version) == ("b", CLUSTER, 1)
    assert (second.peer_node_id, second.peer_cluster_id, second.version, second.role) == ("a", CLUSTER, 1, role)


def test_a_client_has_no_name_and_need_not_know_the_cluster() -> None:
    first, second = initiator(role=Role.CLIENT, node_id="", cluster_id=b""), acceptor()
    greet(first, second)
    assert first.peer_cluster_id == CLUSTER
    assert second.role is Role.CLIENT


@pytest.mark.parametrize(("one", "other"), [("s", "t"), ("s", None), (None, "s")])
def test_different_secrets(one: str | None, other: str | None) -> None:
    first, second = initiator(secret=one), acceptor(secret=other)
    (welcome,) = second.receive(first.first())
    with pytest.raises(AuthenticationFailed, match="cluster secret"):
        first.receive(welcome)
    assert not first.done


@pytest.mark.parametrize(("one", "other"), [("s", "t"), ("s", None), (None, "s")])
def test_the_acceptor_demands_the_proof_too(one: str | None, other: str | None) -> None:
    """An initiator that skips its own check gains nothing."""
    first, second = initiator(secret=one), acceptor(secret=other)
    second.receive(first.first())
    twin = acceptor(secret=one)
    (proof,) = first.receive(twin.receive(first.first())[0])
    with pytest.raises(AuthenticationFailed):
        second.receive(proof)
    assert not second.done


@pytest.mark.parametrize("position", range(1, 6))
def test_a_tampered_welcome_is_refused(position: int) -> None:
    first, second = initiator(cluster_id=b""), acceptor()
    (welcome,) = second.receive(first.first())
    forged = list(welcome)
    forged[position] = {1: 2, 2: OTHER_CLUSTER, 3: "c", 4: b"3" * 32, 5: b"4" * 32}[position]
    with pytest.raises((AuthenticationFailed, VersionMismatch)):
        first.receive(forged)


@pytest.mark.parametrize(
    ("position", "value"),
    [(2, 0), (3, 9), (4, int(Role.BULK)), (5, b""), (6, "eve"), (7, b"3" * 32)],
    ids=["version_min", "version_max", "role", "cluster", "node", "nonce"],
)
def test_a_tampered_hello_is_refused(position: int, value: object) -> None:
    first, second = initiator(), acceptor()
    forged = list(first.first())
    forged[position] = value
    (welcome,) = second.receive(forged)
    with pytest.raises(AuthenticationFailed):
        first.receive(welcome)


def test_a_replayed_proof_is_refused() -> None:
    first, second = initiator(), acceptor()
    (welcome,) = second.receive(first.first())
    (proof,) = first.receive(welcome)
    second.receive(proof)
    again = acceptor(nonce=b"5" * 32)
    again.receive(first.first())
    with pytest.raises(AuthenticationFailed):
        again.receive(proof)


def test_a_proof_is_not_its_own_answer() -> None:
    """The acceptor's proof sent back as the initiator's does not pass."""
    first, second = initiator(), acceptor()
    (welcome,) = second.receive(first.first())
    with pytest.raises(AuthenticationFailed):
        second.receive([PROOF, welcome[5]])
    with pytest.raises(ProtocolError, match="own nonce"):
        acceptor(nonce=b"1" * 32).receive(first.first())
    with pytest.raises(ProtocolError, match="own nonce"):
        initiator(secret=None).receive([WELCOME, 1, CLUSTER, "b", b"1" * 32, b""])


def test_nothing_but_the_proof_is_accepted_before_it() -> None:
    first, second = initiator(), acceptor()
    second.receive(first.first())
    with pytest.raises(ProtocolError, match="expected PROOF"):
        second.receive([32, 1, b"key"])


def test_two_clusters_never_meet() -> None:
    first, second = initiator(), acceptor(cluster_id=OTHER_CLUSTER)
    with pytest.raises(ClusterMismatch, match=OTHER_CLUSTER.hex()):
        second.receive(first.first())
    (welcome,) = acceptor(cluster_id=OTHER_CLUSTER).receive(initiator(cluster_id=b"").first())
    with pytest.raises(ClusterMismatch, match=CLUSTER.hex()):
        first.receive(welcome)


@pytest.mark.parametrize("unknown", ["initiator", "acceptor"])
def test_a_cluster_that_is_not_known_yet_matches(unknown: str) -> None:
    first = initiator(cluster_id=b"" if unknown == "initiator" else CLUSTER)
    second = acceptor(cluster_id=b"" if unknown == "acceptor" else CLUSTER)
    greet(first, second)
    assert second.done


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_the_highest_common_version_is_chosen(bounds: list[int]) -> None:
    low, high = sorted(bounds[:2])
    other_low, other_high = sorted(bounds[2:])
    first = initiator(version_min=low, version_max=high)
    second = acceptor(version_min=other_low, version_max=other_high)
    common = set(range(low, high + 1)) & set(range(other_low, other_high + 1))
    if common:
        greet(first, second)
        assert first.version == second.version == max(common)
    else:
        with pytest.raises(VersionMismatch, match=rf"{other_low} to {other_high}.*{low} to {high}"):
            second.receive(first.first())


def test_a_version_that_was_not_offered_is_refused() -> None:
    with pytest.raises(VersionMismatch, match="chose protocol version 7"):
        initiator(secret=None).receive([WELCOME, 7, CLUSTER, "b", b"2" * 32, b""])


@pytest.mark.parametrize("error", [AuthenticationFailed("no"), VersionMismatch("1 to 2"), SeedsUnreachable("gone")])
def test_a_refusal_is_raised_at_the_other_end(error: DynacacheError) -> None:
    with pytest.raises(type(error), match=str(error)):
        initiator().receive(refusal_of(error))


@pytest.mark.parametrize(
    "hello",
    [
        [HELLO],
        [HELLO, "dynacache"],
        [HELLO, "redis", 1, 1, 1, b"", "a", b"1" * 32],
        [HELLO, b"dynacache", 1, 1, 1, b"", "a", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 7, b"", "a", b"1" * 32],
        [HELLO, "dynacache", 1, 1, True, b"", "a", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 1, b"", "", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 0, b"", "a", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 1, b"", "a" * 65, b"1" * 32],
        [HELLO, "dynacache", 1, 1, 1, b"", "a\n", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 1, b"x" * 33, "a", b"1" * 32],
        [HELLO, "dynacache", 1, 1, 1, b"", "a", b"1" * 31],
        [WELCOME, 1, CLUSTER, "b", b"1" * 32, b""],
    ],
    ids=str,
)
def test_malformed_hellos(hello: list[object]) -> None:
    second = acceptor()
    with pytest.raises(ProtocolError):
        second.receive(hello)
    assert not second.done


def test_fields_of_a_later_version_are_ignored() -> None:
    first, second = initiator(), acceptor()
    (welcome,) = second.receive([*first.first(), "later"])
    (proof,) = first.receive([*welcome, "later"])
    assert second.receive([*proof, "later"]) == []


@given(st.lists(messages, max_size=4), st.sampled_from([initiator, acceptor]), st.sampled_from(["s", None]))
def test_any_messages_end_in_a_refusal_or_in_nothing(
    heard: list[list[object]], side: Callable[..., Initiator | Acceptor], secret: str | None
) -> None:
    machine = side(secret=secret)
    try:
        for message in heard:
            machine.receive(message)
    except DynacacheError:
        pass
    assert not machine.done


def test_the_secret_is_in_no_repr() -> None:
    for machine in (initiator(secret="hush"), acceptor(secret="hush")):
        assert "hush" not in repr(machine)
        assert "secret" in {field.name for field in attrs.fields(type(machine))}
