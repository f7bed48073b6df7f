"""Immortal objects (PEP 683): what a zygote has made is written to by no reference that a child takes or drops.

A child shares each page with its zygote until one of the two writes to it, and counting a reference is a write: of the
572 page faults of a lean life under CPython 3.12.1 some 220 were for nothing else, and half of its memory.
CPython 3.12 and later count nothing in an object whose count bears the mark of immortality, which is there for exactly
this, but has no function that sets it. So it is set in memory, where a probe has shown the count to be.

The price: whatever is there now is never destroyed, neither in the zygote nor in a child that drops it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from types import CodeType, FrameType

_USER_SPACE = 1 << 47
_COUNT = ctypes.c_uint32
_COUNTS = memoryview((_COUNT * (_USER_SPACE // ctypes.sizeof(_COUNT))).from_address(0)).cast("B").cast("I")
"""All of our memory, made at import: a type that is made later, as this array's is, empties caches that are in use by then."""


def immortalize() -> int:
    """Make all that can be reached immortal; how many objects that were, 0 where the interpreter cannot (CPython 3.11)."""
    mark = _mark()
    found = gc.get_objects() if mark else []
    total = 0
    while found:
        for one in found:
            _COUNTS[id(one) >> 2] = mark
        total += len(found)
        # What the collector does not track is reached from what it does; code, in no version, tells what it refers to.
        parts = gc.get_referents(*found)
        for one in found:
            if type(one) is CodeType:
                parts += _parts(one)
        # A frame that runs is left as it is: at its end it is freed, or handed over by its count.
        found = [one for one in parts if sys.getrefcount(one) != mark and type(one) is not FrameType]
    return total


def _mark() -> int:
    """What stands for a count in an immortal object; 0 where there are none, or where counts are not where they should be."""
    probe = object()
    mark = sys.getrefcount(None)
    held = [None] * 8
    if sys.getrefcount(*held[:1]) != mark or _COUNTS[id(probe) >> 2] != sys.getrefcount(probe) - 1:
        return 0
    _COUNTS[id(probe) >> 2] = mark
    return mark if sys.getrefcount(probe) == mark else 0


def _parts(code: CodeType) -> tuple[object, ...]:
    """What running ``code`` takes references to."""
    return code.co_consts, code.co_names, code.co_filename, code.co_name, code.co_qualname, code.co_exceptiontable
