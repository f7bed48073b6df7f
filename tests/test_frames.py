"""Frames: what goes on the wire comes back, and nothing else does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from actorcore.errors import ProtocolError
from actorcore.frames import Numbered, decode_channel, decode_down, decode_hello, decode_up, encoder, term_decoder
from actorcore.pids import Pid, pack_pid, unpack_pid
from actorcore.signals import Monitor

WORDS64 = st.integers(0, 2**64 - 1)


@given(WORDS64, WORDS64)
def test_a_pid_travels_as_extension_1_of_16_bytes_wherever_it_stands(instance: int, serial: int) -> None:
    pid = Pid(instance, serial)
    data = encoder.encode({"who": [pid]})
    assert term_decoder.decode(data) == {"who": [pid]}
    assert b"\xd8\x01" + pack_pid(pid) in data  # fixext 16, type 1


@given(WORDS64, WORDS64)
def test_a_pid_is_read_back_from_its_text(instance: int, serial: int) -> None:
    assert Pid.parse(str(Pid(instance, serial))) == Pid(instance, serial)


@pytest.mark.parametrize("text", ["", "42", "x.1", "1.", "1.-2", "1.2.3", "7f3a:42"])
def test_no_other_text_is_a_pid(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a pid|invalid literal"):
        Pid.parse(text)


def test_a_pid_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        unpack_pid(bytes(15))


def test_a_pid_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Pid(1, 2).serial = 3  # type: ignore[misc]


def test_a_request_comes_back() -> None:
    said = [Numbered(7, Monitor(3, name="foo"))]
    assert decode_up(encoder.encode(said)) == said


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_a_protocol_error(data: bytes) -> None:
    for decode, kinds in ((decode_up, list), (decode_down, list), (decode_channel, (list, int))):
        try:
            found = decode(data)
        except ProtocolError:
            continue
        assert isinstance(found, kinds)


@pytest.mark.parametrize(
    "data",
    [b"\x91" * 1_000_000, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
     b"\xc9\xff\xff\xff\xff\x01", encoder.encode([["numbered", 1, ["monitor", 1, 2, "a", "extra"]]]),
     encoder.encode([["unknown", 1]]), encoder.encode([["numbered", 2**64 - 1, ["monitor", "x"]]]), b"\x91\xa2\xff\xfe"],
    ids=["E6-depth", "E7-array", "E7-map", "E7-str", "E7-bin", "E7-ext", "E10-extra", "E10-tag", "E10-type", "E9-utf8"],
)  # fmt: skip
def test_hostile_bytes_are_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_up(data)


def test_E8_a_megabyte_of_empty_maps_stays_raw() -> None:
    body = b"\xdd\x00\x0f\xff\xff" + b"\x80" * 0xFFFFF
    messages = decode_channel(b"\x91\x93\xa4call\x01" + body)
    assert isinstance(messages, list)
    (call,) = messages
    assert isinstance(call.body, msgspec.Raw)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "Input data was truncated"), (encoder.encode(["hello"]), "Expected `array` of at least length 2, got 1")],
)
def test_what_is_wrong_with_a_frame_is_told_in_words(data: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as error:
        decode_hello(data)
    assert str(error.value) == why
