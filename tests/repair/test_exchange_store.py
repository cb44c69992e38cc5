"""The store has all that the exchange asks of it."""

from random import Random

from dynacache.config.storage import StorageSettings
from dynacache.repair import exchange_store
from dynacache.repair.exchange_store import ExchangeStore
from dynacache.storage import listing, replica
from dynacache.storage.engine import Engine


def test_the_engine_is_such_a_store() -> None:
    store: ExchangeStore = Engine(StorageSettings(), 16, Random(1))
    names = [name for name in vars(ExchangeStore) if not name.startswith("_")]
    assert len(names) > 10
    assert all(hasattr(store, name) for name in names)


def test_kinds_and_outcomes_are_those_of_the_store() -> None:
    kinds = (listing.RESIDENT, listing.TOMB, listing.GHOST, listing.REAPED)
    ours = (exchange_store.RESIDENT, exchange_store.TOMBSTONE, exchange_store.GHOST, exchange_store.REAPED)
    assert kinds == ours
    assert replica.__doc__
