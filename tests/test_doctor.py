"""doctor: each feature is really looked for, and what is so without it is said (RELIABILITY H5)."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actorcore.runtime import memory, oom, sockets, syscalls
from supervisors.cli import doctor
from supervisors.cli.commands import run
from supervisors.cli.doctor import Finding, examine


def finding(directory: Path, feature: str) -> Finding:
    (found,) = [one for one in examine(directory) if one.feature == feature]
    return found


def refuse(number: int) -> Callable[..., Any]:
    def refusal(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return refusal


def test_what_the_daemon_needs_is_here_and_everything_says_what_was_seen(tmp_path: Path) -> None:
    found = examine(tmp_path / "run")
    assert [one.feature for one in found if one.needed and not one.ok] == []
    assert all(one.detail and one.otherwise for one in found)
    assert not (tmp_path / "run").exists()


PROC = {"meminfo": b"MemAvailable: 1024 kB\n", "self/cgroup": b"0::/\n"}
MASKS = [
    ("pidfd", os, "pidfd_open", refuse(errno.ENOSYS), "enosys", True),
    ("memfd seals", memory, "seal", refuse(errno.EINVAL), "einval", True),
    ("memfd seals", os, "memfd_create", refuse(errno.ENOSYS), "enosys", True),
    ("memory", syscalls, "read_proc", lambda path: PROC[path], "1 MiB are free, 128 MiB are needed", True),
    ("python", doctor.sys, "version_info", (3, 10, 0), None, True),
    ("machine", doctor.platform, "machine", lambda: "riscv64", None, True),
    ("cgroup kill", os, "access", lambda *_: False, "no writable cgroup.kill", False),
    ("descriptors", resource, "getrlimit", lambda _: (256, 1024), "1024: about 480 sessions", False),
    ("send buffer", sockets, "enlarge", lambda _: None, None, False),
    ("uvloop", doctor.sys, "path", [], "not installed", False),
]


@pytest.mark.parametrize(("feature", "owner", "name", "mask", "detail", "needed"), MASKS, ids=lambda value: str(value)[:20])
def test_H5_a_feature_that_is_masked_is_found_missing_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], feature: str, owner: Any, name: str,
    mask: object, detail: str | None, needed: bool,
) -> None:  # fmt: skip
    with monkeypatch.context() as masked:
        masked.setattr(owner, name, mask)
        found = finding(tmp_path, feature)
        code = run(["--dir", str(tmp_path / "run"), "doctor", "--json"])
    assert (found.ok, found.needed, code) == (False, needed, int(needed))
    if detail is not None:
        assert found.detail == detail
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["feature"] == feature]
    assert (row["ok"], row["otherwise"]) == (False, found.otherwise)


def test_H5_C13_who_names_victims_of_the_want_of_memory_is_said_and_when_nobody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen() -> tuple[bool, str]:
        found = finding(tmp_path, "oom victims")
        return found.ok, found.detail

    def opened() -> int:
        return os.open("/dev/null", os.O_RDONLY)

    monkeypatch.setattr(oom, "kernel_log", opened)
    assert seen() == (True, "the kernel's log names them")
    monkeypatch.setattr(oom, "kernel_log", lambda: -1)
    monkeypatch.setattr(oom, "cgroup_count", opened)
    assert seen() == (True, "a memory cgroup counts them")
    monkeypatch.setattr(oom, "cgroup_count", lambda: -1)
    assert seen() == (False, "neither the kernel's log nor the count of a memory cgroup can be read")


def test_landlock_tells_its_abi_or_the_errno(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding(tmp_path, "landlock").detail.startswith(("ABI ", "enosys", "eopnotsupp"))
    monkeypatch.setattr(doctor, "_LANDLOCK_CREATE_RULESET", 10_000)
    assert (finding(tmp_path, "landlock").ok, finding(tmp_path, "landlock").detail) == (False, "enosys")


def test_a_runtime_directory_that_is_not_safe_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    found = finding(directory, "runtime directory")
    assert (found.ok, found.needed) == (False, True)
    assert found.detail == f"not_permitted: runtime directory {directory} has mode 0755, not 0700"
