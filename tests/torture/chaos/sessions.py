"""Acts of sessions: what was acknowledged is there, in order, however they ended and came back; each event came once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

from actorcore.errors import ActorError, CallFailed, CallTimeout, RequestError
from supervisors.own_names import STORE
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, GetTodos, GetWorking, PutWorking, SendMessage, SetTodos
from supervisors.session.state import WITH_PROCESS
from tests.torture.chaos.book import GONE, check, patience
from tests.torture.chaos.worker import WAIT_S, Worker

POLICY = Policy(intensity=1000, start_timeout_s=WAIT_S, backoff_step_s=0.0, backoff_max_s=0.0)
RESUMES_EACH, RESUMES_IN_ALL = 5, 20
"""Within a minute; more are refused (supervisors.services.rate_limit)."""


class Talk:
    """One session, what it has acknowledged, and how it may be now."""

    def __init__(self, w: Worker, id: str) -> None:
        self.w, self.id = w, id
        self.said: list[str] = []
        self.todos: list[str] = []
        self.working: dict[str, int] = {}
        self.well = w.book.mark()
        """Nobody hit it, nor the store, between its last answer and the hits from here on."""
        self.is_there = False
        self.renewed = 0

    # ---- what may go wrong ------------------------------------------------------------------------------------------

    def was_hit(self) -> bool:
        book = self.w.book
        return bool(book.hits(self.id, self.well) or book.hits(STORE, self.well) or book.blanks(self.well))

    def excuse(self, error: ActorError, what: str, *codes: str) -> None:
        """``error`` is what comes of a hit, and there was one."""
        check(self.was_hit(), what, "failed and nobody was hit:", repr(error))
        if isinstance(error, CallFailed):
            check(error.reason in ("killed", GONE), what, repr(error))
        else:
            check(isinstance(error, RequestError) and error.code in codes, what, repr(error))
            if getattr(error, "code", "") == "start_failed":
                check("killed" in str(error) or GONE in str(error), what, repr(error))

    def create(self, path: str) -> bool:
        try:
            row = self.w.c.manager.create(path, policy=POLICY, id=self.id)
        except RequestError as error:
            self.excuse(error, "create", "start_failed")
            self.w.book.unborn.append(self.id)
            return False
        check((row["id"], row["status"]) == (self.id, "active"), "create", row)
        self.is_there = True
        return True

    def status(self) -> str | None:
        """None: it is not listed."""
        try:
            return str(self.w.c.manager.info(self.id)["status"])
        except RequestError as error:
            check(error.code == "not_found", "info", error)
            return None

    def revive(self) -> bool:
        """Until it is active again; False: it cannot be resumed so often."""
        waiting = patience("revive", self.id)
        while (status := self.status()) not in WITH_PROCESS:
            next(waiting)
            if status in ("initializing", "restarting", "failed"):
                continue  # it comes by itself
            try:
                if status is None:
                    if not self.resume():
                        return False
                elif status == "suspended":
                    self.w.c.manager.wake(self.id, WAIT_S)
                else:
                    check(False, "a session is", status)
            except ActorError as error:
                self.excuse(error, "revive", "start_failed", "invalid_transition", "not_found")
        return True

    def resume(self) -> bool:
        book = self.w.book
        counted = book.resumes.count(self.id) < RESUMES_EACH and len(book.resumes) < RESUMES_IN_ALL
        book.resumes.append(self.id)
        try:
            row = self.w.c.manager.resume(self.id, WAIT_S)
        except ActorError as error:
            if isinstance(error, RequestError) and error.code == "rate_limit_exceeded":
                check(not counted or len(book.resumes) > RESUMES_IN_ALL, "resume", error, book.resumes)
                return False
            self.excuse(error, "resume", "start_failed", "process_not_alive")
            return self.resume()
        check((row["id"], row["status"]) == (self.id, "active"), "resume", row)
        return True

    def ask(self, request: object) -> Any:
        """Its answer, which it owes unless it was hit; then another of it answers."""
        for _ in patience("ask", self.id):
            try:
                return self.w.c.call(self.id, request, WAIT_S)
            except CallFailed as error:
                self.excuse(error, "ask")
                self.w.settle(self.id)
                if not self.revive():
                    raise Lost from None
        raise AssertionError  # patience has an end

    # ---- what is done -----------------------------------------------------------------------------------------------

    def say(self, chance: Random) -> None:
        content = f"{self.id[:8]} {len(self.said)}"
        seq = self.ask(SendMessage("user", content, str(uuid.UUID(int=chance.getrandbits(128), version=4))))["seq"]
        self.said.append(content)
        check(seq == len(self.said), "seq", seq, self.said)

    def put(self, chance: Random) -> None:
        key = f"k{chance.randrange(3)}"
        check(self.ask(PutWorking(key, len(self.said))) is True, "put")
        self.working[key] = len(self.said)

    def plan(self, chance: Random) -> None:
        self.todos = [f"todo {number}" for number in range(chance.randrange(3))]
        check(self.ask(SetTodos([{"content": content} for content in self.todos])) is True, "todos")

    def kill(self, chance: Random) -> None:
        found = self.w.c.whereis(self.id)
        if found is None:
            check(self.was_hit(), "nobody has the name of a session", self.id)
            return
        self.w.book.hit(found.serial, self.id, "test")
        try:
            self.w.c.kill(found, 9)
        except CallFailed as error:
            self.w.book.check_end(found.serial, error.reason, "kill")

    def change(self, what: str, right: str) -> None:
        """Suspend, wake, restart: afterwards it is as asked, or it was hit."""
        self.renewed += 1
        try:
            row = getattr(self.w.c.manager, what)(self.id, WAIT_S)
        except ActorError as error:
            self.excuse(error, what, "start_failed", "invalid_transition", "not_found", "busy")
        else:
            check(row["status"] == right or (right == "active" and self.was_hit()), what, row)

    def suspend(self, chance: Random) -> None:
        self.change("suspend", "suspended")
        if self.status() == "suspended":
            check(self.w.c.whereis(self.id) is None, "the name of a suspended session")
            self.change("wake", "active")

    def restart(self, chance: Random) -> None:
        self.change("restart", "active")

    def rename(self, chance: Random) -> None:
        name = f"name {chance.randrange(100)}"
        try:
            check(self.w.c.manager.rename(self.id, name)["name"] == name, "rename")
            check(self.w.c.manager.find("id", self.id)["name"] == name, "find")
        except RequestError as error:
            self.excuse(error, "rename", "not_found")

    def stop(self) -> None:
        """It is over when that returns."""
        self.renewed += 1
        try:
            self.w.c.manager.stop(self.id, WAIT_S)
        except RequestError as error:
            self.excuse(error, "stop", "not_found")
        check(self.w.c.whereis(self.id) is None, "the name of a stopped session", self.id)

    def travel(self, chance: Random) -> None:
        """Stopped, maybe exported, deleted and imported; and resumed."""
        self.stop()
        if chance.random() < 0.5:
            data = self.of_store("export", self.id)
            check(self.delete(), "delete of a saved session")
            check(self.of_store("import_", data) == self.id, "import")
        if not self.resume():
            raise Lost

    def of_store(self, what: str, *arguments: object) -> Any:
        """Asked again when the store was hit."""
        for _ in patience(what, self.id):
            try:
                return getattr(self.w.c.saved, what)(*arguments)
            except ActorError as error:
                if isinstance(error, RequestError) and error.code == "already_exists":
                    check(self.was_hit(), what, error)  # the one that was hit had done it
                    return self.id
                self.excuse(error, what, "start_failed", "process_not_alive")
        raise AssertionError  # patience has an end

    def delete(self) -> bool:
        mark = self.w.book.mark()
        try:
            return self.of_store("delete", self.id) is True or bool(self.w.book.hits(STORE, mark))
        except RequestError as error:
            check(error.code == "not_found" and bool(self.w.book.hits(STORE, mark)), "delete", error)
            return True

    # ---- what must be there -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """All that was acknowledged, in order, and nothing else."""
        mark = self.w.book.mark()
        check([item["content"] for item in self.ask(GetMessages())["items"]] == self.said, "messages", self.said)
        check([todo["content"] for todo in self.ask(GetTodos())] == self.todos, "todos", self.todos)
        check({key: self.ask(GetWorking(key)) for key in self.working} == self.working, "working", self.working)
        if not self.w.book.hits(self.id, mark) and not self.w.book.hits(STORE, mark):
            self.well = mark

    def check_restarts(self) -> None:
        """As many as deaths; those of a session that was stopped in between are counted anew."""
        for _ in patience("restarts", self.id):
            mark = self.w.settle(self.id)
            if not self.revive():
                raise Lost
            row = self.w.c.manager.info(self.id)
            if mark == self.w.settle(self.id):
                break
        hits = len(self.w.book.hits(self.id))
        least = hits if self.renewed == 0 else 0
        check(least <= row["restarts"] <= hits + self.w.book.blanks(), "restarts", row["restarts"], "hits", hits)


class Lost(Exception):
    """It may not be resumed again within this minute."""


class Watch:
    """What was told of a session: rising numbers, ``seq`` without a gap, each message once, in order.

    A subscription ends with the session; the next one goes on after the last event. Who is killed between writing and telling
    has not told: at most one message per death, which is told itself.
    """

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._manager = talk.w.c.manager
        self._told: list[Any] = []
        self._events = self._manager.subscribe(talk.id)

    def _next(self) -> Any:
        try:
            event = self._events.next(WAIT_S)
        except CallTimeout:
            check(False, "events missing", [(event.seq, event.type, event.data) for event in self._told], self._talk.said)
        self._told.append(event)
        if event.type == "session_terminated" and event.number > self._events.number:  # else of an earlier life
            self._events = self._manager.subscribe(self._talk.id, after=event.number)
        return event

    def _hear(self, content: str, mark: int) -> bool:
        """Whether ``content`` is told, and with it all before; no: a death since ``mark`` has swallowed it."""
        while (event := self._next()).data.get("content") != content:
            if event.type == "session_crashed" and event.data["pid"] in self._talk.w.book.hits(self._talk.id, mark):
                return False
        return True

    def check(self, chance: Random) -> None:
        """What was not told within the time is missing."""
        while True:
            mark = self._talk.w.book.mark()
            self._talk.say(chance)
            if self._hear(self._talk.said[-1], mark):
                break
        told = [(event.number, event.seq, event.type) for event in self._told]
        check([seq for _, seq, _ in told] == list(range(told[0][1], told[0][1] + len(told))), "seq", told)
        check(all(one < other for one, other in pairwise(number for number, _, _ in told)), "numbers", told)
        contents = [event.data["content"] for event in self._told if event.type == "conversation_added"]
        said = [content for content in self._talk.said if content in contents]
        deaths = sum(event.type == "session_crashed" for event in self._told)
        check(contents == said and len(self._talk.said) - len(said) <= deaths, "told", contents, "said", self._talk.said, deaths)

    def close(self) -> None:
        self._talk.w.book.step(self._talk.w.name, f"unsubscribe {self._events._subscribed}")
        self._events.close()


def conversation(w: Worker, chance: Random) -> None:
    """A session from its creation to its deletion."""
    path = w.folder / w.fresh("project")
    path.mkdir()
    talk = Talk(w, str(uuid.UUID(int=chance.getrandbits(128), version=4)))
    if not talk.create(str(path)):
        return
    deeds = [talk.say, talk.say, talk.say, talk.put, talk.plan, talk.kill, talk.suspend, talk.restart, talk.rename, talk.travel]
    watch = Watch(talk)
    try:
        for deed in chance.choices(deeds, k=chance.randrange(1, 8)):
            w.book.step(w.name, f"session {deed.__name__}")
            if talk.revive():
                deed(chance)
        talk.check()
        talk.check_restarts()
        watch.check(chance)
    except Lost:
        pass
    watch.close()
    if talk.status() is not None:
        talk.stop()
    check(talk.delete(), "delete of a stopped session", talk.id)


SESSION_ACTS: dict[str, Callable[[Worker, Random], None]] = {"conversation": conversation}
