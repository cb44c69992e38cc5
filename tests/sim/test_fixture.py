"""The pytest plug-in, by what pytest prints when somebody's tests use it."""

import re
from pathlib import Path

import pytest

PLUGIN = ("-p", "dynacache.simulator.fixture", "--strict-markers")
HOLDS = """
    import pytest

    @pytest.mark.simulated(nodes=3)
    def test_a_crash(simulated_cluster):
        cache = simulated_cluster.client()
        cache.set("cart", ["tea"])
        simulated_cluster.fault("crash", node="n1")
        assert cache.get("cart") == ["tea"]
"""
FAILS = """
    def test_wrong(simulated_cluster):
        cache = simulated_cluster.client()
        cache.set("cart", ["tea"])
        simulated_cluster.fault("pause", node="n2", duration_s=1.0)
        assert cache.get("cart") == ["coffee"]
"""


def ran(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """Run a made-up test file with the plug-in."""
    pytester.makepyfile(source)
    return pytester.runpytest(*PLUGIN, *arguments)


def story(result: pytest.RunResult) -> list[str]:
    """The lines that tell what happened, with their virtual seconds."""
    return [line for line in result.outlines if re.match(r" *\d+\.\d{3} ", line)]


def test_the_example_of_the_documentation(pytester: pytest.Pytester) -> None:
    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text(encoding="utf-8")
    conftest, example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    pytester.makeconftest(conftest)
    pytester.makepyfile(example)
    pytester.runpytest("--sim-seeds", "3").assert_outcomes(passed=6)


def test_a_test_gets_a_cluster(pytester: pytest.Pytester) -> None:
    result = ran(pytester, HOLDS, "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_a_crash[[]seed1[]] PASSED*"])


def test_a_failure_tells_its_seed_and_its_story(pytester: pytest.Pytester) -> None:
    result = ran(pytester, FAILS, "--sim-seed", "17")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*simulated cluster, seed 17*",
            "again: pytest '*::test_wrong' --sim-seed 17",
            "*client0 set('cart', [[]'tea'[]]) -> Written(*",
            "*fault pause duration_s=1.0, node='n2'",
            "*client0 get('cart') -> [[]'tea'[]]",
        ]
    )


def test_a_seed_repeats_its_story_and_another_seed_differs(pytester: pytest.Pytester) -> None:
    first, again, other = (story(ran(pytester, FAILS, "--sim-seed", seed)) for seed in ("4", "4", "5"))
    assert first == again != other
    assert len(first) == 4


def test_a_test_that_passes_tells_nothing(pytester: pytest.Pytester) -> None:
    ran(pytester, HOLDS, "-rA").stdout.no_fnmatch_line("*simulated cluster*")


def test_many_seeds(pytester: pytest.Pytester) -> None:
    ran(pytester, HOLDS, "--sim-seeds", "3").assert_outcomes(passed=3)


def test_the_mark_keeps_seeds_and_the_command_line_overrides_them(pytester: pytest.Pytester) -> None:
    source = HOLDS.replace("nodes=3", "nodes=3, seeds=(5, 17)")
    result = ran(pytester, source, "-v")
    result.stdout.fnmatch_lines(["*[[]seed5[]]*", "*[[]seed17[]]*"])
    result.assert_outcomes(passed=2)
    ran(pytester, source, "--sim-seed", "1").assert_outcomes(passed=1)


def test_the_nearest_mark_decides(pytester: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.simulated(nodes=4, zones=3)
        class TestSomething:
            @pytest.mark.simulated(nodes=5)
            def test_it(self, simulated_cluster):
                assert len(simulated_cluster.nodes) == 5
                assert simulated_cluster.options.zones == 3
    """
    ran(pytester, source).assert_outcomes(passed=1)


def test_the_seed_can_be_asked_for(pytester: pytest.Pytester) -> None:
    source = "def test_it(simulated_seed, simulated_cluster): assert simulated_cluster.seed == simulated_seed == 9"
    ran(pytester, source, "--sim-seed", "9").assert_outcomes(passed=1)


def test_a_test_without_a_cluster_is_left_alone(pytester: pytest.Pytester) -> None:
    result = ran(pytester, "def test_it(): assert 0", "--sim-seeds", "3")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*simulated cluster*")


@pytest.mark.parametrize(
    ("mark", "complaint"),
    [
        ("nodez=3", "*got nodez, expected some of *nodes*"),
        ("seeds=()", "*got seeds=(), expected whole numbers*"),
        ("3", "*takes its options by name, got (3,)*"),
    ],
)
def test_a_wrong_mark_is_named(pytester: pytest.Pytester, mark: str, complaint: str) -> None:
    result = ran(pytester, HOLDS.replace("nodes=3", mark))
    assert result.ret != 0
    result.stdout.fnmatch_lines([complaint])


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--sim-seed", "many"), "*got 'many', expected a whole number, 0 or more*"),
        (("--sim-seed=-1",), "*got '-1', expected a whole number, 0 or more*"),
        (("--sim-seeds", "0"), "*got '0', expected a whole number, 1 or more*"),
        (("--sim-seed", "1", "--sim-seeds", "2"), "*only one of --sim-seed and --sim-seeds*"),
    ],
)
def test_wrong_flags_are_usage_errors(pytester: pytest.Pytester, flags: tuple[str, ...], complaint: str) -> None:
    result = ran(pytester, HOLDS, *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([complaint])
