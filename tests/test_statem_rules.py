"""The rules of gen_statem, one test each, from the words of gen_statem(3) of OTP 25 (stdlib 4.2), quoted in the docstrings.

There are no recorded vectors of it. The machine is driven as a process loop drives it; time is the test's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from actorcore.behaviour import BadReturnValue
from actorcore.exit_reason import Term
from actorcore.frames import Call, Cast, Info, System, encoder
from actorcore.gen_statem import (
    Action,
    Event,
    EventTimeout,
    GenericTimeout,
    GenStatem,
    Hibernate,
    Ignore,
    InitResult,
    KeepState,
    NextEvent,
    NextState,
    Ok,
    Postpone,
    RepeatState,
    Reply,
    Result,
    StateTimeout,
    Stop,
    UpdateTimeout,
)
from actorcore.mailbox import ExitMessage, From, Item, Message, Raw, Timeout
from actorcore.pids import Pid
from actorcore.system_words import GetState, ReplaceState, Resume, Suspend, SystemRequest
from tests.fake_host import Host

PEER = 99
Seen = tuple[object, ...]
Rule = Callable[[Event, object], Result]


class Scripted(GenStatem):
    """Answers by a rule of the test; ``seen`` is what it was told: state, kind, content, and the name of a timeout."""

    seen: list[Seen]
    rule: Rule
    begin: InitResult

    def init(self) -> InitResult:
        return self.begin

    def handle_event(self, event: Event, state: object) -> Result:
        content = event.content.body if isinstance(event.content, Message) else event.content
        self.seen.append((state, event.kind, content, *([event.name] if event.name else [])))
        return self.rule(event, state)


class Entered(Scripted):
    """The same, told of each state that it enters."""

    state_enter = True


def raw(body: object) -> msgspec.Raw:
    return msgspec.Raw(encoder.encode(body))


A = Ok("a")


class Run:
    """A machine in the hands of the test. A message is text; ``seen`` are the events that it handles."""

    def __init__(self, rule: Rule, begin: InitResult = A, kind: type[Scripted] = Scripted) -> None:
        self.server = kind()
        self.server.seen, self.server.rule, self.server.begin = [], rule, begin
        self.host = Host()
        self.machine = self.server.machine(self.host)
        self.ignored = self.machine.begun(self.server.init())
        self.go_on()

    @property
    def seen(self) -> list[Seen]:
        return self.server.seen

    @property
    def state(self) -> object:
        return self.server.state

    def go_on(self) -> None:
        """All that needs no message."""
        while not self.is_over() and (todo := self.machine.pending()) is not None:
            function, arguments, frm = todo
            self.machine.conclude(function(*arguments), frm)

    def take(self, item: Item | Timeout) -> None:
        todo = self.machine.take(item)
        if todo is not None:
            function, arguments, frm = todo
            self.machine.conclude(function(*arguments), frm)
        self.go_on()

    def cast(self, *bodies: object) -> None:
        for body in bodies:
            self.take(Raw(PEER, Cast(raw(body))))

    def call(self, number: int, body: object) -> None:
        self.take(Raw(PEER, Call(number, raw(body))))

    def sys(self, request: SystemRequest) -> Term:
        self.take(Raw(PEER, System(7, raw(request))))
        frm, value = self.host.replies.pop()
        assert frm == From(Pid(7, PEER), 7)
        return value  # type: ignore[return-value]

    def replies(self) -> list[tuple[int, object]]:
        """Number of the call and answer."""
        return [(frm.number, value) for frm, value in self.host.replies]

    def is_over(self) -> bool:
        """Nothing is asked of it any more."""
        return self.machine.stop is not None

    def wait(self, seconds: float) -> None:
        """Let time pass: a loop waits until the machine's deadline, and is told that nothing came."""
        until = self.host.now + seconds
        while not self.is_over() and (due := self.machine.deadline_s()) is not None and due <= until:
            self.host.now = max(self.host.now, due)
            self.go_on()
            if self.machine.deadline_s() == due:
                self.take(Timeout())
        self.host.now = until


def by(table: dict[object, Result]) -> Rule:
    """What a callback returns for a content, or for (state, content); nothing for others."""

    def rule(event: Event, state: object) -> Result:
        content = event.content.body if isinstance(event.content, Message) else event.content
        return table.get((state, content), table.get(content))  # type: ignore[arg-type]

    return rule


def go(state: object, *actions: Action) -> NextState:
    return NextState(state, actions)


def stay(*actions: Action) -> KeepState:
    return KeepState(actions)


# ---- callbacks and their results ------------------------------------------------------------------------------------


def test_init_says_where_to_begin_and_its_actions_are_done() -> None:
    """ "{ok, State, Data, Actions}: … the Actions are executed when entering the first state just as for a state callback" """
    run = Run(by({}), Ok("first", [NextEvent("internal", "one"), StateTimeout(2.0, "late")]))
    assert (run.state, run.seen) == ("first", [("first", "internal", "one")])
    run.wait(2.0)
    assert run.seen[1:] == [("first", "state_timeout", "late")]


@pytest.mark.parametrize(("begin", "stop"), [(Stop({"shutdown": "no"}), {"shutdown": "no"}), (Ignore(), None)])
def test_init_may_refuse(begin: InitResult, stop: object) -> None:
    run = Run(by({}), begin)
    assert (run.machine.stop, run.ignored) == (stop, begin if isinstance(begin, Ignore) else None)


@pytest.mark.parametrize("begin", [None, "a", Ok("a", [Postpone()]), Ok("a", [Reply("nobody asks")])])
def test_a_bad_init_is_told(begin: InitResult) -> None:
    with pytest.raises(BadReturnValue):
        Run(by({}), begin)


def test_an_event_has_the_kind_of_its_message() -> None:
    """ "external_event_type(): {call, From} | cast | info" """
    run = Run(by({}))
    run.cast("c")
    run.call(3, "q")
    run.take(Raw(PEER, Info(raw("i"))))
    assert run.seen == [("a", "cast", "c"), ("a", "call", "q"), ("a", "info", "i")]


def test_an_exit_signal_of_the_parent_ends_it_and_that_of_others_is_an_info_event() -> None:
    run = Run(by({}))
    other = ExitMessage(Pid(7, 50), "gone")
    run.take(other)
    assert (run.seen, run.machine.stop) == ([("a", "info", other)], None)
    run.take(ExitMessage(Pid(7, 98), "shutdown"))
    assert (len(run.seen), run.machine.stop) == (1, "shutdown")


def test_next_state_changes_the_state_and_nothing_keeps_it() -> None:
    """ "{next_state, NextState, NewData}", "keep_state_and_data: the same as {keep_state_and_data, []}" """
    run = Run(by({"go": go("b"), "stay": None, "keep": stay()}))
    run.cast("go", "stay", "keep")
    assert (run.state, run.seen[1:]) == ("b", [("b", "cast", "stay"), ("b", "cast", "keep")])


def test_a_state_may_be_any_value_with_handle_event() -> None:
    """ "With callback mode handle_event_function … the state can be any term" """
    run = Run(lambda event, state: go(["b", 1]) if event.content == "go" else None)
    run.cast("go", "x")
    assert run.seen[1:] == [(["b", 1], "cast", "x")]


class Turnstile(GenStatem):
    callback_mode = "state_functions"

    def init(self) -> Ok:
        self.seen: list[Seen] = []
        return Ok("locked")

    def locked(self, event: Event) -> Result:
        self.seen.append(("locked", event.content))
        return go("open") if event.content == "coin" else go("nowhere") if event.content == "break" else None

    def open(self, event: Event) -> Result:
        self.seen.append(("open", event.content))
        return go("locked")


def test_with_state_functions_the_method_of_the_states_name_is_called() -> None:
    """ "state_functions: … the callback function Module:StateName/3 is used" """
    server, host = Turnstile(), Host()
    machine = server.machine(host)
    machine.begun(server.init())
    for body in ("push", "coin", "push", "break"):
        todo = machine.take(Raw(PEER, Cast(raw(body))))
        assert todo is not None
        machine.conclude(todo[0](*todo[1]), todo[2])
    assert server.seen == [("locked", "push"), ("locked", "coin"), ("open", "push"), ("locked", "break")]
    with pytest.raises(BadReturnValue):  # there is no such state
        machine.take(Raw(PEER, Cast(raw("x"))))


def test_stop_ends_it_and_may_answer_first() -> None:
    """ "{stop_and_reply, Reason, Replies}: sends all Replies, then terminates" """
    run = Run(by({"end": Stop("shutdown", reply="bye")}))
    run.call(4, "end")
    assert (run.replies(), run.machine.stop) == ([(4, "bye")], "shutdown")


def test_events_that_wait_are_not_handled_after_a_stop() -> None:
    run = Run(by({"begin": stay(NextEvent(content="end"), NextEvent(content="more")), "end": Stop()}))
    run.cast("begin")
    assert run.seen == [("a", "cast", "begin"), ("a", "internal", "end")]


@pytest.mark.parametrize("result", [
    42, Ok("a"), stay(Reply("nobody asks")), stay("no action"), stay(NextEvent("call", "who asks")),  # type: ignore[arg-type]
    Stop("normal", reply="nobody asks"),
])  # fmt: skip
def test_what_is_no_result_is_a_bad_return_value(result: Result) -> None:
    run = Run(by({"x": result}))
    with pytest.raises(BadReturnValue):
        run.cast("x")


# ---- replies --------------------------------------------------------------------------------------------------------


def test_a_reply_is_sent_at_once_to_the_caller_or_to_whom_it_names() -> None:
    """ "{reply, From, Reply}: this action replies to a client waiting in call/2" """
    held: list[From] = []

    def rule(event: Event, state: object) -> Result:
        if event.content == "hold":
            assert event.frm is not None
            held.append(event.frm)
            return None
        return stay(Reply("first", held[0]), Reply("second"))

    run = Run(rule)
    run.call(1, "hold")
    assert run.replies() == []
    run.call(2, "release")
    assert run.replies() == [(1, "first"), (2, "second")]


def test_a_postponed_call_can_be_answered_when_it_comes_again() -> None:
    run = Run(by({("a", "q"): stay(Postpone()), ("b", "q"): stay(Reply("done")), "go": go("b")}))
    run.call(5, "q")
    assert run.replies() == []
    run.cast("go")
    assert run.replies() == [(5, "done")]


# ---- postponing -----------------------------------------------------------------------------------------------------


def test_postponed_events_come_again_when_the_state_has_changed_oldest_first() -> None:
    """ "postpone(): if true, postpones the current event and retries it after a state change" """
    run = Run(by({("a", 1): stay(Postpone()), ("a", 2): stay(Postpone()), "go": go("b")}))
    run.cast(1, 2, "x", "go")
    assert run.seen[3:] == [("a", "cast", "go"), ("b", "cast", 1), ("b", "cast", 2)]


def test_without_a_change_of_state_they_stay_postponed() -> None:
    """ "4. If the state changes, the queue of incoming events is reset to start with the oldest postponed" """
    run = Run(by({("a", 1): stay(Postpone()), "same": go("a"), "repeat": RepeatState(), "go": go("b")}))
    run.cast(1, "same", "repeat", "x")
    assert [seen[2] for seen in run.seen] == [1, "same", "repeat", "x"]
    run.cast("go")
    assert run.seen[-1] == ("b", "cast", 1)


def test_an_event_postponed_by_the_transition_that_changes_the_state_comes_again_in_the_new_one() -> None:
    run = Run(by({("a", 1): go("b", Postpone())}))
    run.cast(1)
    assert run.seen == [("a", "cast", 1), ("b", "cast", 1)]


def test_an_event_may_be_postponed_again_and_keeps_its_place() -> None:
    wait = stay(Postpone())
    run = Run(by({("a", 1): wait, ("a", 2): wait, ("b", 1): wait, ("b", 2): wait, "b": go("b"), "c": go("c")}))
    run.cast(1, 2, "b", "c")
    assert run.seen[-2:] == [("c", "cast", 1), ("c", "cast", 2)]


def test_a_change_of_state_on_the_way_sends_the_rest_to_the_newer_state() -> None:
    wait = stay(Postpone())
    run = Run(by({("a", 1): wait, ("a", 2): wait, "go": go("b"), ("b", 1): go("c")}))
    run.cast(1, 2, "go")
    assert run.seen[-2:] == [("b", "cast", 1), ("c", "cast", 2)]


# ---- inserted events ------------------------------------------------------------------------------------------------


def test_inserted_events_are_handled_in_their_order_before_any_message() -> None:
    """ "{next_event, EventType, EventContent}: … inserted in the queue as the next to process …; all of these are processed
    before any not yet received external events", "the order in the list is preserved" """
    run = Run(by({"x": stay(NextEvent("internal", 1), NextEvent("cast", 2), NextEvent("info", 3))}))
    run.cast("x", "y")
    assert run.seen[1:] == [("a", "internal", 1), ("a", "cast", 2), ("a", "info", 3), ("a", "cast", "y")]


def test_inserted_events_come_before_those_that_were_postponed_and_before_inserted_ones_that_wait() -> None:
    """ "5. All events stored with action() next_event are inserted in the queue to be processed before previously queued" """
    run = Run(by({
        ("a", 1): stay(Postpone()), "go": go("b", NextEvent(content=2), NextEvent(content=3)), 2: stay(NextEvent(content=4)),
    }))  # fmt: skip
    run.cast(1, "go")
    assert [seen[2] for seen in run.seen[2:]] == [2, 4, 3, 1]


def test_an_inserted_call_carries_its_caller() -> None:
    def rule(event: Event, state: object) -> Result:
        if event.kind == "call" and event.content == "again":
            return stay(Reply("answered"))
        return stay(NextEvent("call", "again", event.frm))

    run = Run(rule)
    run.call(6, "q")
    assert (run.seen, run.replies()) == ([("a", "call", "q"), ("a", "call", "again")], [(6, "answered")])


# ---- state enter calls ----------------------------------------------------------------------------------------------


def test_a_state_is_told_when_it_is_entered_and_from_where() -> None:
    """ "state_enter: … at every state change … the callback is called with (enter, OldState, Data)"; for the first state
    "OldState is equal to the current state" """
    run = Run(by({"go": go("b"), "same": go("b"), "keep": stay()}), kind=Entered)
    run.cast("go", "same", "keep")
    assert run.seen == [
        ("a", "enter", "a"), ("a", "cast", "go"), ("b", "enter", "a"), ("b", "cast", "same"), ("b", "cast", "keep"),
    ]  # fmt: skip


def test_repeat_state_enters_again_and_changes_nothing() -> None:
    """ "{repeat_state, …}: … the state enter call is repeated, … other than that the same as keep_state" """
    run = Run(by({"again": RepeatState(), "late": stay(Postpone()), "arm": stay(StateTimeout(5.0))}), kind=Entered)
    run.cast("arm", "late", "again")
    assert run.seen[-2:] == [("a", "cast", "again"), ("a", "enter", "a")]
    run.wait(5.0)
    assert run.seen[-1] == ("a", "state_timeout", None)


def test_actions_of_an_enter_call_come_behind_those_of_the_callback() -> None:
    """ "any actions returned from this call are handled as if they were appended to the actions returned by the state
    callback that caused the state entry" """

    def rule(event: Event, state: object) -> Result:
        if event.kind == "enter":
            return stay(StateTimeout(1.0, "of enter"))
        return go("b", StateTimeout(9.0, "of the callback"), NextEvent(content="next")) if event.content == "go" else None

    run = Run(rule, kind=Entered)
    run.cast("go")
    run.wait(1.0)
    assert run.seen[-3:] == [("b", "enter", "a"), ("b", "internal", "next"), ("b", "state_timeout", "of enter")]


def test_the_enter_call_comes_before_postponed_and_inserted_events_and_after_answers() -> None:
    order: list[object] = []

    def rule(event: Event, state: object) -> Result:
        order.append((event.kind, event.content, len(run.host.replies) if order else 0))
        match (state, event.kind, event.content):
            case ("a", "cast", 1):
                return stay(Postpone())
            case ("a", "call", "go"):
                return go("b", Reply("gone"), NextEvent(content=2))
        return None

    run = Run(rule, kind=Entered)
    run.cast(1)
    run.call(8, "go")
    assert order == [("enter", "a", 0), ("cast", 1, 0), ("call", "go", 0), ("enter", "a", 1), ("internal", 2, 1), ("cast", 1, 1)]


@pytest.mark.parametrize("result", [go("c"), RepeatState(), stay(Postpone()), stay(NextEvent())])
def test_an_enter_call_may_neither_change_the_state_nor_postpone_nor_insert(result: Result) -> None:
    """ "you are not allowed to change the state, to use postpone or next_event"; to its own state it may go """
    run = Run(by({("b", "a"): result, "go": go("b")}), kind=Entered)
    with pytest.raises(BadReturnValue):
        run.cast("go")


def test_an_enter_call_may_say_its_own_state_stop_or_arm_a_timeout() -> None:
    rule = by({("b", "a"): go("b", EventTimeout(1.0)), ("c", "b"): Stop("shutdown"), "go": go("b"), "end": go("c")})
    run = Run(rule, kind=Entered)
    run.cast("go")
    run.wait(1.0)
    assert run.seen[-1] == ("b", "timeout", None)
    run.cast("end")
    assert run.machine.stop == "shutdown"


# ---- timeouts -------------------------------------------------------------------------------------------------------


def test_a_state_timeout_comes_after_its_time_unless_the_state_changes() -> None:
    """ "state_timeout: generates an event of type state_timeout after Time milliseconds unless the state changes" """
    run = Run(by({"arm": stay(StateTimeout(3.0, "late")), "go": go("b"), "back": go("a")}))
    run.cast("arm")
    run.wait(2.9)
    run.cast("x")
    assert [seen[2] for seen in run.seen] == ["arm", "x"]
    run.wait(0.1)
    assert run.seen[-1] == ("a", "state_timeout", "late")
    run.cast("arm", "go", "back")
    run.wait(10.0)
    assert run.seen[-1] == ("b", "cast", "back")


def test_a_state_timeout_set_by_the_transition_belongs_to_the_new_state() -> None:
    """ "a state change cancels a state_timeout and any new transition option of this type belongs to the new state" """
    run = Run(by({"arm": stay(StateTimeout(1.0, "old")), "go": go("b", StateTimeout(2.0, "new"))}))
    run.cast("arm", "go")
    run.wait(5.0)
    assert run.seen[-1] == ("b", "state_timeout", "new")
    assert len(run.seen) == 3


def test_an_event_timeout_ends_with_any_event() -> None:
    """ "any event cancels an event_timeout()" """
    arm = stay(EventTimeout(1.0, "quiet"))
    run = Run(by({"arm": arm, "internal": stay(EventTimeout(1.0, "quiet"), NextEvent(content="x"))}))
    run.cast("arm")
    run.wait(1.0)
    assert run.seen[-1] == ("a", "timeout", "quiet")
    run.cast("arm", "x")
    run.wait(9.0)
    assert run.seen[-1] == ("a", "cast", "x")
    run.cast("internal")
    run.wait(9.0)
    assert run.seen[-1] == ("a", "internal", "x")


def test_another_timeout_ends_an_event_timeout_too() -> None:
    run = Run(by({"arm": stay(EventTimeout(2.0), StateTimeout(1.0, "s"))}))
    run.cast("arm")
    run.wait(9.0)
    assert run.seen[1:] == [("a", "state_timeout", "s")]


def test_a_generic_timeout_ends_with_nothing_and_each_name_is_its_own() -> None:
    """ "{timeout, Name}: … generates an event unless cancelled; any event does not cancel it, nor does a state change" """
    run = Run(by({"arm": stay(GenericTimeout("x", 2.0, 1), GenericTimeout("y", 1.0, 2)), "go": go("b")}))
    run.cast("arm", "go", "other")
    run.wait(5.0)
    assert run.seen[3:] == [("b", "generic_timeout", 2, "y"), ("b", "generic_timeout", 1, "x")]


@pytest.mark.parametrize("kind", [
    lambda after_s, content: StateTimeout(after_s, content), lambda after_s, content: EventTimeout(after_s, content),
    lambda after_s, content: GenericTimeout("n", after_s, content),
])  # fmt: skip
def test_a_timeout_set_again_replaces_the_one_that_runs_and_no_time_cancels_it(
    kind: Callable[[float | None, str], Action],
) -> None:
    """ "Setting a timer while it is running will restart it with the new time-out value"; "Time infinity: cancelled" """
    run = Run(by({"twice": stay(kind(1.0, "first"), kind(2.0, "second")), "none": stay(kind(1.0, "x"), kind(None, "y"))}))
    run.cast("twice")
    run.wait(1.5)
    assert len(run.seen) == 1
    run.wait(0.5)
    assert run.seen[-1][2] == "second"
    run.cast("none")
    run.wait(9.0)
    assert run.seen[-1][2] == "none"


def test_a_timeout_of_time_zero_comes_after_events_that_are_there_and_before_any_message() -> None:
    """ "6. … Time-outs with zero time … the corresponding time-out zero event is enqueued as the newest received event; that
    is after already queued events such as inserted and postponed events" """
    run = Run(by({("a", 1): stay(Postpone()), "go": go("b", StateTimeout(0.0, "now"), NextEvent(content="inserted"))}))
    run.cast(1, "go", "message")
    assert run.seen[2:] == [
        ("b", "internal", "inserted"), ("b", "cast", 1), ("b", "state_timeout", "now"), ("b", "cast", "message"),
    ]  # fmt: skip


def test_an_event_timeout_of_time_zero_comes_only_if_no_event_is_there() -> None:
    """ "a zero time event time-out is only generated if the event queue is empty" """
    run = Run(by({
        "alone": stay(EventTimeout(0.0, "now")), "not alone": stay(EventTimeout(0.0, "now"), NextEvent(content="x")),
    }))  # fmt: skip
    run.cast("alone", "not alone", "y")
    assert [seen[2] for seen in run.seen] == ["alone", "now", "not alone", "x", "y"]


def test_a_state_change_ends_a_state_timeout_of_time_zero_that_has_not_come_yet() -> None:
    run = Run(by({"arm": stay(StateTimeout(0.0, "now"), NextEvent(content="go")), "go": go("b")}))
    run.cast("arm", "x")
    assert [seen[2] for seen in run.seen] == ["arm", "go", "x"]


def test_timeouts_due_at_once_come_in_the_order_in_which_they_were_set() -> None:
    run = Run(by({"arm": stay(StateTimeout(0.0, 1), GenericTimeout("g", 0.0, 2))}))
    run.cast("arm")
    assert [seen[2] for seen in run.seen] == ["arm", 1, 2]


def test_an_update_changes_what_comes_and_not_when() -> None:
    """ "{TimeoutType, update, EventContent}: updates the EventContent …; if no such time-out is running this is the same as
    starting it with time 0" """
    run = Run(by({
        "arm": stay(StateTimeout(2.0, "old"), GenericTimeout("g", 3.0, "old")),
        "update": stay(UpdateTimeout("state_timeout", "new"), UpdateTimeout("generic_timeout", "newer", "g")),
        "none": stay(UpdateTimeout("timeout", "at once")),
    }))  # fmt: skip
    run.cast("arm", "update")
    run.wait(5.0)
    assert run.seen[2:] == [("a", "state_timeout", "new"), ("a", "generic_timeout", "newer", "g")]
    run.cast("none")
    assert run.seen[-1] == ("a", "timeout", "at once")


def test_messages_that_were_there_when_a_timeout_ran_out_come_first_and_a_flood_does_not_keep_it_away() -> None:
    """In OTP it is a message of its own, behind those that came before it."""
    run = Run(by({"arm": stay(StateTimeout(1.0, "late"))}))
    run.cast("arm")
    run.host.now += 2.0
    run.host.mailbox.items.extend(Raw(PEER, Cast(raw(number))) for number in range(3))
    run.go_on()
    for _ in range(4):
        run.take(run.host.mailbox.items.popleft())
        run.host.mailbox.push(Raw(PEER, Cast(raw("flood"))))
    assert [seen[2] for seen in run.seen[1:]] == [0, 1, 2, "late", "flood"]


def test_hibernate_is_accepted_and_does_nothing() -> None:
    run = Run(by({"x": stay(Hibernate())}), Ok("a", [Hibernate()]))
    run.cast("x", "y")
    assert [seen[2] for seen in run.seen] == ["x", "y"]


# ---- sys ------------------------------------------------------------------------------------------------------------


def test_its_state_for_sys_is_state_and_data() -> None:
    """ "sys:get_state/1: … for a gen_statem process, the state is the tuple {CurrentState, CurrentData}" """
    run = Run(by({}))
    run.server.rule = by({})
    got = run.sys(GetState())
    assert isinstance(got, list)
    assert (got[0], isinstance(got[1], dict) and sorted(got[1])) == ("a", ["begin", "rule", "seen"])
    run.sys(ReplaceState("tests.test_statem_rules:moved", ["c"]))
    assert run.state == "c"


@pytest.mark.parametrize("wrong", [3, ["b"], ["b", {}, 1], ["b", 1]])
def test_what_is_not_state_and_data_replaces_nothing(wrong: object) -> None:
    run = Run(by({}))
    run.take(Raw(PEER, System(7, raw(ReplaceState("tests.test_statem_rules:said", [wrong])))))
    assert ([code for _, code, _ in run.host.errors], run.state) == (["callback_failed"], "a")
    run.cast("still the same data")
    assert len(run.seen) == 1


def said(state: object, instead: object) -> object:
    return instead


def moved(state: tuple[object, object], to: object) -> tuple[object, object]:
    return to, state[1]


def test_suspended_nothing_happens_and_no_timeout_comes_until_it_is_resumed() -> None:
    run = Run(by({"arm": stay(StateTimeout(1.0, "late"), GenericTimeout("g", 50.0))}))
    run.cast("arm")
    run.sys(Suspend())
    assert run.machine.deadline_s() is None
    run.host.now += 9.0
    run.go_on()
    run.cast("waits")
    assert [seen[2] for seen in run.seen] == ["arm"]
    run.sys(Resume())
    assert run.machine.deadline_s() == 1001.0
    run.take(run.host.mailbox.items.popleft())
    assert [seen[2] for seen in run.seen] == ["arm", "waits", "late"]
