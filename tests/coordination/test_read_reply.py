"""The wording of a read's outcome."""

import pytest

from dynacache.coordination.read_reply import Concluded, miss_reason
from dynacache.datatypes.reading import View
from dynacache.types import MissReason


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (None, MissReason.EVICTED),
        (View(False, True, 0, b"", 1, 0, 0), MissReason.DELETED),
        (View(False, False, 0, b"", 1, 5, 0), MissReason.EXPIRED),
    ],
)
def test_a_miss_has_a_reason(view: View | None, expected: MissReason) -> None:
    assert miss_reason(Concluded(None, MissReason.EVICTED), view) == expected
