"""Effects gather what one turn sends."""

from dynacache.events import Effects


def test_messages_for_one_connection_keep_their_order() -> None:
    effects = Effects()
    for number in range(3):
        effects.send(7, (number,))
    effects.send(8, ("other",))
    assert effects.sends == {7: [(0,), (1,), (2,)], 8: [("other",)]}


def test_a_new_turn_starts_empty() -> None:
    first, second = Effects(), Effects()
    first.send(1, (1,))
    assert second == Effects()
