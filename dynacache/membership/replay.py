"""Which stamped packets were seen before, so that a recorded packet cannot be sent again.

Each sender stamps its packets with a number that it never uses twice. For each sender the last stamps are remembered
exactly, and everything not newer than the oldest that was forgotten is refused: the anti-replay window of IPsec (RFC
4303, section 3.4.3) with a list instead of bits, since stamps are times and have gaps. Packets older than the clock
tolerance are refused before, so a sender that fell silent can be dropped.

Invariant: a (sender, stamp) pair is accepted at most once while its stamp lies within the clock tolerance, as long as
fewer than `senders_limit` senders are active. At that limit the sender heard least recently is dropped and counted.
"""

from __future__ import annotations

import attrs

__all__ = ["ReplayWindow"]


@attrs.define
class _Sender:
    floor: int = -1
    newest: int = -1
    stamps: list[int] = attrs.field(factory=list)
    """In the order of arrival, which is almost always theirs, so that a look into the list is rare."""


@attrs.define
class ReplayWindow:
    """Stamps seen, by sender; at most `_stamps_limit` for each of `_senders_limit` senders."""

    _stamps_limit: int
    _senders_limit: int
    dropped_senders: int = 0
    _senders: dict[str, _Sender] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._senders)

    def accept(self, sender: str, stamp: int, oldest: int) -> bool:
        """True if this stamp is new. Stamps below `oldest` are refused elsewhere and forgotten here."""
        window = self._senders.pop(sender, None)
        if window is None:
            window = _Sender()
            self._make_room()
        self._senders[sender] = window
        stamps = window.stamps
        if stamp > window.newest:
            window.newest = stamp
        elif stamp <= window.floor or stamp in stamps:
            return False
        stamps.append(stamp)
        if stamps[0] < oldest or len(stamps) > self._stamps_limit:
            self._forget(window, oldest)
        return True

    def _forget(self, window: _Sender, oldest: int) -> None:
        stamps = window.stamps
        count = max(0, len(stamps) - self._stamps_limit)
        while count < len(stamps) and stamps[count] < oldest:
            count += 1
        window.floor = max(window.floor, *stamps[:count])
        del stamps[:count]

    def _make_room(self) -> None:
        if len(self._senders) >= self._senders_limit:
            del self._senders[next(iter(self._senders))]
            self.dropped_senders += 1
