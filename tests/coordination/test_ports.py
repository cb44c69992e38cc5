"""The real stores have what coordination asks for."""

from random import Random

from dynacache.config import HintConfig, StorageSettings
from dynacache.coordination.ports import HintPort, HintsToReplay, StorePort
from dynacache.repair.hints import HintStore
from dynacache.storage.engine import Engine


def test_the_stores_fit_the_ports() -> None:
    store: StorePort = Engine(StorageSettings(), 1024, Random(1))
    hints: HintPort = HintStore(HintConfig())
    replayed: HintsToReplay = HintStore(HintConfig())
    for port, real in ((StorePort, store), (HintPort, hints), (HintsToReplay, replayed)):
        names = [name for name in vars(port) if not name.startswith("_")]
        assert names
        assert all(hasattr(real, name) for name in names)
