"""The node's own resident: what it answers to each verb, and whom when a reload is over."""

from __future__ import annotations

import msgspec
import pytest

from actorcore.exit_reason import Term
from actorcore.guardian_words import PYTHON
from actorcore.node_desk import NodeDesk
from actorcore.residents import AnswerTo, Order, Tell
from actorcore.signals import NOBODY, Asking, Down, ReloadEnded, TookOver


class Counts(msgspec.Struct):
    processes: int = 3


FACTS: dict[str, Term] = {"processes": 3, "log_dropped": 0, "python": PYTHON, "node_os_pid": 77, "generation": 2}
UNKNOWN = ("unknown_request", "status, reload, renew or down")
NO_VERB = ("invalid_message", "expected a map with a verb")


def desk() -> NodeDesk:
    made = NodeDesk(Counts)
    made.log_dropped = 9  # of the node before
    made.took_over(TookOver(77, 2))
    return made


def asked(it: NodeDesk, number: int, body: object) -> list[Order]:
    return it.handle(Asking(5, number, msgspec.Raw(msgspec.msgpack.encode(body))), 0.0)


@pytest.mark.parametrize(
    ("body", "orders"),
    [
        ({"verb": "status"}, [AnswerTo(5, 1, FACTS)]),
        ({"verb": "down"}, [AnswerTo(5, 1, True), Tell("down", NOBODY)]),
        ({"verb": "renew"}, [AnswerTo(5, 1, True), Tell("renew", NOBODY)]),
        ({"verb": "reload"}, [Tell("reload", 1)]),
        ({"verb": "up"}, [AnswerTo(5, 1, None, UNKNOWN)]),
        ({"verb": 5}, [AnswerTo(5, 1, None, NO_VERB)]),
        ("status", [AnswerTo(5, 1, None, NO_VERB)]),
    ],
)
def test_each_verb_has_its_answer_and_what_the_shell_is_told(body: object, orders: list[Order]) -> None:
    assert asked(desk(), 1, body) == orders


def test_all_who_wait_are_answered_by_the_last_reload_and_by_no_earlier_one() -> None:
    it = desk()
    assert [asked(it, number, {"verb": "reload"}) for number in (1, 2)] == [[Tell("reload", 1)], [Tell("reload", 2)]]
    again = NodeDesk(Counts)
    again.restore(it.snapshot())
    assert again.reload_ended(ReloadEnded(1)) == []
    assert again.reload_ended(ReloadEnded(2)) == [AnswerTo(5, 1, FACTS), AnswerTo(5, 2, FACTS)]
    assert again.reload_ended(ReloadEnded(2)) == []
    failed = ("reload_failed", "SyntaxError")
    assert it.reload_ended(ReloadEnded(2, "SyntaxError")) == [AnswerTo(5, 1, None, failed), AnswerTo(5, 2, None, failed)]


def test_what_is_no_request_is_none_of_its_business() -> None:
    assert desk().handle(Down([1], 2, "killed"), 0.0) == []
