"""Which rare branches many seeds must have reached.

What: ``EXPECTED`` names branches by the name under which a run counts them (``run.Result.coverage``), each with what it
stands for; ``unreached`` returns those that a sum over seeds lacks.

Invariant: none. A branch that is never reached is not tested by the seeds, however many of them hold; so `sim run` over
``SEEDS_ENOUGH`` seeds whose options are all drawn fails where one is missing.

Why a list and not every counter: what nobody promised to reach may come and go with the draws.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["EXPECTED", "SEEDS_ENOUGH", "unreached"]

SEEDS_ENOUGH: Final = 300

EXPECTED: Final[Mapping[str, str]] = {
    "node transfer_filled_from_displaced": "a gained partition filled from the owner whose place it takes",
    "node transfer_filled_from_quorum": "a lost memory filled from enough complete owners",
    "node transfer_memory_lost": "a lost memory ended with whatever was left, counted",
    "note memory.lost": "the same, told",
    "note copy.stale": "a copy out of touch for too long",
    "note copy.caught_up": "a stale copy complete again",
    "store discard": "old versions dropped by a stale copy",
    "store evict": "eviction",
    "store reap": "a tombstone reaped",
    "node storage_reaped_early": "a tombstone reaped early, as every owner held it",
    "node storage_witnessed": "a version remembered instead of taken",
    "node exchange_differences": "a difference repaired",
    "node exchange_walks": "a walk down the trees",
    "node exchange_settled_leaves": "a difference that could not be removed, settled",
    "node exchange_conflicts_merged": "siblings merged by repair",
    "node exchange_pushed_partitions": "a departing partition handed over",
    "node ring_steps_back": "a change of place that made way for another",
    "node ring_removals_finished": "a dead member removed",
    "note ring.own_place_removed": "a member that came back after its removal",
    "note ring.own_place_left": "a member that left and handed over",
    "node digest_mismatches": "a request refused for its member table",
    "node hints_offered": "hints offered to all owners",
    "node late_requests": "a request refused as too late",
    "note clock.unsafe": "a node in quarantine for its clock",
    "fault wipe": "owners restarted empty one after the other",
    "fault standstill": "many nodes away at once",
    "fault blackout": "no node reaching any other",
    "removal asked for": "a removal by an operator",
}  # fmt: skip
"""Name to what it stands for."""


def unreached(coverage: Mapping[str, int]) -> list[str]:
    """Return the branches that a sum over seeds never reached, in order."""
    return [f"{name} ({meaning})" for name, meaning in EXPECTED.items() if not coverage.get(name)]
