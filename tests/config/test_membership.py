"""The settings are consistent when they exist, and say what is wrong when they cannot."""

from typing import Any

import attrs
import pytest

from dynacache.config.membership import MembershipConfig
from dynacache.errors import InvalidOption


def test_presets_are_valid_and_the_defaults_are_the_lan() -> None:
    assert MembershipConfig.lan() == MembershipConfig()
    assert MembershipConfig.simulated().reconnect_interval_s == 3.0


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(MembershipConfig)])
def test_no_field_takes_a_negative_or_a_text(name: str) -> None:
    values: tuple[Any, ...] = (-1, float("nan"), "1", True)
    for value in values:
        with pytest.raises(InvalidOption, match=name):
            MembershipConfig(**{name: value})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"probe_timeout_s": 2.0}, "probe_timeout_s: .*probe_period_s"),
        ({"probe_timeout_minimum_s": 0.6}, "probe_timeout_minimum_s"),
        ({"join_retry_s": 11.0}, "join_retry_s"),
        ({"lag_warning_s": 1.0}, "lag_warning_s"),
        ({"protocol_minimum": 2}, "protocol_minimum"),
        ({"protocol_maximum": 256}, "protocol_maximum"),
        ({"suspicion_maximum_factor": 0.5}, "suspicion_maximum_factor"),
        ({"packet_limit_bytes": 1_023}, "packet_limit_bytes"),
        ({"packet_limit_bytes": 70_000}, "packet_limit_bytes"),
        ({"health_limit": 0}, "health_limit"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        MembershipConfig(**changes)
