"""Evidence is plain frozen data with defaults for everything but the options."""

import attrs
import pytest

from sim.evidence import Evidence
from sim.options import Options


def test_evidence_needs_options_alone_and_cannot_be_changed() -> None:
    evidence = Evidence(Options())
    assert (evidence.history, evidence.snapshots, evidence.converged) == ((), {}, True)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        evidence.end_s = 1.0  # type: ignore[misc]
