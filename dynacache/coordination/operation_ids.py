"""Operation ids: a retried set or delete reuses the version its first try minted.

What: operation id -> key. A client that lost its connection after an unconditional set or delete sends it again under
the same id; a coordinator that saw the first try replicates what it now holds for the key, which contains or covers
the version of the first try, so merging makes a second application a no-op.

Invariant: bounded by count and age, in two generations: an id lives at least one generation and at most two, unless
the limit turns the generations earlier. An id is bound to its key.

Why not the record: keeping a megabyte alive for a minute because it might be retried would break the memory limit.
Why two generations: forgetting costs one assignment, with no queue and no timestamp per operation. (DESIGN section 9.)
"""

import attrs

__all__ = ["OperationIds"]


@attrs.define(eq=False)
class OperationIds:
    """Keys by operation id, for ``lifetime_s`` or ``limit`` entries, whichever is less."""

    limit: int
    lifetime_s: float
    _young: dict[bytes, bytes] = attrs.field(factory=dict)
    _old: dict[bytes, bytes] = attrs.field(factory=dict)
    _turned_at_s: float = 0.0

    def remember(self, operation_id: bytes, key: bytes) -> None:
        """Keep that this operation was applied to ``key`` here."""
        if len(self._young) >= self.limit // 2:
            self._turn()
        self._young[operation_id] = key

    def recall(self, operation_id: bytes, key: bytes) -> bool:
        """Tell whether the operation is known to have been applied to ``key`` here."""
        return (self._young.get(operation_id) or self._old.get(operation_id)) == key

    def forget(self) -> None:
        """Forget every operation: a retry is then done anew."""
        self._young, self._old = {}, {}

    def tick(self, now_s: float) -> None:
        """Turn the generations when the older one has lived its time."""
        if now_s - self._turned_at_s >= self.lifetime_s:
            self._turned_at_s = now_s
            self._turn()

    def __len__(self) -> int:
        """Return how many ids are remembered."""
        return len(self._young) + len(self._old)

    def _turn(self) -> None:
        self._old = self._young
        self._young = {}
