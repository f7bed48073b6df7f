"""Templates in the process table: which one a spawn gets, and that one which cannot be used keeps nobody waiting."""

from __future__ import annotations

import pytest

from actorcore.effects import Forget, Fork, Kill, Operate
from actorcore.signals import (
    Begin,
    Booted,
    Born,
    Down,
    Exited,
    Monitor,
    ProcessSpec,
    Refill,
    SendExit,
    Spawn,
    Started,
    TemplateTold,
)
from tests.table_driver import Driver, bodies

BROKEN = "its preload list makes it crash"


@pytest.fixture
def node() -> Driver:
    node = Driver()
    for template in ("lean", "asyncio", "data"):
        node.do(TemplateTold(template))
    return node


def forks(node: Driver, spec: ProcessSpec) -> str:
    """The template from which a process of ``spec`` is ordered; it boots and dies."""
    (fork,) = [effect for effect in node.ask(node.root, Spawn(spec)) if isinstance(effect, Fork)]
    node.do(Born(fork.serial, 1))
    node.do(Booted(fork.serial))
    node.do(Exited(fork.serial, 1, 0))
    return fork.template


def run(node: Driver, start: str, better: str) -> None:
    """A process of ``start`` boots and tells which template would have been better."""
    serial = node.fork(ProcessSpec(start))
    node.do(Born(serial, 1))
    node.do(Booted(serial, better))
    node.do(Exited(serial, 1, 0))


def test_a_template_that_is_served_disturbs_nobody_who_waits_for_it(node: Driver) -> None:
    node.fork(ProcessSpec("m:f", template="data"))
    assert node.do(TemplateTold("data")) == []


def test_a_named_template_is_the_one_that_is_used(node: Driver) -> None:
    assert [forks(node, ProcessSpec("m:f", template=name)) for name in ("lean", "asyncio", "data")] == ["lean", "asyncio", "data"]


def test_F12_who_has_a_program_alone_takes_no_blank(node: Driver) -> None:
    (blank,) = [effect for effect in node.do(Refill("lean", 1)) if isinstance(effect, Fork)]
    node.do(Born(blank.serial, 1))
    (fork,) = [effect for effect in node.ask(node.root, Spawn(ProcessSpec("m:f", isolation="exec"))) if isinstance(effect, Fork)]
    assert (fork.alone, fork.blank, fork.serial == blank.serial) == (True, False, False)
    assert [effect for effect in node.ask(node.root, Spawn(ProcessSpec("m:f"))) if isinstance(effect, Fork)] == []


def test_auto_is_lean_until_a_start_has_shown_that_it_wants_another(node: Driver) -> None:
    run(node, "m:f", "asyncio")
    assert [forks(node, ProcessSpec(start)) for start in ("m:f", "m:g")] == ["asyncio", "lean"]
    assert forks(node, ProcessSpec("m:f", template="lean")) == "lean"


def test_auto_never_means_a_template_that_cannot_be_used(node: Driver) -> None:
    run(node, "m:f", "asyncio")
    node.do(TemplateTold("asyncio", BROKEN))
    assert forks(node, ProcessSpec("m:f")) == "lean"
    node.do(TemplateTold("asyncio"))
    assert forks(node, ProcessSpec("m:f")) == "asyncio"


def test_only_so_many_starts_are_remembered_and_the_oldest_is_forgotten(node: Driver) -> None:
    for number in range(1025):
        run(node, f"m:f{number}", "asyncio")
    assert [forks(node, ProcessSpec(f"m:f{number}")) for number in (0, 1, 1024)] == ["lean", "asyncio", "asyncio"]


@pytest.mark.parametrize(("template", "why"), [("nope", "there is none of this name"), ("data", BROKEN)])
def test_a_spawn_from_an_unknown_or_refused_template_is_refused_at_once(node: Driver, template: str, why: str) -> None:
    node.do(TemplateTold("data", BROKEN))
    error = node.error(node.client(), Spawn(ProcessSpec("m:f", template=template), wait_init=False))
    assert error == ("invalid_spec", f"template '{template}': {why}")


def test_who_waits_for_a_fork_from_a_refused_template_is_answered_once(node: Driver) -> None:
    client = node.client()
    fork = next(e for e in node.ask(client, Spawn(ProcessSpec("m:f", template="data"), link=True)) if isinstance(e, Fork))
    node.do(Refill("data", 2))
    lean = node.fork()
    effects = node.do(TemplateTold("data", BROKEN))
    answers = [body for body in bodies(effects, client) if not isinstance(body, Begin)]
    assert [(type(body).__name__, body.error) for body in answers] == [  # type: ignore[union-attr]
        ("Answer", ("invalid_spec", f"template 'data': {BROKEN}")),
    ]
    assert [e.serial for e in effects if isinstance(e, Forget)] == [fork.serial, fork.serial + 1, fork.serial + 2]
    assert node.do(Refill("data", 2)) == []
    assert node.table.row(lean) is not None


def test_a_watcher_is_told_why_a_process_never_lived_and_an_ordered_end_stays_its_reason(node: Driver) -> None:
    watched, ended = (node.fork(ProcessSpec("m:f", template="data"), wait_init=False) for _ in range(2))
    for ref, serial in enumerate((watched, ended), 1):
        node.ask(node.root, Monitor(ref, serial))
    node.ask(node.root, SendExit(ended, "boom"))
    downs = [body for body in bodies(node.do(TemplateTold("data", BROKEN)), node.root) if isinstance(body, Down)]
    assert downs == [Down([1], watched, {"template": BROKEN}), Down([2], ended, "boom")]


def test_a_supervisor_is_told_what_kept_its_child_from_being_started(node: Driver) -> None:
    effects = node.ask(node.root, Spawn(ProcessSpec("m:f", template="nope")))
    why = {"invalid_spec": "template 'nope': there is none of this name"}
    assert bodies(effects, node.root) == [Started(node.numbers[node.root], 0, why)]  # type: ignore[arg-type]


def test_images_that_have_modules_of_the_user_s_are_made_anew_and_their_blanks_end(node: Driver) -> None:
    node.do(TemplateTold("data", preloads=True))
    node.do(Refill("lean", 1))
    (fork,) = [effect for effect in node.do(Refill("data", 1)) if isinstance(effect, Fork)]
    assert node.table.renew_images(node.now) == [Operate("renew", 0, "data"), Kill(fork.serial)]
