"""The process of a session: it remembers, keeps what it remembers in its journal, and answers what it is asked.

Use it as it is, or derive from it: ``handle_message`` is called for each message of a user, ``tools`` are what ``use_tool``
can call, ``handle_own`` answers requests of one's own, ``opened`` runs when everything is remembered again. What one's own code
says, it says by ``tell``: kept, counted and told to watchers as what comes from outside.

A change is written to the journal before anybody is told that it was accepted; what cannot be written is refused with the
reason, has not happened, and the session goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import msgspec

from actorcore.behaviour import is_coroutine_function
from actorcore.errors import RequestError
from actorcore.exit_reason import Reason, Term, bounded_text
from actorcore.frames import DECODE_ERRORS, encoder
from actorcore.gen_server import Continue, GenServer, Info, NoReply, Ok, Reply, Stop
from actorcore.mailbox import From, Message as MailMessage
from actorcore.runtime import clock
from actorcore.runtime.actor.process import Process
from actorcore.runtime.complain import complain
from actorcore.signals import Ask
from supervisors.own_names import MANAGER
from supervisors.persistence.journal import open_journal
from supervisors.session import requests
from supervisors.session.cache import Cache
from supervisors.session.caps import Caps, trouble_with
from supervisors.session.journal import Journal, JournalError, MemoryJournal
from supervisors.session.looks import look, look_up
from supervisors.session.memory import State, decode_state, encode_state
from supervisors.session.news import cut, news_of
from supervisors.session.project_files import files_of
from supervisors.session.records import Message, MessageAdded, Record, SessionChanged
from supervisors.session.talk import Accepted, Moment, Talk
from supervisors.session.untold import Untold

MESSAGES_AT_ONCE = 64
"""Messages that wait together are kept by one write and one sync, and then acknowledged."""
NEWS_AT_ONCE = 64
"""Events for which nobody has to wait until there is nothing else to do."""
Tool = Callable[..., Term]
_PUBLISH = object()
_CHANGES = requests.Change.__args__  # type: ignore[attr-defined]
_CACHE = requests.CacheRequest.__args__  # type: ignore[attr-defined]
_FILES = requests.FileRequest.__args__  # type: ignore[attr-defined]
_LOOKS = requests.Look.__args__  # type: ignore[attr-defined]


class SessionServer(GenServer):
    """``args``: the session's record (:mod:`supervisors.session.record`) as a map."""

    calls: ClassVar[object] = requests.SessionRequest
    casts: ClassVar[object] = requests.StreamChunk
    tools: ClassVar[Mapping[str, Tool]] = {}
    process: Process

    def __init_subclass__(cls) -> None:
        """A session answers one after the other, and keeps before it answers: nothing of it is a coroutine."""
        hooks = (cls.opened, cls.handle_message, cls.handle_own, cls.journal_of)
        if cls.is_async() or any(map(is_coroutine_function, hooks)):
            raise TypeError(f"{cls.__name__}: what waits belongs into another process of the session's group")

    # ---- for one's own ----------------------------------------------------------------------------------------------

    def opened(self, is_restored: bool) -> None:
        """The session remembers everything; ``is_restored``: there was something to remember. The starter still waits. What is
        told here is kept when this returns, and the session with it: one that ends before was never there."""

    def handle_message(self, message: Message) -> None:
        """A user's message was accepted and acknowledged. Whoever asks meanwhile waits."""

    def handle_own(self, request: object, frm: From) -> Reply | NoReply | Stop:
        """A request that is none of a session's; ``calls`` says which there are."""
        raise NotImplementedError("handle_own")

    def journal_of(self, record: dict[str, Term]) -> Journal:
        """Where the session with this record is kept.

        :raises RequestError: the store refuses it.
        """
        if record.get("durability") == "none":
            return MemoryJournal()
        return open_journal(self.process, str(record["id"]))

    def tell(self, request: requests.Change) -> Term:
        """Change the session as a request from outside would, and tell the watchers; the answer.

        :raises RequestError: as for that request.
        """
        answer = self._change(request).answer
        self._publish()
        return answer

    def stream(self, text: str) -> None:
        """A piece of the message that is streamed; ignored when none is."""
        if self.talk.streaming is not None:
            self.talk.chunk(text)
            self._news.add(("llm_stream_chunk", {"content": cut(text)}))

    def use_tool(self, name: str, **parameters: Term) -> Term:
        """Call a tool of ``tools`` with the session and these parameters; the call and what comes of it are remembered.

        :raises RequestError: there is none (``not_found``); what the tool raises is kept, and raised here.
        """
        if name not in self.tools:
            raise RequestError("not_found", "no such tool")
        id = cast(str, self.tell(requests.BeginTool(name, cast(dict[str, object], parameters))))
        try:
            result = self.tools[name](self, **parameters)
            self.tell(requests.EndTool(id, "ok", result))
        except Exception as error:
            self.tell(requests.EndTool(id, "error", bounded_text(f"{type(error).__name__}: {error}", 1000)))
            raise
        return result

    # ---- callbacks --------------------------------------------------------------------------------------------------

    def init(self, record: dict[str, Term]) -> Ok | Stop:  # type: ignore[override]
        """Be the session again: its folder is the one that was checked, and all that was kept is remembered."""
        try:
            caps = msgspec.convert(record.get("limits") or {}, Caps)
        except msgspec.ValidationError as error:
            return Stop({"invalid_field": f"limits: {error}"})
        if (trouble := trouble_with(caps)) is not None:
            return Stop({"invalid_field": f"limits.{trouble}"})
        try:
            self.files = files_of(cast(dict[str, Any], record["project"]), str(record["id"]))
            self.journal = self.journal_of(record)
            kept = self.journal.load()
            state = None if kept.state is None else decode_state(kept.state)
        except DECODE_ERRORS:
            return Stop("unsupported_version")
        except RequestError as error:
            return Stop({error.code: error.detail} if error.detail else error.code)
        self.id = str(record["id"])
        self.durability = record.get("durability", "message")
        self.talk = Talk(caps, state)
        self.talk.apply(kept.records)
        self.cache = Cache(caps.cache_entries, caps.cache_bytes)
        self._unsaved = len(kept.records)
        self._news = Untold(kept)
        if kept.crowd is not None:
            self._news.add(("save_limit_near", {"count": kept.crowd[0], "limit": kept.crowd[1]}))
        self._waiting: list[tuple[requests.SendMessage, From]] = []
        # Own code answers one message before it hears of the next; what is not synced gains nothing.
        own = type(self).handle_message is not SessionServer.handle_message
        self._is_gathering = self.durability == "message" and not own
        self._is_watched = True
        self._opening: list[Record] | None = []
        is_restored = bool(kept.records) or state is not None
        if self.state.session and self.state.session.get("created_at") != record.get("created_at"):
            with contextlib.suppress(JournalError):  # another one was saved under this id: it can be resumed, not be replaced
                self.journal.close()
            return Stop("session_exists")
        if record.get("group") is not None:
            self._ask_manager("attach", self.id)
        if _updated_at(record) >= _updated_at(self.state.session) and record != self.state.session:
            self._keep([self._record_of(record)])
        self.opened(is_restored)
        first, self._opening = self._opening, None
        try:
            if first:
                self.journal.append(first)
        except JournalError as error:
            return Stop(error.code)
        return Ok(then=Continue(_PUBLISH))

    def handle_call(self, request: object, frm: From) -> Reply | NoReply | Stop:
        """Answer, or refuse with the code of what is wrong."""
        if self._is_gathering and type(request) is requests.SendMessage:
            self._waiting.append((request, frm))
            if len(self._waiting) < MESSAGES_AT_ONCE and (self.process.mailbox.items or self.process.pump(0.0)):
                return NoReply(timeout_s=0.0)  # until there is nothing else to do
            self._keep_waiting()
            return self._told()
        self._keep_waiting()
        result = self._answer(request, frm)
        # News of earlier requests may have been put off until this one was handled.
        if self._news and isinstance(result, Reply | NoReply) and result.then is None:
            return msgspec.structs.replace(result, then=Continue(_PUBLISH))
        return result

    def _answer(self, request: object, frm: From) -> Reply | NoReply | Stop:
        try:
            if isinstance(request, _CHANGES):
                accepted = self._change(request)
                question = _question_in(accepted)
                return Reply(accepted.answer, then=None if question is None else Continue(question))
            if isinstance(request, _LOOKS):
                return Reply(look(self.state, self.talk.caps, request))
            if isinstance(request, _CACHE):
                return Reply(look_up(self.cache, request, clock.monotonic_s()))
            if isinstance(request, _FILES):
                return Reply(self._file(request))
            if isinstance(request, requests.Save):
                self._checkpoint()
                return Reply(True)
            return self.handle_own(request, frm)
        except RequestError as error:
            self.process.reply_error(frm, error.code, error.detail)
            return NoReply()

    def _keep_waiting(self) -> None:
        """Keep all messages that wait, by one write; then acknowledge each."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        decided = self.talk.decide_together([request for request, _ in waiting], self._moment())
        try:
            self._keep([record for one in decided if isinstance(one, Accepted) for record in one.records])
        except JournalError as error:
            new = [one.answer for one in decided if isinstance(one, Accepted) and one.records]
            # Also who sent one of them twice; but an older message, sent again, is still kept.
            decided = [error if isinstance(one, Accepted) and one.answer in new else one for one in decided]
        with self.process.batch() if len(waiting) > 1 else contextlib.nullcontext():
            for (_, frm), one in zip(waiting, decided, strict=True):
                if isinstance(one, Accepted):
                    self.process.reply(frm, one.answer)
                else:
                    self.process.reply_error(frm, one.code, one.detail)

    def _told(self) -> NoReply:
        """Then the news, if there are any."""
        return NoReply(then=Continue(_PUBLISH) if self._news else None)

    def handle_cast(self, request: object) -> NoReply:
        """A piece of what is streamed."""
        self._keep_waiting()
        assert isinstance(request, requests.StreamChunk)
        self.stream(request.text)
        return NoReply(then=Continue(_PUBLISH))

    def handle_continue(self, term: object) -> NoReply | None:
        """After the answer: one's own code for a user's message, then the news."""
        if isinstance(term, Message):
            self.handle_message(term)
            return NoReply(then=Continue(_PUBLISH))
        if (self.process.mailbox.items or self._waiting) and len(self._news) < NEWS_AT_ONCE:
            return NoReply(timeout_s=0.0)  # when there is nothing to do
        self._publish()
        return None

    def handle_info(self, info: Info) -> NoReply | None:
        """The manager tells a new record; or there is nothing to do, and time for what has waited, and for the news."""
        self._keep_waiting()
        if isinstance(info, MailMessage) and isinstance(info.body, dict) and isinstance(record := info.body.get("record"), dict):
            try:
                self._keep([self._record_of(record)] if self._is_newer(record) else [])
            except RequestError as error:
                complain(f"the session's new record is not kept: {error}")
        return NoReply(then=Continue(_PUBLISH)) if self._news else None

    def terminate(self, reason: Reason) -> None:
        """Save, and let go of the journal in order."""
        self._keep_waiting()
        try:
            self._checkpoint()
        except JournalError as error:
            complain(f"the session is not saved at its end: {error}")
        with contextlib.suppress(JournalError):
            self.journal.close()
        self._publish()
        self.files.close()

    # ---- inside -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """All that is remembered."""
        return self.talk.state

    def _change(self, request: requests.Change) -> Accepted:
        accepted = self.talk.decide(request, self._moment())
        self._keep(accepted.records)
        return accepted

    def _moment(self) -> Moment:
        return Moment(clock.wall_s(), _new_id)

    def _keep(self, records: list[Record]) -> None:
        """Kept first, then true.

        :raises JournalError: it is not kept, and so not true.
        """
        if not records:
            return
        # Who the session is must be known to whoever resumes it, however little it keeps of what is said.
        kept = [one for one in records if self.durability == "message" or isinstance(one, SessionChanged)]
        if self._opening is not None:
            self._opening += kept
        elif kept:
            self.journal.append(kept)
        self.talk.apply(records)
        self._unsaved += len(records)
        for record in records:
            self._news.number += self.durability == "message"  # else no successor remembers what it could tell
            if self._is_watched and (news := news_of(record, self.state)) is not None:
                self._news.add(news)
        if self._unsaved >= self.talk.caps.checkpoint_records and self._opening is None:
            with contextlib.suppress(JournalError):  # told to the watchers; the records are kept as they are
                self._checkpoint()

    def _checkpoint(self) -> None:
        self._publish()  # first: what is in no journal any more can be told by no successor
        began_at = clock.monotonic_s()
        try:
            self.journal.checkpoint(encode_state(self.state))
        except JournalError as error:
            self._news.add(("save_failed", {"code": error.code}))
            raise
        self._unsaved = 0
        count = len(self.state.conversation.messages.items)
        self._news.add(("session_saved", {"messages": count, "duration_s": clock.monotonic_s() - began_at}))

    def _is_newer(self, record: dict[str, Term]) -> bool:
        """Whether that is this session's record as it is now: anybody may send a map."""
        known = self.state.session
        same = [name for name in ("id", "created_at") if record.get(name) == known.get(name)]
        return len(same) == 2 and record.keys() >= known.keys() and _updated_at(record) >= _updated_at(known) and record != known

    def _record_of(self, record: dict[str, Term]) -> Record:
        (changed,) = self.talk.decide(requests.ChangeSession(cast(dict[str, object], record)), self._moment()).records
        return changed

    def _file(self, request: requests.FileRequest) -> Term:
        match request:
            case requests.ReadFile(path, offset, limit):
                return cast(Term, self.files.read(path, offset, limit))
            case requests.WriteFile(path, content):
                self.files.write(path, content.encode())
                return True
            case requests.ListFolder(path):
                return self.files.entries(path)

    def _publish(self) -> None:
        """Tell the manager what is new, which tells the watchers; it does not hear who is not ready, or none of its own."""
        while self._news and self._opening is None:
            if self._news.before:
                told = self._ask_manager("last_told", self.id)
                self._news.recall(told if isinstance(told, int) else None, self.state)
            else:
                self._ask_manager("publish", self.id, *self._news.take())

    def _ask_manager(self, *words: object) -> Term:
        """Its answer; None also if it has none, or this session is none of its own and need not ask again."""
        manager = self.process.whereis(MANAGER) if self._is_watched else None
        try:
            if manager is not None:
                return self.process.request(Ask(manager.serial, msgspec.Raw(encoder.encode(words))))
        except RequestError as error:
            complain(f"the manager refuses to hear of the session: {error}")
            self._is_watched = error.code not in ("not_found", "not_permitted")
        return None


def _question_in(accepted: Accepted) -> Message | None:
    """The user's message that was accepted now, if it was one."""
    for record in accepted.records:
        if isinstance(record, MessageAdded) and record.message.role == "user":
            return record.message
    return None


def _updated_at(record: dict[str, Term]) -> float:
    at = record.get("updated_at")
    return at if isinstance(at, (int, float)) else 0.0


def _new_id() -> str:
    return os.urandom(16).hex()
