"""Many seeds: sums, failures in order, the same from one process or two, an interrupt that keeps what was done."""

from sim.many import Summary, Tally, run_many

FIXED = {"duration_s": 1.0, "nodes": 3}


def _summary(seed: int, verdict: str) -> Summary:
    return Summary(seed, verdict, "00", 10.0, 1.0, 5, {"x": 1}, (("I1", "made up"),) if verdict == "violated" else ())


def test_a_tally_adds_up() -> None:
    tally = Tally()
    for seed, verdict in ((2, "violated"), (1, "held"), (3, "unknown")):
        tally.add(_summary(seed, verdict))
    assert (tally.seeds, tally.virtual_s, tally.operations, tally.coverage["x"]) == (3, 30.0, 15, 3)
    assert [each.seed for each in tally.failures] == [2, 3]
    assert tally.line.startswith("3 seeds: 1 held, 1 violated, 1 unknown; 15 operations, 30 virtual s in ")


def test_processes_change_nothing() -> None:
    seen: dict[int, list[Summary]] = {1: [], 2: []}
    for jobs, summaries in seen.items():
        run_many(1, 4, jobs, FIXED, lambda _, summary, into=summaries: into.append(summary))  # type: ignore[misc]
    hashes = [sorted((each.seed, each.trace_hash) for each in summaries) for summaries in seen.values()]
    assert hashes[0] == hashes[1]
    assert [seed for seed, _ in hashes[0]] == [1, 2, 3, 4]


def test_an_interrupt_keeps_what_was_done() -> None:
    def stop_at_two(tally: Tally, _: Summary) -> None:
        if tally.seeds == 2:
            raise KeyboardInterrupt

    assert run_many(1, 9, 1, FIXED, stop_at_two).seeds == 2


def test_a_mistake_of_the_simulator_ends_one_seed_only() -> None:
    seen: list[Summary] = []
    run_many(1, 2, 1, {"nodes": 3, "duration_s": "long"}, lambda _, summary: seen.append(summary))
    assert [(each.seed, each.verdict) for each in seen] == [(1, "unknown"), (2, "unknown")]
    assert "Error" in seen[0].reason
