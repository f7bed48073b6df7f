"""Sys: what one can ask of any process with a behaviour, by OTP's names (sys(3)); ``client.sys``, ``self.process.sys``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from actorcore.pids import Pid
from actorcore.system_words import (
    ChangeCode,
    GetState,
    GetStatus,
    Log,
    ReplaceState,
    Resume,
    Statistics,
    Suspend,
    SystemRequest,
    Trace,
)  # fmt: skip

Answer = TypeVar("Answer")
Target: TypeAlias = Pid | str
TIMEOUT_S = 5.0


class Sys(Generic[Answer]):
    """Each method asks the behaviour of ``to``, a Pid or a name, and waits in line with its messages.

    They raise what a call raises, and RequestError: ``unsupported`` (a plain function has no behaviour, a resident not
    all of this), ``callback_failed`` (the function given, or the hook, has raised).
    """

    def __init__(self, ask: Callable[[Target, SystemRequest, float], Answer]) -> None:
        self._ask = ask

    def get_state(self, to: Target, timeout_s: float = TIMEOUT_S) -> Answer:
        """The attributes of a server, ``[state, attributes]`` of a state machine, the memory of a resident.

        What is no plain data shows as the name of its type.
        """
        return self._ask(to, GetState(), timeout_s)

    def replace_state(self, to: Target, function: str, *args: object, timeout_s: float = TIMEOUT_S) -> Answer:
        """The process runs ``function`` (``module:name``) with its state, as ``get_state`` has it but not made plain, and
        ``args``; what that returns is its state from now on. The new state.
        """
        return self._ask(to, ReplaceState(function, list(args)), timeout_s)

    def get_status(self, to: Target, timeout_s: float = TIMEOUT_S) -> Answer:
        """Its state as ``format_status`` lets it be seen, and how it runs."""
        return self._ask(to, GetStatus(), timeout_s)

    def suspend(self, to: Target, timeout_s: float = TIMEOUT_S) -> Answer:
        """From now on it handles what is asked here, and exit signals; all else waits."""
        return self._ask(to, Suspend(), timeout_s)

    def resume(self, to: Target, timeout_s: float = TIMEOUT_S) -> Answer:
        """It handles what has waited, then goes on."""
        return self._ask(to, Resume(), timeout_s)

    def trace(self, to: Target, on: bool = True, timeout_s: float = TIMEOUT_S) -> Answer:
        """Who asks is told each event as a message ``["trace", pid, event]``; one that comes while it does not read is lost."""
        return self._ask(to, Trace(on), timeout_s)

    def log(self, to: Target, size: int | None = None, timeout_s: float = TIMEOUT_S) -> Answer:
        """Keep the last ``size`` events (0: none); without ``size`` those that are kept."""
        return self._ask(to, Log(size), timeout_s)

    def statistics(self, to: Target, on: bool | None = None, timeout_s: float = TIMEOUT_S) -> Answer:
        """Count, or not; without ``on`` what was counted, None if nothing is (:class:`actorcore.system_words.Statistics`)."""
        return self._ask(to, Statistics("get" if on is None else "on" if on else "off"), timeout_s)

    def change_code(
        self, to: Target, module: str, old_version: object = None, extra: object = None, timeout_s: float = TIMEOUT_S
    ) -> Answer:
        """Of a suspended process: load ``module`` anew, hand the state to ``code_change`` of its class there.

        When that raises, the process keeps its old code and state.
        """
        return self._ask(to, ChangeCode(module, old_version, extra), timeout_s)
