"""An actor that registers, unregisters and looks up, and notes when it asked and what it was told."""

from __future__ import annotations

import random
from time import monotonic_ns

from actorcore.errors import RequestError
from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From
from tests.linearizability import FREE, Operation, read


class Historian(GenServer):
    """A call ``[names, count, seed]`` is answered with its notes: place of the name and Operation, as lists."""

    def init(self) -> None:  # type: ignore[override]
        self.held = -1
        self.me = self.process.self_pid.serial

    def handle_call(self, request: object, frm: From) -> Reply:
        names, count, seed = request  # type: ignore[misc]
        chance, notes = random.Random(seed), []
        for _ in range(count):
            place = chance.randrange(len(names))
            called = monotonic_ns()
            if chance.random() < 0.4:
                seen = self.process.whereis(names[place])
                found = read(called, monotonic_ns(), seen and seen.serial)
            elif self.held < 0:
                found = self._register(called, names[place], place)
            else:
                place = self.held
                self.process.unregister(names[place])
                self.held, found = -1, Operation(called, monotonic_ns(), self.me, FREE)
            notes.append([place, *found])
        return Reply(notes)

    def _register(self, called: int, name: str, place: int) -> Operation:
        try:
            self.process.register(name)
        except RequestError as error:
            if error.code != "already_registered":
                raise
            return read(called, monotonic_ns(), int(error.detail))
        self.held = place
        return Operation(called, monotonic_ns(), FREE, self.me)
