"""Exit reasons: what a monitor is told about a death.

A reason is plain data: the words of OTP as strings (``"normal"``, ``"shutdown"``, ``"killed"``, ``"noproc"``),
everything else as a dict of one key: ``{"signal": "SIGSEGV"}``, ``{"exit": 3}``, ``{"error": {...}}``,
``{"shutdown": term}``, ``{"killed": "oom"}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    Term: TypeAlias = Union[None, bool, int, float, str, bytes, "list[Term]", "dict[str, Term]"]
else:  # msgspec resolves no recursive alias; what arrives as msgpack without extensions is a Term anyway
    Term = Any

Reason: TypeAlias = Union[str, dict[str, Term]]

NORMAL = "normal"
SHUTDOWN = "shutdown"
KILL = "kill"
KILLED = "killed"
NOPROC = "noproc"
NOCONNECTION = "noconnection"
OOM: Reason = {"killed": "oom"}
"""The kernel killed it for want of memory."""

CLD_EXITED = 1
"""``si_code`` of waitid(2): the process called ``_exit``; the status is its exit code."""

_SIGKILL = 9
_SIGTERM = 15
_MAX_TEXT = 4096

# signal(7), x86-64 and ARM; a table because this layer imports nothing from the system.
SIGNAL_NAMES: dict[int, str] = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
    9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
    16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
    23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
    30: "SIGPWR", 31: "SIGSYS",
}  # fmt: skip


def reason_of_status(
    code: int, status: int, declared: Reason | None, ordered: Reason | None, is_oom: bool = False
) -> Reason:
    """The true reason of a death, from waitid(2) and what was said beforehand.

    ``ordered`` is the reason that the node recorded before it sent its own SIGKILL, ``declared`` what the process wrote
    into its status page before ``_exit``. Any status that neither of them explains wins over both. ``is_oom``: the kernel sent
    the SIGKILL, for want of memory.
    """
    if code == CLD_EXITED:
        if declared is not None:
            return declared
        return NORMAL if status == 0 else {"exit": status}
    if status == _SIGKILL:
        return ordered if ordered is not None else OOM if is_oom else KILLED
    if status == _SIGTERM:  # from outside it is the exit signal shutdown; who does not trap dies of it
        return SHUTDOWN
    return {"signal": SIGNAL_NAMES.get(status, f"SIG{status}")}


def is_abnormal(reason: Reason) -> bool:
    """True for what makes a ``transient`` child restart (OTP supervisor(3): not normal, shutdown, {shutdown, _})."""
    if isinstance(reason, str):
        return reason not in (NORMAL, SHUTDOWN)
    return set(reason) != {"shutdown"}


def bounded_text(text: str, limit: int = _MAX_TEXT) -> str:
    """``text`` cut to ``limit`` characters with the word ``truncated`` in place of the rest; surrogates replaced."""
    clean = text[:limit].encode("utf-8", "replace").decode("utf-8")
    return clean if len(text) <= limit else clean + "… truncated"


def reason_of_exception(error: BaseException) -> Reason:
    """``{"error": {"type", "text"}}`` for an uncaught exception."""
    return {"error": {"type": type(error).__name__, "text": bounded_text(_text(error))}}


def text_of(error: BaseException) -> str:
    """Type and text of an exception in one line."""
    return f"{type(error).__name__}: {bounded_text(_text(error))}"


def _text(error: BaseException) -> str:
    """Whatever its ``__str__`` does."""
    try:
        return str(error)
    except BaseException as trouble:  # a hostile one may raise anything; its type is all that is told
        return f"<{type(trouble).__name__} in __str__>"
