"""The suite about itself (acceptance 69, 195–198): every promise has a test that bears its number, and no test cheats."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CELLS = "A1-24 B1-18 C1-23 D1-9 E1-17 F1-18 G1-15 H1-6"
"""Fault cells that are built."""
RULES = "S1-10 S12-16 S18-20"
"""Security rules that are kept."""
ACCEPTANCE = "1-31 33-34 40-164 170-172 195-198"
SKIPS = {
    "test_files": "only root can be another user", "test_paths": "only root can give a directory away",
    "test_shortage": "only root may mount",
    "memory_cgroup": "no memory cgroup in which another can be made",
    "test_rude_code": "a kernel without pid namespaces", "test_layout": "no git checkout", "test_shared_registry": "one core",
}  # fmt: skip
"""What a machine may lack, so that one test says so and is left out; by module."""


def numbers(text: str) -> Iterator[str]:
    """``A1-3 B2`` as A1, A2, A3, B2."""
    for part in text.split():
        letter, first, last = re.fullmatch(r"([A-Z]?)(\d+)(?:-(\d+))?", part).groups()  # type: ignore[union-attr]
        yield from (f"{letter}{number}" for number in range(int(first), int(last or first) + 1))


def borne(name: str) -> set[str]:
    """The numbers in a test's name: ``test_A1_A2``, ``test_E1_to_E10``, ``test_x_acceptance_44_45``."""
    words = name.split("_")
    found: set[str] = set()
    is_acceptance = False
    for place, word in enumerate(words):
        if match := re.fullmatch(r"([A-HSa-h])(\d+)", word):
            letter, number = match[1].upper(), int(match[2])
            found.add(f"{letter}{number}")
            if words[place + 1 : place + 2] == ["to"]:
                found |= {f"{letter}{n}" for n in range(number, int(words[place + 2][1:]))}
        is_acceptance = word == "acceptance" or (is_acceptance and word.isdigit())
        if is_acceptance and word.isdigit():
            found.add(word)
    return found


@functools.cache
def every_test() -> list[tuple[Path, ast.FunctionDef]]:
    """Every test with its module; read by whoever asks first, not by each worker that only collects."""
    return [
        (path, node)
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def on_a_daemon() -> list[tuple[Path, ast.FunctionDef]]:
    return [(path, function) for path, function in every_test() if path.parent.name in ("fault", "torture")]


@functools.cache
def all_borne() -> set[str]:
    return {number for _, function in every_test() for number in borne(function.name)}


@pytest.mark.parametrize("number", [*numbers(CELLS), *numbers(RULES), *numbers(ACCEPTANCE)])
def test_there_is_a_test_that_bears(number: str) -> None:
    assert number in all_borne()


def test_names_are_read_as_they_are_meant() -> None:
    assert borne("test_A2_A5_reason") == {"A2", "A5"}
    assert borne("test_E1_to_E3_before_hello") == {"E1", "E2", "E3"}
    assert borne("test_a_stop_acceptance_44_45_b11") == {"44", "45", "B11"}
    assert borne("test_two_of_10_at_5") == set()


def calls(function: ast.FunctionDef) -> set[str]:
    names = {node.func for node in ast.walk(function) if isinstance(node, ast.Call)}
    return {name.attr if isinstance(name, ast.Attribute) else ast.unparse(name) for name in names}


PATCHED = {
    "test_files.py:test_S3_the_socket_has_its_mode_from_birth",  # chmod is taken away
    "test_hot_code.py:test_who_is_busy_for_too_long_keeps_its_code_and_the_others_do_not_wait_for_it",  # the client's patience
}
"""Tests that change something in the process of the test; in that of a daemon nobody does."""


def test_acceptance_69_no_isolation_test_plays_a_kill() -> None:
    """Whatever is in tests/fault runs against a real daemon: nothing is mocked or patched there."""
    played = {
        f"{path.name}:{function.name}"
        for path, function in every_test()
        if path.parent.name == "fault" and "mock" in ast.unparse(function)
    }
    patched = {
        f"{path.name}:{function.name}"
        for path, function in every_test()
        if path.parent.name == "fault" and "monkeypatch" in {argument.arg for argument in function.args.args}
    }
    assert (played, patched) == (set(), PATCHED)


KILLS = re.compile(r"(^|_)(kill|kills|killed|sigkill|struck)(_|$)")
REAL_SIGNALS = {"send_signal", "pidfd_send_signal", "killpg", "raise_signal"}
KILL_CELLS = "A1 A2 A5 A7 A10-13 A15-19 41 42 43 45 46 47 52 53 54 56 58 61 62"
"""Cells and acceptance lines that say that an OS process dies of a signal."""
NOBODYS_PROCESS = {
    "test_G6_who_kills_everybody_ends_the_daemon_and_leaves_nothing_and_the_next_one_starts": "tests.fault.kill_all does it",
    "test_A15_a_request_of_which_every_node_is_killed_is_refused_after_two_and_those_with_it_are_answered": "by itself",
    "test_a_killed_supervisor_is_back_with_its_named_children_and_costs_one_restart": "the exit signal kill, for a resident too",
    "test_acceptance_42_a_kill_of_the_supervisor_ends_who_does_not_trap_and_leaves_no_name": "a resident: test_takeover",
    "test_a_kill_while_a_child_is_in_its_init_ends_the_child": "tests.fault.actors:KillsItsStarter sends the signal",
    "test_one_of_many_that_is_killed_fails_them_all_at_once_and_the_others_go_on": "its owner sends the signal",
    "test_a_supervisor_that_is_stopped_waits_for_a_child_that_was_killed_and_is_not_gone_yet": "the exit signal kill",
    "test_a_client_that_is_killed_is_told_and_its_calls_end": "the exit signal kill, for a client in this process",
    "test_a_client_that_was_killed_while_it_was_away_is_told_when_it_returns": "the same",
    "test_acceptance_64_a_normal_exit_kills_nobody": "nobody is killed",
    "test_acceptance_75_76_a_session_that_ignores_the_request_is_killed_and_one_of_ten_who_stop_it_is_told": "by the runtime",
    "test_acceptance_75_80_who_never_comes_out_of_its_start_is_killed_after_its_grace_time": "by the runtime",
    "test_a_task_that_is_late_for_its_client_is_killed": "by the runtime",
    "test_an_unlinked_task_that_is_killed_is_an_error_of_its_await": "the exit signal kill",
    "test_everything_at_random_while_everything_is_struck": "tests.torture.chaos.strikes does it",
}
"""Tests that speak of a kill and send no signal: what is killed has no OS process, or it is the product that kills it."""


def sends_a_real_signal(path: Path, function: ast.FunctionDef) -> bool:
    """By pidfd, by kill(2) of a child that is a program, or by a plan of strikes that each process carries out on itself."""
    does = used(function, helpers(path))
    texts = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    strikes = "arm" in does and any(text == ":1:" or text.endswith((":kill", ":stop")) for text in texts)
    through_desk = "signal" in does and bool(does & {"desk", "desk_of"})
    of_daemon = ".stop(signal.SIGKILL)" in ast.unparse(function)  # of the guardian: Daemon.stop
    by_the_daemon = re.search(r"client\.kill\(\w+, signal\.SIG", ast.unparse(function)) is not None
    return bool(does & REAL_SIGNALS) or {"Popen", "kill"} <= does or through_desk or of_daemon or strikes or by_the_daemon


@pytest.mark.parametrize(("body", "is_real"), [
    ("desk.client.stop_session('x')", False), ("desk.client.exit('x', 'kill')", False), ("desk.client.kill(pid)", False),
    ("client.kill(pid, signal.SIGKILL)", True),
    ("send_signal(os_pid, 9)", True), ("desk.signal('x', os_pid, 9)", True), ("armed.arm(f'{point}:{nth}:kill')", True),
    ("armed.arm(f'{point}:1:{action}')", True),
])  # fmt: skip
def test_planted_kills_that_are_none_are_seen(body: str, is_real: bool) -> None:
    (function,) = ast.parse(f"def test_x_is_killed(desk):\n {body}\n").body
    assert isinstance(function, ast.FunctionDef)
    assert sends_a_real_signal(Path(__file__), function) is is_real


def test_acceptance_69_what_says_that_it_kills_sends_a_real_signal() -> None:
    silent = {
        function.name
        for path, function in on_a_daemon()
        if KILLS.search(function.name) and not sends_a_real_signal(path, function)
    }
    assert silent == set(NOBODYS_PROCESS)


@pytest.mark.parametrize("number", list(numbers(KILL_CELLS)))
def test_acceptance_69_a_kill_is_shown_by_a_real_signal_to_a_real_daemon(number: str) -> None:
    bearing = [(path, function) for path, function in on_a_daemon() if number in borne(function.name)]
    assert [function.name for path, function in bearing if sends_a_real_signal(path, function)] != []


def test_acceptance_69_the_signals_of_the_fixtures_are_real() -> None:
    """What a test calls for it ends in pidfd_send_signal(2), and nothing there stops anybody in its place."""
    source = ast.parse((TESTS / "daemon_fixture.py").read_text())
    named = {node.name: node for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
    assert "pidfd_send_signal" in calls(named["send_signal"])
    assert calls(named["signal"]) == {"monitor", "send_signal", "wait_down"}
    assert "send_signal" in calls(named["stop"])


def test_acceptance_195_nobody_waits_a_fixed_time() -> None:
    """Who may sleep at all is listed in test_layout.SLEEPERS; what is left there are the ticks of OTP's vectors."""
    from tests import test_layout

    assert {"tests.otp.settle"} >= {module for module in test_layout.SLEEPERS if module.startswith("tests.")}


def test_acceptance_196_every_fault_test_has_a_fixture_that_checks_the_others() -> None:
    checking = {"desk", "own", "daemon", "desk_of", "Daemon"}
    unchecked = {
        f"{path.name}:{function.name}"
        for path, function in every_test()
        if path.parent.name == "fault" and not checking & used(function, helpers(path))
    }
    assert unchecked == WITHOUT_DAEMON


@functools.cache
def helpers(path: Path) -> dict[str, ast.FunctionDef]:
    """The module's functions that are no tests, fixtures among them, by name."""
    found = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    return {node.name: node for node in found if not node.name.startswith("test_")}


def used(function: ast.FunctionDef, known: dict[str, ast.FunctionDef]) -> set[str]:
    """What ``function`` asks for or calls, and what those of the ``known`` do for it."""
    seen: set[str] = set()
    todo = [function]
    while todo:
        some = todo.pop()
        new = ({argument.arg for argument in some.args.args} | calls(some)) - seen
        seen |= new
        todo += [known[name] for name in new if name in known]
    return seen


WITHOUT_DAEMON = {
    "test_files.py:test_a_refused_daemon_speaks_json_if_it_is_asked_to",
    "test_files.py:test_F12_what_is_not_a_socket_is_left_there_and_no_daemon_starts",
    "test_files.py:test_F12_a_socket_of_another_user_is_left_there",
    "test_files.py:test_F14_a_directory_that_others_may_enter_starts_no_daemon",
    "test_files.py:test_F14_a_symbolic_link_starts_no_daemon",
    "test_files.py:test_F14_a_directory_of_another_user_starts_no_daemon",
    "test_files.py:test_S3_the_socket_has_its_mode_from_birth",
    "test_names.py:test_acceptance_34_D4_an_os_pid_that_comes_again_resolves_to_nobody_s_name",  # in a namespace of its own
    "test_resources.py:test_C20_a_log_path_that_is_something_else_is_refused_in_words",
    "test_takeover.py:test_A17_F4_who_is_killed_while_it_forks_leaves_its_lock_to_nobody",  # a program that is no daemon
    "test_rude_code.py:test_G6_who_kills_everybody_ends_the_daemon_and_leaves_nothing_and_the_next_one_starts",  # likewise
    "test_names.py:test_acceptance_34_D4_D6_the_table_knows_incarnations_by_serial_not_by_os_pid",
    "test_birth_points.py:test_a_plan_that_means_nothing_is_refused",
    "test_memory.py:test_C15_a_daemon_in_a_cgroup_too_small_for_its_shared_memory_says_so_in_a_line_and_ends",
    "test_resources.py:test_C14_a_frame_that_there_is_no_memory_to_decode_is_refused_as_any_other",
}


def outcomes(function: ast.FunctionDef) -> Iterator[int]:
    """Lines of assertions that are content with one of several outcomes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or):
            first = node.test.values[0]
            if not (isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.Not)):  # "not a or b" says what follows from a
                yield node.lineno
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.In):
            several = isinstance(node.test.comparators[0], ast.Tuple | ast.List | ast.Set)
            yield from [node.lineno] if several else []
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises" and isinstance(node.args[0], ast.Tuple):
            yield node.lineno


def test_acceptance_197_no_test_is_content_with_one_of_several_outcomes() -> None:
    assert {f"{path.name}:{function.name}" for path, function in every_test() if list(outcomes(function))} == set()


def test_planted_several_outcomes_are_seen() -> None:
    text = "def test_x():\n assert a or b\n with pytest.raises((A, B)):\n  pass\n assert a\n assert a in (1, 2)\n assert a in b\n"
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert sorted(outcomes(function)) == [2, 3, 6]


def test_acceptance_198_nothing_is_left_out_of_the_default_run() -> None:
    uses = {
        path.stem
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in LEAVING_OUT
    }
    assert uses == set(SKIPS)
    options = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["addopts"] == ["--strict-markers", "--strict-config", "-ra", "-m", "not torture"]
    assert {"testpaths", "norecursedirs", "python_files", "python_functions"} & options.keys() <= {"testpaths"}
    assert [path.name for path in TESTS.rglob("conftest.py") if "collect_ignore" in path.read_text()] == []


LEAVING_OUT = {
    "pytest.skip", "pytest.xfail", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail",
}  # fmt: skip
