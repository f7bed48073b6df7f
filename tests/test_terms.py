"""Terms: what the node holds of others' data, and the state of an object as plain data."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import MAX_REQUEST_BYTES, Numbered, decode_up, encode_request, encoder, term_decoder
from actorcore.pids import Pid, pack_pid, unpack_pid
from actorcore.requests import Ask, Monitor, SendExit, Spawn
from actorcore.signals import Refused
from actorcore.state_terms import attributes, set_attributes, shown
from actorcore.terms import MAX_DEPTH, MAX_ITEMS, trouble_with
from actorcore.words import ProcessSpec

PID = Pid(0x7F3A, 42)


def nested(depth: int) -> Any:
    """A text within so many lists."""
    term: Any = "x"
    for _ in range(depth):
        term = [term]
    return term


PLAIN = [None, "text", 1, 0.5, b"bytes", True, PID, [], {}, [1, [PID, {"a": [None, b""]}]], {"k": {"l": 1}}]


@pytest.mark.parametrize("term", PLAIN)
def test_plain_data_of_any_shape_is_no_trouble(term: Any) -> None:
    assert trouble_with(term) is None


@pytest.mark.parametrize(
    ("term", "trouble"),
    [
        (object(), "no plain data: object"),
        ((1, 2), "no plain data: tuple"),
        ([1, {"deep": [{1}]}], "no plain data: set"),
        ({1: "x"}, "a key that is no text"),
        ([{"a": 1, 2: "x"}], "a key that is no text"),
    ],
)
def test_what_is_no_plain_data_is_named_wherever_it_is(term: Any, trouble: str) -> None:
    assert trouble_with(term) == trouble


def test_depth_and_items_are_bounded_over_all_lists_and_maps_together() -> None:
    assert [trouble_with(nested(depth)) for depth in (MAX_DEPTH, MAX_DEPTH + 1)] == [None, f"nested deeper than {MAX_DEPTH}"]
    half = [0] * (MAX_ITEMS // 2 - 1)
    too_many = f"more than {MAX_ITEMS} items"
    assert [trouble_with(term) for term in ([half, half], [half, [*half, 0]])] == [None, too_many]
    assert trouble_with({str(at): None for at in range(MAX_ITEMS)}) is None
    assert trouble_with({str(at): None for at in range(MAX_ITEMS + 1)}) == too_many


def test_arguments_and_reasons_are_looked_into_before_they_are_sent_and_as_they_come() -> None:
    deep = nested(MAX_DEPTH + 1)
    for body in (Spawn(ProcessSpec("m:f", deep)), SendExit(3, {"error": deep})):
        with pytest.raises(RequestError, match=r"^invalid_message: nested deeper than 32"):
            encode_request(1, body)
    fine = SendExit(3, {"error": nested(3)})
    assert decode_up(encode_request(5, fine))[0].body == fine  # type: ignore[union-attr]
    assert decode_up(encode_request(6, Monitor(1, 3)))[0].body == Monitor(1, 3)  # type: ignore[union-attr]


# ---- pids -----------------------------------------------------------------------------------------------------------


def test_a_pid_is_its_text_its_bytes_and_its_place_in_an_order() -> None:
    assert (str(PID), Pid.parse("7f3a.42"), unpack_pid(pack_pid(PID))) == ("7f3a.42", PID, PID)
    assert sorted([Pid(2, 1), Pid(1, 9), Pid(1, 3)]) == [Pid(1, 3), Pid(1, 9), Pid(2, 1)]
    assert (Pid(1, 1) < Pid(1, 1), PID == (0x7F3A, 42), hash(PID) == hash(Pid(0x7F3A, 42))) == (False, False, True)
    with pytest.raises(AttributeError, match="a Pid is immutable: serial"):
        PID.serial = 3
    for text in ("", "42", "7f3a.", "7f3a.x", ".1", "7f3a.-1", "x.1"):
        with pytest.raises(ValueError, match=r"not a pid|invalid literal"):
            Pid.parse(text)
    for size in (15, 17):
        with pytest.raises(ValueError, match="a pid has 16 bytes"):
            unpack_pid(bytes(size))


# ---- the state of an object -----------------------------------------------------------------------------------------


class Slotted:
    __slots__ = ("a", "b")


class Mixed(Slotted):
    def __init__(self) -> None:
        self.a, self.c, self.process = 1, 3, "apart"


class Stubborn(Mixed):
    """Cannot be given a ``d``."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "d":
            raise ValueError(name)
        super().__setattr__(name, value)


APART = frozenset({"process"})


def test_attributes_are_those_in_slots_too_without_those_apart() -> None:
    assert attributes(Mixed(), APART) == {"a": 1, "c": 3}
    assert attributes(Slotted(), APART) == {}


def test_a_new_state_is_all_there_is_then() -> None:
    server = Mixed()
    set_attributes(server, {"b": 2, "c": 4}, APART)
    assert (attributes(server, APART), server.process) == ({"b": 2, "c": 4}, "apart")


@pytest.mark.parametrize("state", [None, [("a", 1)], {1: 2}, {"a": 5, "process": "mine"}])
def test_what_is_no_dict_of_attributes_changes_nothing(state: object) -> None:
    server = Mixed()
    with pytest.raises(TypeError, match="no dict of attributes"):
        set_attributes(server, state, APART)
    assert (attributes(server, APART), server.process) == ({"a": 1, "c": 3}, "apart")


def test_a_state_that_cannot_be_taken_leaves_the_one_before() -> None:
    server = Stubborn()
    with pytest.raises(ValueError, match="d"):
        set_attributes(server, {"a": 7, "b": 8, "d": 9}, APART)
    assert attributes(server, APART) == {"a": 1, "c": 3}


def test_what_is_no_plain_data_is_shown_as_the_name_of_its_type() -> None:
    strange = object()
    assert shown({"a": 1, "b": strange, "c": [1, strange]}) == {"a": 1, "b": "<object>", "c": [1, "<object>"]}
    assert shown([strange, (1, 2), PID]) == ["<object>", [1, 2], PID]
    assert shown((strange,)) == ["<object>"]
    assert [shown(strange), shown("text"), shown({1: strange}), shown(None)] == ["<object>", "text", {1: "<object>"}, None]
    huge = 1 << 70
    assert (shown({"a": 1, "b": huge}), shown([1, huge]), shown((1, huge))) == ({"a": 1, "b": "<int>"}, *[[1, "<int>"]] * 2)
    assert term_decoder.decode(b"\xc7\x10\x01" + pack_pid(PID)) == PID


# ---- what a process says to the node --------------------------------------------------------------------------------


def test_a_refused_start_has_a_reason_that_is_plain_data_too() -> None:
    fine, deep = Refused(3, {"error": nested(3)}), Refused(3, {"error": nested(MAX_DEPTH + 1)})
    assert decode_up(encoder.encode([fine])) == [fine]
    with pytest.raises(ProtocolError, match=f"nested deeper than {MAX_DEPTH}"):
        decode_up(encoder.encode([deep]))


def test_what_is_said_at_once_has_a_bound() -> None:
    ask = Ask(2, msgspec.Raw(encoder.encode(b"x" * MAX_REQUEST_BYTES)))
    with pytest.raises(RequestError, match=r"^value_too_long"):
        encode_request(1, ask)
    data = encoder.encode([Numbered(1, ask)])
    with pytest.raises(ProtocolError, match=f"^{len(data)} bytes at once$"):
        decode_up(data)
