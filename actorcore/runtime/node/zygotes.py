"""The node's side of the zygotes: orders to fork, which of them reached nobody, and which zygote owes a child for too long."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable

from actorcore.effects import Fork
from actorcore.guardian_words import ForkAlone, ForkOrder, ReplaceZygote, encoder, fork_refused
from actorcore.process_table import ProcessTable
from actorcore.runtime import sockets
from actorcore.runtime.evidence import errno_name
from actorcore.runtime.node.sources import Sources
from actorcore.runtime.node.telling import tell
from actorcore.signals import Event, ForkFailed

SILENCE_S = 2.0
"""A zygote that owes children and has brought none for so long is to be replaced."""


class Zygotes:
    """The ``guardian`` starts them and hands out their sockets. ``commit`` feeds an event to the kernel of which ``table`` is a
    part; ``fork_again`` repeats an order, with a new socket for the child, unless somebody has that of the first.
    """

    def __init__(
        self, guardian: socket.socket, sources: Sources, table: ProcessTable, commit: Callable[[Event], None],
        fork_again: Callable[[Fork], None],
    ) -> None:  # fmt: skip
        self._guardian = guardian
        self._sources = sources
        self._table = table
        self._commit = commit
        self._fork_again = fork_again
        self._sockets: dict[str, socket.socket] = {}
        self._full: set[str] = set()
        """Templates whose zygote takes no more orders now."""
        self._owed: dict[str, dict[int, float]] = {}
        self._template_of: dict[int, str] = {}
        self._heard_s: dict[str, float] = {}

    # ---- orders ---------------------------------------------------------------------------------------------------

    def order(self, fork: Fork, child_end: socket.socket, now_s: float) -> None:
        """Order one child. Without a zygote, or with a full one, nobody holds ``child_end`` then: it is to be ordered again.

        :raises OSError: no descriptors for the zygote of a child that has one alone.
        """
        if fork.alone:
            return self._order_alone(fork, child_end)
        self._template_of[fork.serial] = fork.template
        self._owed.setdefault(fork.template, {})[fork.serial] = now_s
        zygote = self._sockets.get(fork.template)
        if zygote is None:
            self._want(fork.template)
            return None
        data = encoder.encode(ForkOrder(fork.serial, fork.page, fork.blank))
        with contextlib.suppress(sockets.PeerGone):
            if not sockets.send(zygote, data, (child_end.fileno(),)):
                self._full.add(fork.template)  # it imports for long: nobody else waits for that
        return None

    def _order_alone(self, fork: Fork, child_end: socket.socket) -> None:
        ours, theirs = sockets.pair()
        with ours, theirs:
            sockets.send(ours, encoder.encode(ForkOrder(fork.serial, fork.page)), (child_end.fileno(),))
            tell(self._guardian, ForkAlone(fork.template, fork.serial), (theirs.fileno(),))

    def order_again(self, serial: int) -> None:
        """The order may have reached nobody. Without a zygote, or with a full one, it is made again when that has changed."""
        row = self._table.row(serial)
        if row is None:
            return
        if row.isolation == "fork" and row.template not in self._sockets:
            self._want(row.template)
        elif row.isolation == "fork" and row.template in self._full:
            self._sources.want_writable(self._sockets[row.template].fileno())
        else:
            self._fork_again(Fork(serial, row.template, row.page, not row.start, row.isolation == "exec"))

    def order_all_again(self, template: str) -> None:
        """Its zygote takes orders: those that have reached none are made again."""
        self._full.discard(template)
        for row in self._table.rows(0, 1 << 30):
            if row.phase == "forking" and row.template == template:
                self.order_again(row.serial)

    def settled(self, serial: int, now_s: float) -> None:
        """The child has come, or will not."""
        template = self._template_of.pop(serial, None)
        if template is not None:
            del self._owed[template][serial]
            self._heard_s[template] = now_s

    # ---- zygotes --------------------------------------------------------------------------------------------------

    def keep(self, template: str, sock: socket.socket) -> None:
        """The zygote of ``template`` from now on."""
        old = self._sockets.get(template)
        if old is not None:
            self._sources.remove(old.fileno())
            old.close()
        self._sockets[template] = sock
        self._sources.add(sock.fileno(), lambda mask: self._hear(template, sock, mask))

    def wish(self, template: str) -> None:
        """Have a zygote of ``template`` soon, if there is none."""
        if template not in self._sockets:
            self._want(template)

    def renew(self, template: str) -> None:
        """From now on no child comes from its zygote of today: orders wait for the one that follows."""
        if self._sockets.pop(template, None) is not None:
            self._want(template)

    def replace_silent(self, now_s: float) -> None:
        """Ask for another zygote where one owes children and is silent; again after as long."""
        for template, owed in self._owed.items():
            if not owed:
                continue
            since_s = max(self._heard_s.get(template, 0.0), next(iter(owed.values())))
            if now_s - since_s > SILENCE_S:
                self._heard_s[template] = now_s
                self._want(template)

    def _want(self, template: str) -> None:
        tell(self._guardian, ReplaceZygote(template))

    def _hear(self, template: str, sock: socket.socket, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._sources.want_writable(sock.fileno(), False)
            self.order_all_again(template)
        try:
            while (data := sockets.peek_data(sock)) is not None:
                refused = fork_refused.decode(data)
                self._commit(ForkFailed(refused.serial, errno_name(refused.errno)))
                sockets.consume(sock)
        except sockets.PeerGone:
            self._sources.remove(sock.fileno())
            if self._sockets.get(template) is sock:
                del self._sockets[template]
            sock.close()
