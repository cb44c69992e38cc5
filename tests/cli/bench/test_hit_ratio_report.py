"""The table of hit ratios: every figure in the JSON too, and what is behind is said."""

import attrs

from dynacache.cli.bench.hit_ratio import POLICIES, HitRatio
from dynacache.cli.bench.hit_ratio_report import hit_ratio_answer


def found(**ratios: float) -> list[HitRatio]:
    reached = {"optimum": 0.9, "exact lru": 0.5, "theine": 0.55, **dict.fromkeys(POLICIES, 0.5), **ratios}
    return [HitRatio("web", "entries", 0.05, 50, system, ratio, 100.0) for system, ratio in reached.items()]


def test_all_is_well() -> None:
    measured = found(s3fifo=0.54, lru=0.491)
    answer = hit_ratio_answer(measured)
    assert (answer.exit_code, answer.complaint) == (0, "")
    (row,) = answer.tables[0].rows
    assert row[:4] == ("web", "entries", "5%", "50")
    assert row[-2:] == ("-1.00", "-0.90")
    assert dict(zip(answer.tables[0].columns, row, strict=True))["s3fifo"] == "54.00"
    assert answer.record["measured"] == [attrs.asdict(each) for each in measured]
    assert ("theine", "100", "100", "100") in answer.tables[1].rows


def test_what_is_behind_is_said() -> None:
    answer = hit_ratio_answer(found(s3fifo=0.52, lru=0.48))
    assert answer.exit_code == 1
    assert "lru is 2.00 points behind the exact one" in answer.complaint
    assert "our best is 3.00 points behind the best library" in answer.complaint


def test_without_a_library_there_is_nothing_to_be_behind() -> None:
    answer = hit_ratio_answer([each for each in found() if each.system != "theine"])
    assert (answer.exit_code, answer.tables[0].rows[0][-2]) == (0, "-")
