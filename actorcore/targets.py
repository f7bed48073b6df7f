"""Targets: whom user code means. A serial or an OS pid is easily taken for a Pid, and a name for one."""

from __future__ import annotations

from collections.abc import Mapping

from actorcore.errors import RequestError
from actorcore.pids import Pid


def checked_pid(to: object) -> Pid:
    """``to``, unless it is none.

    :raises RequestError: ``invalid_message``.
    """
    if isinstance(to, Pid):
        return to
    raise RequestError("invalid_message", f"a Pid is needed, not {type(to).__name__}")


def checked_name(to: object) -> str:
    """``to``, which is no Pid, unless it is no name either.

    :raises RequestError: ``invalid_message``.
    """
    if isinstance(to, str):
        return to
    raise RequestError("invalid_message", f"a Pid or a name is needed, not {type(to).__name__}")


def check_map(names: object) -> None:
    """Refuse what is no map by name.

    :raises RequestError: ``invalid_message``.
    """
    if not isinstance(names, Mapping):
        raise RequestError("invalid_message", f"a map by name is needed, not {type(names).__name__}")
