"""What was dropped and is remembered again is dropped no more, within a limit."""

from dynacache.repair.exchange_regrets import Regrets


def test_a_ghost_that_is_remembered_again_is_not_dropped_again() -> None:
    regrets = Regrets()
    assert regrets.to_drop(3, [1, 2]) == [1, 2]
    regrets.remembered(3, [1, 7])
    assert regrets.to_drop(3, [1, 2, 7]) == [2, 7], "only what was dropped before is kept"
    assert regrets.to_drop(4, [1]) == [1], "of another partition"
    regrets.remembered(3, [1])
    assert regrets.to_drop(3, [1]) == []


def test_the_oldest_are_forgotten_at_the_limit() -> None:
    regrets = Regrets(limit=2)
    assert regrets.to_drop(1, [1, 2, 3]) == [1, 2, 3]
    regrets.remembered(1, [1, 2, 3])
    assert regrets.to_drop(1, [1, 2, 3]) == [1], "its drop was no longer known"
    assert regrets.to_drop(1, [4, 5]) == [4, 5]
    regrets.remembered(1, [4, 5])
    assert regrets.to_drop(1, [2, 3, 4, 5]) == [2, 3]
