"""Messages that wait together are kept by one write and one sync; each is acknowledged after it, and in order."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.signals import ProcessSpec
from supervisors.async_client import AsyncClient
from supervisors.session.requests import GetMessages, Save, SendMessage
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of
from tests.fault.test_birth_points import Armed
from tests.session_world import SERVER, project_in, record_of

TOGETHER = 50
KEPT = {"database.written", "database.appended", "database.noted"}
"""A kill at these comes after the write, which the system still has."""


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("together")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        yield Armed(daemon, plan)


@pytest.fixture
def desk(armed: Armed) -> Iterator[Desk]:
    armed.arm()
    with desk_of(armed.daemon) as desk:
        yield desk


@pytest.fixture
def session(desk: Desk, tmp_path: Path) -> Iterator[str]:
    """One with a message in it."""
    record = record_of(project_in(tmp_path))
    process = ProcessSpec(SERVER, [record], name=record["id"], trap_exit=True)
    id = str(record["id"])
    desk.client.start_session(ChildSpec(id, process, restart="permanent", backoff_step_s=0.0, backoff_max_s=0.0))
    desk.client.call(id, SendMessage("user", "first"), WAIT_S)
    yield id
    desk.client.stop_session(id)


def at_once(desk: Desk, session: str, *requests: object) -> list[Any]:
    """What becomes of each, when the session finds all of them in its mailbox in this order."""

    async def ask() -> list[Any]:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            pid = await client.whereis(session)
            assert pid is not None
            await client.sys.suspend(pid)
            calls = [asyncio.ensure_future(client.call(pid, request, WAIT_S)) for request in requests]
            await asyncio.gather(client.sys.resume(pid), *calls, return_exceptions=True)  # it comes behind the calls
            return [call.exception() or call.result() for call in calls]

    return asyncio.run(ask())


def frames_of(desk: Desk, session: str) -> list[int]:
    """The bytes of each frame in the session's log: each was one write and one sync."""
    data = (desk.daemon.directory / "state" / "sessions" / session / "1.db-log").read_bytes()
    sizes, at = [], 0
    while (size := struct.unpack_from(">I", data, at)[0]) > 0:
        sizes.append(size)
        at += 4 + size
    return sizes


def contents(desk: Desk, session: str) -> list[str]:
    page: Any = desk.client.call(session, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]


def texts(count: int) -> list[str]:
    return [f"message {number}" for number in range(count)]


def test_messages_that_wait_together_are_one_write_and_each_has_its_number(desk: Desk, session: str) -> None:
    before = frames_of(desk, session)
    answers = at_once(desk, session, *(SendMessage("user", text) for text in texts(TOGETHER)))
    assert [answer["seq"] for answer in answers] == list(range(2, 2 + TOGETHER))
    assert contents(desk, session) == ["first", *texts(TOGETHER)]
    assert (len(before), len(frames_of(desk, session))) == (2, 3)


def test_one_that_is_refused_keeps_no_other_from_being_accepted_and_an_id_counts_once(desk: Desk, session: str) -> None:
    answers = at_once(
        desk, session, SendMessage("user", "a", id="mine"), SendMessage("robot", "b"), SendMessage("user", "a", id="mine"),
        SendMessage("user", "c"),
    )  # fmt: skip
    assert [answer.code if isinstance(answer, RequestError) else answer["seq"] for answer in answers] == [2, "unknown_role", 2, 3]
    assert answers[0] == answers[2]
    assert contents(desk, session) == ["first", "a", "c"]


def test_who_asks_behind_messages_finds_them_kept(desk: Desk, session: str) -> None:
    *_, looked, saved, last = at_once(
        desk, session, *(SendMessage("user", text) for text in texts(3)), GetMessages(), Save(), SendMessage("user", "last")
    )
    assert ([message["content"] for message in looked["items"]], saved, last["seq"]) == (["first", *texts(3)], True, 5)
    assert contents(desk, session) == ["first", *texts(3), "last"]


@pytest.mark.parametrize("point", sorted({"database.append", "database.inserted"} | KEPT))
def test_B8_acceptance_101_a_session_killed_at_such_a_write_has_all_of_it_or_nothing(
    armed: Armed, desk: Desk, session: str, point: str
) -> None:
    ref = desk.client.monitor(session)
    armed.arm(f"{point}:1:kill")
    answers = at_once(desk, session, *(SendMessage("user", text) for text in texts(10)))
    assert armed.passed().count(point) == 1
    armed.arm()
    assert [answer.reason for answer in answers if isinstance(answer, CallFailed)] == ["killed"] * 10
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    while desk.row(session)["state"] != "active":
        pass
    assert contents(desk, session) == ["first", *(texts(10) if point in KEPT else [])]


@pytest.mark.parametrize(("action", "code"), [("eio", "write_failed"), ("enospc", "path_no_space")])
@pytest.mark.parametrize("point", ["database.inserted", "database.written"])
def test_C1_C6_what_cannot_be_written_together_is_refused_to_each_and_has_not_happened(
    armed: Armed, desk: Desk, session: str, point: str, action: str, code: str
) -> None:
    known: Any = desk.client.call(session, SendMessage("user", "known", id="known"), WAIT_S)
    armed.arm(f"{point}:1:{action}")
    *answers, again = at_once(
        desk, session, *(SendMessage("user", text) for text in texts(10)), SendMessage("user", "known", id="known")
    )  # fmt: skip
    assert armed.passed().count(point) == 1
    assert [answer.code if isinstance(answer, RequestError) else answer for answer in answers] == [code] * 10
    assert again == known
    assert contents(desk, session) == ["first", "known"]
    assert [answer["seq"] for answer in at_once(desk, session, *(SendMessage("user", text) for text in texts(2)))] == [3, 4]
    assert contents(desk, session) == ["first", "known", *texts(2)]
