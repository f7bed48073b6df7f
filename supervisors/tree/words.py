"""What one can ask a supervisor, OTP's supervisor(3) and Elixir's DynamicSupervisor, and what it remembers. All data."""

from __future__ import annotations

from typing import Literal, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason
from actorcore.frames import DECODE_ERRORS, decode_ext
from actorcore.signals import NOBODY, Asking, Exit
from actorcore.words import Word
from supervisors.tree.spec import Child, PoolSpec

Asker: TypeAlias = tuple[int, int]
"""Who asked, and the number of the request."""

# ---- requests -------------------------------------------------------------------------------------------------------


class StartChild(Word, frozen=True, tag="start_child"):
    """Answer: the serial when it is ready; None when its init said ignore.

    Errors: invalid_spec, already_started with the serial, already_present (it is stopped, or waits for its restart),
    max_children, start_failed with the reason.
    """

    child: Child


class StartInstance(Word, frozen=True, tag="start_instance"):
    """Of simple_one_for_one: the model with ``args`` behind its own. As StartChild."""

    args: list[object] = []


class TerminateChild(Word, frozen=True, tag="terminate_child"):
    """By ``id``, or of a dynamic supervisor by ``serial``; answered with True when it is really dead.

    Errors: not_found; simple_one_for_one (its children have no ids).
    """

    id: str = ""
    serial: int = 0


class RestartChild(Word, frozen=True, tag="restart_child"):
    """Start a stopped child again. Answer and errors as StartChild; also not_found, running, restarting."""

    id: str


class DeleteChild(Word, frozen=True, tag="delete_child"):
    """Forget a stopped child. Errors: not_found, running, restarting."""

    id: str


class WhichChildren(Word, frozen=True, tag="which_children"):
    """Answer: ``[[id, serial | None | "restarting", type], …]`` in start order."""


class CountChildren(Word, frozen=True, tag="count_children"):
    """Answer: ``{"specs", "active", "supervisors", "workers"}``; active are those that live now."""


class GetChildSpec(Word, frozen=True, tag="get_childspec"):
    """Answer: the spec as a map. Error: not_found."""

    id: str


class Partition(Word, frozen=True, tag="partition"):
    """Of a partition supervisor: ``[number, serial]`` of the partition that has ``key``. Errors: restarting, not_running."""

    key: Union[int, str]


class Configure(Word, frozen=True, tag="configure"):
    """Of a task pool: this spec from the next task on. Error: invalid_spec."""

    spec: PoolSpec


class Stop(Word, frozen=True, tag="stop"):
    """Stop all children, then the supervisor with ``reason``. Answered with True just before its end."""

    reason: Reason = "normal"


SupervisorRequest: TypeAlias = Union[
    StartChild, StartInstance, TerminateChild, RestartChild, DeleteChild, WhichChildren, CountChildren, GetChildSpec,
    Partition, Configure, Stop,
]  # fmt: skip
_decoder = msgspec.msgpack.Decoder(SupervisorRequest, ext_hook=decode_ext)


def decode_request(body: msgspec.Raw) -> SupervisorRequest | str:
    """The request, or what is wrong with it."""
    try:
        request: SupervisorRequest = _decoder.decode(body)
        return request
    except DECODE_ERRORS as error:
        return str(error)[:200] or type(error).__name__


# ---- memory ---------------------------------------------------------------------------------------------------------


class Life(msgspec.Struct):
    """One child: ``serial`` of the process that runs, else 0. ``last_serial``: of a restarting one, its last process.
    ``streak``, ``ready_at``: see restart_budget. ``shortages``: how often in a row there was no process for a restart.
    """

    key: int
    spec: Child
    serial: int = 0
    last_serial: int = 0
    restarting: bool = False
    streak: int = 0
    ready_at: float | None = None
    shortages: int = 0


class StartStep(msgspec.Struct, frozen=True, tag="start"):
    """Start child ``key``: at the beginning, at a restart, or because ``asker`` wants it; ``is_new``: not listed before."""

    key: int
    why: Literal["init", "restart", "request"]
    asker: Asker = (0, 0)
    is_new: bool = False


class StopStep(msgspec.Struct, frozen=True, tag="stop"):
    """Stop child ``key``; ``forget``: it is off the list afterwards."""

    key: int
    forget: bool = False


class StopAllStep(msgspec.Struct, frozen=True, tag="stop_all"):
    """Stop all children at the same time (dynamic supervisors)."""


class AnswerStep(msgspec.Struct, frozen=True, tag="answer"):
    """``asker`` gets True."""

    asker: Asker


class ReadyStep(msgspec.Struct, frozen=True, tag="ready"):
    """All children have been started."""


class LeaveStep(msgspec.Struct, frozen=True, tag="leave"):
    """The end; ``refused``: before it was ready."""

    reason: Reason
    refused: bool = False


Step: TypeAlias = Union[StartStep, StopStep, StopAllStep, AnswerStep, ReadyStep, LeaveStep]


class TryAgain(Word, frozen=True, tag="try_again"):
    """A message of the supervisor to itself: the restart of child ``key`` has failed."""

    key: int


class BackoffOver(Word, frozen=True, tag="backoff_over"):
    """A message of the supervisor to itself: child ``key`` has waited."""

    key: int


class Dying(msgspec.Struct, frozen=True):
    """A child that is being stopped, by the ref of its monitor; ``killed`` when its time was over."""

    key: int
    serial: int
    forget: bool


class Counting(msgspec.Struct):
    """CountChildren of ``asker`` under way: requests that have not been answered, and how many live."""

    asker: Asker
    open: list[int]
    active: int = 0


Message: TypeAlias = Union[Asking, Exit, TryAgain, BackoffOver]


class Memory(msgspec.Struct):
    """The state of any supervisor; ``spec`` is its own spec, encoded."""

    spec: msgspec.Raw
    parent: int = NOBODY
    last_number: int = 0
    last_key: int = 0
    times: list[float] = []
    children: list[Life] = []
    agenda: list[Step] = []
    mail: list[Message] = []
    starting: int = 0
    start: StartStep | None = None
    dying: dict[int, Dying] = {}
    counting: Counting | None = None
    probes: dict[int, Asker] = {}
