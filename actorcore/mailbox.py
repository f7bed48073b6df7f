"""The mailbox: messages in order of arrival, and the answers that someone inside a call is waiting for.

Answers do not queue behind messages: they are found by their number, which is what OTP's receive optimisation does for
``gen_server:call``. A number that nobody waits for any more is dropped, so a late reply cannot be taken for another's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.frames import Call, Cast, Info, Reply, System
from actorcore.pids import Pid

MAX_WAITING = 100_000
"""Messages; above it no channel is read except that of the callee being waited for, so senders feel back-pressure."""
MAX_WAITING_BYTES = 64 << 20
"""The same for the bytes of messages."""


class From(msgspec.Struct, frozen=True, gc=False):
    """Who waits for a reply: keep it to reply later, or from another message's handler."""

    pid: Pid
    number: int


class Message(msgspec.Struct, frozen=True):
    """A plain message (``send`` or ``cast``)."""

    frm: Pid
    body: object


class CallMessage(msgspec.Struct, frozen=True):
    """A call to a plain function process; ``Process.reply(frm, value)`` answers it."""

    frm: From
    body: object


class ExitMessage(msgspec.Struct, frozen=True, gc=False):
    """An exit signal, to a process that traps them."""

    frm: Pid
    reason: Reason


class DownMessage(msgspec.Struct, frozen=True, gc=False):
    """The one notice of monitor ``ref``."""

    ref: int
    pid: Pid
    reason: Reason


class TaskReply(msgspec.Struct, frozen=True):
    """The value of task ``ref``, which nobody was waiting for when it came."""

    ref: int
    value: object


class Timeout(msgspec.Struct, frozen=True):
    """Nothing arrived within the inactivity timeout."""


Notice: TypeAlias = Union[ExitMessage, DownMessage]
Event: TypeAlias = Union[Message, CallMessage, ExitMessage, DownMessage, TaskReply]


class Raw(msgspec.Struct, frozen=True, gc=False):
    """A message as it came: undecoded until somebody takes it out. A Reply is that of a task."""

    frm: int
    message: Call | Cast | Info | System | Reply


Item: TypeAlias = Union[Raw, Notice]


class Refusal(msgspec.Struct, frozen=True):
    """An answer that says no."""

    code: str
    detail: Term = None


class Dead(msgspec.Struct, frozen=True):
    """No answer will come: the callee is dead."""

    reason: Reason


class Waiting(msgspec.Struct, eq=False):
    """One call under way; ``outcome`` is None until it is over."""

    peer: int
    outcome: Reply | Refusal | Dead | None = None

    def settle(self, outcome: Reply | Refusal | Dead) -> None:
        """The call is over."""
        self.outcome = outcome


class Arrivals:
    """What has come about tasks that somebody waits for, and how to wake who does."""

    def __init__(self) -> None:
        self.items: deque[Raw | DownMessage] = deque()
        self.wake: Callable[[], None] | None = None

    def add(self, item: Raw | DownMessage) -> None:
        """Something has come."""
        self.items.append(item)
        if self.wake is not None:
            self.wake()


class Mailbox:
    """Pure: what waits to be handled, and who waits for what."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.aside: deque[Item] = deque()
        """What came while the process was suspended."""
        self.senders_aside: set[int] = set()
        self.bytes = 0
        self._calls: dict[int, Waiting] = {}
        self._tasks: dict[int, int] = {}
        self._diverted: dict[int, Arrivals] = {}
        self._number = 0

    def push(self, item: Item) -> None:
        self.items.append(item)

    def is_full(self) -> bool:
        """``bytes`` are those of all that has come since it was last empty; whoever fills it counts them."""
        waiting = self.waiting()
        return waiting >= MAX_WAITING or (self.bytes >= MAX_WAITING_BYTES and waiting > 0)

    def waiting(self) -> int:
        """How many messages wait, those set aside with them."""
        return len(self.items) + len(self.aside)

    def set_aside(self, item: Item) -> None:
        """It waits until the process is resumed."""
        self.aside.append(item)
        if isinstance(item, Raw):
            self.senders_aside.add(item.frm)

    def put_back(self) -> None:
        """What was set aside comes before all else."""
        self.items.extendleft(reversed(self.aside))
        self.aside.clear()
        self.senders_aside.clear()

    def push_downs(self, refs: Sequence[int], pid: Pid, reason: Reason) -> None:
        """The DOWNs of the monitors ``refs``, each for the mailbox or for who waits for that of a task."""
        downs = [DownMessage(ref, pid, reason) for ref in refs]
        if not self._tasks and not self._diverted:
            self.items.extend(downs)
            return
        for down in downs:
            self._tasks.pop(down.ref, None)
            self._pass(down.ref, down)

    def take_down(self, ref: int) -> DownMessage | None:
        """Take out the DOWN of monitor ``ref``, if it has come."""
        for items in (self.aside, self.items):
            for item in items:
                if isinstance(item, DownMessage) and item.ref == ref:
                    items.remove(item)
                    return item
        return None

    def next_number(self) -> int:
        """Of a call, a monitor, or a task, which is both."""
        self._number += 1
        return self._number

    def expect(self, waiting: Waiting) -> int:
        """Begin to wait; the number under which the answer will come."""
        self._number = number = self._number + 1
        self._calls[number] = waiting
        return number

    def oldest_awaited(self) -> int | None:
        """The peer of the call that has waited longest."""
        return next((waiting.peer for waiting in self._calls.values()), None)

    def forget(self, number: int) -> None:
        """The caller left: what comes for ``number`` from now on is late."""
        self._calls.pop(number, None)

    def settle(self, peer: int, reply: Reply) -> None:
        """An answer from ``peer``; dropped when nobody waits for it, or not from that peer."""
        waiting = self._calls.get(reply.number)
        if waiting is None:
            if self._tasks.get(reply.number) == peer:
                del self._tasks[reply.number]
                self._pass(reply.number, Raw(peer, reply))
        elif waiting.peer == peer and waiting.outcome is None:
            waiting.settle(reply)

    def fail_peer(self, peer: int, outcome: Refusal | Dead, up_to: int | None = None) -> None:
        """Every call to ``peer`` (with a number ``up_to``) that has no answer yet ends with ``outcome``."""
        for number, waiting in self._calls.items():
            if waiting.peer == peer and waiting.outcome is None and (up_to is None or number <= up_to):
                waiting.settle(outcome)

    def last_call(self, peer: int) -> int:
        """The highest number of a call that waits for ``peer``, 0 for none."""
        return max((number for number, waiting in self._calls.items() if waiting.peer == peer), default=0)

    # ---- tasks: their values queue as messages do, unless somebody waits for them -----------------------------------

    def expect_task(self, peer: int) -> int:
        """Process ``peer`` is a task of ours; the number under which its value and its DOWN will come."""
        number = self.next_number()
        self._tasks[number] = peer
        return number

    def forget_task(self, ref: int) -> None:
        """Its value, if it comes from now on, is late."""
        self._tasks.pop(ref, None)

    def divert(self, refs: Collection[int], arrivals: Arrivals) -> None:
        """What has come and what comes about tasks ``refs`` goes to ``arrivals``."""
        for items in (self.aside, self.items):
            for item in [item for item in items if _task_of(item) in refs]:
                items.remove(item)
                arrivals.items.append(item)  # type: ignore[arg-type]  # _task_of is 0 for others
        self._diverted.update(dict.fromkeys(refs, arrivals))

    def restore(self, refs: Collection[int]) -> None:
        """It goes into the mailbox again, with what nobody has taken."""
        for arrivals in {id(self._diverted[ref]): self._diverted.pop(ref) for ref in refs}.values():
            for item in [item for item in arrivals.items if _task_of(item) in refs]:
                arrivals.items.remove(item)
                self.items.append(item)

    def _pass(self, ref: int, item: Raw | DownMessage) -> None:
        arrivals = self._diverted.get(ref)
        if arrivals is None:
            self.items.append(item)
        else:
            arrivals.add(item)


def _task_of(item: Item) -> int:
    """The ref that ``item`` is about, 0 for none."""
    if isinstance(item, DownMessage):
        return item.ref
    return item.message.number if isinstance(item, Raw) and isinstance(item.message, Reply) else 0


def invalid_message(item: Item | Timeout) -> Reply | None:
    """The refusal of an item whose body did not decode, or that nobody here obeys; None when its sender waits for nothing."""
    if not isinstance(item, Raw) or not isinstance(item.message, (Call, System)) or not item.message.number:
        return None
    if isinstance(item.message, System):
        return Reply(item.message.number, error=("unsupported", "a function has no behaviour that speaks sys"))
    return Reply(item.message.number, error=("invalid_message", "not of the declared type"))
