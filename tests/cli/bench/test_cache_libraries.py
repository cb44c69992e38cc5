"""Libraries of others are used so that they hold what they may; those that are not installed are left out."""

import pytest

from dynacache.cli.bench.cache_libraries import LIBRARIES, Library


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_a_library_is_read_and_filled(name: str) -> None:
    library = LIBRARIES[name]
    if not library.is_there():
        pytest.skip(f"{library.module} is not installed: pip install dynacache[bench]")
    with library.make(10) as (get, fill):
        assert not get(b"key")
        fill(b"key", 1)
        assert get(b"key")
        for number in range(200):
            if not get(b"%d" % number):
                fill(b"%d" % number, 1)
        assert sum(get(b"%d" % number) for number in range(200)) <= 10


def test_what_is_not_installed_is_not_there() -> None:
    assert not Library("no_such_cache_library", LIBRARIES["theine"].make).is_there()
