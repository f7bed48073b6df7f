"""Every test leaves the test process as it found it: no child, no zombie, no new fd."""

from __future__ import annotations

import gc
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from tests.watchdog import watchdog

# A machine on which a process stands still for a second says nothing about the product; and what is red is red again.
IS_TORTURE = "TORTURE" in os.environ
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=not IS_TORTURE)
settings.load_profile("suite")

for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "ACTORCORE_DIR", "ACTORCORE_STATE", "ACTORCORE_CONFIG"):
    os.environ.pop(name, None)  # how wide a terminal somebody has, and which daemon, is nothing to the tests


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--malformed", type=int, default=1_000_000, help="malformed inputs in process; make torture: 20-fold")
    parser.addoption("--malformed-live", type=int, default=20_000, help="the same on the live socket")
    parser.addoption("--malformed-seed", type=int, default=None, help="make torture: a new one, which is told")


@pytest.fixture
def malformed_inputs(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--malformed")
    return count


@pytest.fixture
def malformed_live(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--malformed-live")
    return count


@pytest.fixture
def malformed_seed(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> int:
    """Told before anything is tried with it: who is killed by an input says nothing afterwards."""
    given: int | None = request.config.getoption("--malformed-seed")
    chosen = random.SystemRandom().randrange(1 << 32) if IS_TORTURE else 1
    seed = chosen if given is None else given
    with capsys.disabled():
        print(f"\nR9: --malformed-seed {seed}", flush=True)
    return seed


LONGEST = """
test_lives_simulation otp/test_vectors_core fault/test_takeover otp/test_vectors_processes persistence/test_crashes
torture/test_kills fault/test_manager fault/test_supervisor_process fault/test_tasks fault/test_floods fault/test_resume
fault/test_birth_points fault/test_reload persistence/test_power_loss fault/test_hangs
""".split()
"""Files that take more than 15 s, longest first: `make test` begins with them, so that none is waited for alone."""

SIZES = ("small", "mid", "full")

Size: TypeAlias = Callable[[str, int, int, int], int]
Tell: TypeAlias = Callable[[str], None]


@pytest.fixture
def size() -> Size:
    """How many: ``size(name, small, mid, full)``, by TORTURE in the environment, or by a number under ``name``."""

    def chosen(name: str, *counts: int) -> int:
        return int(os.environ.get(name, counts[SIZES.index(os.environ.get("TORTURE", "small"))]))

    return chosen


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Say what was tried: a line in the summary of the run."""
    return lambda text: record_property("tried", text)


def pytest_configure() -> None:
    # A shell has its background jobs ignore SIGINT, and what they start inherits that: the programs that the tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of xdist, which takes the files in this order
        places = {f"{Path(__file__).parent}/{name}.py": place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(str(item.path), len(LONGEST)))
    for item in items:
        if item.get_closest_marker("sized") is not None:
            item.add_marker(pytest.mark.timeout(300 if os.environ.get("TORTURE", "small") == "small" else 7200), append=False)


def pytest_collection_finish() -> None:
    # Thousands of tests and all that they import: every full collection would look through them again.
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    for report in reports:
        for name, text in report.user_properties:
            if name == "tried":
                terminalreporter.write_line(str(text))


@pytest.fixture(scope="session", autouse=True)
def nothing_survives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not even a SIGKILL of this test process."""
    with watchdog(tmp_path_factory.getbasetemp()):
        yield


def open_fds() -> dict[int, str]:
    """The fds of this process and what each refers to; the listing's own fd is not among them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the directory's own fd, closed when the listing was complete
            continue
    return found


def children() -> dict[int, str]:
    """The children of this process, dead ones included: OS pid → name and state, as in ``sleep (Z)``."""
    found = {}
    for task in os.listdir("/proc/self/task"):
        try:
            pids = Path(f"/proc/self/task/{task}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile; its children are another's now
            continue
        for pid in pids:
            try:
                name, rest = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except (FileNotFoundError, ProcessLookupError):  # a daemon thread reaped it meanwhile
                continue
            found[int(pid)] = f"{name} ({rest.split()[0]})"
    return found


def leaks(fds: dict[int, str], processes: dict[int, str]) -> list[str]:
    """What exists now and did not then: one line each."""
    lines = [f"fd {fd}: {target}" for fd, target in sorted(open_fds().items()) if fds.get(fd) != target]
    lines += [f"child {pid}: {text}" for pid, text in sorted(children().items()) if pid not in processes]
    return lines


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails the test that leaves a child process, a zombie or an fd of this process behind, and names it."""
    fds, processes = open_fds(), children()
    yield
    left = leaks(fds, processes)
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
