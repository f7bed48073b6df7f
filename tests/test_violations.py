"""G8, pure: what a process says on its control socket is no word of ours, or it closed that socket and lives on."""

from __future__ import annotations

import pytest

from actorcore.effects import Kill
from actorcore.signals import Booted, Born, Down, Exit, Link, Monitor, ProcessSpec, Refill, Violated
from tests.table_driver import Driver, bodies, deliveries, without_reports

REASON = {"error": {"type": "protocol_error", "text": "junk"}}


@pytest.mark.parametrize("trap_exit", [False, True])
def test_G8_a_violation_kills_untrappably_and_is_the_reason_for_everybody(trap_exit: bool) -> None:
    node = Driver()
    culprit, partner = node.start(ProcessSpec("m:f", trap_exit=trap_exit)), node.start(ProcessSpec("m:f", trap_exit=True))
    bystander = node.start()
    node.ask(node.root, Monitor(1, culprit))
    node.ask(partner, Link(culprit))
    assert without_reports(node.do(Violated(culprit, "junk"))) == ["Kill"]
    effects = node.kill(culprit)
    assert deliveries(effects, node.root, Down) == [Down([1], culprit, REASON)]
    assert [(end.frm, end.reason) for end in deliveries(effects, partner, Exit)] == [(culprit, REASON)]
    assert (bodies(effects, bystander), node.table.row(culprit)) == ([], None)
    assert node.table.row(bystander) is not None


def test_G8_a_second_violation_and_one_of_the_dead_change_nothing() -> None:
    node = Driver()
    culprit = node.start()
    assert node.do(Violated(culprit, "junk")) == [Kill(culprit)]
    assert node.do(Violated(culprit, "more junk")) == []
    node.kill(culprit)
    assert node.do(Violated(culprit, "junk")) == []


def test_G8_a_violation_during_init_fails_the_start_with_its_reason() -> None:
    node = Driver()
    client = node.client()
    serial = node.fork()
    node.do(Born(serial, 1))
    node.ask(client, Monitor(1, serial))
    assert without_reports(node.do(Violated(serial, "junk"))) == ["Kill"]
    assert without_reports(node.do(Booted(serial))) == []
    effects = node.kill(serial)
    assert deliveries(effects, client, Down) == [Down([1], serial, REASON)]


def test_G8_a_blank_runs_no_code_of_anybody_so_its_violation_is_ours_to_see_by_its_death() -> None:
    node = Driver()
    node.do(Refill("lean", 1))
    (blank,) = [row.serial for row in node.table.rows(0, 9) if row.kind == "process"]
    node.do(Born(blank, 1))
    assert node.do(Violated(blank, "junk")) == []
