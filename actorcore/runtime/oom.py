"""Whom the kernel killed for want of memory: a SIGKILL does not say who sent it (RELIABILITY C13).

The kernel's log names each victim by its number in the first pid namespace, before anybody can reap it (mm/oom_kill.c). Where
that log may not be read (``kernel.dmesg_restrict``) or numbers others, our memory cgroup's count of victims tells that there was
one. Where neither can be had such a death is told as any other kill.
"""

from __future__ import annotations

import os
import re

from actorcore.runtime import clock, syscalls

DYING_S = 5.0
"""A victim is reaped within this time, also a large one, or one that no processor runs; later its number may be another's.
So far apart are two looks at the count: a death is no victim's when it has not risen since the look before the last."""
_KERNEL_LOG = "/dev/kmsg"
_RECORD_BYTES = 8192
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_VICTIM = re.compile(rb"[0-7],[^;]*;[^\n]*Killed process (\d+) \(")
"""A record of the kernel's own (facility 0), as Documentation/ABI/testing/dev-kmsg has it."""
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class Victims:
    """From now on. It holds one descriptor, for good."""

    def __init__(self) -> None:
        self._log = kernel_log()
        self._count = -1 if self._log >= 0 else cgroup_count()
        self._named: dict[int, float] = {}
        self._before = self._recent = self._counted()
        self._looked_s = 0.0

    def look(self, now_s: float) -> None:
        """To be called now and then: so that a victim that is none of ours is not taken for one later."""
        if now_s - self._looked_s >= DYING_S:
            self._looked_s = now_s
            self._before, self._recent = self._recent, self._counted()
            self._read_log()

    def claim(self, os_pid: int) -> bool:
        """Whether a child that a SIGKILL has ended, not reaped yet, is one of them. To be asked once of each."""
        if self._log >= 0:
            self._read_log()
            return self._named.pop(os_pid, None) is not None
        if self._counted() <= self._before:
            return False
        self._before += 1
        self._recent = max(self._recent, self._before)
        return True

    def _read_log(self) -> None:
        if self._log < 0:
            return
        now_s = clock.monotonic_s()
        self._named = {os_pid: at_s for os_pid, at_s in self._named.items() if now_s - at_s < DYING_S}
        while True:
            try:
                record = os.read(self._log, _RECORD_BYTES)
            except BrokenPipeError:  # overwritten before we came; the next one is there
                continue
            except OSError:  # EAGAIN: no more
                return
            if (victim := _VICTIM.match(record)) is not None:
                self._named[int(victim[1])] = now_s

    def _counted(self) -> int:
        """0 where nothing counts, or does no more: ENODEV of a cgroup that we were moved out of, and that was removed."""
        try:
            found = _COUNT.search(os.pread(self._count, _RECORD_BYTES, 0)) if self._count >= 0 else None
        except OSError:
            return 0
        return int(found[1]) if found else 0


def kernel_log() -> int:
    """A descriptor of the kernel's log at its end; -1 where it may not be read or does not number processes as we do."""
    try:
        if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE:
            return -1
        fd = os.open(_KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    os.lseek(fd, 0, os.SEEK_END)
    return fd


def cgroup_count() -> int:
    """A descriptor of the file in which our memory cgroup counts its victims; -1 where there is none."""
    for line in os.fsdecode(syscalls.read_proc("self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        files = {"": (f"{path}/memory.events", f"/unified{path}/memory.events"), "memory": (f"/memory{path}/memory.oom_control",)}
        for file in files.get(controllers, ()):
            try:
                return os.open(f"/sys/fs/cgroup{file}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # not mounted there, or the root, which counts nothing
                continue
    return -1
