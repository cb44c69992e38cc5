"""No stamp is accepted twice, whatever the order and however few are remembered."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.membership.replay import ReplayWindow


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=80), st.integers(1, 8), st.integers(0, 30)
)
def test_no_pair_is_accepted_twice(packets: list[tuple[str, int]], limit: int, oldest: int) -> None:
    window = ReplayWindow(limit, 8)
    accepted = [(sender, stamp) for sender, stamp in packets if window.accept(sender, stamp, oldest)]
    assert len(accepted) == len(set(accepted))


def test_reordered_packets_within_the_window_pass() -> None:
    window = ReplayWindow(4, 8)
    assert [window.accept("a", stamp, 0) for stamp in (5, 3, 4, 3, 6)] == [True, True, True, False, True]


def test_what_was_forgotten_stays_refused() -> None:
    window = ReplayWindow(2, 8)
    for stamp in (1, 2, 3, 4):
        assert window.accept("a", stamp, 0)
    assert not window.accept("a", 1, 0)
    assert not window.accept("a", 2, 0)


def test_the_sender_heard_least_recently_goes_at_the_limit() -> None:
    window = ReplayWindow(4, 2)
    for sender in ("a", "b", "a", "c"):
        window.accept(sender, 1, 0)
    assert (len(window), window.dropped_senders) == (2, 1)
    assert not window.accept("a", 1, 0)
