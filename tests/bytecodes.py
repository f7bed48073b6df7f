"""A death before each bytecode of an act: what then stands in memory is what a SIGKILL would leave there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the product catches it."""


def dies_before(opcode: int, act: Callable[[], object], sources: tuple[str, ...]) -> bool:
    """Run ``act``, dying before the ``opcode``-th bytecode in files whose names end so; whether it died: else it had ended."""
    left = opcode

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if not frame.f_code.co_filename.endswith(sources):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if left == 0:
                raise Killed
            left -= 1
        return trace

    # CPython 3.12 tells of bytecodes only when a frame has wanted that before the tracing begins.
    sys._getframe().f_trace_opcodes = True
    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Killed:
        return True
    finally:
        sys.settrace(previous)
    return False
