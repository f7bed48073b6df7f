"""The blocking client: everything that a program outside the tree can do with processes and sessions.

One thread at a time may use a client. It needs no thread of its own: messages are taken in while a method waits.

>>> with Client.connect() as client:                                    # doctest: +SKIP
...     pid = client.spawn("mypackage.counter:Counter", 0, name="counter")
...     client.call("counter", {"add": 1})
1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Unpack

from actorcore.exit_reason import NORMAL, Reason, Term
from actorcore.names import NO_VALUES
from actorcore.pids import Pid
from actorcore.process_spec import spec_of
from actorcore.runtime import clock
from actorcore.signals import ProcessSpec, SpecFields
from actorcore.sys_face import Sys
from supervisors import paths
from supervisors.clients import kill, steps, tasks
from supervisors.clients.code import CodeChanged, change_code
from supervisors.clients.driver import DEFAULT_TIMEOUT_S, Driver
from supervisors.clients.manager import ManagerClient
from supervisors.clients.messages import DownMessage, Mail, Ref
from supervisors.clients.saved import SavedClient
from supervisors.clients.steps import Target
from supervisors.own_names import NODE, SESSIONS
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import GetSession, ListSessions, RestartSession, StartSession, StopSession

PAGE_ROWS = 500


class Client:
    """A connection to the daemon that outlives the death of its node.

    Methods raise CallFailed (the callee is dead; ``noconnection``: the daemon is gone), CallTimeout, or RequestError with
    the code of a refusal. A client is an entry of the process table with a Pid of its own.
    """

    def __init__(self, directory: Path) -> None:
        """Use :meth:`connect`."""
        self._driver = Driver(directory)
        self._core = self._driver.core
        self.manager = ManagerClient(self._driver)
        """The sessions that work in folders: create, list, watch, stop."""
        self.saved = SavedClient(self._driver)
        """What was saved of them."""

    @classmethod
    def connect(cls, directory: Path | str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S) -> Client:
        """Connect to the daemon of ``directory`` (None: the default one); it must be running.

        :raises CallFailed: ``noconnection``, there is none.
        :raises RequestError: it refused (``unsupported_version``, …), or the directory is not safe (``not_permitted``).
        """
        client = cls(paths.default_directory() if directory is None else Path(directory).absolute())
        try:
            client._driver.open(clock.monotonic_s() + timeout_s)
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Send what is queued (at most a second) and hang up; what this client is linked to gets EXIT ``noconnection``."""
        self._driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> Pid:
        """This client's own Pid."""
        return self._core.pid(self._core.connection.serial)

    @property
    def dropped(self) -> int:
        """How many plain messages were dropped because the mailbox was full."""
        return self._core.dropped

    @property
    def sys(self) -> Sys[Term]:
        """OTP's sys: state, suspension, statistics and code of any process with a behaviour."""
        return Sys(lambda to, request, timeout_s: self._driver.run(steps.system(self._core, to, request), timeout_s))

    # ---- processes --------------------------------------------------------------------------------------------------

    def spawn(self, start: str, *args: Term, link: bool = False, wait_init: bool = True, **spec: Unpack[SpecFields]) -> Pid:
        """Start ``start`` (``module:name``) with ``args``; ``spec`` are fields of ProcessSpec.

        With ``wait_init`` it is ready when this returns.

        :raises RequestError: ``start_failed`` with the reason or ``ignore``; ``invalid_spec``; ``already_registered``; …
        """
        return self.spawn_spec(spec_of(start, args, spec), link, wait_init)

    def spawn_spec(self, spec: ProcessSpec, link: bool = False, wait_init: bool = True) -> Pid:
        """As :meth:`spawn` with the whole spec."""
        return self._driver.run(steps.spawn(self._core, spec, link, wait_init), spec.init_timeout_s + DEFAULT_TIMEOUT_S)

    def spawn_monitor(self, spec: ProcessSpec, wait_init: bool = True) -> tuple[Pid, Ref]:
        """As :meth:`spawn_spec`, with a monitor set before the process can end, as OTP's ``spawn_monitor``."""
        timeout_s = spec.init_timeout_s + DEFAULT_TIMEOUT_S
        return self._driver.run(steps.spawn_monitor(self._core, spec, wait_init), timeout_s)

    def call(self, to: Target, request: object, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Term:
        """Ask ``to`` (a Pid, a name, or ``system:…``) and return its answer; None and infinity wait for ever, 0 does not."""
        return self._driver.run(steps.call(self._core, to, request), timeout_s)

    def run_task(self, supervisor: Target, spec: ProcessSpec, timeout_s: float = DEFAULT_TIMEOUT_S) -> Term:
        """The value of the function ``spec.start``, called with ``spec.args`` in a process of its own under ``supervisor``, a
        ``task_supervisor``. It ends with this client, and when ``timeout_s`` is over.

        :raises CallFailed: it has ended without a value.
        """
        return self._driver.run(tasks.run_task(self._core, supervisor, spec), timeout_s)

    def cast(self, to: Target, request: object) -> None:
        """Tell ``to`` without an answer; waits up to 5 s for room, then RequestError ``mailbox_full``."""
        self._driver.run(steps.cast(self._core, to, request))

    def send(self, to: Target, message: object) -> None:
        """A plain message, as OTP's ``!``; CallFailed ``noproc`` when nobody has the name."""
        self._driver.run(steps.send(self._core, to, message))

    def exit(self, to: Target, reason: Reason) -> None:
        """Send an exit signal; ``kill`` cannot be trapped."""
        self._driver.run(steps.send_exit(self._core, to, reason))

    def stop(self, to: Target, reason: Reason = NORMAL, timeout_s: float | None = None) -> None:
        """Ask the server or supervisor ``to`` to end with ``reason``, through its ``terminate``, and wait for that.

        :raises CallFailed: it ended with another reason, or there is none (``noproc``).
        :raises CallTimeout: it has not ended in time; it will.
        """
        self._driver.run(steps.stop(self._core, to, reason), timeout_s)

    def kill(self, to: Target, signum: int | None = None) -> None:
        """End ``to`` untrappably, or send its OS process the real signal ``signum`` (as an accident would).

        :raises CallFailed: ``noproc``, a real signal has nobody to go to.
        """
        self._driver.run(kill.kill(self._core, to, signum))

    def link(self, to: Target) -> None:
        """Share fate with ``to``: its abnormal end comes as an ExitMessage, ours as its exit signal."""
        self._driver.run(steps.link(self._core, to))

    def unlink(self, to: Target) -> None:
        self._driver.run(steps.unlink(self._core, to))

    def monitor(self, to: Target) -> Ref:
        """Exactly one DownMessage will come, with the true reason."""
        return self._driver.run(steps.monitor(self._core, to))

    def demonitor(self, ref: Ref) -> bool:
        """No DownMessage of ``ref`` will come, nor is one left in the mailbox. Whether the monitor still existed."""
        return self._driver.run(steps.demonitor(self._core, ref))

    def wait_down(self, ref: Ref, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> DownMessage:
        """The DownMessage of ``ref``; other messages stay in the mailbox."""
        return self._driver.run(steps.wait_down(self._core, ref), timeout_s)

    def receive(self, timeout_s: float | None = None) -> Mail:
        """The next message; CallTimeout when none has come (0: look only, None: wait for ever)."""
        return self._driver.run(steps.receive(self._core), timeout_s)

    # ---- names and tables -------------------------------------------------------------------------------------------

    def register(self, name: str, who: Pid | None = None, value: Term = None) -> None:
        """Give ``who`` (None: this client) a name; look-ups get ``value`` with it, at most 2 KiB of msgpack."""
        self._driver.run(steps.register(self._core, name, who, value))

    def register_many(self, names: Mapping[str, Pid], values: Mapping[str, Term] = NO_VALUES) -> None:
        """All of these names with their values, or none of them and an error; nobody sees some of them."""
        self._driver.run(steps.register_many(self._core, names, values))

    def unregister(self, name: str) -> None:
        self._driver.run(steps.unregister(self._core, name))

    def whereis(self, name: str) -> Pid | None:
        """Who has ``name``."""
        return self._driver.run(steps.whereis(self._core, name))

    def lookup(self, name: str) -> tuple[Pid, Term] | None:
        """Who has ``name``, and the value that it was registered with."""
        return self._driver.run(steps.lookup(self._core, name))

    def processes(self) -> Iterator[dict[str, Term]]:
        """The rows of the process table, page by page: serial, kind, name, state, os_pid, parent, template."""
        after = 0
        while rows := self._driver.run(steps.processes(self._core, after, PAGE_ROWS)):
            yield from rows
            after = max(serial for row in rows if isinstance(serial := row["serial"], int))

    def change_code(
        self, module: str, old_version: object = None, extra: object = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> CodeChanged:
        """Put the code of ``module`` that is on disk into all processes that were started from it, without a restart.

        Each keeps its Pid, links, mailbox, and the state that ``code_change`` of its class makes of the old one; where
        that raises, or the module does not load, it keeps its old code. ``timeout_s`` is for each of: suspend, change,
        resume. Processes that only import the module keep what they have imported.
        """
        return self._driver.run_phases(change_code(self._core, module, old_version, extra), timeout_s)

    # ---- sessions ---------------------------------------------------------------------------------------------------

    def start_session(self, spec: ChildSpec) -> dict[str, Term]:
        """Start a supervised session; its row when it is ready."""
        return self._ask_sessions(StartSession(spec), spec.process.init_timeout_s + DEFAULT_TIMEOUT_S)

    def stop_session(self, id: str, timeout_s: float = 30.0) -> dict[str, Term]:
        """Stop it; its last row when it is really dead."""
        return self._ask_sessions(StopSession(id), timeout_s)

    def restart_session(self, id: str, timeout_s: float = 30.0) -> dict[str, Term]:
        """Stop and start it under the same id; its row when it is ready again."""
        return self._ask_sessions(RestartSession(id), timeout_s)

    def session(self, id: str) -> dict[str, Term]:
        """Its row; RequestError ``not_found``."""
        return self._ask_sessions(GetSession(id))

    def sessions(self) -> Iterator[dict[str, Term]]:
        """The rows of all sessions in start order, page by page."""
        after: Term = 0
        while isinstance(after, int):
            page = self._ask_sessions(ListSessions(after, PAGE_ROWS))
            rows, after = page.get("sessions"), page.get("next")
            yield from (row for row in rows or [] if isinstance(row, dict)) if isinstance(rows, list) else ()

    def node(self, verb: str, timeout_s: float = 30.0) -> dict[str, Term]:
        """``status``, ``reload`` or ``down``, asked of the node itself."""
        return _row(self._driver.run(steps.ask(self._core, NODE, {"verb": verb}), timeout_s))

    # ---- waiting ----------------------------------------------------------------------------------------------------

    def _ask_sessions(self, request: object, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Term]:
        return _row(self._driver.run(steps.ask(self._core, SESSIONS, request), timeout_s))


def _row(answer: Term) -> dict[str, Term]:
    return answer if isinstance(answer, dict) else {}
