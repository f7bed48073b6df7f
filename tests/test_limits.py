"""Limits of a process as it is born: a niceness that counts, also for users of whom the kernel takes one in a while (C17)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actorcore.runtime import syscalls
from actorcore.runtime.zygote.limits import apply_limits
from tests.registry_torture import fork, heard

NOBODY_UID = 65534
OWN = Path("/proc/self/autogroup")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_C17_who_asks_in_the_instant_in_which_another_was_heard_is_heard_as_well() -> None:
    def live() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresuid(NOBODY_UID, NOBODY_UID, NOBODY_UID)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # or its own files in proc are not its own
        os.setsid()
        trouble = apply_limits({"nice": 19})
        return f"{trouble} {OWN.read_text().partition(' ')[2].strip() if OWN.exists() else 'nice 19'}"

    assert [heard(*child) for child in [fork(live) for _ in range(3)]] == ["None nice 19"] * 3
