"""Merge one part of a page into the store.

What: ``Merger.merge`` takes what the source remembers of evicted and deleted keys, then its records.

Invariant: a record that something this node has witnessed supersedes is not taken; memory pressure on one side brings
nothing back on the other. Where a delete does not fit into memory the part counts as not merged, so that its partition
stays warming: a copy without it would answer *absent* where it does not know.

Why a record may be left out for good: one that is larger than this node accepts, or whose clock has no room for another
writer, would be refused as a write as well; it is counted and noted.
"""

import attrs

from dynacache.errors import DynacacheError, OutOfMemory
from dynacache.repair.ports import RepairPort
from dynacache.repair.transfer_messages import Part
from dynacache.repair.transfer_store import REFUSED, Fresh, TransferStore

__all__ = ["Merger"]


@attrs.define(eq=False)
class Merger:
    """The way of what a transfer brings into the store."""

    port: RepairPort
    store: TransferStore
    fresh: Fresh
    did_not_fit: int = 0
    left_out: int = 0
    refused: int = 0
    """Values for which there was no room, not even for their ghosts."""

    def merge(self, part: Part) -> bool:
        """Merge a part; False when memory is too full even for the memory of a delete: then it must come again."""
        partition, records, now_ms = part.partition, part.records, self.port.now_ms
        fresh, merge = self.fresh, self.store.merge_cold
        if part.ghosts:
            self.store.take_ghosts(partition, part.ghosts)
        if part.forgot:
            self.store.note_forgotten(partition)
        for place in range(0, len(records), 2):
            key = records[place]
            try:
                record = fresh(partition, key, records[place + 1])
                if record is not None and merge(partition, key, record, now_ms) == REFUSED:
                    self.refused += 1
            except OutOfMemory:
                self.did_not_fit += 1
                return False
            except DynacacheError as error:
                self.left_out += 1
                self.port.note("transfer.left_out", "warning", partition=partition, reason=str(error))
        return True
