"""The processes of sessions: many at once, killed, and the caches beside them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT
from supervisors.client import Client
from supervisors.clients.messages import InfoMessage
from supervisors.session.requests import (
    AddFile,
    CacheClear,
    CacheDelete,
    CacheGet,
    CachePut,
    EndStreaming,
    GetCacheStatistics,
    GetFiles,
    GetMessages,
    GetRecord,
    GetTodos,
    ListFolder,
    ReadFile,
    Save,
    SendMessage,
    SetTodos,
    StartStreaming,
    StreamChunk,
    WriteFile,
)
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Desk, send_signal
from tests.session_world import SERVER, project_in, record_of

SENDERS = "tests.fault.talkers:sender"
HAMMER = "tests.fault.talkers:hammer"
CACHE = "supervisors.services.cache_server:CacheServer"


def start(desk: Desk, record: dict[str, Any]) -> str:
    """The id of a session with this record."""
    spec = ProcessSpec(SERVER, [record], name=record["id"], trap_exit=True)
    desk.client.start_session(ChildSpec(record["id"], spec, restart="permanent", backoff_step_s=0.0, backoff_max_s=0.0))
    desk.started.append(record["id"])
    return str(record["id"])


@pytest.fixture
def session(desk: Desk, tmp_path: Path) -> str:
    return start(desk, record_of(project_in(tmp_path)))


def ask(desk: Desk, session: str, request: object) -> Any:
    return desk.client.call(session, request, WAIT_S)


def contents(desk: Desk, session: str) -> list[str]:
    return [message["content"] for message in ask(desk, session, GetMessages())["items"]]


def code(desk: Desk, session: str, request: object) -> str:
    with pytest.raises(RequestError) as error:
        ask(desk, session, request)
    return error.value.code


def told(desk: Desk) -> Any:
    """The next plain message to the desk."""
    mail = desk.client.receive(60.0)
    assert isinstance(mail, InfoMessage), mail
    return mail.body


def end(desk: Desk, pids: list[Pid]) -> None:
    for pid in pids:
        desk.client.exit(pid, "kill")


def test_acceptance_87_a_message_to_nobody_is_told_as_such(desk: Desk) -> None:
    with pytest.raises(CallFailed, match="noproc"):
        ask(desk, "nobody", SendMessage("user", "hello"))


def test_acceptance_88_ten_thousand_messages_of_a_hundred_senders_are_there_once_in_the_order_of_their_acceptance(
    desk: Desk, tmp_path: Path
) -> None:
    session = start(desk, record_of(project_in(tmp_path), durability="checkpoint"))
    patient: Any = {"wait_init": False, "init_timeout_s": 60.0}  # a hundred are born at once
    senders = [desk.client.spawn(SENDERS, desk.name, session, mine, 100, **patient) for mine in range(100)]
    said: dict[int, str] = {}
    for _ in range(100):
        mine, numbers = told(desk)
        assert numbers == sorted(numbers)
        said.update({number: f"{mine}/{n}" for n, number in enumerate(numbers)})
    assert sorted(said) == list(range(1, 10_001))
    page = ask(desk, session, GetMessages())
    assert {message["seq"]: message["content"] for message in page["items"]} == {n: said[n] for n in range(9001, 10_001)}
    assert [message["seq"] for message in page["items"]] == list(range(9001, 10_001))
    end(desk, senders)


def test_acceptance_89_97_two_sessions_and_a_shared_cache_never_see_each_other(desk: Desk, session: str, tmp_path: Path) -> None:
    other = start(desk, record_of(project_in(tmp_path, "other")))
    shared = desk.client.spawn(CACHE, name="shared-cache")
    for who, value in ((session, 1), (other, 2), (shared, 3)):
        assert desk.client.call(who, CachePut("key", value)) is True
    for request in (SendMessage("user", "mine"), AddFile("a.py"), SetTodos([{"content": "x"}])):
        ask(desk, session, request)
    assert [desk.client.call(who, CacheGet("key")) for who in (session, other, shared)] == [["hit", 1], ["hit", 2], ["hit", 3]]
    assert desk.client.call(session, CacheDelete("key")) is True
    assert desk.client.call(shared, CacheClear()) == 1
    outcomes = [desk.client.call(who, CacheGet("key")) for who in (session, other, shared)]
    assert outcomes == [["not_found", None], ["hit", 2], ["not_found", None]]
    assert (contents(desk, other), ask(desk, other, GetFiles()), ask(desk, other, GetTodos())) == ([], [], [])
    desk.client.stop(shared)


def test_acceptance_97_a_session_s_cache_goes_with_its_process(desk: Desk, session: str) -> None:
    ask(desk, session, CachePut("key", "value"))
    ref = desk.client.monitor(session)
    desk.client.kill(session, signal.SIGKILL)
    desk.client.wait_down(ref, WAIT_S)
    desk.client.restart_session(session)
    assert ask(desk, session, CacheGet("key")) == ["not_found", None]


def test_acceptance_92_streamed_chunks_are_a_message_when_they_end_and_none_before(desk: Desk, session: str) -> None:
    ask(desk, session, StartStreaming(id="s"))
    for piece in ("one ", "two ", "three"):
        desk.client.cast(session, StreamChunk(piece))
    assert contents(desk, session) == []
    assert ask(desk, session, EndStreaming())["id"] == "s"
    assert contents(desk, session) == ["one two three"]
    assert code(desk, session, EndStreaming()) == "not_streaming"


def test_what_is_told_is_not_kept_back_by_who_only_asks(desk: Desk, tmp_path: Path) -> None:
    """A chunk and a question wait for the session at the same time: it puts the news off until there is nothing to do."""
    row = desk.client.manager.create(project_in(tmp_path))
    id = str(row["id"])
    ask(desk, id, StartStreaming())
    os_pid = next(int(str(one["os_pid"])) for one in desk.client.processes() if one["serial"] == row["serial"])
    with Client.connect(desk.daemon.directory, WAIT_S) as other, other.manager.subscribe(id) as events:
        send_signal(os_pid, signal.SIGSTOP)
        desk.client.spawn("tests.fault.talkers:streamer", desk.name, id, wait_init=False)
        assert told(desk) == "sent"
        send_signal(os_pid, signal.SIGCONT)
        while events.next(WAIT_S).type != "llm_stream_chunk":
            pass
    desk.client.manager.stop(id)


def test_acceptance_92_a_kill_in_the_middle_of_a_stream_leaves_no_half_message_and_loses_no_whole_one(
    desk: Desk, session: str
) -> None:
    ask(desk, session, SendMessage("user", "before"))
    ask(desk, session, StartStreaming())
    desk.client.cast(session, StreamChunk("half a mess"))
    ask(desk, session, GetTodos())  # and so the chunk has come
    os_pid = next(int(str(row["os_pid"])) for row in desk.client.processes() if row["name"] == session)
    assert desk.signal(session, os_pid, signal.SIGKILL).reason == "killed"
    desk.client.restart_session(session)
    assert (contents(desk, session), code(desk, session, EndStreaming())) == (["before"], "not_streaming")


def test_acceptance_99_a_session_reads_and_writes_in_its_project_only(desk: Desk, session: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not yours")
    assert ask(desk, session, WriteFile("src/a.txt", "hello\n")) is True
    assert (tmp_path / "project/src/a.txt").read_text() == "hello\n"
    assert ask(desk, session, ReadFile("src/a.txt"))["lines"] == ["hello"]
    assert ask(desk, session, ListFolder()) == [["src", "folder"]]
    (tmp_path / "project/link").symlink_to(tmp_path / "secret")
    for request in (ReadFile("../secret"), ReadFile("link"), WriteFile("../new", "x"), ListFolder("..")):
        assert code(desk, session, request) == "path_escapes_boundary"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("change", "reason"), [
    (lambda path: path.rmdir(), "project_path_not_found"), (lambda path: path.chmod(0o700), "project_path_changed"),
    (lambda path: (path.rmdir(), path.write_text("")), "project_path_not_directory"),
    (lambda path: (path.rename(path.with_name("kept")), path.mkdir()), "project_path_changed"),
])  # fmt: skip
def test_a_session_whose_project_is_not_what_it_was_does_not_start(desk: Desk, tmp_path: Path, change: Any, reason: str) -> None:
    project = project_in(tmp_path)
    record = record_of(project)
    change(project)
    with pytest.raises(RequestError, match=reason):
        desk.client.start_session(ChildSpec(record["id"], ProcessSpec(SERVER, [record], name=record["id"])))
    assert desk.client.whereis(record["id"]) is None


@pytest.mark.parametrize(("limits", "field"), [({"messages": 0}, r"limits\.messages"), ({"massages": 5}, "massages")])
def test_a_cap_that_cannot_be_is_named(desk: Desk, tmp_path: Path, limits: dict[str, int], field: str) -> None:
    record = record_of(project_in(tmp_path), limits=limits)
    with pytest.raises(RequestError, match=field):
        desk.client.start_session(ChildSpec(record["id"], ProcessSpec(SERVER, [record])))
    with pytest.raises(RequestError, match=field) as refused:
        desk.client.manager.create(record["project"]["path"], limits=limits)
    assert (refused.value.code, desk.client.manager.ids()) == ("invalid_field", [])


def test_a_session_is_told_of_its_new_record(desk: Desk, session: str) -> None:
    record = ask(desk, session, GetRecord())
    desk.client.send(session, {"record": {**record, "name": "renamed", "updated_at": 2.0}})
    assert ask(desk, session, GetRecord())["name"] == "renamed"


@pytest.mark.parametrize("request_", [["send_message"], ["send_message", "user", 5], ["nothing"], "x", None, {"a": 1}, [[[]]]])
def test_what_is_no_request_is_refused_and_the_session_goes_on(desk: Desk, session: str, request_: object) -> None:
    assert code(desk, session, request_) == "invalid_message"
    assert ask(desk, session, SendMessage("user", "x"))["seq"] == 1


def test_a_session_can_be_saved_at_any_time(desk: Desk, session: str) -> None:
    assert ask(desk, session, Save()) is True


# ---- caches ---------------------------------------------------------------------------------------------------------


def test_acceptance_170_whatever_goes_on_at_once_a_look_finds_what_was_put_or_says_why_not(desk: Desk) -> None:
    cache = desk.client.spawn(CACHE, {"max_entries": 3}, name="busy-cache")
    hammers = [desk.client.spawn(HAMMER, desk.name, "busy-cache", seed, 500, wait_init=False) for seed in range(4)]
    assert [told(desk) for _ in range(4)] == [[]] * 4
    statistics = ask(desk, "busy-cache", GetCacheStatistics())
    assert statistics["entries"] <= 3
    assert all(statistics[outcome] > 0 for outcome in ("hits", "not_found", "expired", "evicted"))
    desk.client.stop(cache)
    end(desk, hammers)


@pytest.mark.parametrize("ttl_s", [0, -1, 0.0])
def test_acceptance_171_a_ttl_of_nothing_is_refused(desk: Desk, session: str, ttl_s: float) -> None:
    assert code(desk, session, CachePut("k", 1, ttl_s)) == "invalid_ttl"


def test_acceptance_171_a_ttl_that_is_text_is_refused(desk: Desk, session: str) -> None:
    assert code(desk, session, ["cache_put", "k", 1, "soon"]) == "invalid_message"


def test_acceptance_172_two_of_a_kind_run_under_one_supervisor(desk: Desk) -> None:
    children = [
        {"id": f"{kind}-{which}", "process": {"start": start, "template": template, "name": f"{kind}-{which}"}}
        for kind, start, template in (("cache", CACHE, "lean"), ("limiter", "limiter", RESIDENT)) for which in "ab"
    ]  # fmt: skip
    tree = desk.client.spawn_spec(ProcessSpec("supervisor", [{"intensity": 3, "children": children}], template=RESIDENT))
    ask(desk, "cache-a", CachePut("k", "a"))
    assert [ask(desk, name, CacheGet("k")) for name in ("cache-a", "cache-b")] == [["hit", "a"], ["not_found", None]]
    for _ in range(10):
        assert ask(desk, "limiter-a", ["attempt", "save", "k"]) is True
    assert (code(desk, "limiter-a", ["attempt", "save", "k"]), ask(desk, "limiter-b", ["attempt", "save", "k"])) == (
        "rate_limit_exceeded", True,
    )  # fmt: skip
    desk.client.stop(tree, timeout_s=WAIT_S)


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_bytes": -1}, {"entries": 5}, {"max_entries": "many"}])
def test_a_cache_of_nothing_does_not_start(desk: Desk, options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="max_entries and max_bytes"):
        desk.client.spawn(CACHE, options)


# ---- the limiter ----------------------------------------------------------------------------------------------------

LIMITER = "system:limiter"


def test_acceptance_147_154_of_200_at_once_5_pass_and_the_others_are_told_the_seconds(desk: Desk) -> None:
    resumer = "tests.fault.talkers:resumer"
    resumers = [desk.client.spawn(resumer, desk.name, "one id", 10, wait_init=False) for _ in range(20)]
    answers = [answer for _ in range(20) for answer in told(desk)]
    assert answers.count(True) == 5
    refused = [answer.split(": ") for answer in answers if answer is not True]
    assert [code for code, _ in refused] == ["rate_limit_exceeded"] * 195
    assert all(1 <= int(wait_s) <= 60 for _, wait_s in refused)
    end(desk, resumers)


@pytest.mark.parametrize("victim", ["node", "limiter"])
def test_acceptance_152_no_death_grants_a_fresh_budget(desk: Desk, victim: str) -> None:
    key = f"killed {victim}"
    assert [ask(desk, LIMITER, ["attempt", "save", key]) for _ in range(10)] == [True] * 10
    if victim == "node":
        send_signal(desk.node_os_pid(), signal.SIGKILL)
    else:
        before = desk.client.whereis(LIMITER)
        ref = desk.client.monitor(LIMITER)
        desk.client.exit(LIMITER, "kill")
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        assert desk.client.whereis(LIMITER) != before
    assert code(desk, LIMITER, ["attempt", "save", key]) == "rate_limit_exceeded"
    assert ask(desk, LIMITER, ["attempt", "save", f"other than {key}"]) is True
