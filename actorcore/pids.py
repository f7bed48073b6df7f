"""Pid: the identity of one incarnation of one process."""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

EXT_PID = 1
_PACKED_BYTES = 16


class Pid:
    """One incarnation: ``instance`` names the guardian's life, ``serial`` is never reused in it.

    An OS pid is not a Pid: the kernel gives it away again, and nothing here accepts one. Not a msgspec Struct, because
    those are encoded as their fields; on the wire a Pid is an extension of its own.
    """

    __slots__ = ("instance", "serial")
    __match_args__ = ("instance", "serial")
    instance: int
    serial: int

    def __init__(self, instance: int, serial: int) -> None:
        object.__setattr__(self, "instance", instance)
        object.__setattr__(self, "serial", serial)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Pid is immutable: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pid) and (self.instance, self.serial) == (other.instance, other.serial)

    def __lt__(self, other: Pid) -> bool:
        return (self.instance, self.serial) < (other.instance, other.serial)

    def __hash__(self) -> int:
        return hash((self.instance, self.serial))

    def __repr__(self) -> str:
        return f"Pid({self.instance:#x}, {self.serial})"

    def __str__(self) -> str:
        return f"{self.instance:x}.{self.serial}"

    @staticmethod
    def parse(text: str) -> Pid:
        """Read ``7f3a.42``; raises ValueError on anything else."""
        instance, dot, serial = text.partition(".")
        if not dot or not serial.isdecimal():
            raise ValueError(f"not a pid: {text[:40]!r}")
        return Pid(int(instance, 16), int(serial))


pid_of = lru_cache(1024)(Pid)
"""The same as ``Pid(instance, serial)``; those used last are made once, for most messages come from few."""


def pack_pid(pid: Pid) -> bytes:
    """The 16 bytes of msgpack extension 1: instance and serial, big-endian."""
    return pid.instance.to_bytes(8, "big") + pid.serial.to_bytes(8, "big")


def unpack_pid(data: bytes | memoryview) -> Pid:
    """Inverse of :func:`pack_pid`; raises ValueError on a wrong length."""
    if len(data) != _PACKED_BYTES:
        raise ValueError("a pid has 16 bytes")
    return Pid(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big"))
