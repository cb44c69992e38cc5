"""Large values made small: there and back, never larger, bounded, with a sentence where the package is missing."""

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client import compression
from dynacache.client.compression import COMPRESS_FROM_BYTES, compress, decompress
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.client.values import decode_value, encode_value
from dynacache.errors import ProtocolError
from dynacache.wire.messages import PAYLOAD_COMPRESSED, PAYLOAD_MSGPACK, PAYLOAD_RAW

FLAGS = st.sampled_from([PAYLOAD_MSGPACK, PAYLOAD_RAW])


@given(FLAGS, st.binary(max_size=3_000) | st.binary(max_size=9).map(lambda part: part * 400))
def test_what_is_compressed_comes_back_and_nothing_grows(flags: int, payload: bytes) -> None:
    new_flags, new = compress(flags, payload)
    assert new_flags & ~PAYLOAD_COMPRESSED == flags
    assert len(new) <= len(payload)
    assert (decompress(new) if new_flags & PAYLOAD_COMPRESSED else new) == payload


@pytest.mark.parametrize("value", [b"x" * 5_000, "text" * 2_000, {"list": [1, 2, 3] * 1_000}])
def test_values_come_back(value: object) -> None:
    flags, payload = compress(*encode_value(value))
    assert flags & PAYLOAD_COMPRESSED
    assert decode_value(flags, payload) == value


def test_small_payloads_stay_as_they_are() -> None:
    payload = b"x" * (COMPRESS_FROM_BYTES - 1)
    assert compress(PAYLOAD_RAW, payload) == (PAYLOAD_RAW, payload)
    assert compress(PAYLOAD_RAW, payload + b"x")[0] == PAYLOAD_RAW | PAYLOAD_COMPRESSED


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"no frame", "no zstandard frame"),
        (zstandard.ZstdCompressor().compress(bytes(17 * 1024 * 1024)), "expected at most 16777216"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(b"x"), "of -1 bytes"),
        (zstandard.ZstdCompressor().compress(b"x" * 900)[:-3], "no zstandard frame"),
    ],
)
def test_a_malformed_frame_is_refused_and_bounded(payload: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        decode_value(PAYLOAD_RAW | PAYLOAD_COMPRESSED, payload)


def test_without_the_package_values_are_written_as_they_are_and_compressed_ones_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags, frame = compress(PAYLOAD_RAW, b"x" * 5_000)
    monkeypatch.setattr(compression, "zstandard", None)
    assert compress(PAYLOAD_RAW, b"x" * 5_000) == (PAYLOAD_RAW, b"x" * 5_000)
    with pytest.raises(ProtocolError, match="compressed with zstandard, which is not installed here: install"):
        decode_value(flags, frame)


def test_only_namespaces_that_ask_for_it_compress() -> None:
    requests = Requests(Options(), b"client-1", compressions={"big": "zstandard"})
    for name, flags in (("", PAYLOAD_RAW), ("big", PAYLOAD_RAW | PAYLOAD_COMPRESSED), ("other", PAYLOAD_RAW)):
        message = requests.of_namespace(name).set("k", b"x" * 5_000).message
        assert message[3] == flags
