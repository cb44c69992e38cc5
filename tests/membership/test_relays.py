"""Relays answer with an ACK or a NACK, end in any case, and are bounded."""

import math

from dynacache.config.membership import MembershipConfig
from dynacache.membership.relays import Relay, RelayTable

RELAY = Relay(("10.0.0.9", 7000), 77, "target")


def test_an_answer_of_the_target_completes_it_once() -> None:
    relays = RelayTable(MembershipConfig())
    relays.add(5, RELAY, 0.0)
    assert relays.answered(5, "somebody else") is None
    assert relays.answered(6, "target") is None
    assert relays.answered(5, "target") == RELAY
    assert relays.answered(5, "target") is None
    assert relays.due(10.0) == []


def test_a_nack_is_due_once_and_a_late_answer_still_counts() -> None:
    relays = RelayTable(MembershipConfig())
    relays.add(5, RELAY, 0.0)
    assert relays.next_deadline_s() == 0.4
    assert relays.due(0.39) == []
    assert relays.due(0.4) == [RELAY]
    assert relays.due(0.5) == []
    assert relays.answered(5, "target") == RELAY


def test_every_entry_ends() -> None:
    relays = RelayTable(MembershipConfig())
    relays.add(5, RELAY, 0.0)
    assert relays.due(1.0) == [RELAY]
    assert relays.answered(5, "target") is None
    assert (len(relays), relays.next_deadline_s()) == (0, math.inf)


def test_the_limit_holds_for_answered_ones_too() -> None:
    relays = RelayTable(MembershipConfig(relay_limit=2))
    for sequence in range(2):
        assert not relays.is_full
        relays.add(sequence, RELAY, 0.0)
        relays.answered(sequence, "target")
    assert relays.is_full
    relays.due(1.0)
    assert not relays.is_full
