"""Calls that make values end before their time: by key, version, tag, pattern, or a whole namespace.

What: ``Invalidations`` is the part of `client/requests.py` that is about it; the docstrings speak to the application,
as those do. ``tag_bytes`` and ``tags_field`` turn an application's tags into their wire form.

Invariant: as in `client/requests.py`. All of these are repeatable: whatever is said twice ends no more than what was
there when it was said last.

Why by one word and not by many deletes: an invalidation is one entry in a small map that every node holds, so it costs
the same for one value and for a million, and reaches values that are written, repaired or handed over while it spreads.
"""

from collections.abc import Iterable
from typing import Any, Final

from dynacache.client import results
from dynacache.client.calls import Call
from dynacache.client.options import Options, checked_timeout_s
from dynacache.client.results import Written
from dynacache.client.values import Key
from dynacache.errors import InvalidRequest
from dynacache.types import Level
from dynacache.versioning.attachments import TAG_LIMIT_BYTES, TAGS_LIMIT
from dynacache.wire.epoch_names import FLUSH, PATTERN, TAG
from dynacache.wire.messages import DELETE, INVALIDATE
from dynacache.wire.patterns import PATTERN_LIMIT_BYTES

__all__ = ["Invalidations", "appendix", "tag_bytes", "tags_field"]

_DELETE_TIMEOUT: Final = 4
_INVALIDATE_TIMEOUT: Final = 6


def tag_bytes(tag: object) -> bytes:
    """Return the bytes of a tag: text (sent as UTF-8) or bytes, 1 to 128 bytes. Raises InvalidRequest."""
    return _encoded("tag", tag, TAG_LIMIT_BYTES)


def tags_field(tags: object) -> list[bytes] | None:
    """Return the wire form of the tags of a value, each once; None for none. Raises InvalidRequest."""
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise InvalidRequest(f"tags: got {tags!r:.80}, expected a list of tags")
    encoded = sorted({tag_bytes(tag) for tag in tags})
    if len(encoded) > TAGS_LIMIT:
        raise InvalidRequest(f"tags: got {len(encoded)}, expected at most {TAGS_LIMIT}")
    return encoded or None


def appendix(tags: Iterable[Key], fill: object, *, conditional: bool) -> list[Any]:
    """Return the last fields of a SET: (operation id), tags, fill; none where there are none."""
    encoded = tags_field(tags)
    if fill is not None and conditional:
        raise InvalidRequest("fill: got a condition beside it, expected the token of a miss alone")
    if not isinstance(fill, bytes | None):
        raise InvalidRequest(f"fill: got {type(fill).__name__}, expected the token of a miss")
    if encoded is None and fill is None:
        return []
    return [*([None] if conditional else []), encoded, *([] if fill is None else [fill])]


def _encoded(name: str, given: object, limit_bytes: int) -> bytes:
    encoded: object = given
    try:
        if isinstance(given, str):
            encoded = given.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name}: text must be valid Unicode, got {ascii(given)[:80]}") from error
    if not isinstance(encoded, bytes):
        raise InvalidRequest(f"{name}: got {type(given).__name__}, expected text or bytes")
    if not 0 < len(encoded) <= limit_bytes:
        raise InvalidRequest(f"{name}: got {len(encoded)} bytes, expected 1 to {limit_bytes}")
    return encoded


class Invalidations:
    """The calls; `Requests` is one and provides what they stand on."""

    __slots__ = ()
    options: Options
    namespace: str

    def _key(self, key: Key) -> bytes:
        raise NotImplementedError

    def _operation_id(self) -> bytes:
        raise NotImplementedError

    def _invalidation(
        self, kind: int, argument: bytes, strict: bool, level: Level | str | None, timeout: float | None
    ) -> Call[bool]:
        write_level = self.options.write(level)
        message: list[Any] = [INVALIDATE, 0, kind, self.namespace.encode(), argument, write_level, 0, bool(strict)]
        timeout_s = None if timeout is None else checked_timeout_s(timeout)
        return Call(message, _INVALIDATE_TIMEOUT, None, results.read_applied, True, True, timeout_s)

    def invalidate(self, key: Key, *, level: Level | str | None = None, timeout: float | None = None) -> Call[Written]:
        """End the value of one key: the same as `delete`; true when there was one."""
        return self._delete(key, None, level, timeout)

    def invalidate_version(
        self, key: Key, version: bytes, *, level: Level | str | None = None, timeout: float | None = None
    ) -> Call[Written]:
        """End exactly what the ``version`` of an earlier answer covers; what was written since stays.

        Returns a `Written` that is true when something was ended. Unlike ``delete(version=...)`` it is no condition:
        where the version and a newer one live side by side, the older one goes.
        """
        if not isinstance(version, bytes):
            raise InvalidRequest(f"version: got {type(version).__name__}, expected the bytes of an earlier answer")
        return self._delete(key, version, level, timeout)

    def _delete(
        self, key: Key, version: bytes | None, level: Level | str | None, timeout: float | None
    ) -> Call[Written]:
        encoded = self._key(key)
        message = [DELETE, 0, encoded, self.options.write(level), 0, 0, 0, version, self._operation_id()]
        timeout_s = None if timeout is None else checked_timeout_s(timeout)
        return Call(message, _DELETE_TIMEOUT, encoded, results.read_written, True, True, timeout_s)

    def invalidate_tag(
        self, tag: Key, *, strict: bool = True, level: Level | str | None = None, timeout: float | None = None
    ) -> Call[bool]:
        """End every value of this namespace that was written with a tag up to now; return True once the level is
        reached, which takes the same time for one value and for a million.

        ``strict`` reaches as far ahead as the clocks of the nodes may differ (half a second by default), so that
        nothing written just before is missed: what is written with the tag within that time is invalid too. False
        stops now, and may miss what a node with a fast clock has written just before.
        """
        return self._invalidation(TAG, tag_bytes(tag), strict, level, timeout)

    def invalidate_pattern(
        self, pattern: Key, *, strict: bool = True, level: Level | str | None = None, timeout: float | None = None
    ) -> Call[bool]:
        """End every value of this namespace whose key matches a pattern: ``*`` any bytes, ``?`` one, ``[a-z]`` one of a
        set, a backslash takes the next as it is; otherwise as `invalidate_tag`.

        Every node holds each key that is written or read against the pattern for some time, so at most 128 patterns of
        a namespace are kept; one more raises Overloaded. Use tags for what is invalidated often.
        """
        return self._invalidation(PATTERN, _encoded("pattern", pattern, PATTERN_LIMIT_BYTES), strict, level, timeout)

    def flush(
        self, *, strict: bool = True, level: Level | str | None = None, timeout: float | None = None
    ) -> Call[bool]:
        """End every value of this namespace, and of no other; otherwise as `invalidate_tag`."""
        return self._invalidation(FLUSH, b"", strict, level, timeout)
