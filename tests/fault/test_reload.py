"""Reload: other code takes over from the node on purpose, under running sessions; or it is refused and nothing changes.

Each daemon runs from a copy of the packages, and the tests change that copy.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore import migrations
from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.guardian_words import VERSION
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.session.record import Policy
from tests.daemon_fixture import (
    ROOT,
    WAIT_S,
    Daemon,
    await_deaths,
    comm,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
    watched,
)  # fmt: skip
from tests.session_world import project_in

RELOADS = 8
GATED = "tests.fault.talkers:Gated"
OLD = '"generation": self._state.node.generation}'


class Code:
    """The copy of the packages that a daemon runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for package in ("actorcore", "supervisors"):
            shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))

    def change(self, module: str, old: str, new: str) -> None:
        """Replace the one place where ``old`` stands."""
        path = self.root / f"{module}.py"
        text = path.read_text()
        assert text.count(old) == 1, (module, text.count(old))
        path.write_text(text.replace(old, new))

    def mark(self, colour: str) -> None:
        """From now on the node's status says so."""
        self.change("actorcore/node_desk", OLD, f'"colour": "{colour}", {OLD}')


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path / "code")


@pytest.fixture
def own(tmp_path: Path, code: Code) -> Iterator[Daemon]:
    with Daemon(tmp_path / "run", code.root) as daemon:
        daemon.bystanders()
        yield daemon


def colour(client: Client) -> tuple[Term, Term]:
    """What the code of the node says, and which generation it is."""
    status = client.node("status", WAIT_S)
    return status.get("colour"), status["generation"]


def nodes(daemon: Daemon) -> list[int]:
    """Node, spare, and what is made ready."""
    return [p for p in descendants(daemon.guardian_pid) if comm(p) == "actor-node"]


def refused(client: Client) -> str:
    with pytest.raises(RequestError) as caught:
        client.node("reload", WAIT_S)
    assert caught.value.code == "reload_failed"
    return caught.value.detail


def test_a_reload_runs_the_code_on_disk_and_nobody_notices(own: Daemon, code: Code, tmp_path: Path) -> None:
    release = tmp_path / "release"
    os.mkfifo(release)
    answers: list[Term] = []

    def wait_for_an_answer() -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            answers.append(client.call("victim", ["read", str(release)], WAIT_S))

    with desk_of(own) as desk:
        victim = desk.start("victim")
        ref, pid, own_pid = desk.client.monitor("victim"), desk.client.whereis("victim"), desk.client.pid
        before = descriptors_beyond(desk)
        caller = threading.Thread(target=wait_for_an_answer)
        caller.start()
        with open(release, "wb") as held:  # opened by both: the call is under way
            assert colour(desk.client) == (None, 1)
            code.mark("blue")
            assert desk.client.node("reload", WAIT_S)["generation"] == 2
            assert colour(desk.client) == ("blue", 2)
            held.write(b"under way")
        caller.join()
        assert answers == ["under way"]
        assert (desk.client.whereis("victim"), desk.client.pid) == (pid, own_pid)
        assert desk.signal("victim", victim, signal.SIGKILL).reason == "killed"
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        desk.await_up("victim")
        assert descriptors_beyond(desk) == before


def test_reloads_and_deaths_under_calls_lose_and_double_nothing(own: Daemon, code: Code) -> None:
    answers: list[Term] = []
    over = threading.Event()

    def keep_calling() -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            while not over.is_set():
                answers.append(client.call("counting", ["add", 1], WAIT_S))
                client.whereis("ada")

    with desk_of(own) as desk:
        counting, victim = desk.start("counting"), desk.start("victim")
        caller = threading.Thread(target=keep_calling)
        caller.start()
        try:
            code.mark("blue")
            for generation in range(2, RELOADS + 2):
                ref = desk.client.monitor("victim")
                send_signal(victim, signal.SIGSEGV)
                assert desk.client.node("reload", WAIT_S)["generation"] == generation
                assert desk.client.wait_down(ref, WAIT_S).reason == {"signal": "SIGSEGV"}
                victim = desk.await_up("victim")
        finally:
            over.set()
            caller.join()
        assert answers == list(range(1, len(answers) + 1))
        assert desk.client.call("counting", ["state", None], WAIT_S) == [counting, len(answers)]
        assert (desk.row("victim")["restarts"], colour(desk.client)) == (RELOADS, ("blue", RELOADS + 1))


def test_after_a_reload_an_accident_does_not_bring_the_old_code_back(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        code.mark("blue")
        desk.client.node("reload", WAIT_S)
        for generation in (3, 4):
            send_signal(desk.node_os_pid(), signal.SIGKILL)
            assert colour(desk.client) == ("blue", generation)


def test_two_who_ask_for_a_reload_are_both_answered(own: Daemon, code: Code) -> None:
    answers: list[Term] = []

    def reload() -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            answers.append("generation" in client.node("reload", WAIT_S))

    with desk_of(own) as desk:
        code.mark("blue")
        askers = [threading.Thread(target=reload) for _ in range(2)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert answers == [True, True]
        assert colour(desk.client)[0] == "blue"


@pytest.mark.parametrize("broken", ["this is no Python", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"])
def test_B15_code_that_dies_before_it_is_ready_is_not_used_and_who_asked_is_told(own: Daemon, code: Code, broken: str) -> None:
    with desk_of(own) as desk:
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        code.change("supervisors/tree/sessions", "MAX_SESSIONS = 1000\n", f"{broken}\n")
        assert refused(desk.client) == "the new code died before it was ready; the log tells why"
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)
        send_signal(node, signal.SIGKILL)  # the spare is not of the broken code, nor is the one after it
        assert colour(desk.client) == (None, 2)
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        assert colour(desk.client) == (None, 3)
        code.change("supervisors/tree/sessions", f"{broken}\n", "MAX_SESSIONS = 1000\n")
        code.mark("blue")
        desk.client.node("reload", WAIT_S)
        assert colour(desk.client) == ("blue", 4)


def test_B15_when_the_new_node_dies_after_taking_the_old_code_resumes_and_who_asked_is_told(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        before = descriptors_beyond(desk)
        code.change("actorcore/runtime/node/node", "        self._reconcile(left)\n", "        os.abort()\n")
        code.mark("blue")
        assert refused(desk.client) == "the new node died before it served; the log tells why"
        assert colour(desk.client) == (None, 3)
        assert descriptors_beyond(desk) == before


def test_B15_while_both_live_only_the_old_one_has_listener_and_lock_and_its_death_loses_nothing(
    own: Daemon, code: Code, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    answers: list[Term] = []

    def reload() -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            answers.append(client.node("reload", WAIT_S)["generation"])

    with desk_of(own) as desk:
        while len(known := nodes(own)) != 2:  # the spare is forked, and bears its name, some time after the daemon serves
            os.sched_yield()
        old = desk.node_os_pid()
        code.change("supervisors/tree/sessions", "MAX_SESSIONS = 1000\n", f"MAX_SESSIONS = 1000\nopen({str(gate)!r}).read()\n")
        code.mark("blue")
        asker = threading.Thread(target=reload)
        asker.start()
        with open(gate, "w"):  # opened by both: the new code is half imported
            (new,) = set(nodes(own)) - set(known)
            opened = {fd: os.readlink(f"/proc/{new}/fd/{fd}") for fd in os.listdir(f"/proc/{new}/fd")}
            assert [fd for fd, target in opened.items() if target.startswith("socket:")] == ["3"]  # to the guardian
            assert str(own.directory / "daemon.lock") not in opened.values()
            with Client.connect(own.directory, WAIT_S) as late:
                assert colour(late) == (None, 1)
            with watched([old]) as handles:
                send_signal(old, signal.SIGKILL)
                assert await_deaths(handles)
            assert colour(desk.client) == (None, 2)
        asker.join()
        assert (answers, colour(desk.client)) == ([3], ("blue", 3))


def test_B16_code_that_cannot_read_the_state_is_refused_in_clear_words_and_nothing_is_changed(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        code.change("actorcore/migrations", f"SCHEMA = {migrations.SCHEMA}\n", f"SCHEMA = {migrations.SCHEMA - 1}\n")
        code.change("actorcore/migrations", f"{{{migrations.SCHEMA - 1}: _from_{migrations.SCHEMA - 1}}}\n", "{}\n")
        was = migrations.SCHEMA - 1
        words = f"the new code reads snapshots of schema {was} to {was}, the running code writes schema {migrations.SCHEMA}"
        assert refused(desk.client) == words
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


def test_B16_code_of_the_next_schema_migrates_the_state_of_this_one(own: Daemon, code: Code) -> None:
    now = migrations.SCHEMA
    with desk_of(own) as desk:
        victim = desk.start("victim")
        code.change("actorcore/migrations", f"SCHEMA = {now}\n", f"SCHEMA = {now + 1}\n")
        table = f"{{{now - 1}: _from_{now - 1}}}\n"
        code.change("actorcore/migrations", table, f"{{{now}: lambda old: [{now + 1}, *old[1:]]}}\n")
        code.mark("blue")
        desk.client.node("reload", WAIT_S)
        assert colour(desk.client) == ("blue", 2)
        desk.signal("victim", victim, signal.SIGTERM)
        desk.await_up("victim")
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        assert (colour(desk.client), desk.row("victim")["restarts"]) == (("blue", 3), 1)


def test_B16_a_session_that_is_stopped_in_its_init_as_new_code_comes_that_asks_it_there_is_asked_and_gone(
    tmp_path: Path, code: Code
) -> None:
    """The old code waited until it was ready: the new one goes on with its state."""
    changes = [("session.was_asked = True", "session.was_asked = False"), ("EndStart(self._last_order, session.spawn, reason)",
                                                                           "CancelAlarm('')")]  # fmt: skip
    for new, old in changes:
        code.change("supervisors/tree/session_lives", new, old)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    folder = project_in(tmp_path)

    async def both(directory: Path) -> tuple[object, object]:
        async with await AsyncClient.connect(directory, WAIT_S) as client:
            create = client.manager.create(
                folder, module=GATED, metadata={"gate": str(gate)}, policy=Policy(shutdown_s="infinity")
            )
            creating = asyncio.ensure_future(create)
            await asyncio.to_thread(gate.read_bytes)  # it is not ready yet
            (id,) = await client.manager.ids()
            stopping = asyncio.ensure_future(client.manager.stop(id))
            while (await client.manager.info(id))["status"] != "terminating":
                pass
            for new, old in changes:
                code.change("supervisors/tree/session_lives", old, new)
            await client.node("reload", WAIT_S)
            with gate.open("wb"):  # it waits for that
                gate.unlink()
            return (await stopping)["reason"], (await asyncio.gather(creating, return_exceptions=True))[0]

    with Daemon(tmp_path / "run", code.root) as daemon:
        reason, answer = asyncio.run(both(daemon.directory))
        assert (reason, str(answer)) == ("shutdown", "start_failed: shutdown")


def test_B16_code_without_a_machine_that_runs_is_refused_in_words_until_it_runs_no_more(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        registry = desk.client.spawn_spec(ProcessSpec("registry", name="keys", template=RESIDENT))
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        code.change("supervisors/machines", '"registry": lambda', '"registry2": lambda')
        code.mark("blue")
        for _ in range(2):
            assert refused(desk.client) == "the new code has no machine registry, and there is one running"
        assert (desk.node_os_pid(), colour(desk.client), desk.client.whereis("keys")) == (node, (None, 1), registry)
        assert descriptors_beyond(desk) == before
        send_signal(node, signal.SIGKILL)  # nor is the spare of that code
        assert (colour(desk.client), desk.client.whereis("keys")) == ((None, 2), registry)
        desk.client.stop(registry)
        assert desk.client.node("reload", WAIT_S)["generation"] == 3
        assert colour(desk.client) == ("blue", 3)


def test_a_node_that_says_what_is_no_word_costs_the_guardian_nothing(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        code.change("actorcore/guardian_words", 'tag="ready"', 'tag="ready_to_go"')
        assert refused(desk.client) == "the new code died before it was ready; the log tells why"
        assert colour(desk.client) == (None, 1)


def test_a_template_that_the_new_code_needs_comes_with_it_and_stays_after_a_death(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        spec = ProcessSpec("supervisors.demo_actors:Counter", template="fresh")
        with pytest.raises(RequestError, match="template 'fresh': there is none of this name"):
            desk.client.spawn_spec(spec)
        table = "    Template(SUPERVISOR,"
        code.change("supervisors/configuration", table, f'    Template("fresh", ("json",), waits=True),\n{table}')
        code.mark("blue")
        desk.client.node("reload", WAIT_S)
        first = desk.client.spawn_spec(spec)
        assert desk.client.call(first, "add") == 1
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        assert colour(desk.client) == ("blue", 3)
        second = desk.client.spawn_spec(spec)
        assert desk.client.call(second, "add") == 1
        for pid in (first, second):
            desk.client.stop(pid)


def test_code_that_needs_a_new_guardian_is_refused_in_words_before_anything_is_lost(own: Daemon, code: Code) -> None:
    with desk_of(own) as desk:
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        code.change("actorcore/guardian_words", f"VERSION = {VERSION}\n", f"VERSION = {VERSION + 1}\n")
        code.mark("blue")
        assert refused(desk.client) == "the new code needs a new guardian: take the daemon down and start it again"
        assert (desk.node_os_pid(), colour(desk.client), descriptors_beyond(desk)) == (node, (None, 1), before)
