"""Operation ids are remembered long enough and not too many."""

from dynacache.coordination.operation_ids import OperationIds


def test_an_id_is_bound_to_its_key() -> None:
    ids = OperationIds(100, 60.0)
    ids.remember(b"id", b"key")
    assert ids.recall(b"id", b"key")
    assert not ids.recall(b"id", b"other")
    assert not ids.recall(b"unseen", b"key")


def test_an_id_lives_one_to_two_generations() -> None:
    ids = OperationIds(100, 60.0)
    ids.tick(60.0)
    ids.remember(b"id", b"key")
    ids.tick(119.9)
    ids.tick(120.0)
    assert ids.recall(b"id", b"key")
    ids.tick(180.0)
    assert not ids.recall(b"id", b"key")


def test_the_limit_holds() -> None:
    ids = OperationIds(100, 60.0)
    for number in range(1_000):
        ids.remember(b"%d" % number, b"key")
        assert len(ids) <= 100
    assert ids.recall(b"999", b"key")
    assert ids.recall(b"950", b"key"), "half of the limit is remembered whatever comes"


def test_all_can_be_forgotten() -> None:
    ids = OperationIds(100, 60.0)
    ids.remember(b"old", b"key")
    ids.tick(60.0)
    ids.remember(b"young", b"key")
    ids.forget()
    assert len(ids) == 0
    assert not ids.recall(b"old", b"key")
    assert not ids.recall(b"young", b"key")
