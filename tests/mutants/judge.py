"""The judge: a part of the suite, run against a wrong program in a fork of a process that has not imported the product."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.mutants.patching import ROOT, WrongModule, path_of

JUDGES: dict[str, list[str]] = {
    "lives": ["tests/test_lives_simulation.py"],
    "simulations": [
        "tests/test_process_table_simulation.py", "tests/test_sessions_random.py",
    ],
    "vectors": ["tests/otp/test_vectors_core.py"],
    "units": [
        "tests/test_links.py", "tests/test_monitors.py", "tests/test_names.py", "tests/test_timers.py",
        "tests/test_exit_reason.py", "tests/test_restart_intensity.py", "tests/test_process_table.py", "tests/test_kernel.py",
        "tests/test_sessions.py", "tests/test_naming.py", "tests/test_hangs.py", "tests/test_templates_table.py",
        "tests/test_sessions_requests.py", "tests/test_sessions_stop.py", "tests/test_task.py",
        "tests/test_groups.py", "tests/test_registry.py", "tests/test_shown.py", "tests/test_task_pool.py",
    ],
    "talk": [
        "tests/test_session_talk.py", "tests/test_cache.py", "tests/test_rate_limit.py", "tests/test_session_group.py",
    ],
    "behaviours": ["tests/test_statem_rules.py", "tests/test_resident_sys.py", "tests/test_statem_model.py"],
}  # fmt: skip
"""Parts of the suite that need no operating system, quick ones first within ``all``."""
ALL = [path for name in ("units", "talk", "behaviours", "lives", "simulations", "vectors") for path in JUDGES[name]]
NOT_PLANTED = "not planted and not command_line and not judge_is_content and not no_short_life and not reach_every"
"""The suite's own wrong rules need the right ones, and random examples that shrink take their time."""
USAGE, NONE_RUN = 4, 5
"""What pytest ends with when a test is not there, or none is left."""
CPU_S = 120
MEMORY_BYTES = 3 << 30

_forking = threading.Lock()


@dataclass(frozen=True)
class Wrong:
    """``text``: makes the source that ``module`` has instead of its own."""

    name: str
    module: str
    text: Callable[[], str]


@dataclass(frozen=True)
class Verdict:
    """``by``: the test that failed first, ``hang`` when the judge ran out of time or memory, "" when nothing was noticed."""

    name: str
    by: str


class _FirstFailure:
    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.name:
            self.name = f"import of {report.nodeid}"


def verdict(wrong: Wrong, tests: list[str], lives: int, first: str = "") -> Verdict:
    """Run ``tests`` against ``wrong``, but ``first`` one of them alone, which may be gone.

    :raises RuntimeError: they could not be run at all.
    """
    if first and (quick := _verdict(wrong, [first], lives, (0, 1, 2, USAGE, NONE_RUN))).by == first:
        return quick
    return _verdict(wrong, tests, lives, (0, 1, 2))


def _verdict(wrong: Wrong, tests: list[str], lives: int, codes: tuple[int, ...]) -> Verdict:
    with _forking:  # no child holds the pipe of another
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _judge(wrong, tests, lives, writer)
        os.close(writer)
    with open(reader, "rb") as told:
        by = told.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Verdict(wrong.name, "hang")
    code = os.WEXITSTATUS(status)
    if code not in codes:
        raise RuntimeError(f"{wrong.name}: pytest ended with {code}: {by}")
    return Verdict(wrong.name, by if code else "")


def control(tests: list[str], lives: int) -> Verdict:
    """What the judge says of a program that is right; it should notice nothing."""
    module = "actorcore.links"
    return verdict(Wrong("the right program", module, path_of(module).read_text), tests, lives)


def verdicts(wrongs: list[Wrong], tests: list[str], jobs: int, lives: int, first: Mapping[str, str]) -> Iterator[Verdict]:
    """In the order of ``wrongs``; ``first``: by name, the test to ask first."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda wrong: verdict(wrong, tests, lives, first.get(wrong.name, "")), wrongs)


def _judge(wrong: Wrong, tests: list[str], lives: int, told: int) -> None:
    """In the child: never returns."""
    code = 70
    try:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.chdir(ROOT)
        os.environ["LIVES"] = str(lives)
        sys.meta_path.insert(0, WrongModule(wrong.module, wrong.text()))
        first = _FirstFailure()
        argv = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", NOT_PLANTED, "-W", "ignore:Module already imported"]
        code = int(pytest.main([*argv, *tests], plugins=[first]))
        os.write(told, first.name.encode())
    except BaseException as error:
        os.write(told, repr(error)[:500].encode())
    finally:
        os._exit(code)
