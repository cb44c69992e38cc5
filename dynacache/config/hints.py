"""Hinted handoff: how much is kept for absent owners, for how long, and how fast it is replayed.

What: the hint store's section.

Invariant: at any budget a fallback refuses to stand in; it never acknowledges and drops.

Why these numbers: brief sections 5 (R5.3, R5.5) and 15.
"""

import attrs

from dynacache.errors import InvalidOption

__all__ = ["HintConfig"]


@attrs.frozen
class HintConfig:
    """Budgets, lifetime and replay."""

    target_limit_bytes: int = 64 * 1024 * 1024
    """Bytes of hints kept for one absent owner."""

    target_limit_count: int = 200_000
    """Hints kept for one absent owner."""

    limit_bytes: int = 256 * 1024 * 1024
    """Bytes of hints kept for all absent owners together."""

    lifetime_ms: int = 30 * 60 * 1000
    """Milliseconds a hint lives at most. In its last quarter it is offered to all owners that can be reached, so that
    enough of them hold it when it ends."""

    settle_s: float = 5.0
    """Seconds a target must have been reachable before replay begins, so that a flapping node is left alone."""

    replay_batch_count: int = 100
    """Hints in one replay message."""

    replay_bytes_per_s: int = 1024 * 1024
    """Replay rate toward one target; faster would knock a recovering node over again."""

    def __attrs_post_init__(self) -> None:
        """Check that bounds are positive."""
        for field in attrs.fields(HintConfig):
            value = getattr(self, field.name)
            if value <= 0:
                raise InvalidOption(f"hints.{field.name}: got {value}, expected a number above 0")
