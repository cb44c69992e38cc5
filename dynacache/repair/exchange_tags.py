"""Tags: four bytes for each entry of a leaf, by which two sides find the entries in which they differ.

What: a tag is the top half of (fingerprint xor version hash) times an odd number that the asker draws for each message.
Entries that are the same have the same tag; ``unmatched`` returns those on either side that the other has not.

Invariant: entries that differ share a tag by chance once in four billion, and another multiplier parts them; a leaf is
settled only after two repairs, so such a pair is not taken for settled.

Why: a leaf that differs has ten entries of which one differs. Sent whole, with time and expiry, they are 29 bytes each;
by tags the nine equal ones cost 36 bytes together.
"""

from collections.abc import Sequence

from dynacache.repair.exchange_store import Listed

__all__ = ["tags_of", "unmatched"]

_MASK = 2**64 - 1


def tags_of(listed: Sequence[Listed], multiplier: int) -> list[int]:
    """Return the tag of each entry. ``multiplier`` is odd and below 2**64."""
    return [((each[1] ^ each[2]) * multiplier & _MASK) >> 32 for each in listed]


def unmatched(ours: Sequence[int], theirs: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return (positions of our tags that they have not, positions of theirs that we have not)."""
    known, given = set(ours), set(theirs)
    return (
        [place for place, tag in enumerate(ours) if tag not in given],
        [place for place, tag in enumerate(theirs) if tag not in known],
    )
