"""Workloads: data that depends on the options and each operation's number alone."""

import attrs

from dynacache.namespaces.settings import DEFAULTS
from sim.checkers.invalidations import INVALIDATORS
from sim.draws import Draws
from sim.history import OperationKind
from sim.options import Options
from sim.workload import draw, keys_of, tags_of, value_of

OPTIONS = Options(
    seed=3,
    operations_per_s=50.0,
    duration_s=20.0,
    conditional_share=0.3,
    touch_share=0.05,
    ttl_share=0.3,
    level_mix=0.2,
    tags=3,
    tag_share=0.5,
    fill_share=0.1,
    invalidate_share=0.3,
    scan_share=0.1,
    sliding_share=0.5,
    configure_share=0.1,
    subscribers=2,
    namespaces=1,
)


def test_operations_lie_in_the_safety_phase_in_order() -> None:
    operations = draw(OPTIONS, Draws(3))
    assert len(operations) == 1002
    assert [each.number for each in operations if each.kind is not OperationKind.SUBSCRIBE] == list(range(1000))
    assert sorted(operations, key=lambda each: each.at_s) == list(operations)
    assert 0 <= operations[0].at_s < operations[-1].at_s < 20.0


def test_every_kind_occurs_with_the_arguments_it_needs() -> None:
    operations = draw(OPTIONS, Draws(3))
    about_many = (*INVALIDATORS, OperationKind.SCAN, OperationKind.CONFIGURE, OperationKind.SUBSCRIBE)
    assert {each.kind for each in operations} == set(OperationKind)
    keys, tags = set(keys_of(OPTIONS)), set(tags_of(OPTIONS))
    for each in operations:
        assert each.key in keys or (not each.key and each.kind in about_many)
        assert tags.issuperset(each.arguments.get("tags", []))
        assert 1 <= each.arguments["level"] <= 4
        has_value = each.kind in (
            *(OperationKind.SET, OperationKind.SET_IF_ABSENT, OperationKind.SET_IF_PRESENT),
            *(OperationKind.SET_IF_VERSION, OperationKind.GET_AND_SET, OperationKind.FILL),
        )
        assert has_value == ("value" in each.arguments)
        assert (each.kind is OperationKind.INCREMENT) == ("delta" in each.arguments)
        if each.kind is OperationKind.TOUCH:
            assert each.arguments["ttl_s"] > 0
        if each.kind is OperationKind.SUBSCRIBE:
            assert each.at_s < 6.0
            assert 0 < each.arguments["changes"] <= 15
    assert any(each.arguments.get("sliding") for each in operations)


def test_settings_are_such_as_a_namespace_may_have() -> None:
    changes = [each for each in draw(OPTIONS, Draws(3)) if each.kind is OperationKind.CONFIGURE]
    chosen = [DEFAULTS.changed(each.arguments["settings"]) for each in changes]
    assert {"memory_share", "eviction", "sliding", "maximum_ttl_ms", "key_events"} <= {
        option for each in changes for option in each.arguments["settings"]
    }
    assert len(set(chosen)) > 10
    named = [each for each in changes if each.arguments["settings"].get("memory_share")]
    assert named
    assert all(each.arguments["namespace"] for each in named)


def test_each_value_is_written_once() -> None:
    values = [each.arguments["value"] for each in draw(OPTIONS, Draws(3)) if "value" in each.arguments]
    assert len(set(values)) == len(values)
    assert value_of(12, 16) == b"12:............."
    assert value_of(123456, 2) == b"123456:"


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    longer = draw(attrs.evolve(OPTIONS, duration_s=30.0), Draws(3))
    assert longer[:1002] == draw(OPTIONS, Draws(3))


def test_only_counters_are_incremented() -> None:
    without = attrs.evolve(OPTIONS, counters=0, increment_share=0.5)
    assert OperationKind.INCREMENT not in {each.kind for each in draw(without, Draws(3))}
    incremented = {each.key[:1] for each in draw(OPTIONS, Draws(3)) if each.kind is OperationKind.INCREMENT}
    assert incremented == {b"c"}
