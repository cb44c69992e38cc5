"""Transfers: how fast a node fills the partitions whose content it lacks, and what it keeps open for others.

What: the section that ``repair.transfer`` receives.

Invariant: every number is above 0, so a transfer may be slow but always ends; a page is at most 256 KiB, unless a
single value is larger.

Why these numbers: brief R4.14; 64 KiB are merged in about a millisecond, so clients never wait long behind a page.
"""

from typing import Any

import attrs

from dynacache.errors import InvalidOption

__all__ = ["PAGE_LIMIT_BYTES", "TransferConfig"]

PAGE_LIMIT_BYTES = 256 * 1024
"""The most that one page may hold, whatever is asked for."""


@attrs.frozen
class TransferConfig:
    """Rates, pages, limits and patience."""

    bytes_per_s: int = 32 * 1024 * 1024
    """Bytes a second that this node takes in by transfers from all sources together, and that it gives out as a source.
    A record counts as 1 KiB more than it has, since small ones cost time rather than bandwidth; and a transfer slows
    down by itself when answers take longer than usual. More fills a new or restarted node sooner, at the cost of the
    clients' latency on both sides. ``handoff limit`` changes it while the node runs."""

    source_bytes_per_s: int = 8 * 1024 * 1024
    """Bytes a second taken from any one source."""

    page_bytes: int = attrs.field(default=64 * 1024)
    """Bytes of one page; a larger value travels in a page of its own. Larger pages waste less on round trips between
    distant machines and keep clients waiting longer while one is read or merged."""

    @page_bytes.validator
    def _check_page_bytes(self, _: Any, value: int) -> None:
        if not 4_096 <= value <= PAGE_LIMIT_BYTES:
            raise InvalidOption(f"transfer.page_bytes: got {value}, expected 4096 to {PAGE_LIMIT_BYTES}")

    sources_limit: int = 4
    """Sources from which partitions are taken at the same time."""

    snapshot_limit: int = 16
    """Pullers for whom this node, as a source, keeps the list of a partition's keys open between two pages; one more is
    told to come again."""

    snapshot_idle_s: float = 30.0
    """Seconds after which such a list is dropped when its puller has not come back; it then begins that partition
    again."""

    pull_timeout_ms: int = 10_000
    """Time one page may take before it is asked for again."""

    patience_s: float = 5.0
    """Seconds without progress at the other owners after which a partition that too few complete owners are left for is
    ended with what all of them hold. More avoids a false alarm where another owner is about to be complete."""

    hints_wait_s: float = 60.0
    """Longest wait, in that case, for the hints that others still keep for this node."""

    def __attrs_post_init__(self) -> None:
        """Check that bounds are positive."""
        for field in attrs.fields(TransferConfig):
            value = getattr(self, field.name)
            if value <= 0:
                raise InvalidOption(f"transfer.{field.name}: got {value}, expected a number above 0")
