"""Effects are values: equal by content and not to be changed."""

import attrs
import pytest

from dynacache.membership.effects import MemberChanged, NameConflict, Note, NoteKind, SendDatagram, SendStream
from dynacache.membership.state import Member, NodeState

MEMBER = Member("a", "10.0.0.1", 7000, generation=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SendDatagram(("10.0.0.1", 7000), b"packet"),
        lambda: SendStream("a", None, [1, 2]),
        lambda: MemberChanged(MEMBER, NodeState.DEAD),
        lambda: NameConflict(MEMBER),
        lambda: Note(NoteKind.REFUTED, "a"),
    ],
)
def test_effects_are_frozen_values(make: object) -> None:
    assert callable(make)
    effect = make()
    assert effect == make()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(effect, attrs.fields(type(effect))[0].name, None)
