"""A session for tests of what is kept: it notes texts in its journal before it answers."""

from __future__ import annotations

import os

from actorcore.errors import RequestError
from actorcore.gen_server import GenServer, NoReply, Reply, Result
from actorcore.mailbox import From
from supervisors.persistence.journal import open_journal
from supervisors.session.records import PromptAdded, PromptsSet, SessionChanged


class Keeper(GenServer):
    """Its argument is the session's own record. ``["add", text]``, ``["texts"]``, ``["save"]``, ``["rename", name]``."""

    def init(self, *args: object) -> None:
        (self.record,) = args
        self.journal = open_journal(self.process, self.record["id"])
        kept = self.journal.load()
        self.texts = [] if kept.state is None else kept.state.decode().split("\n")
        if kept.state is None and not kept.records:
            self.journal.append([SessionChanged(self.record, 0.0)])
        for record in kept.records:
            if isinstance(record, PromptAdded):
                self.texts.append(record.text)
            elif isinstance(record, PromptsSet):
                self.texts = list(record.texts)

    def handle_call(self, request: object, frm: From) -> Result:
        verb, *rest = request
        match verb:
            case "add":
                self.journal.append([PromptAdded(rest[0], 0.0)])
                self.texts.append(rest[0])
            case "rename":
                self.record = {**self.record, "name": rest[0]}
                self.journal.append([SessionChanged(self.record, 0.0)])
            case "save":
                self.journal.checkpoint("\n".join(self.texts).encode())
            case "open":
                try:
                    open_journal(self.process, rest[0])
                except RequestError as error:
                    self.process.reply_error(frm, error.code, error.detail)
                    return NoReply()
            case "os_pid":
                return Reply(os.getpid())
        return Reply(self.texts)

    def terminate(self, reason: object) -> None:
        self.journal.checkpoint("\n".join(self.texts).encode())
        self.journal.close()
