"""The quick judge: the pure tests are imported once, and each mutant is judged in a fork by those that run what is changed.

A mutant changes the code of functions; the fork gives the living functions that code. What a module makes of its functions
while it is imported is thus not judged.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.judge import MEMORY_BYTES, NOT_PLANTED, Verdict
from tests.mutants.operators import Mutant, right
from tests.mutants.patching import ROOT, path_of

LIVES = 2000
MAX_WALL_S = 120
PATIENCE, PATIENCE_S = 3, 1
"""A test may take so many times as long as it did when nothing was changed, and so many seconds more."""
QUIET = ["-W", "ignore:Module already imported"]
SUITE = [
    *(f"tests/test_{name}.py" for name in (
        "ages async_process backlog blanks cache debug ending errors exit_order exit_reason faults frames gen_server "
        "gen_statem groups guardian_words hangs hostile_requests kernel kernel_residents ledger links lives_simulation "
        "mailbox manager manager_random manager_resuming migrations monitors names naming node_desk node_facts peers pools "
        "process_names process_spec process_table process_table_simulation project_path rate_limit recovery registry "
        "registry_layout registry_readers renewal resident_sys restart_intensity server_rules services session_bounds "
        "session_events session_group session_news session_record session_talk sessions sessions_random sessions_requests "
        "sessions_stop shown statem_loops statem_model statem_rules status_page succession supervisor_backoff sys task "
        "task_pool telemetry templates_table terms timers toml_lines violations"
    ).split()),
    "tests/otp/test_vectors_core.py", *(f"tests/persistence/test_{name}.py" for name in ("proof", "snapshot", "vault")),
]  # fmt: skip
"""They need no daemon."""
OTHER_MODES = ("external_kill]", "-warm]", "-jam]")
"""The vectors are played in plain mode, and with all that the other modes do."""


WRAPPERS = ("__wrapped__", "__func__", "fget", "func")
"""Where what is made of a function keeps it."""


class Item:
    """One test, how long it takes, and the functions that it runs."""

    def __init__(self, item: pytest.Item, cpu_s: float, codes: set[int]) -> None:
        self.item, self.cpu_s, self.codes = item, cpu_s, codes


class WarmJudge:
    """A plugin that judges ``mutants`` instead of running the tests: ``found`` is called with each verdict, in any order.

    :raises RuntimeError: a test fails though nothing is changed.
    """

    def __init__(self, mutants: Sequence[Mutant], jobs: int, budget_s: float, found: Callable[[Verdict], None]) -> None:
        self._mutants, self._jobs, self._budget_s, self._found = mutants, jobs, budget_s, found
        self.is_done = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not item.name.endswith(OTHER_MODES)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        parts = [session.items[at :: self._jobs] for at in range(self._jobs)]
        children = [_Child(lambda part=part: measured(part)) for part in parts]  # type: ignore[misc]
        items: list[Item] = []
        for child, part in zip(children, parts, strict=True):
            rows = child.result()
            if isinstance(rows, str):
                raise RuntimeError(f"fails though nothing is changed: {rows}")
            items += [Item(item, cpu_s, set(codes)) for item, (cpu_s, codes) in zip(part, rows, strict=True)]
        items = in_order(items)
        print(f"{len(items)} tests take {sum(one.cpu_s for one in items):.0f} s", file=sys.stderr, flush=True)
        running: dict[_Child, Mutant] = {}
        for mutant in self._mutants:
            changed = changes(mutant)
            tests = list(within(self._budget_s, [one for one in items if one.codes & {id(old.__code__) for old, _ in changed}]))
            running[_Child(lambda changed=changed, tests=tests: condemned_by(changed, tests))] = mutant  # type: ignore[misc]
            while len(running) == self._jobs:
                self._collect(running)
        while running:
            self._collect(running)
        self.is_done = True
        return True

    def _collect(self, running: dict[_Child, Mutant]) -> None:
        ready, _, _ = select.select(list(running), [], [])
        for child in ready:
            self._found(Verdict(running.pop(child).name, child.result()))


def judge(
    mutants: Sequence[Mutant], tests: Sequence[str], jobs: int, budget_s: float, found: Callable[[Verdict], None]
) -> None:  # fmt: skip
    """Raises RuntimeError when the tests do not pass, or cannot be run."""
    os.chdir(ROOT)
    os.environ["LIVES"] = str(LIVES)
    # On a busy machine a slow example says nothing about the program, and nobody looks at the smallest one.
    hypothesis.settings.register_profile(
        "warm", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow],
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )  # fmt: skip
    argv = ["-qq", "--no-summary", "-p", "no:cacheprovider", "-p", "no:xdist", "-s", "--timeout", str(MAX_WALL_S), *QUIET]
    argv += ["--hypothesis-profile", "warm"]
    plugin = WarmJudge(mutants, jobs, budget_s, found)
    code = pytest.main([*argv, "-k", NOT_PLANTED, *tests], plugins=[plugin])
    if not plugin.is_done:
        raise RuntimeError(f"pytest ended with {code}")


def measured(items: Sequence[pytest.Item]) -> list[tuple[float, list[int]]] | str:
    """For each the seconds of CPU that it takes and the functions it runs, by the ids of their codes; who fails, if one does."""
    rows: list[tuple[float, list[int]]] = []
    codes = [id(function.__code__) for module in list(sys.modules.values()) for function in functions(module)]
    places = {code: place for place, code in enumerate(codes)}
    called = mmap.mmap(-1, len(codes))  # shared with the threads of a test and the processes that it forks

    def note(frame: FrameType, _: str, __: Any) -> None:
        if (place := places.get(id(frame.f_code))) is not None:
            called[place] = 1  # a call; nothing is returned, so nothing else is told

    for item in items:
        called[:] = bytes(len(codes))
        begun_s = time.process_time()
        threading.settrace(note)
        sys.settrace(note)
        try:
            is_failed = fails(item)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]  # as the manual says
        if is_failed and fails(item):  # to be traced takes its time
            return item.nodeid
        rows.append((time.process_time() - begun_s, [code for code, place in places.items() if called[place]]))
    return rows


def in_order(items: Sequence[Item]) -> list[Item]:
    """The quickest first, but not twenty examples of one test before the first of another."""
    examples = Counter[str]()
    weighed: list[tuple[float, Item]] = []
    for one in sorted(items, key=lambda one: one.cpu_s):
        test = one.item.nodeid.partition("[")[0]
        examples[test] += 1
        weighed.append((one.cpu_s * examples[test], one))
    return [one for _, one in sorted(weighed, key=lambda pair: pair[0])]


def within(budget_s: float, items: Sequence[Item]) -> Iterator[Item]:
    """The first, as many as ``budget_s`` has room for; one at least."""
    spent_s = 0.0
    for one in items:
        if not spent_s or spent_s + one.cpu_s <= budget_s:
            spent_s += one.cpu_s
            yield one


def condemned_by(changed: Sequence[tuple[FunctionType, CodeType]], items: Sequence[Item]) -> str:
    """The first test that fails, "" when none does. One that takes too long kills this process."""
    for function, code in changed:
        function.__code__ = code
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for one in items:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S + PATIENCE * one.cpu_s)
        if fails(one.item):
            return one.item.nodeid
    return ""


def fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


# ---- functions ------------------------------------------------------------------------------------------------------


def changes(mutant: Mutant) -> list[tuple[FunctionType, CodeType]]:
    """The functions that are another's with ``mutant``, and their code then; none when no test imports the module."""
    if mutant.module not in sys.modules:
        return []
    path = str(path_of(mutant.module))
    before, after = (codes_of(compile(tree, path, "exec")) for tree in (right(mutant.module), mutant.wrong()))
    found = []
    for function in functions(sys.modules[mutant.module]):
        key = function.__code__.co_qualname, function.__code__.co_firstlineno
        if after[key] != before[key]:
            assert after[key].co_freevars == function.__code__.co_freevars, mutant.name
            found.append((function, after[key]))
    return found


def codes_of(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """All codes within ``code``, by qualified name and first line."""
    found = {(code.co_qualname, code.co_firstlineno): code}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= codes_of(inner)
    return found


def functions(module: ModuleType) -> list[FunctionType]:
    """Those that ``module`` has defined itself."""
    path = getattr(module, "__file__", None)
    if path is None or not path.startswith((f"{ROOT}/actorcore/", f"{ROOT}/supervisors/")):
        return []
    found: dict[int, FunctionType] = {}
    waiting: list[Any] = list(vars(module).values())
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, type) and thing.__module__ == module.__name__ and id(thing) not in found:
            found[id(thing)] = thing  # type: ignore[assignment]  # not twice
            waiting += vars(thing).values()
        elif isinstance(thing, FunctionType) and thing.__code__.co_filename == path:
            found[id(thing)] = thing
        waiting += [inner for name in WRAPPERS if (inner := getattr(thing, name, None)) is not None]
    return [thing for thing in found.values() if isinstance(thing, FunctionType)]


# ---- forks ----------------------------------------------------------------------------------------------------------


class _Child:
    """A fork that tells what ``work`` returns; ``hang`` when it has been killed."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._reader, writer = os.pipe()
        self._os_pid = os.fork()
        if self._os_pid == 0:
            _work(work, writer)
        os.close(writer)

    def fileno(self) -> int:
        return self._reader

    def result(self) -> Any:
        with open(self._reader, "rb") as told:
            text = told.read()
        os.waitpid(self._os_pid, 0)
        return json.loads(text) if text else "hang"


def _work(work: Callable[[], object], writer: int) -> None:
    """In the child: never returns."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.write(writer, json.dumps(work()).encode())
    except BaseException as error:
        os.write(writer, json.dumps(repr(error)[:500]).encode())
    finally:
        os._exit(0)
