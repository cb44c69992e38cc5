"""What clients do: a list of operations that is data, drawn from the options, each from a stream of its own.

What: ``draw`` lays operations over the safety phase at the drawn rate and mix; ``Operation`` is one of them.

Invariant: an operation depends on the options and its own number alone. Leaving one out (shrinking does) changes no
other. Every value written is written by one operation only, which its first bytes name, so a read tells which write it
saw.

Why a skewed choice of keys: conflicts and races need operations that meet; half of all go to the first keys.
"""

from typing import Any

import attrs

from dynacache.namespaces.names import DEFAULT, qualify
from dynacache.types import KeyChange, Level

from .draws import Draws, Stream
from .history import OperationKind
from .options import Options

__all__ = ["THINK_LIMIT_S", "Operation", "draw", "keys_of", "namespaces_of", "plain_key", "tags_of", "value_of"]


_SUBSCRIPTION_NUMBER = 900_000
"""Subscriptions are numbered from here."""
_SUBSCRIBED_WITHIN_S = 6.0
_POLICIES = ("", "s3fifo", "lru", "lfu", "ttl", "random")
_CHANGES = (15, 15, int(KeyChange.SET | KeyChange.DELETE), int(KeyChange.EXPIRE | KeyChange.EVICT))

THINK_LIMIT_S = 3.0
"""So long a fill takes to load its value, at most."""

_KEYLESS = frozenset({
    OperationKind.INVALIDATE_TAG, OperationKind.INVALIDATE_PATTERN, OperationKind.FLUSH, OperationKind.SCAN,
    OperationKind.CONFIGURE,
})  # fmt: skip
_WITHOUT_VALUE = frozenset({
    OperationKind.DELETE, OperationKind.DELETE_IF_VERSION, OperationKind.INVALIDATE_VERSION,
})  # fmt: skip


@attrs.frozen
class Operation:
    """One call to come; ``at_s`` counts from the begin of the safety phase.

    ``arguments``: ``level`` (int), ``value`` (bytes), ``ttl_s``, ``delta``, ``full`` (a read that asks for everything
    there is to know), ``tags`` (list of bytes) of a value, ``think_s`` between the two steps of a fill, ``tag`` or
    ``pattern`` to invalidate, ``prefix`` of a scan or subscription, ``changes`` of which it tells, ``settings`` of a
    namespace, ``sliding`` of a value with a time to live, as the kind needs them. What concerns no single key has an
    empty one. A write on condition of a version uses the one its client saw last, and reads instead when it has seen
    none. Of a subscription, ``client`` counts the subscribers.
    """

    number: int
    at_s: float
    client: int
    kind: OperationKind
    key: bytes
    arguments: dict[str, Any] = attrs.field(factory=dict)


def value_of(number: int, size: int) -> bytes:
    """Return the value that operation ``number`` writes."""
    head = b"%d:" % number
    return head + b"." * max(0, size - len(head))


def namespaces_of(options: Options) -> tuple[str, ...]:
    """Return every namespace a run uses, the default one first."""
    return (DEFAULT, *(f"s{index}" for index in range(1, options.namespaces + 1)))


def plain_key(options: Options, index: int) -> bytes:
    """Return a key that is no counter, qualified by the namespace that it is dealt to."""
    return qualify(namespaces_of(options)[index % (options.namespaces + 1)], b"k%d" % index)


def tags_of(options: Options) -> tuple[bytes, ...]:
    """Return every tag a run may use."""
    return tuple(b"t%d" % index for index in range(options.tags))


def keys_of(options: Options) -> tuple[bytes, ...]:
    """Return every key a run may use, counters last."""
    plain = tuple(plain_key(options, index) for index in range(options.keys))
    return plain + tuple(b"c%d" % index for index in range(options.counters))


def draw(options: Options, draws: Draws) -> tuple[Operation, ...]:
    """Return the workload of a run, in order of time."""
    count = int(options.operations_per_s * options.duration_s)
    step_s = 1.0 / options.operations_per_s
    operations = [_operation(options, draws, number, step_s) for number in range(count)]
    operations += [
        _subscription(options, draws.stream("subscriber", index), index) for index in range(options.subscribers)
    ]
    return tuple(sorted(operations, key=lambda operation: operation.at_s))


def _subscription(options: Options, stream: Stream, index: int) -> Operation:
    at_s = round(stream.uniform(0.0, _SUBSCRIBED_WITHIN_S), 3)
    name = stream.choice(namespaces_of(options))
    about = {"prefix": stream.choice([b"", b"", b"k", b"k1"]), "changes": stream.choice(_CHANGES)}
    about |= {"level": Level.ONE.value} | ({"namespace": name.encode()} if name else {})
    return Operation(_SUBSCRIPTION_NUMBER + index, at_s, index, OperationKind.SUBSCRIBE, b"", about)


def _operation(options: Options, draws: Draws, number: int, step_s: float) -> Operation:
    stream = draws.stream("operation", number)
    at_s = (number + stream.uniform()) * step_s
    client = stream.integer(0, options.clients - 1)
    kind = _kind(options, stream)
    level = _level(options, stream, reads=kind is OperationKind.GET)
    arguments: dict[str, Any] = {"level": level}
    if kind in _KEYLESS:
        arguments |= _about_many(options, kind, draws.stream("about", number))
        return Operation(number, at_s, client, kind, b"", arguments)
    on_counter = kind is OperationKind.INCREMENT or (
        kind is OperationKind.GET and options.counters > 0 and stream.chance(options.increment_share)
    )
    if on_counter and options.counters:
        key = b"c%d" % stream.integer(0, options.counters - 1)
    else:
        index = stream.integer(0, options.keys - 1) if stream.chance(0.5) else _skewed(options, stream)
        key = plain_key(options, index)
    if kind is OperationKind.GET:
        arguments["full"] = stream.chance(0.5)
    elif kind is OperationKind.INCREMENT:
        arguments["delta"] = stream.choice([1, 1, 1, 5, -2])
    elif kind is OperationKind.TOUCH:
        arguments["ttl_s"] = stream.uniform(options.ttl_minimum_s, options.ttl_maximum_s)
    elif kind not in _WITHOUT_VALUE:
        arguments["value"] = value_of(number, stream.integer(options.value_bytes_minimum, options.value_bytes_maximum))
        if kind is OperationKind.FILL:
            arguments["think_s"] = round(draws.stream("think", number).uniform(0.0, THINK_LIMIT_S), 3)
        elif stream.chance(options.ttl_share):
            arguments["ttl_s"] = stream.uniform(options.ttl_minimum_s, options.ttl_maximum_s)
            if draws.stream("sliding", number).chance(options.sliding_share):
                arguments["sliding"] = True
        tags = _tags(options, draws.stream("tags", number))
        if tags:
            arguments["tags"] = tags
    return Operation(number, at_s, client, kind, key, arguments)


def _tags(options: Options, stream: Stream) -> list[bytes]:
    if not stream.chance(options.tag_share):
        return []
    return sorted(stream.sample(tags_of(options), stream.weighted([(1, 3), (2, 1)])))


def _about_many(options: Options, kind: OperationKind, stream: Stream) -> dict[str, Any]:
    """Return the arguments of what concerns no single key; the prefix of a scan is qualified."""
    name = stream.choice(namespaces_of(options))
    if kind is OperationKind.SCAN:
        return {"prefix": qualify(name, stream.choice([b"", b"k", b"k1"]))}
    about: dict[str, Any] = {"namespace": name.encode()} if name else {}
    if kind is OperationKind.CONFIGURE:
        about["settings"] = _settings(options, name, stream)
    if kind is OperationKind.INVALIDATE_TAG:
        about["tag"] = stream.choice(tags_of(options))
    elif kind is OperationKind.INVALIDATE_PATTERN:
        about["pattern"] = stream.choice([b"k?", b"k1*", b"*2", b"k0", b"*"])
    return about


def _settings(options: Options, name: str, stream: Stream) -> dict[str, Any]:
    """Return some settings that a namespace is to have; what they are about has to be in the run."""
    settings: dict[str, Any] = {}
    if options.ttl_share:
        drawn: dict[str, Any] = {
            "default_ttl_ms": stream.choice([0, 2_000, 8_000]),
            "maximum_ttl_ms": stream.choice([0, 8_000, 20_000]),
            "sliding": stream.chance(0.7),
        }
        settings |= {option: value for option, value in drawn.items() if stream.chance(0.4)}
    if options.eviction != "noeviction" and name:
        drawn = {"memory_share": stream.choice([0.0, 0.1, 0.3]), "eviction": stream.choice(_POLICIES)}
        settings |= {option: value for option, value in drawn.items() if stream.chance(0.5)}
    if options.subscribers:
        settings["key_events"] = stream.chance(0.9)
    return settings or {"default_read_level": stream.choice(["", "one", "quorum"])}


def _skewed(options: Options, stream: Stream) -> int:
    return stream.integer(0, max(0, min(options.keys, 2) - 1))


def _kind(options: Options, stream: Stream) -> OperationKind:
    if stream.chance(options.read_share):
        return OperationKind.GET
    conditional = options.conditional_share / 5
    increments = options.increment_share if options.counters else 0.0
    rest = options.delete_share + options.conditional_share + options.touch_share + increments
    return stream.weighted(
        [
            (OperationKind.SET, max(0.1, 1.0 - rest)),
            (OperationKind.DELETE, options.delete_share),
            (OperationKind.TOUCH, options.touch_share),
            (OperationKind.INCREMENT, increments),
            (OperationKind.SET_IF_ABSENT, conditional),
            (OperationKind.SET_IF_PRESENT, conditional),
            (OperationKind.SET_IF_VERSION, conditional),
            (OperationKind.GET_AND_SET, conditional),
            (OperationKind.DELETE_IF_VERSION, conditional),
            (OperationKind.FILL, options.fill_share),
            (OperationKind.INVALIDATE_TAG, options.invalidate_share * 0.6 if options.tags else 0.0),
            (OperationKind.INVALIDATE_PATTERN, options.invalidate_share * 0.2),
            (OperationKind.FLUSH, options.invalidate_share * 0.05),
            (OperationKind.INVALIDATE_VERSION, options.invalidate_share * 0.15),
            (OperationKind.SCAN, options.scan_share),
            (OperationKind.CONFIGURE, options.configure_share),
        ]
    )


def _level(options: Options, stream: Stream, *, reads: bool) -> int:
    if stream.chance(options.level_mix):
        return stream.choice([Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL]).value
    return options.read_level if reads else options.write_level
