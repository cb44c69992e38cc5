"""The short way of merging a plain successor gives exactly what merging gives."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, engine_of, value

_LIVES_MS = st.sampled_from([0, 1_000, 60_000])
_STEPS = st.lists(st.tuples(st.integers(0, 2), _LIVES_MS, st.booleans()), min_size=1, max_size=12)


@given(_STEPS, st.integers(0, 11), st.integers(0, 11), st.sampled_from([0, 500, 5_000]))
def test_the_short_way_of_merging_gives_what_merging_gives(
    steps: list[tuple[int, int, bool]], first: int, second: int, later_ms: int
) -> None:
    """Records of three writers that follow or ignore each other, merged in any order: short way, or the whole."""
    issuers = [ActorIssuer(number + 1) for number in range(3)]
    held: dict[int, bytes] = {}
    records = []
    for position, (writer, life_ms, follows) in enumerate(steps):
        expire_ms = START_MS + life_ms if life_ms else 0
        old = held.get(writer) if follows else None
        local, replica = packed.write(old, issuers[writer], (START_MS + position) << 16, expire_ms, 1, b"v", START_MS)
        held[writer] = local
        records.append(replica)
    now_ms = START_MS + later_ms
    pair = [records[first % len(records)], records[second % len(records)]]
    short, whole = engine_of(), engine_of()
    for record in pair:
        if not short.merge_newer(3, b"key", record, now_ms):
            short.merge(3, b"key", record, now_ms)
        whole.merge(3, b"key", record, now_ms)
    assert short.peek(3, b"key") == whole.peek(3, b"key")
    assert short.usage() == whole.usage() == short.recount()


@given(st.binary(max_size=80))
def test_the_short_way_refuses_what_is_not_a_record(content: bytes) -> None:
    engine = engine_of()
    engine.put(3, b"key", packed.strip_local(value()))
    before = engine.peek(3, b"key")
    assert engine.merge_newer(3, b"key", content, START_MS) is False or packed.is_well_formed(content)
    assert engine.peek(3, b"key") in (before, content)
