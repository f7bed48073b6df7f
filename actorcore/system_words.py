"""The words of OTP's sys: what any process with a behaviour understands, whatever its own code (sys(3), OTP 25)."""

from __future__ import annotations

from typing import Literal, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason
from actorcore.frames import decode_ext
from actorcore.words import Word

MAX_LOG = 1000
"""Events that ``log`` keeps at most."""


class GetState(Word, frozen=True, tag="get_state"):
    """Answer: the state. Of a server its attributes, of a state machine ``[state, attributes]``, of a resident its memory."""


class ReplaceState(Word, frozen=True, tag="replace_state"):
    """Run ``function`` (``module:name``) with the state and ``args`` in the process; what it returns is the state.

    Answer: the new state. Error: callback_failed, and the state is as before.
    """

    function: str
    args: list[object] = []


class GetStatus(Word, frozen=True, tag="get_status"):
    """Answer: a map with pid, module, behaviour, status, parent, waiting, trace, statistics, log, state."""


class Suspend(Word, frozen=True, tag="suspend"):
    """From the answer on it handles system messages only, and its parent's exit signal; all else waits."""


class Resume(Word, frozen=True, tag="resume"):
    """What waits is handled, in the order in which it came."""


class Trace(Word, frozen=True, tag="trace"):
    """The asker gets each event as a message ``["trace", pid, event]`` from now on, or no more."""

    on: bool = True


class Log(Word, frozen=True, tag="log"):
    """Keep the last ``size`` events, 0: none; None: answer with those that are kept."""

    size: int | None = None


class Statistics(Word, frozen=True, tag="statistics"):
    """Count from now on, or not; ``get``: answer with a map, None when nothing is counted.

    ``start_time`` and ``current_time`` (seconds of CLOCK_MONOTONIC), ``messages_in``, ``messages_out`` (answers), and in
    place of reductions ``cpu_s``, the CPU time of its OS process (0 of a resident, which has none of its own).
    """

    what: Literal["on", "off", "get"] = "get"


class ChangeCode(Word, frozen=True, tag="change_code"):
    """Of a suspended process: load ``module`` anew and hand the state to its ``code_change``. Answer: the new version.

    Errors, after which the old code goes on: callback_failed; not_permitted, it is not suspended; not_found, its class
    is not from ``module``.
    """

    module: str
    old_version: object = None
    extra: object = None


class Terminate(Word, frozen=True, tag="terminate"):
    """End with ``reason``, after ``terminate``."""

    reason: Reason = "normal"


SystemRequest: TypeAlias = Union[
    GetState, ReplaceState, GetStatus, Suspend, Resume, Trace, Log, Statistics, ChangeCode, Terminate
]  # fmt: skip

request_decoder: msgspec.msgpack.Decoder[SystemRequest] = msgspec.msgpack.Decoder(SystemRequest, ext_hook=decode_ext)
