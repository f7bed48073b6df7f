"""The node's side of the zygotes: the orders to fork, and which zygote owes a child for too long."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from actorcore.effects import Fork
from actorcore.guardian_words import ForkAlone, ForkOrder, ReplaceZygote, ToGuardian, encoder
from actorcore.runtime import sockets

SILENCE_S = 2.0
"""A zygote that owes children and has brought none for so long is to be replaced."""


class ForkOrders:
    """``tell`` says a word to the guardian, which has the zygotes."""

    def __init__(self, tell: Callable[[ToGuardian, tuple[int, ...]], None]) -> None:
        self._tell = tell
        self.zygotes: dict[str, socket.socket] = {}
        self.full: set[str] = set()
        """Templates whose zygote takes no more orders now."""
        self._owed: dict[str, dict[int, float]] = {}
        self._template_of: dict[int, str] = {}
        self._heard_s: dict[str, float] = {}

    def order(self, fork: Fork, child_end: socket.socket, now_s: float) -> None:
        """Order one child. Without a zygote, or with a full one, nobody holds ``child_end`` then: it is to be ordered again.

        :raises OSError: no descriptors for the zygote of a child that has one alone.
        """
        if fork.alone:
            return self._order_alone(fork, child_end)
        self._template_of[fork.serial] = fork.template
        self._owed.setdefault(fork.template, {})[fork.serial] = now_s
        zygote = self.zygotes.get(fork.template)
        if zygote is None:
            self._want(fork.template)
            return None
        data = encoder.encode(ForkOrder(fork.serial, fork.page, fork.blank))
        with contextlib.suppress(sockets.PeerGone):
            if not sockets.send(zygote, data, (child_end.fileno(),)):
                self.full.add(fork.template)  # it imports for long: nobody else waits for that
        return None

    def _order_alone(self, fork: Fork, child_end: socket.socket) -> None:
        ours, theirs = sockets.pair()
        with ours, theirs:
            sockets.send(ours, encoder.encode(ForkOrder(fork.serial, fork.page)), (child_end.fileno(),))
            self._tell(ForkAlone(fork.template, fork.serial), (theirs.fileno(),))

    def _want(self, template: str) -> None:
        self._tell(ReplaceZygote(template), ())

    def wish(self, template: str) -> None:
        """Have a zygote of ``template`` soon, if there is none."""
        if template not in self.zygotes:
            self._want(template)

    def renew(self, template: str) -> None:
        """From now on no child comes from its zygote of today: orders wait for the one that follows."""
        if self.zygotes.pop(template, None) is not None:
            self._want(template)

    def settled(self, serial: int, now_s: float) -> None:
        """The child has come, or will not."""
        template = self._template_of.pop(serial, None)
        if template is not None:
            del self._owed[template][serial]
            self._heard_s[template] = now_s

    def replace_silent(self, now_s: float) -> None:
        """Ask for another zygote where one owes children and is silent; again after as long."""
        for template, owed in self._owed.items():
            if not owed:
                continue
            since_s = max(self._heard_s.get(template, 0.0), next(iter(owed.values())))
            if now_s - since_s > SILENCE_S:
                self._heard_s[template] = now_s
                self._want(template)
