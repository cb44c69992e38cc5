"""In-memory disks that keep what was synced and may lose or tear the rest.

What: ``Disk`` holds files; ``append`` writes behind the synced part, ``sync`` makes it durable, ``crash`` keeps any
prefix of the unsynced tail (torn anywhere) and drops the rest.

Invariant: bytes that were synced survive every crash, unchanged; nothing that was not appended is ever read.

Why now, though no node writes files yet: persistence is to meet its simulator on its first day. Nothing uses it before.
"""

import attrs

from ..draws import Stream

__all__ = ["Disk"]


@attrs.define(eq=False, repr=False)
class _File:
    synced: bytearray = attrs.field(factory=bytearray)
    tail: bytearray = attrs.field(factory=bytearray)


@attrs.define(eq=False, repr=False)
class Disk:
    """One machine's disk."""

    draws: Stream
    _files: dict[str, _File] = attrs.field(factory=dict)

    def append(self, name: str, data: bytes) -> None:
        """Write behind the end of a file, made if it is not there; not durable yet."""
        self._files.setdefault(name, _File()).tail += data

    def sync(self, name: str) -> None:
        """Make everything written to a file durable."""
        file = self._files[name]
        file.synced += file.tail
        file.tail.clear()

    def read(self, name: str) -> bytes:
        """Return a file's whole content; raises KeyError for one that is not there."""
        file = self._files[name]
        return bytes(file.synced + file.tail)

    def names(self) -> list[str]:
        """Return the files there are, in order of name."""
        return sorted(self._files)

    def unlink(self, name: str) -> None:
        """Remove a file; raises KeyError for one that is not there."""
        del self._files[name]

    def crash(self) -> None:
        """Lose power: of each unsynced tail some prefix stays."""
        for file in self._files.values():
            kept = self.draws.integer(0, len(file.tail))
            file.synced += file.tail[:kept]
            file.tail.clear()

    def wipe(self) -> None:
        """Lose everything, as when a machine is replaced."""
        self._files.clear()
