"""Names of epochs: given back as made, different for different things, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.wire.epoch_names import ALL_TAGS, EPOCH_PREFIX, FLUSH, PATTERN, TAG, epoch_name, parse_epoch_name

namespaces = st.one_of(st.just(b""), st.binary(min_size=1, max_size=64))
parts = st.one_of(
    st.tuples(st.sampled_from([FLUSH, ALL_TAGS]), namespaces, st.just(b"")),
    st.tuples(st.just(TAG), namespaces, st.binary(min_size=1, max_size=128)),
    st.tuples(st.just(PATTERN), namespaces, st.binary(min_size=1, max_size=1_024)),
)


@given(parts, parts)
def test_names_are_given_back_and_differ_where_things_differ(
    one: tuple[int, bytes, bytes], other: tuple[int, bytes, bytes]
) -> None:
    assert parse_epoch_name(epoch_name(*one)) == one
    assert epoch_name(*one)[:1] == EPOCH_PREFIX
    assert (epoch_name(*one) == epoch_name(*other)) == (one == other)


@pytest.mark.parametrize(
    "name",
    [b"", b"E", b"Ef", b"Nf\x00", b"Ex\x00", b"Ef\x02a", b"Ef\x00more", b"Et\x00", b"Et\x00" + b"x" * 129, b"Ea\x00x"],
)
def test_anything_else_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="epoch name"):
        parse_epoch_name(name)
