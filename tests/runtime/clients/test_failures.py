"""What is told when no node could be reached."""

from dynacache.errors import AuthenticationFailed, UnavailableError
from dynacache.runtime.clients.failures import no_node_reached


def test_a_refusal_is_told_before_silences() -> None:
    refusal = AuthenticationFailed("wrong secret")
    assert no_node_reached([UnavailableError("a:1: refused"), refusal]) is refusal


def test_silences_become_one_sentence() -> None:
    error = no_node_reached([UnavailableError("a:1: refused"), UnavailableError("b:1: refused")])
    assert type(error) is UnavailableError
    assert str(error) == "no node can be reached: a:1: refused; b:1: refused"
