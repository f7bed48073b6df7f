"""The mailbox: messages in their order, answers to those who wait, bounds, and what is set aside."""

from __future__ import annotations

from typing import Any

import msgspec

from actorcore.frames import Call, Info, Reply, System
from actorcore.mailbox import (
    MAX_WAITING,
    MAX_WAITING_BYTES,
    Arrivals,
    Dead,
    DownMessage,
    ExitMessage,
    Item,
    Mailbox,
    Raw,
    Refusal,
    Timeout,
    Waiting,
    invalid_message,
)
from actorcore.pids import Pid

NIL = msgspec.Raw(b"\xc0")
PID = Pid(7, 11)


def info(frm: int) -> Raw:
    return Raw(frm, Info(NIL))


def test_an_answer_is_for_the_one_call_to_its_peer_and_the_first_one_counts() -> None:
    mailbox = Mailbox()
    first, second = Waiting(11), Waiting(12)
    numbers = [mailbox.expect(first), mailbox.expect(second)]
    assert (numbers, mailbox.oldest_awaited()) == ([1, 2], 11)
    mailbox.settle(12, Reply(1, NIL))  # not its peer
    assert first.outcome is None
    answer = Reply(1, NIL)
    mailbox.settle(11, answer)
    mailbox.settle(11, Reply(1, error=("late", None)))
    mailbox.fail_peer(11, Dead("killed"))
    assert (first.outcome, second.outcome, list(mailbox.items)) == (answer, None, [])
    mailbox.forget(1)
    assert mailbox.oldest_awaited() == 12
    mailbox.settle(11, Reply(1, NIL))
    assert list(mailbox.items) == []


def test_the_calls_to_a_peer_fail_together_up_to_a_number_and_no_others() -> None:
    mailbox = Mailbox()
    calls = [Waiting(11), Waiting(12), Waiting(11), Waiting(11)]
    for call in calls:
        mailbox.expect(call)
    assert [mailbox.last_call(peer) for peer in (11, 12, 13)] == [4, 2, 0]
    mailbox.fail_peer(11, Dead("killed"), up_to=3)
    assert [call.outcome for call in calls] == [Dead("killed"), None, Dead("killed"), None]
    mailbox.fail_peer(11, Refusal("busy"))
    assert [call.outcome for call in calls] == [Dead("killed"), None, Dead("killed"), Refusal("busy")]


def test_a_mailbox_is_full_of_so_many_messages_or_bytes_and_never_when_it_is_empty() -> None:
    mailbox = Mailbox()
    mailbox.bytes = MAX_WAITING_BYTES
    assert not mailbox.is_full()
    mailbox.push(info(2))
    assert mailbox.is_full()
    mailbox.bytes = MAX_WAITING_BYTES - 1
    assert not mailbox.is_full()
    mailbox.items.extend([info(2)] * (MAX_WAITING - 2))
    assert not mailbox.is_full()
    mailbox.set_aside(info(3))
    assert (mailbox.waiting(), mailbox.is_full()) == (MAX_WAITING, True)


def test_what_was_set_aside_comes_back_before_all_else_in_its_order() -> None:
    mailbox = Mailbox()
    first, second, third = info(2), DownMessage(5, PID, "boom"), info(3)
    mailbox.set_aside(first)
    mailbox.set_aside(second)
    mailbox.push(third)
    assert mailbox.senders_aside == {2}
    mailbox.put_back()
    assert (list(mailbox.items), list(mailbox.aside), mailbox.senders_aside) == ([first, second, third], [], set())


def test_a_down_is_taken_out_wherever_it_waits_and_no_other() -> None:
    mailbox = Mailbox()
    aside, here, other = (DownMessage(ref, PID, "boom") for ref in (1, 2, 3))
    mailbox.set_aside(aside)
    for item in (info(1), here, other):
        mailbox.push(item)
    assert [mailbox.take_down(ref) for ref in (2, 1, 9)] == [here, aside, None]
    assert (list(mailbox.aside), list(mailbox.items)) == ([], [info(1), other])


def test_a_task_says_its_value_once_and_none_after_its_down() -> None:
    mailbox = Mailbox()
    ref, dead = mailbox.expect_task(11), mailbox.expect_task(12)
    value = Reply(ref, NIL)
    mailbox.settle(11, value)
    mailbox.settle(11, Reply(ref, NIL))
    mailbox.push_downs([4, dead], PID, "boom")
    mailbox.settle(12, Reply(dead, NIL))
    assert list(mailbox.items) == [Raw(11, value), DownMessage(4, PID, "boom"), DownMessage(dead, PID, "boom")]


def test_what_is_diverted_wakes_and_what_is_left_of_it_is_put_back_with_nothing_else() -> None:
    mailbox, arrivals = Mailbox(), Arrivals()
    first, second, third = (mailbox.expect_task(peer) for peer in (11, 12, 13))
    woken: list[int] = []
    arrivals.wake = lambda: woken.append(len(arrivals.items))
    early: list[Item] = [DownMessage(second, PID, "a"), info(2), Raw(9, System(first, NIL)), Raw(9, Call(first, NIL))]
    for item in early:
        mailbox.push(item)
    mailbox.set_aside(DownMessage(first, PID, "b"))
    mailbox.divert([first, second], arrivals)
    assert (list(mailbox.items), list(mailbox.aside)) == (early[1:], [])
    assert list(arrivals.items) == [DownMessage(first, PID, "b"), DownMessage(second, PID, "a")]
    mailbox.settle(11, Reply(first, NIL))
    mailbox.settle(13, Reply(third, NIL))
    assert (woken, mailbox.items[-1]) == ([3], Raw(13, Reply(third, NIL)))
    mailbox.restore([first])
    mailbox.settle(12, Reply(second, NIL))
    assert list(arrivals.items) == [DownMessage(second, PID, "a"), Raw(12, Reply(second, NIL))]
    assert list(mailbox.items)[-2:] == [DownMessage(first, PID, "b"), Raw(11, Reply(first, NIL))]
    mailbox.restore([second])
    assert (list(arrivals.items), len(mailbox.items)) == ([], 8)


def test_who_waits_for_an_answer_is_told_that_its_message_is_none() -> None:
    expected: list[tuple[Any, Any]] = [
        (Raw(2, Call(5, NIL)), Reply(5, error=("invalid_message", "not of the declared type"))),
        (Raw(2, System(5, NIL)), Reply(5, error=("unsupported", "a function has no behaviour that speaks sys"))),
        (Raw(2, Call(0, NIL)), None),
        (Raw(2, System(0, NIL)), None),
        (info(2), None),
        (ExitMessage(PID, "boom"), None),
        (Timeout(), None),
    ]
    assert [(item, invalid_message(item)) for item, _ in expected] == expected
