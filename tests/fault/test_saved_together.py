"""F16': saving, resuming and deleting one session at the same time, from a hundred clients."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, RequestError
from supervisors.client import Client
from supervisors.clients import manager_steps, saved_steps, steps
from supervisors.own_names import MANAGER
from supervisors.persistence.store_words import GetSaved
from supervisors.session.requests import GetMessages, Save, SendMessage
from supervisors.session.words import CreateSession, ResumeSession
from tests.daemon_fixture import WAIT_S, Daemon, Desk

CLIENTS = 100
Deed = Callable[[Client], object]


def outcomes(daemon: Daemon, deeds: list[tuple[str, Deed]]) -> Counter[tuple[str, str]]:
    """What came of all ``deeds``, each by a client of its own, begun at one moment: ``done`` or a code."""
    found: Counter[tuple[str, str]] = Counter()
    gate = threading.Barrier(len(deeds))

    def one(name: str, deed: Deed, client: Client) -> None:
        gate.wait()
        try:
            told = "done" if deed(client) is not False else "not_found"
        except RequestError as error:
            told = error.code
        except CallFailed as error:
            told = str(error.reason)
        found[name, told] += 1

    with ExitStack() as stack:
        clients = [stack.enter_context(Client.connect(daemon.directory, WAIT_S)) for _ in deeds]
        threads = [threading.Thread(target=one, args=(*deed, client)) for deed, client in zip(deeds, clients, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def saved_one(desk: Desk, tmp_path: Path) -> str:
    """The id of a session that remembers a message."""
    (tmp_path / "project").mkdir()
    id = str(desk.client.manager.create(str(tmp_path / "project"))["id"])
    desk.client.call(id, SendMessage("user", "keep me"), WAIT_S)
    return id


def contents(desk: Desk, id: str) -> list[str]:
    page = desk.client.call(id, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]  # type: ignore[index,union-attr,call-overload,misc]


def test_F16_a_live_session_is_saved_a_hundred_times_at_once_while_nobody_may_resume_or_delete_it(
    desk: Desk, tmp_path: Path
) -> None:
    id = saved_one(desk, tmp_path)
    save: Deed = lambda client: client.call(id, Save(), WAIT_S)  # noqa: E731
    deeds = [
        *[("save", save)] * 75, *[("delete", lambda client: client.saved.delete(id))] * 20,
        *[("resume", lambda client: client.manager.resume(id))] * 5,
    ]  # fmt: skip
    found = outcomes(desk.daemon, deeds)
    assert found == {("save", "done"): 75, ("delete", "running"): 20, ("resume", "session_exists"): 5}
    assert contents(desk, id) == ["keep me"]
    desk.client.manager.stop(id)
    assert desk.client.saved.delete(id) is True


def test_F16_of_resumes_and_deletions_at_once_one_wins_and_the_session_is_whole_or_gone(desk: Desk, tmp_path: Path) -> None:
    id = saved_one(desk, tmp_path)
    desk.client.manager.stop(id)
    deeds = [
        *[("resume", lambda client: client.manager.resume(id))] * 5,
        *[("delete", lambda client: client.saved.delete(id))] * 95,
    ]  # fmt: skip
    found = outcomes(desk.daemon, deeds)
    if found["resume", "done"]:
        lost = sum(found["resume", code] for code in ("session_exists", "project_already_open"))
        assert (found["resume", "done"], lost, found["delete", "running"]) == (1, 4, 95)
        assert contents(desk, id) == ["keep me"]
        desk.client.manager.stop(id)
        assert desk.client.saved.delete(id) is True
    else:
        late = sum(found["resume", code] for code in ("not_found", "not_permitted"))
        assert (found["delete", "done"], found["delete", "not_found"], late) == (1, 94, 5)
    assert [row["id"] for row in desk.client.manager.list()] == []
    assert [line.id for line in desk.client.saved.list()] == []


def test_F16_what_was_deleted_after_it_was_read_to_be_resumed_does_not_come_back_empty(desk: Desk, tmp_path: Path) -> None:
    """The order in which the race above goes wrong, step by step."""
    id = saved_one(desk, tmp_path)
    desk.client.manager.stop(id)
    core, run = desk.client._core, desk.client._driver.run
    run(steps.ask(core, MANAGER, ResumeSession(id)))
    draft = manager_steps.draft_of(run(saved_steps.store(core, GetSaved(id))))
    assert desk.client.saved.delete(id) is True
    with pytest.raises(RequestError) as caught:
        run(steps.ask(core, MANAGER, CreateSession(draft, True)))
    assert (caught.value.code, caught.value.detail) == ("not_permitted", "ask to resume it first")
    with pytest.raises(RequestError) as caught:
        desk.client.manager.resume(id)
    assert caught.value.code == "not_found"
