"""The record, the states and the targets of a session: pure rules, each walked through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from actorcore.errors import CODES
from actorcore.frames import encoder
from supervisors.session.record import MAX_RECORD_BYTES, SessionRecord, child_spec, from_map, to_map
from supervisors.session.state import HAPPENINGS, STATUSES, TRANSITIONS, next_status
from supervisors.session.targets import Ambiguous, Named, resolve
from supervisors.session.words import Slot, page
from tests.manager_world import draft, uuid

COMPLETE: dict[str, Any] = {**draft(1), "created_at": 5.0, "updated_at": 6.5}
WITHOUT_CRASH = {"suspended", "terminated", "gave_up", "failed"}
"""Nothing of these is alive that could crash."""


def the(data: object) -> SessionRecord:
    record = from_map(data)
    assert isinstance(record, SessionRecord)
    return record


# ---- records --------------------------------------------------------------------------------------------------------

terms = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
data = st.dictionaries(st.text(max_size=8), terms, max_size=4)
members = st.fixed_dictionaries({"id": st.sampled_from("abc"), "start": st.just("m:f"), "args": st.lists(terms, max_size=2)})
groups = st.fixed_dictionaries({
    "members": st.lists(members, max_size=3, unique_by=lambda member: member["id"]),
    "strategy": st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
})  # fmt: skip


@given(data, data, st.none() | groups, st.sampled_from(["message", "checkpoint", "none"]), st.floats(1, 1e12))
def test_acceptance_86_a_record_is_a_map_and_back_an_equal_record(config, metadata, group, durability, at) -> None:
    config = {key: value for key, value in config.items() if key not in ("provider", "model", "temperature", "max_tokens")}
    fields = {"config": config, "metadata": metadata, "group": group, "durability": durability, "updated_at": at + 5.0}
    record = the({**COMPLETE, **fields})
    assert the(to_map(record)) == record
    assert the(msgspec.msgpack.decode(msgspec.msgpack.encode(to_map(record)))) == record


@pytest.mark.parametrize("missing", ["id", "name", "project", "created_at", "updated_at"])
def test_acceptance_86_a_missing_field_is_named(missing: str) -> None:
    assert from_map({key: value for key, value in COMPLETE.items() if key != missing}) == ("missing_field", missing)


def test_acceptance_86_several_missing_fields_are_all_named() -> None:
    assert from_map({"id": uuid(1), "project": COMPLETE["project"]}) == ("missing_fields", ["name", "created_at", "updated_at"])
    assert from_map({}) == ("missing_fields", ["id", "name", "project", "created_at", "updated_at"])


@pytest.mark.parametrize("thing", [None, 7, "text", [1], {1: 2}, b""])
def test_acceptance_86_what_is_no_map_is_no_record(thing: object) -> None:
    assert from_map(thing) == ("not_a_map", None)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("id", "", "empty_field"), ("project", {}, "empty_field"), ("module", "", "empty_field"), ("durability", "", "empty_field"),
     ("name", "", "invalid_name"), ("name", ["a"], "invalid_name"), ("name", "n" * 51, "name_too_long"),
     ("id", 7, "invalid_id"), ("id", "A" + uuid(1)[1:], "invalid_id"), ("id", uuid(1).replace("-4", "-1"), "invalid_id"),
     ("created_at", 7.0, "invalid_timestamp"), ("created_at", 0.0, "invalid_timestamp"), ("created_at", "now", "invalid_field"),
     ("updated_at", float("inf"), "invalid_timestamp"), ("module", "m", "invalid_field"), ("module", "m:f.g", "invalid_field"),
     ("config", [], "invalid_config"), ("config", {"temperature": 3}, "invalid_temperature"),
     ("config", {"temperature": True}, "invalid_temperature"), ("config", {"max_tokens": 0, "model": ""}, "invalid_config"),
     ("project", {"path": "/p"}, "invalid_field"), ("metadata", "text", "invalid_field"), ("group", 7, "invalid_field"),
     ("limits", {"messages": "many"}, "invalid_field"), ("limits", {"x": 0}, "invalid_field"),
     ("policy", {"restart": "always"}, "invalid_field"), ("policy", {"colour": 1}, "invalid_field"),
     ("policy", {"intensity": -1}, "invalid_field"), ("policy", {"idle_timeout_s": -1.0}, "invalid_field"),
     ("durability", "some", "invalid_field"), ("colour", 1, "invalid_field"),
     ("metadata", {"long": "x" * MAX_RECORD_BYTES}, "value_too_long")],
)  # fmt: skip
def test_acceptance_86_what_is_wrong_with_a_field_has_its_code(field: str, value: object, code: str) -> None:
    refusal = from_map({**COMPLETE, field: value})
    assert isinstance(refusal, tuple)
    assert refusal[0] == code


@given(st.dictionaries(st.sampled_from([*SessionRecord.__struct_fields__, "else"]), terms))
def test_acceptance_86_no_map_raises(fields: dict[str, Any]) -> None:
    found = from_map({**COMPLETE, **fields})
    if isinstance(found, tuple):
        assert found[0] in CODES


def test_a_map_that_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert from_map({**COMPLETE, "metadata": {"deep": deep}}) == ("invalid_field", "metadata: nested deeper than 32")


def test_the_process_of_a_session_has_its_id_as_its_name_and_its_record_as_its_argument() -> None:
    policy = {"restart": "permanent", "shutdown_s": 1.0, "busy_timeout_s": 2.0, "start_timeout_s": 3.0}
    record = the({**COMPLETE, "policy": policy})
    spec = child_spec(record)
    process = spec.process
    assert (spec.id, spec.restart, spec.shutdown_s, spec.intensity, spec.period_s) == (uuid(1), "permanent", 1.0, 3, 5.0)
    assert (process.start, process.args, process.name, process.trap_exit) == ("m:ok", [to_map(record)], uuid(1), True)
    assert (process.busy_timeout_s, process.init_timeout_s) == (2.0, 3.0)


# ---- states ---------------------------------------------------------------------------------------------------------

PATH = [("initializing", "ready", "active"), ("active", "rest", "idle"), ("idle", "act", "active"),
        ("active", "stop", "terminating"), ("terminating", "gone", "terminated")]  # fmt: skip


def test_acceptance_83_the_ordinary_path_is_legal() -> None:
    assert [next_status(status, happening) for status, happening, _ in PATH] == [after for _, _, after in PATH]  # type: ignore[arg-type]


LEGAL = {  # as the issue and acceptance 83 have it: what may follow, whatever happens
    "initializing": {"active", "failed", "terminating"},
    "active": {"idle", "suspended", "unresponsive", "restarting", "failed", "terminating"},
    "idle": {"active", "suspended", "unresponsive", "restarting", "failed", "terminating"},
    "suspended": {"restarting", "terminating"},
    "unresponsive": {"active", "suspended", "restarting", "failed", "terminating"},
    "restarting": {"active", "suspended", "failed", "terminating"},
    "terminating": {"terminating", "terminated"},
    "terminated": set(),
    "failed": {"restarting", "gave_up", "terminating", "terminated"},
    "gave_up": {"restarting", "terminating"},
}


@pytest.mark.parametrize("status", STATUSES)
def test_acceptance_83_84_from_each_state_only_these_follow(status) -> None:
    assert {next_status(status, happening) for happening in HAPPENINGS} - {None} == LEGAL[status]


@pytest.mark.parametrize("status", STATUSES)
def test_acceptance_83_84_each_state_allows_what_the_table_says_and_nothing_else(status) -> None:
    allowed = {happening: next_status(status, happening) for happening in HAPPENINGS}
    assert {key: value for key, value in allowed.items() if value} == {
        happening: after for (before, happening), after in TRANSITIONS.items() if before == status}  # fmt: skip
    assert (allowed["crash"] is not None) == (status not in WITHOUT_CRASH)
    if status == "terminated":
        assert set(allowed.values()) == {None}


def test_every_state_can_be_reached_and_left_towards_the_end() -> None:
    edges = {(before, after) for (before, _), after in TRANSITIONS.items()}
    assert reached({"initializing"}, edges) == set(STATUSES)
    assert reached({"terminated"}, {(after, before) for before, after in edges}) == set(STATUSES)


def reached(found: set[str], edges: set[tuple[Any, Any]]) -> set[str]:
    while new := {after for before, after in edges if before in found} - found:
        found |= new
    return found


# ---- targets --------------------------------------------------------------------------------------------------------

LISTED = [Named(uuid(number), name) for number, name in enumerate(["web", "Web", "api", "apidocs", "2", "x y"], 0xA0)]
TEN = [Named(uuid(number), f"n{number}") for number in range(0xB0, 0xBB)]


@pytest.mark.parametrize(
    ("target", "place"),
    [("1", 0), ("6", 5), ("2", 1), (uuid(0xA2), 2), (uuid(0xA2).upper(), 2), ("WEB", 0), ("api", 2), ("apid", 3), (" x", 5),
     ("x Y", 5), ("", None), ("  ", None), ("7", None), ("nobody", None), ("99999", None)],
)  # fmt: skip
def test_acceptance_26_place_id_name_or_prefix(target: str, place: int | None) -> None:
    assert resolve(target, LISTED) == (None if place is None else LISTED[place].id)


def test_acceptance_26_zero_is_the_tenth_and_a_prefix_of_several_names_them() -> None:
    assert (resolve("0", TEN), resolve("11", TEN), resolve("0011", TEN), resolve("00011", TEN)) == (
        uuid(0xB9), uuid(0xBA), uuid(0xBA), None)  # fmt: skip
    assert resolve("n17", TEN) == Ambiguous([f"n{number}" for number in range(0xB0, 0xB4)])
    assert resolve("ap", LISTED) == Ambiguous(["api", "apidocs"])
    assert resolve("we", LISTED) == Ambiguous(["web", "Web"])


def test_a_page_of_sessions_ends_at_its_limit_or_size_and_names_the_place_behind_which_it_goes_on() -> None:
    records = [the({**COMPLETE, "id": uuid(number), "metadata": {"m": "x" * 6000}}) for number in range(1, 6)]
    slots = [Slot(number, record, status="active") for number, record in enumerate(records, 1)]
    pages = [page(slots, limit) for limit in (2, 5)]
    assert [(one["sessions"], one["next"]) for one in pages] == [  # of 6 KB the third passes 16 KiB
        ([slot.row() for slot in slots[:2]], [5.0, 2]), ([slot.row() for slot in slots[:3]], [5.0, 3])]  # fmt: skip
    for slot in slots:
        slot.reason = {"error": "x" * (8192 - len(encoder.encode(slot.row())) - 9)}
    assert {len(encoder.encode(slot.row())) for slot in slots} == {8192}
    assert page(slots, 5)["next"] == [5.0, 3]  # two are 16 KiB, and the third is what passes them
    assert page(slots[3:], 5) == {"sessions": [slot.row() for slot in slots[3:]], "next": None}


def test_a_record_has_so_many_bytes_and_not_one_more() -> None:
    room = MAX_RECORD_BYTES - len(encoder.encode(the({**COMPLETE, "metadata": {"m": "x" * 1000}}))) + 1000
    assert the({**COMPLETE, "metadata": {"m": "x" * room}}).metadata == {"m": "x" * room}
    assert from_map({**COMPLETE, "metadata": {"m": "x" * (room + 1)}}) == (
        "value_too_long", f"{MAX_RECORD_BYTES + 1} bytes, at most {MAX_RECORD_BYTES}")  # fmt: skip


def test_a_session_may_be_of_the_first_second_there_was() -> None:
    assert isinstance(from_map({**draft(1), "created_at": 0.5, "updated_at": 0.5}), SessionRecord)
    assert from_map({**draft(1), "created_at": 0.0, "updated_at": 0.5}) == ("invalid_timestamp", None)


def test_a_session_may_rest_for_half_a_second_or_for_ever() -> None:
    assert [the({**COMPLETE, "policy": {"idle_timeout_s": idle_s}}).policy.idle_timeout_s for idle_s in (0.0, 0.5)] == [0.0, 0.5]


def test_acceptance_26_an_id_goes_before_the_name_of_an_older_one() -> None:
    assert resolve(uuid(2), [Named(uuid(1), uuid(2)), Named(uuid(2), "x")]) == uuid(2)
