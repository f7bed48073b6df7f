"""Reception: what clients do becomes events of the table; who says hello learns who it is."""

from __future__ import annotations

import os
from collections.abc import Callable

from actorcore.errors import ProtocolError
from actorcore.frames import PROTOCOL_VERSION, Farewell, Got, Hello, Numbered, Uplink, Welcome
from actorcore.process_table import ProcessTable
from actorcore.runtime import evidence
from actorcore.runtime.node.sources import Sources
from actorcore.signals import Asked, ClientAttached, ClientDetached, Event, Received

_OURS = Farewell("not_permitted", "a process of this daemon asks over the socket that it was born with")
_GONE = Farewell("not_permitted", "who connected is gone")
_TOO_MANY = Farewell("resource_exhausted", "no descriptor to see who that is")


class Reception:
    """``commit`` feeds an event to the kernel of which ``table`` is a part.

    ``guardian``: its OS pid.
    """

    def __init__(
        self, instance: int, table: ProcessTable, sources: Sources, guardian: int, commit: Callable[[Event], None]
    ) -> None:
        self._instance = instance
        self._table = table
        self._sources = sources
        self._guardian = guardian
        self._commit = commit
        self._absent: dict[int, int] = {}
        """Clients whose connection died with a node, and the pidfds of their processes."""

    def expect(self, serial: int, os_pid: int) -> None:
        """The connection of client ``serial`` died with the node that had it: it may return for as long as its process lives.

        Who was given the pid since is watched in its place: an entry is kept for longer, and nobody is harmed.
        """
        try:
            pidfd = os.pidfd_open(os_pid)
        except ProcessLookupError:
            self._commit(ClientDetached(serial, True))
        except OSError:  # one of another pid namespace, or there is no descriptor: it returns soon or never
            self._commit(ClientDetached(serial, False))
        else:
            self._commit(ClientDetached(serial, False, lost=True))
            self._absent[serial] = pidfd
            self._sources.add(pidfd, lambda _: self._is_dead(serial))

    def forget(self, serial: int) -> None:
        """Client ``serial`` has returned or ended: nobody waits for it any more."""
        pidfd = self._absent.pop(serial, -1)
        if pidfd >= 0:
            self._sources.remove(pidfd)
            os.close(pidfd)

    def greet(self, hello: Hello, os_pid: int, admit: Callable[[Welcome], None]) -> Farewell | None:
        """Call ``admit`` before anything is delivered to the client, or return why it is not admitted."""
        if hello.version != PROTOCOL_VERSION:
            return Farewell("unsupported_version", f"this daemon speaks version {PROTOCOL_VERSION}")
        if hello.serial == 0:
            if (refusal := self._refusal_of(os_pid)) is not None:
                return refusal
            secret = os.urandom(16)
            self._commit(ClientAttached(0, secret, os_pid))
            admit(Welcome(PROTOCOL_VERSION, self._instance, self._table.last_client, secret))
            return None
        if not self._table.client_known(hello.serial, hello.secret):
            return Farewell("expired", "this client is not known any more")
        admit(Welcome(PROTOCOL_VERSION, self._instance, hello.serial, hello.secret))
        self.forget(hello.serial)
        self._commit(Received(hello.serial, hello.acknowledged))
        self._commit(ClientAttached(hello.serial, hello.secret, os_pid))
        return None

    def _refusal_of(self, os_pid: int) -> Farewell | None:
        """Of the processes of this daemon each may do what its spec grants: as a client it would be anybody (S5)."""
        try:
            return _OURS if evidence.descends_from(os_pid, self._guardian) else None
        except (FileNotFoundError, ProcessLookupError):
            return _GONE
        except OSError:
            return _TOO_MANY

    def hear(self, serial: int, message: Uplink) -> None:
        """Client ``serial`` said something; raises ProtocolError for what only processes say."""
        match message:
            case Numbered(number, body):
                self._commit(Asked(serial, number, body))
            case Got(seq):
                self._commit(Received(serial, seq))
            case _:
                raise ProtocolError(f"{type(message).__name__} from a client")

    def miss(self, serial: int, is_over: bool) -> None:
        """The connection of client ``serial`` has ended; ``is_over``: it cannot or may not return."""
        self._commit(ClientDetached(serial, is_over))

    def _is_dead(self, serial: int) -> None:
        self.forget(serial)
        self._commit(ClientDetached(serial, True))
