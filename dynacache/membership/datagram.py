"""Packets: from messages to bytes that fit one datagram and prove their origin, and back.

    bytes 0-1    b"dg"
    byte  2, 3   oldest and newest version that the sender speaks
    bytes 4-11   tag of the cluster: BLAKE2b-64 of the cluster id
    bytes 12-27  BLAKE2b-128 of everything else, keyed with a key of the keyring
    then         one msgpack array: sender id, stamp, message, message ...

A stamp is (wall clock in ms << 16 | counter), so it dates the packet and is never used twice by a sender. The checks
run from cheap to dear: size, mark, version range, cluster, code, shape, clock, replay, then the messages. Whatever
the bytes, the outcome is a `Packet` or a `Rejection`; nothing is raised. Several keys may be accepted at once while
the first signs, so keys rotate without a gap: add the new one everywhere, move it to the front, remove the old.
Without a key the code is keyed with the cluster id, which guards against accidents only; the runtime allows that on
loopback alone.

Invariants: no packet is longer than the limit; a packet changed in any bit, or sent twice, is refused.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import Final, Protocol

import attrs
import msgpack

from dynacache.config.membership import MembershipConfig
from dynacache.membership.messages import Message, read_messages
from dynacache.membership.replay import ReplayWindow

__all__ = ["MESSAGES_LIMIT", "DatagramCodec", "Packet", "Rejection"]

MESSAGES_LIMIT: Final = 64
"""Messages in one packet."""

_MARK: Final = b"dg"
_CODE_BYTES: Final = 16
_PREFIX: Final = struct.Struct(">2sBB8s")
_HEADER_BYTES: Final = _PREFIX.size + _CODE_BYTES
_STAMP: Final = struct.Struct(">BQ")
_UINT_64: Final = 0xCF
"""What msgpack puts before an unsigned number of 8 bytes."""
_COUNTER_BITS: Final = 16
_STAMP_LIMIT: Final = 2**64
_ARRAY_AND_STAMP_BYTES: Final = 3 + 9
_KEY_LIMIT: Final = 16
_CLOCK_STEP_BACK_MS: Final = 1_000
"""A wall clock that steps back further than this is followed; until then stamps just count on."""


class Rejection(enum.Enum):
    """Why a datagram was refused."""

    SIZE = "size"
    MARK = "mark"
    VERSION = "version"
    CLUSTER = "cluster"
    CODE = "code"
    MALFORMED = "malformed"
    CLOCK = "clock"
    REPLAY = "replay"


@attrs.frozen
class Packet:
    """A datagram that passed every check; `skipped` counts messages of unknown kind or out of limits."""

    sender_id: str
    stamp_ms: int
    messages: list[Message]
    skipped: int


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> _Hash: ...


@attrs.define
class DatagramCodec:
    """Writes and reads the packets of one node."""

    _config: MembershipConfig
    _own_id: str
    _cluster_id: bytes
    _keys: list[_Hash] = attrs.field(init=False)
    _hashes: list[_Hash] = attrs.field(init=False)
    """The keys, each after our own prefix, which is that of almost every packet."""
    _replays: ReplayWindow = attrs.field(init=False)
    _prefix: bytes = attrs.field(init=False)
    _own_id_packed: bytes = attrs.field(init=False)
    _last_stamp: int = 0

    def __attrs_post_init__(self) -> None:
        config = self._config
        tag = hashlib.blake2b(self._cluster_id, digest_size=8, person=b"dynacache tag").digest()
        self._prefix = _PREFIX.pack(_MARK, config.protocol_minimum, config.protocol_maximum, tag)
        self._replays = ReplayWindow(config.replay_limit, 2 * config.members_limit)
        self._own_id_packed = msgpack.packb(self._own_id)
        self.set_keyring(())

    def set_keyring(self, keyring: Sequence[bytes]) -> None:
        """Sign with the first key from now on and accept any of them; none at all means no authentication.

        Raises ValueError for an empty key or more than 16 keys.
        """
        if len(keyring) > _KEY_LIMIT:
            raise ValueError(f"keyring has {len(keyring)} keys, at most {_KEY_LIMIT} are allowed")
        if not all(keyring):
            raise ValueError("keyring contains an empty key")
        keys = list(keyring) or [b"unauthenticated " + self._cluster_id]
        self._keys = [_keyed(key) for key in keys]
        self._hashes = [_after(hashed, self._prefix) for hashed in self._keys]

    @property
    def room_bytes(self) -> int:
        """How many bytes of encoded messages fit into one packet."""
        return self._config.packet_limit_bytes - _HEADER_BYTES - _ARRAY_AND_STAMP_BYTES - len(self._own_id_packed)

    def encode(self, encoded_messages: Sequence[bytes], wall_ms: int) -> bytes:
        """One packet with these messages, which the caller has fitted into `room_bytes`."""
        assert len(encoded_messages) <= MESSAGES_LIMIT
        head = _array_header(2 + len(encoded_messages)) + self._own_id_packed
        body = b"".join((head, _STAMP.pack(_UINT_64, self._next_stamp(wall_ms)), *encoded_messages))
        packet = self._prefix + _code(self._hashes[0], body) + body
        assert len(packet) <= self._config.packet_limit_bytes
        return packet

    def decode(self, payload: bytes, wall_ms: int) -> Packet | Rejection:
        """The packet in these bytes, or why it is refused. Accepting it uses up its stamp."""
        refused = self._check_header(payload)
        if refused is not None:
            return refused
        packed = payload[_HEADER_BYTES:]
        if not self._is_signed(payload, packed):
            return Rejection.CODE
        body = _unpack(packed)
        if body is None:
            return Rejection.MALFORMED
        sender_id, stamp = body[:2]
        if type(sender_id) is not str or type(stamp) is not int:
            return Rejection.MALFORMED
        if not 1 <= len(sender_id) <= 64 or not 0 <= stamp < _STAMP_LIMIT:
            return Rejection.MALFORMED
        tolerance_ms = self._config.clock_skew_limit_ms
        stamp_ms = stamp >> _COUNTER_BITS
        if abs(stamp_ms - wall_ms) > tolerance_ms:
            return Rejection.CLOCK
        if not self._replays.accept(sender_id, stamp, (wall_ms - tolerance_ms) << _COUNTER_BITS):
            return Rejection.REPLAY
        messages, skipped = read_messages(body[2:])
        return Packet(sender_id, stamp_ms, messages, skipped)

    def _check_header(self, payload: bytes) -> Rejection | None:
        if not _HEADER_BYTES < len(payload) <= self._config.packet_limit_bytes:
            return Rejection.SIZE
        if payload.startswith(self._prefix):
            return None
        mark, oldest, newest, tag = _PREFIX.unpack_from(payload)
        if mark != _MARK:
            return Rejection.MARK
        if oldest > self._config.protocol_maximum or newest < self._config.protocol_minimum:
            return Rejection.VERSION
        if tag != self._prefix[4:]:
            return Rejection.CLUSTER
        return None

    def _is_signed(self, payload: bytes, packed: bytes) -> bool:
        code = payload[_PREFIX.size : _HEADER_BYTES]
        hashes = self._hashes
        if not payload.startswith(self._prefix):  # a peer with another range of versions
            hashes = [_after(hashed, payload[: _PREFIX.size]) for hashed in self._keys]
        return any(hmac.compare_digest(code, _code(hashed, packed)) for hashed in hashes)

    def _next_stamp(self, wall_ms: int) -> int:
        stamp = wall_ms << _COUNTER_BITS
        stepped_back = (self._last_stamp >> _COUNTER_BITS) - wall_ms > _CLOCK_STEP_BACK_MS
        if stamp <= self._last_stamp and not stepped_back:
            stamp = self._last_stamp + 1
        self._last_stamp = stamp
        return stamp


def _keyed(key: bytes) -> _Hash:
    """A hash under a key of any length: it is brought to the length that BLAKE2b takes first."""
    derived = hashlib.blake2b(key, digest_size=32, person=b"dynacache gossip").digest()
    return hashlib.blake2b(key=derived, digest_size=_CODE_BYTES)


def _after(keyed: _Hash, prefix: bytes) -> _Hash:
    running = keyed.copy()
    running.update(prefix)
    return running


def _code(after_prefix: _Hash, packed: bytes) -> bytes:
    running = after_prefix.copy()
    running.update(packed)
    return running.digest()


def _array_header(length: int) -> bytes:
    return bytes((0x90 | length,)) if length < 16 else struct.pack(">BH", 0xDC, length)


def _unpack(body: bytes) -> list[object] | None:
    try:
        value = msgpack.unpackb(
            body,
            max_array_len=MESSAGES_LIMIT + 2,
            max_str_len=255,
            max_bin_len=255,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    if type(value) is not list or len(value) < 2:
        return None
    return value
