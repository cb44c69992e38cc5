"""What a node tells of itself and of its keys.

What: the section for key events and for what is counted by key prefix.

Invariant: nothing here changes what a read or a write does.

Why so little: the limits of the tables are constants, since nobody can judge them before he has missed one.
"""

import attrs

from dynacache.errors import InvalidOption

__all__ = ["ObservabilityConfig"]

_DELIMITER_LIMIT = 8


@attrs.frozen
class ObservabilityConfig:
    """Key events and prefixes."""

    key_events: bool = False
    """Whether clients may subscribe to what happens to the keys of a namespace that has no settings of its own. Nothing
    is done for it while nobody subscribes."""

    prefix_delimiter: str = ":"
    """What ends the part of a key by which misses are counted: ``user:7`` counts as ``user``."""

    def __attrs_post_init__(self) -> None:
        """Check the delimiter."""
        if not 0 < len(self.prefix_delimiter) <= _DELIMITER_LIMIT:
            expected = f"1 to {_DELIMITER_LIMIT} characters"
            raise InvalidOption(f"observability.prefix_delimiter: got {self.prefix_delimiter!r}, expected {expected}")
