"""Actors that ask their process for what cannot be, and tell what became of it: the same mistakes with and without a loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from actorcore.errors import CallFailed, RequestError
from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From
from actorcore.pids import Pid

MISTAKES: dict[str, Callable[[Any], Any]] = {
    "a serial for a pid": lambda process: process.call(5, 1),
    "nobody to cast to": lambda process: process.cast(None, 1),
    "two to send to": lambda process: process.send(["a", "b"], 1),
    "a call with an object": lambda process: process.call(boss(process), object()),
    "a cast with a number that is too large": lambda process: process.cast(boss(process), 1 << 64),
    "a message to itself that is none": lambda process: process.send(process.self_pid, object()),
    "a reply to nobody": lambda process: process.reply(5, 1),
    "a refusal of nobody": lambda process: process.reply_error(None, "busy"),
    "a refusal with a number": lambda process: process.reply_error(From(boss(process), 1 << 40), 5),
    "an exit of a serial": lambda process: process.exit(5, "shutdown"),
    "an exit of a name": lambda process: process.exit("somebody", "shutdown"),
    "an exit with a number": lambda process: process.exit(boss(process), 5),
    "an exit with an object": lambda process: process.exit(boss(process), {"why": object()}),
    "a stop of a serial": lambda process: process.stop(5),
    "a stop with a number": lambda process: process.stop(boss(process), 5),
    "a link to a serial": lambda process: process.link(5),
    "a link to a name": lambda process: process.link("somebody"),
    "an end of no link": lambda process: process.unlink(None),
    "a monitor of a serial": lambda process: process.monitor(5),
    "an end of no monitor": lambda process: process.demonitor("ref"),
    "a flag that is none": lambda process: process.trap_exit("yes"),
    "a name that is none": lambda process: process.register(5),
    "a name for a serial": lambda process: process.register("mistaken", 5),
    "a value that is none": lambda process: process.register("mistaken", None, object()),
    "names without holders": lambda process: process.register_many(["mistaken"]),
    "an end of no name": lambda process: process.unregister(5),
    "a look-up of a number": lambda process: process.whereis(5),
    "a look-up of the value of a number": lambda process: process.lookup(5),
    "a life of a serial": lambda process: process.is_alive(5),
    "a state of a serial": lambda process: process.sys.get_state(5),
    "a start that is none": lambda process: process.spawn(5),
    "a start with a text for arguments": lambda process: process.spawn_link("nowhere:X", "args"),
    "a start with an unknown field": lambda process: process.spawn_monitor("nowhere:X", color="red"),
    "a call of itself": lambda process: process.call(process.self_pid, 1),
    "a stop of itself": lambda process: process.stop(process.self_pid),
    "a stop of nobody": lambda process: process.stop("nobody"),
    "a message to nobody": lambda process: process.send("nobody", 1),
    "a cast to nobody": lambda process: process.cast("nobody", 1),
    "a call for no number of seconds": lambda process: process.call("ada", ["lookup", "nobody"], math.nan),
    "a question for no number of seconds": lambda process: process.call("system:node", ["status"], math.nan),
    "a stop for no number of seconds": lambda process: process.stop(boss(process), "normal", math.nan),
    "a call for ever": lambda process: process.call("ada", ["lookup", "nobody"], math.inf),
    "a call for ages": lambda process: process.call("ada", ["lookup", "nobody"], 1e300),
    "a question for ever": lambda process: process.call("system:limiter", ["reset", "save", "nobody"], math.inf),
    "a question for ages": lambda process: process.call("system:limiter", ["reset", "save", "nobody"], 1e300),
}


def boss(process: Any) -> Pid:
    """Who has started it, by its first argument."""
    found = process.begin.spec.args[0]
    assert isinstance(found, Pid)
    return found


class Mistaken(GenServer):
    """Is told the name of a mistake, and makes it."""

    def handle_call(self, request: object, frm: From) -> Reply:
        try:
            return Reply(["done", MISTAKES[str(request)](self.process)])
        except RequestError as error:
            return Reply(["refused", error.code])
        except CallFailed as error:
            return Reply(["failed", error.reason])


class MistakenInLoop(GenServer):
    """The same."""

    async def handle_call(self, request: object, frm: From) -> Reply:
        try:
            done = MISTAKES[str(request)](self.process)
            return Reply(["done", await done if isawaitable(done) else done])
        except RequestError as error:
            return Reply(["refused", error.code])
        except CallFailed as error:
            return Reply(["failed", error.reason])
