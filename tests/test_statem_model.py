"""The state machine against a model of it: the eight steps of transition_option() (gen_statem(3)), said once more with lists.

A machine is a random table: what each state makes of each event. Both are fed the same messages and the same time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings, strategies as st

from actorcore.gen_statem import (
    Action,
    Event,
    EventTimeout,
    GenericTimeout,
    KeepState,
    NextEvent,
    NextState,
    Ok,
    Postpone,
    RepeatState,
    Result,
    StateTimeout,
    UpdateTimeout,
)
from tests.test_statem_rules import Entered, Run, Scripted

STATES = "abc"
MOST = 60
"""Events of one run: two states may send an event to each other for ever."""
ENTERED, NUMBERS = 9, 4
Move = tuple[str | None, list[Action]]
Table = dict[tuple[str, int], Move]
"""By state and number of the event: where to go (None: stay, "again": repeat), and the actions."""

times = st.sampled_from([None, 0.0, 1.0, 2.0, 3.0])
numbers = st.integers(0, NUMBERS - 1)
timeouts = st.one_of(
    st.builds(StateTimeout, times, numbers), st.builds(EventTimeout, times, numbers),
    st.builds(GenericTimeout, st.sampled_from("xy"), times, numbers),
    st.builds(UpdateTimeout, st.sampled_from(["timeout", "state_timeout"]), numbers),
    st.builds(UpdateTimeout, st.just("generic_timeout"), numbers, st.sampled_from("xy")),
)  # fmt: skip
events = st.builds(NextEvent, st.sampled_from(["internal", "cast", "info"]), numbers)
actions_ = st.lists(st.one_of(timeouts, events, st.just(Postpone())), max_size=3)
moves = st.tuples(st.sampled_from([None, None, "again", *STATES]), actions_)
entries = st.tuples(st.none(), st.lists(timeouts, max_size=2))
tables = st.fixed_dictionaries({
    **{(state, number): moves for state in STATES for number in range(NUMBERS)},
    **{(state, ENTERED): entries for state in STATES},
})  # fmt: skip
steps = st.lists(st.one_of(numbers, st.sampled_from([0.5, 1.0, 2.0])), max_size=12)
"""Numbers are messages, seconds pass."""


@dataclass
class Model:
    """What the manual says."""

    table: Table
    tells_entry: bool
    state: str = "a"
    now: float = 1000.0
    waiting: list[tuple[str, int, str]] = field(default_factory=list)
    postponed: list[tuple[str, int, str]] = field(default_factory=list)
    running: list[tuple[float, str, str, int]] = field(default_factory=list)
    """When, kind, name, number, in the order in which they were set."""
    seen: list[tuple[object, ...]] = field(default_factory=list)

    def handle(self, kind: str, number: int, name: str = "") -> None:
        self.running = [timer for timer in self.running if timer[1] != "timeout"]
        self.seen.append((self.state, kind, number, *([name] if name else [])))
        to, actions = self.table[self.state, number]
        actions = list(actions)
        before, after = self.state, self.state if to in (None, "again") else to
        assert after is not None
        self.state = after
        if self.tells_entry and (after != before or to == "again"):
            self.seen.append((after, "enter", before))
            actions += self.table[after, ENTERED][1]
        if any(isinstance(action, Postpone) for action in actions):
            self.postponed.append((kind, number, name))
        if after != before:
            self.running = [timer for timer in self.running if timer[1] != "state_timeout"]
            self.waiting, self.postponed = self.postponed + self.waiting, []
        self.waiting = [(a.kind, _number(a.content), "") for a in actions if isinstance(a, NextEvent)] + self.waiting
        for action in actions:
            self.set(action)

    def set(self, action: Action) -> None:
        match action:
            case StateTimeout(after_s, content):
                kind, name = "state_timeout", ""
            case EventTimeout(after_s, content):
                kind, name = "timeout", ""
            case GenericTimeout(name, after_s, content):
                kind = "generic_timeout"
            case UpdateTimeout(kind, content, name):
                for at, timer in enumerate(self.running):
                    if timer[1:3] == (kind, name):
                        self.running[at] = (*timer[:3], _number(content))
                        return
                after_s = 0.0
            case _:
                return
        self.running = [timer for timer in self.running if timer[1:3] != (kind, name)]
        if after_s is not None:
            self.running.append((self.now + after_s if after_s else 0.0, kind, name, _number(content)))

    def settle(self) -> None:
        """All that happens without a message."""
        while len(self.seen) < MOST:
            if self.waiting:
                self.handle(*self.waiting.pop(0))
                continue
            due = sorted((timer for timer in self.running if timer[0] <= self.now), key=lambda timer: timer[0])
            if not due:
                return
            self.running.remove(due[0])
            _, kind, name, number = due[0]
            self.handle(kind, number, name)

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while len(self.seen) < MOST and (ahead := [timer[0] for timer in self.running if timer[0] <= until]):
            self.now = max(self.now, min(ahead))
            self.settle()
        self.now = until


def _number(content: object) -> int:
    assert isinstance(content, int)
    return content


class Driven(Run):
    """Stops where the model stops."""

    def is_over(self) -> bool:
        return len(self.seen) >= MOST


def driven(table: Table, kind: type[Scripted]) -> Driven:
    def rule(event: Event, state: object) -> Result:
        assert isinstance(state, str)
        to, actions = table[state, ENTERED if event.kind == "enter" else _content(event)]
        match to:
            case None:
                return KeepState(actions)
            case "again":
                return RepeatState(actions)
        return NextState(to, actions)

    return Driven(rule, Ok("a"), kind)


def _content(event: Event) -> int:
    return _number(getattr(event.content, "body", event.content))


@settings(max_examples=400)
@given(tables, st.booleans(), steps)
def test_any_machine_does_what_the_manual_says(table: Table, tells_entry: bool, script: list[int | float]) -> None:
    run = driven(table, Entered if tells_entry else Scripted)
    model = Model(table, tells_entry)
    if tells_entry:
        model.seen.append(("a", "enter", "a"))
        for action in table["a", ENTERED][1]:
            model.set(action)
    model.settle()
    for step in script:
        if len(model.seen) >= MOST - 2 or len(run.seen) >= MOST - 2:
            break
        if isinstance(step, float):
            run.wait(step)
            model.wait(step)
        else:
            run.cast(step)
            model.handle("cast", step)
            model.settle()
    upto = min(len(run.seen), len(model.seen), MOST - 2)
    assert run.seen[:upto] == model.seen[:upto]
    if max(len(run.seen), len(model.seen)) < MOST - 2:
        assert (run.seen, run.state) == (model.seen, model.state)
