"""What is asked wrongly is refused with a stable code, by a machine in the node and in a process of its own alike; nobody dies
of it, and the connection stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from actorcore.errors import CODES, CallFailed, CallTimeout, RequestError, StartFailed
from actorcore.pids import Pid
from actorcore.words import AUTO, RESIDENT, ProcessSpec
from supervisors.client import Client
from tests.daemon_fixture import WAIT_S, Desk
from tests.fault.mistaken import MISTAKES as MISTAKEN

CHILD = {"id": "c", "process": {"start": "nowhere:X"}}
SPECS: list[tuple[str, Any, str]] = [
    ("supervisor", {"strategy": "one_for_some"}, "Invalid enum value 'one_for_some' - at `$.strategy`"),
    ("supervisor", {"intensity": -1}, "intensity: must be 0 to 1000"),
    ("supervisor", {"period_s": 0}, "period_s: must be more than 0"),
    ("supervisor", {"children": [CHILD, CHILD]}, "children[1].id: c is there twice"),
    ("supervisor", {"children": [{**CHILD, "restart": "maybe"}]}, "Invalid enum value 'maybe' - at `$.children[0].restart`"),
    ("supervisor", {"children": [{**CHILD, "shutdown_s": -1}]}, "children[0].shutdown_s: must be seconds"),
    ("supervisor", {"children": [{**CHILD, "significant": True}]}, "children[0].significant: means nothing"),
    ("supervisor", {"strategy": "simple_one_for_one"}, "children: simple_one_for_one has exactly one"),
    ("dynamic_supervisor", {"max_children": -1}, "max_children: must be 0 or more"),
    ("registry", {"keys": "many"}, "Invalid enum value 'many' - at `$.keys`"),
    ("groups", {"what": 1}, "Object contains unknown field `what`"),
]
REQUESTS: list[tuple[str, Any, Any, str]] = [
    ("supervisor", {}, "no list", "invalid_message"),
    ("supervisor", {}, ["fly"], "invalid_message"),
    ("supervisor", {}, ["start_child", {}], "invalid_message"),
    ("supervisor", {}, ["start_child", {**CHILD, "significant": True}], "invalid_spec"),
    ("supervisor", {}, ["start_child", CHILD], "start_failed"),
    ("supervisor", {}, ["terminate_child", "zz"], "not_found"),
    ("supervisor", {}, ["restart_child", "zz"], "not_found"),
    ("supervisor", {}, ["delete_child", "zz"], "not_found"),
    ("supervisor", {}, ["get_childspec", "zz"], "not_found"),
    ("supervisor", {}, ["start_instance", []], "unsupported"),
    ("supervisor", {}, ["stop", 7], "invalid_message"),
    ("supervisor", {"strategy": "simple_one_for_one", "children": [CHILD]}, ["delete_child", "c"], "simple_one_for_one"),
    ("dynamic_supervisor", {"max_children": 0}, ["start_child", CHILD], "max_children"),
    ("dynamic_supervisor", {}, ["restart_child", "c"], "unsupported"),
    ("dynamic_supervisor", {}, ["terminate_child", "", 4711], "not_found"),
    ("registry", {}, ["register", ""], "invalid_key"),
    ("registry", {}, ["update_value", "zz", 1], "not_found"),
    ("registry", {}, ["dispatch", "zz", 1], "not_found"),
    ("registry", {}, ["select", [["a", "~", 1]]], "invalid_criteria"),
    ("groups", {}, ["join", "", [1]], "invalid_key"),
    ("groups", {}, ["leave", "zz", [1]], "not_joined"),
    ("groups", {}, ["members", 1], "invalid_message"),
]


def start(client: Client, kind: str, flags: Any, template: str) -> Pid:
    return client.spawn_spec(ProcessSpec(kind, [flags], template=template))


@pytest.mark.parametrize(("kind", "flags", "trouble"), SPECS)
def test_a_wrong_spec_is_refused_with_the_field_wherever_it_was_to_run(desk: Desk, kind: str, flags: Any, trouble: str) -> None:
    said = []
    for template in (RESIDENT, AUTO):
        with pytest.raises(StartFailed) as refused:
            start(desk.client, kind, flags, template)
        assert isinstance(refused.value.reason, dict)
        said.append(refused.value.reason["invalid_spec"])
    assert said[0] == said[1]
    assert trouble in str(said[0])


def test_a_wrong_request_is_refused_with_one_code_in_both_placements(desk: Desk) -> None:
    machines: dict[str, list[Pid]] = {}
    for kind, flags, request, code in REQUESTS:
        pids = machines.setdefault(f"{kind} {flags}", [])
        if not pids:
            pids += [start(desk.client, kind, flags, template) for template in (RESIDENT, AUTO)]
        said = []
        for pid in pids:
            with pytest.raises(RequestError) as refused:
                desk.client.call(pid, request, WAIT_S)
            said.append((refused.value.code, refused.value.detail))
        assert (said[0], said[0][0], code in CODES) == (said[1], code, True), request
    for pids in machines.values():
        for pid in pids:
            desk.client.stop(pid, timeout_s=WAIT_S)


MISTAKES: dict[str, Callable[[Client], object]] = {
    "a serial for a pid": lambda client: client.call(5, 1),  # type: ignore[arg-type]
    "nobody to cast to": lambda client: client.cast(None, 1),  # type: ignore[arg-type]
    "a monitor of a serial": lambda client: client.monitor(5),  # type: ignore[arg-type]
    "a link to a serial": lambda client: client.link(5),  # type: ignore[arg-type]
    "a number for a name": lambda client: client.whereis(5),  # type: ignore[arg-type]
    "a name that is none": lambda client: client.register(5),  # type: ignore[arg-type]
    "an exit with a number": lambda client: client.exit(client.pid, 5),  # type: ignore[arg-type]
    "a stop with a number": lambda client: client.stop(client.pid, 5),  # type: ignore[arg-type]
    "a stop with an object": lambda client: client.stop(client.pid, {"why": object()}),  # type: ignore[dict-item]
    "a call with an object": lambda client: client.call(client.pid, object()),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_type_is_an_invalid_message_and_costs_no_connection(desk: Desk, mistake: Callable[[Client], object]) -> None:
    with pytest.raises(RequestError) as refused:
        mistake(desk.client)
    assert refused.value.code == "invalid_message"
    assert desk.client.whereis(desk.name) == desk.client.pid


def test_a_start_of_a_wrong_type_is_an_invalid_spec_as_in_a_process(desk: Desk) -> None:
    for mistake in (lambda: desk.client.spawn(5), lambda: desk.client.spawn("m:f", colour=1)):  # type: ignore[arg-type, call-arg]
        with pytest.raises(RequestError, match=r"^invalid_spec: "):
            mistake()
    assert desk.client.whereis(desk.name) == desk.client.pid


def test_a_client_waits_for_any_number_of_seconds_but_none(desk: Desk) -> None:
    assert [desk.client.call("ada", ["lookup", "nobody"], timeout_s) for timeout_s in (None, math.inf, 1e300)] == [None] * 3
    with pytest.raises(RequestError, match=r"^invalid_field: timeout_s: nan"):
        desk.client.call("ada", ["lookup", "nobody"], math.nan)
    hung = desk.client.spawn("tests.fault.actors:stuck", busy_timeout_s=None)
    with pytest.raises(CallTimeout):
        desk.client.call(hung, 1, -1.0)
    desk.client.exit(hung, "kill")


def test_what_is_nowhere_is_noproc(desk: Desk) -> None:
    for attempt in (desk.client.call, desk.client.send):
        with pytest.raises(CallFailed) as failed:
            attempt("nobody", 1)
        assert failed.value.reason == "noproc"
    with pytest.raises(CallFailed) as failed:
        desk.client.stop("nobody")
    assert failed.value.reason == "noproc"
    desk.client.cast("nobody", 1)  # as in OTP
    assert desk.client.wait_down(desk.client.monitor("nobody"), WAIT_S).reason == "noproc"


OTHERWISE: dict[str, list[object]] = {
    "a start that is none": ["refused", "invalid_spec"],
    "a start with a text for arguments": ["refused", "invalid_spec"],
    "a start with an unknown field": ["refused", "invalid_spec"],
    "a call of itself": ["failed", "calling_self"],
    "a stop of itself": ["failed", "calling_self"],
    "a stop of nobody": ["failed", "noproc"],
    "a message to nobody": ["failed", "noproc"],
    "a cast to nobody": ["done", None],
    "a call for no number of seconds": ["refused", "invalid_field"],
    "a question for no number of seconds": ["refused", "invalid_field"],
    "a stop for no number of seconds": ["refused", "invalid_field"],
    "a call for ever": ["done", None],
    "a call for ages": ["done", None],
    "a question for ever": ["done", True],
    "a question for ages": ["done", True],
}


@pytest.mark.parametrize("kind", ["Mistaken", "MistakenInLoop"])
def test_a_wrong_type_within_an_actor_is_an_invalid_message_too_and_ends_nobody(desk: Desk, kind: str) -> None:
    actor = desk.client.spawn_spec(ProcessSpec(f"tests.fault.mistaken:{kind}", [desk.client.pid]))
    said = {mistake: desk.client.call(actor, mistake, WAIT_S) for mistake in MISTAKEN}
    assert said == {mistake: OTHERWISE.get(mistake, ["refused", "invalid_message"]) for mistake in MISTAKEN}
    desk.client.stop(actor)
