"""A budget is full again after its interval, and what was not spent lapses."""

from dynacache.membership.budget import Budget


def test_no_more_than_the_limit_in_an_interval() -> None:
    budget = Budget(2, 0.5)
    assert [budget.spend(10.0), budget.spend(10.1), budget.spend(10.49)] == [True, True, False]
    assert [budget.spend(10.5) for _ in range(3)] == [True, True, False]


def test_what_was_not_spent_lapses() -> None:
    budget = Budget(2, 0.5)
    assert budget.spend(0.0)
    assert [budget.spend(100.0) for _ in range(3)] == [True, True, False]
