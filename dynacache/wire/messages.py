"""Every message that crosses a socket, numbered once.

What: a frame is a 4-byte big-endian length and one msgpack array of messages; a message is an array whose first element
is its kind. Fields are positional; trailing fields may be left out and then have the default named here.

Invariant: kinds and field positions are append-only; a number is never reused. A message's limits stand beside it and
are checked before anything is done with it.

Why: positional arrays decode to lists in C with no name lookups, so a batch of a thousand requests costs one call. The
groups (``WRITE``, ``READ``) carry many keys under one request id, so that a batch is replicated, acknowledged and timed
as one thing (DESIGN section 3).

Fields (``clock`` is the sender's hybrid timestamp, ``digest`` that of its member table as far as it decides who owns
what, ``rid`` a request id that the asking end chose, unique on its connection):

====================  ==================================================================================================
first of all
HELLO                 "dynacache", lowest version, highest version, role, cluster id (empty: unknown), node id (empty: a
                      client), nonce
WELCOME               version, cluster id, node id, nonce, proof
PROOF                 proof
client to node
GET                   rid, key, level=0, timeout_ms=0, flags=0, minimum_context=nil
SET                   rid, key, payload_flags, payload, level=0, timeout_ms=0, ttl_ms=0, flags=0, condition=0,
                      context=nil, operation_id=nil, tags=nil (list of 1 to 64), fill=nil (the token of a miss)
DELETE                rid, key, level=0, timeout_ms=0, flags=0, condition=0, context=nil, operation_id=nil
TOUCH                 rid, key, ttl_ms, level=0, timeout_ms=0
INCREMENT             rid, key, delta, level=0, timeout_ms=0, ttl_ms=0, operation_id=nil
INVALIDATE            rid, kind (116 a tag, 112 a pattern, 102 the namespace), namespace, tag or pattern (empty for the
                      namespace), level=0, timeout_ms=0, strict=true; answered by DONE
REPORT                rid, topic ("change", "explain", "handoff", "hints", "hot", "misses", "namespaces", "node",
                      "owners", "ready", "repair", "statistics", "status", "table"), argument=nil
PING                  rid
STAMP                 0, when the frame was sent, in ms of the clock that TOPOLOGY and TIME tell; whether to tell it
                      again; stands before requests and dates those after it
COMMAND               rid, name ("drain", "handoff_limit", "join", "leave", "namespace_drop", "namespace_set",
                      "remove", "repair"), map of arguments=nil; an operator's order, answered by REPORTED
SCAN                  rid, cursor, prefix, pattern=nil, count=0, timeout_ms=0, flags=0; the cursor is empty at first
SUBSCRIBE             rid, prefix, changes=15 (bits of ``KeyChange``)
EVENTS                rid, subscription, number of the last event taken, wait_ms=0
node to client
VALUE                 rid, payload_flags, payload, metadata=nil
MISS                  rid, reason, metadata=nil
DONE                  rid, applied, metadata=nil
NUMBER                rid, value, metadata=nil
ERROR                 rid, code, text; under the rid 0 it says why the connection is about to be closed
REPORTED              rid, map
PONG                  rid
SCANNED               rid, cursor to go on with (empty: that was all), [key, ...]
SUBSCRIBED            rid, subscription
HAPPENED              rid, number of the last event sent (nil: no such subscription), events lost before the first
                      sent, [change, key, time (ms), change, ...]
TOPOLOGY              rid=0, member table (wire form), {node id: state; 16 of itself while it serves no clients}, the
                      node's monotonic clock (ms), {namespace: how clients compress large values of it}={},
                      {namespace: its replication factor, if not the cluster's}={}; pushed after the hello and at each
                      change
TIME                  0, the node's monotonic clock (ms); answers a STAMP that asks
node to node
WRITE                 request_id, clock, digest, remaining_ms, hint_for (node id or nil), [key, record, key, ...]
WRITE_ACK             request_id, clock, exceptions (nil, or [[position or ``WHOLE_GROUP``, error code], ...])
READ                  request_id, clock, digest, remaining_ms, [key, version_prefix or nil, ...]
READ_REPLY            request_id, clock, [answer, ...], number of the answerer's newest change of its catalogue=0
FORWARD               clock, digest, hops, [client message, ...] (rids are the forwarder's)
FORWARD_REPLY         clock, [reply, ...]
STALE_TABLE           request_id, clock, member table; the request was refused unread, ask again after merging
TABLE                 clock, member table
MEMBERSHIP            payload of the membership protocol (full state exchange, ping over the stream)
BIRTH                 map of the birth exchange; the only message served before the cluster is known
FENCE                 request_id, clock, digest; asks whether the answerer holds this member table
FENCED                request_id, clock, state (see below)
COMPARE               request_id, clock, digest, state, partitions left out (bitmap), nodes (u32s), the digests
                      expected of them (u64s)
COMPARED              request_id, clock, state, outcome, positions of nodes that differ (u16s), their digests (u64s),
                      [[partition, level], ...] of trees less deep than asked, leaves known as changed (u32s or nil)
ENTRIES               request_id, clock, digest, multiplier, [[partition, level, leaves (u16s), counts (u32s), tags
                      (u32s)], ...]
DIFFERENCES           request_id, clock, room (true, false, or the prefixes of keys that there is none for),
                      [[partition, positions of unknown tags (u32s), entries, [key or nil, ...]], ...], leaves to come
                      back to (u32s), leaves cut short (u32s)
RECORDS               request_id, clock, digest, [key, record, ...], [key wanted, ...], [[partition, entries to
                      remember, ghosts to forget (u64s)], ...]; answered by WRITE_ACK with two fields more: [key,
                      record, ...] of those wanted and those that became a third version, count of keys served
PULL                  request_id, clock, digest, [[partition, cursor (0 to begin), root], ...], limit_bytes
PAGE                  request_id, clock, state, hints kept for the asker, [[partition, outcome (0 more follows, 1 that
                      is all, 2 begin again, 3 not now), cursor, [key, record, ...], ghosts, and true where the source
                      has forgotten evictions], ...], number of the source's newest change of its catalogue=0
CLOCK                 number; asks what the answerer's wall clock shows
CLOCKED               number, wall clock (ms)
CATALOGUE             request_id (0: no answer is waited for), clock, incarnation, number of the change before, of the
                      last of these, [name, stamp, value, ...], digest; tells peers of changes of the catalogue at
                      once
CATALOGUE_TAKEN       request_id, clock
CATALOGUE_PULL        request_id, clock, incarnation that the asker knows of the answerer, number of the change up to
                      which it has all, digest of the asker's catalogue
CATALOGUE_PAGE        request_id, clock, incarnation, number up to which the asker then has all, newest number,
                      digest of the answerer's catalogue, [name, stamp, value, ...], whether the answerer knows of
                      all namespaces itself (it may have begun without memory a moment ago)
TOUCHED               0, clock, digest, [prefix of a group of keys, hashes of keys read (bitmap), ...]; never answered
====================  ==================================================================================================

``state`` is a list: bytes of the roaring bitmap of the sender's partitions that are warming, the same of those that are
stale, empty for none. ``u16s``, ``u32s`` and ``u64s`` are big-endian numbers packed in bytes. Nodes are numbered as in
a heap (``repair.exchange_nodes``), entries packed by ``repair.differences``.

An ``answer`` is: ``bytes`` a record (found or tombstone), ``True`` the same version as asked, ``None`` absent,
``False`` unknown (memory incomplete), an ``int`` evicted (its hybrid timestamp, 0 when not remembered), ``[record]``
found by a copy that is being filled, ``[record, time]`` found by one that may lack deletions of versions older than
that hybrid timestamp: both are data that helps, but no answer that counts.

``metadata`` is a map with short names: ``c`` context, ``t`` last update (ms), ``b`` created (ms), ``e`` expiry (ms, 0
never), ``n`` bytes of key and record in one copy, ``g`` tags, ``f`` of a miss the token for a fill, ``s`` siblings
[[flags, payload, time_ms], ...], ``p`` previous [flags, payload] or nil, ``r`` receipt (map: ``coordinator``,
``level``, ``asked``, ``stood_in``, and of a read also ``answered``, ``unknown``, ``unrepaired``, ``degraded``; nodes by
their ids).
"""

from typing import Final

__all__ = [
    "BIRTH",
    "CATALOGUE",
    "CATALOGUE_PAGE",
    "CATALOGUE_PULL",
    "CATALOGUE_TAKEN",
    "CLIENT_REQUESTS",
    "CLOCK",
    "CLOCKED",
    "COMMAND",
    "COMPARE",
    "COMPARED",
    "DELETE",
    "DIFFERENCES",
    "DONE",
    "ENTRIES",
    "ERROR",
    "EVENTS",
    "FENCE",
    "FENCED",
    "FLAG_METADATA",
    "FLAG_NO_PAYLOAD",
    "FLAG_ONE_PARTITION",
    "FLAG_PREVIOUS",
    "FLAG_RECEIPT",
    "FLAG_SIBLINGS",
    "FORWARD",
    "FORWARD_REPLY",
    "FRAME_LIMIT_BYTES",
    "GET",
    "GROUP_LIMIT_KEYS",
    "HAPPENED",
    "HELLO",
    "INCREMENT",
    "INVALIDATE",
    "KEY_LIMIT_BYTES",
    "MEMBERSHIP",
    "MESSAGE_LIMIT_COUNT",
    "MISS",
    "NUMBER",
    "PAGE",
    "PAYLOAD_COMPRESSED",
    "PAYLOAD_FLAGS",
    "PAYLOAD_MSGPACK",
    "PAYLOAD_RAW",
    "PAYLOAD_SLIDING",
    "PEER_MESSAGES",
    "PING",
    "PONG",
    "PROOF",
    "PROTOCOL_VERSION_MAX",
    "PROTOCOL_VERSION_MIN",
    "PULL",
    "READ",
    "READ_REPLY",
    "RECORDS",
    "REPORT",
    "REPORTED",
    "SCAN",
    "SCANNED",
    "SET",
    "STALE_TABLE",
    "STAMP",
    "SUBSCRIBE",
    "SUBSCRIBED",
    "TABLE",
    "TAKEN_UNCOUNTED",
    "TIME",
    "TOPOLOGY",
    "TOUCH",
    "TOUCHED",
    "USER_KEY_LIMIT_BYTES",
    "VALUE",
    "VALUE_LIMIT_BYTES",
    "WELCOME",
    "WHOLE_GROUP",
    "WRITE",
    "WRITE_ACK",
]

PROTOCOL_VERSION_MIN: Final = 1
PROTOCOL_VERSION_MAX: Final = 1

USER_KEY_LIMIT_BYTES: Final = 1024
"""An application's key."""
KEY_LIMIT_BYTES: Final = USER_KEY_LIMIT_BYTES + 67
"""A key as it travels: with its namespace before it (``namespaces.names``)."""
VALUE_LIMIT_BYTES: Final = 16 * 1024 * 1024
FRAME_LIMIT_BYTES: Final = 40 * 1024 * 1024
"""A frame holds at least two of the largest values; an over-long one is refused from its header."""
MESSAGE_LIMIT_COUNT: Final = 65_535
GROUP_LIMIT_KEYS: Final = 4_096
WHOLE_GROUP: Final = -1
"""The position in a WRITE_ACK that stands for every key of its group."""
TAKEN_UNCOUNTED: Final = 1
"""What stands in a WRITE_ACK for the error code of a key that was merged, but by a stale copy."""

WRITE: Final = 1
WRITE_ACK: Final = 2
READ: Final = 3
READ_REPLY: Final = 4
FORWARD: Final = 5
FORWARD_REPLY: Final = 6
STALE_TABLE: Final = 7
TABLE: Final = 8
MEMBERSHIP: Final = 9
BIRTH: Final = 10
FENCE: Final = 11
FENCED: Final = 12
COMPARE: Final = 13
COMPARED: Final = 14
ENTRIES: Final = 15
DIFFERENCES: Final = 16
RECORDS: Final = 17
PULL: Final = 18
PAGE: Final = 19

HELLO: Final = 20
WELCOME: Final = 21
PROOF: Final = 22

CLOCK: Final = 23
CLOCKED: Final = 24

CATALOGUE: Final = 25
CATALOGUE_TAKEN: Final = 26
CATALOGUE_PULL: Final = 27
CATALOGUE_PAGE: Final = 28

TOUCHED: Final = 29

GET: Final = 32
SET: Final = 33
DELETE: Final = 34
TOUCH: Final = 35
INCREMENT: Final = 36
INVALIDATE: Final = 37
SCAN: Final = 40
SUBSCRIBE: Final = 41
EVENTS: Final = 42
REPORT: Final = 48
PING: Final = 49
COMMAND: Final = 50
STAMP: Final = 51

VALUE: Final = 64
MISS: Final = 65
DONE: Final = 66
NUMBER: Final = 67
ERROR: Final = 68
REPORTED: Final = 69
PONG: Final = 70
TOPOLOGY: Final = 71
TIME: Final = 72
SCANNED: Final = 76
SUBSCRIBED: Final = 77
HAPPENED: Final = 78

CLIENT_REQUESTS: Final = frozenset(
    {GET, SET, DELETE, TOUCH, INCREMENT, INVALIDATE, REPORT, PING, COMMAND, SCAN, SUBSCRIBE, EVENTS}
)
PEER_MESSAGES: Final = frozenset(
    {
        *(WRITE, WRITE_ACK, READ, READ_REPLY, FORWARD, FORWARD_REPLY, STALE_TABLE, TABLE, MEMBERSHIP),
        *(FENCE, FENCED, COMPARE, COMPARED, ENTRIES, DIFFERENCES, RECORDS, PULL, PAGE),
        *(CLOCK, CLOCKED, CATALOGUE, CATALOGUE_TAKEN, CATALOGUE_PULL, CATALOGUE_PAGE, TOUCHED),
    }
)

FLAG_METADATA: Final = 1
"""Answer with context, timestamps and expiry."""
FLAG_RECEIPT: Final = 2
"""Answer with the receipt: replicas asked and answered, level reached."""
FLAG_SIBLINGS: Final = 4
"""Answer with every concurrent version."""
FLAG_NO_PAYLOAD: Final = 8
"""Leave the payload out (exists, ttl)."""
FLAG_PREVIOUS: Final = 16
"""Answer a write with the value it replaced."""

FLAG_ONE_PARTITION: Final = 32
"""Scan the cursor's own partition only, and whatever this copy may lack."""

PAYLOAD_MSGPACK: Final = 0
PAYLOAD_RAW: Final = 1
"""The payload is the application's bytes, untouched; the same bit as in a record's flags."""
PAYLOAD_SLIDING: Final = 64
"""Of SET alone: each read renews the time to live that was given."""
PAYLOAD_COMPRESSED: Final = 128
"""The payload is a zstandard frame of what the other flags say; the same bit as in a record's flags."""
PAYLOAD_FLAGS: Final = PAYLOAD_RAW | PAYLOAD_COMPRESSED
"""What a client says of a payload and is told of it again."""
