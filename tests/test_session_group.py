"""Groups: the supervisor that a record's ``group`` describes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supervisors.session.group import MAX_MEMBER_ID
from supervisors.session.record import SERVER, SessionRecord, child_spec, from_map, to_map
from tests.manager_world import draft

AGENT = {"id": "agent", "start": "m:Agent", "args": [5]}


def record(**fields: Any) -> Any:
    return from_map({**draft(1), "created_at": 5.0, "updated_at": 6.5, **fields})


def test_the_state_is_first_under_the_session_s_id_and_members_know_the_session() -> None:
    group = {"members": [AGENT], "strategy": "rest_for_one", "intensity": 7}
    found = record(module=SERVER, group=group, policy={"shutdown_s": 9.0})
    assert isinstance(found, SessionRecord)
    spec = child_spec(found)
    (tree,) = spec.process.args
    assert (spec.restart, spec.process.start, spec.process.template) == ("permanent", "supervisor", "resident")
    assert spec.shutdown_s == "infinity"
    assert (tree["strategy"], tree["intensity"]) == ("rest_for_one", 7)  # type: ignore[index, call-overload]
    state, agent = tree["children"]  # type: ignore[index, call-overload]
    process = state["process"]
    assert (state["id"], process["start"], process["name"], state["shutdown_s"]) == ("state", SERVER, found.id, 9.0)
    assert process["args"] == [to_map(found)]
    assert (agent["id"], agent["process"]["name"], agent["process"]["args"]) == ("agent", f"{found.id}.agent", [found.id, 5])


@pytest.mark.parametrize(("group", "field"), [
    ({}, "members"), ({"members": [{"id": "a"}]}, "start"), ({"members": [AGENT, AGENT]}, "twice"), ({"members": 5}, "members"),
    ({"members": [{**AGENT, "id": "state"}]}, r"members\[0\].id"), ({"members": [{**AGENT, "id": "a" * 28}]}, r"members\[0\].id"),
    ({"members": [{**AGENT, "id": "A b"}]}, "id"), ({"members": [], "strategy": "simple_one_for_one"}, "strategy"),
    ({"members": [], "intensity": -1}, "intensity"), ({"members": [], "more": 1}, "more"),
    ({"members": [{**AGENT, "limits": {"nofile": 1}}]}, "limits"),
])  # fmt: skip
def test_what_is_no_group_is_refused_with_its_field(group: dict[str, Any], field: str) -> None:
    code, detail = record(group=group)
    assert code == "invalid_field"
    assert msgspec.json.encode(detail).startswith(b'"group: ')
    with pytest.raises(AssertionError, match=field):
        raise AssertionError(detail)


def test_a_member_s_id_has_room_in_the_name_of_its_process() -> None:
    found = record(group={"members": [{**AGENT, "id": "a" * MAX_MEMBER_ID}]})
    assert isinstance(found, SessionRecord)
    assert record(group={"members": [{**AGENT, "id": "a" * (MAX_MEMBER_ID + 1)}]})[0] == "invalid_field"


def test_a_group_that_restarts_too_often_is_no_normal_end() -> None:
    records = [record(group={"members": []}, policy={"restart": word}) for word in ("transient", "permanent", "temporary")]
    assert [child_spec(found).restart for found in records] == ["permanent", "permanent", "temporary"]
