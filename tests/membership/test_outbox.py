"""Rumours ride on every packet, packets fit, and a silenced core says nothing."""

from dynacache.membership.effects import NameConflict, SendDatagram
from dynacache.membership.messages import PING, Ack, encode_claim
from dynacache.membership.state import Claim, Member
from tests.membership.harness import Bench

PEER = ("10.9.9.9", 7000)


def test_an_answer_carries_rumours_with_our_own_first() -> None:
    bench = Bench()
    bench.hear_of(Member("a", "10.0.0.2", 7000, 1))
    messages = bench.sent(bench.hear("peer", [PING, 7, "self"], at=PEER), to=PEER)
    assert messages[0] == Ack(7)
    claims = [message.member.node_id for message in messages if isinstance(message, Claim)]
    assert claims == ["self", "a"]


def test_no_packet_exceeds_the_limit_however_much_there_is_to_tell() -> None:
    bench = Bench()
    for number in range(200):
        bench.hear_of(Member(f"{number:064d}", "h" * 255, 7000, 2**63, zone="z" * 64))
    effects = bench.hear("peer", [PING, 7, "self"], at=PEER) + bench.tick(2.0)
    sizes = [len(effect.payload) for effect in effects if isinstance(effect, SendDatagram)]
    assert 1_000 < max(sizes) <= 1_400
    assert len(sizes) > 20


def test_bytes_of_rumours_are_counted_apart() -> None:
    bench = Bench()
    member = Member("a", "10.0.0.2", 7000, 1)
    bench.hear_of(member)
    bench.hear("peer", [PING, 7, "self"], at=PEER)
    counters = bench.swim.statistics().counters
    claims = len(encode_claim(bench.own, "self")) + len(encode_claim(member, "peer"))
    assert (counters.datagrams_sent, counters.gossip_sent) == (1, 0)
    assert counters.rumour_bytes_sent == claims
    before_bytes = counters.bytes_sent
    bench.tick(0.1)
    counters = bench.swim.statistics().counters
    assert counters.gossip_sent == counters.datagrams_sent - 1 == 1
    assert counters.rumour_bytes_sent > counters.bytes_sent - before_bytes > 0


def test_the_loser_of_a_name_says_it_once_and_is_silent() -> None:
    bench = Bench()
    winner = Member("self", "10.0.0.2", 7000, generation=11)
    assert bench.hear_of(winner) == [NameConflict(winner)]
    assert bench.hear_of(winner) == []
    assert bench.hear("peer", [PING, 7, "self"]) == []
    assert bench.swim.next_deadline() == float("inf")
    assert bench.swim.tick(bench.now_s + 100, bench.wall_ms) == []
