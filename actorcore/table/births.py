"""Births: from Spawn to a process that is ready, or to the one answer that says why not."""

from __future__ import annotations

from actorcore import process_spec
from actorcore.effects import Fork, Kill
from actorcore.exit_reason import KILLED, Reason, Term
from actorcore.names import RESERVED_PREFIX, key_error
from actorcore.signals import (
    AUTO,
    LEAN,
    NOBODY,
    Begin,
    Booted,
    Born,
    ForkFailed,
    ProcessSpec,
    Refill,
    Refused,
    Spawn,
    TemplateTold,
)
from actorcore.table import deaths, hangs
from actorcore.table.channels import become_writable
from actorcore.table.entry import Entry, Kind, Phase, Starter
from actorcore.table.state import State
from actorcore.table.turn import Turn
from actorcore.words import RESIDENT

MAX_BETTER = 1024
"""Starts of which it is remembered that they want another template than lean; the oldest is forgotten."""
REFUSAL_LINGER_S = 5.0
"""A process whose init has refused ends by itself within this time, or is killed."""


def spawn(turn: Turn, asker: Entry, number: int, body: Spawn) -> None:
    """Fork, or use a warm blank; name, link and monitor are set before the process can act."""
    state, spec, starter = turn.state, body.spec, Starter(asker.serial, number)
    if asker.spec is not None and not asker.spec.may_spawn:
        return turn.fail_start(starter, "not_permitted", "may_spawn")
    trouble = process_spec.trouble_with(spec)
    if trouble is not None:
        return turn.fail_start(starter, "invalid_spec", trouble)
    if body.monitor and state.monitors.has(asker.serial, body.monitor):
        return turn.fail_start(starter, "already_exists", "ref")
    if spec.name is not None:
        turn.free(spec.name)
    error = None if spec.name is None else _name_error(turn, spec.name, asker.serial)
    if error is not None:
        return turn.fail_start(starter, "start_failed", error)
    template = _template_of(state, spec)
    if (trouble := state.templates.get(template, "there is none of this name")) and template != RESIDENT:
        return turn.fail_start(starter, "invalid_spec", f"template {template[:40]!r}: {trouble}")
    entry = _new_entry(turn, template, spec.isolation == "exec")
    if entry is None:
        return turn.fail_start(starter, "resource_exhausted", "pages")
    entry.spec, entry.parent, entry.trap_exit = spec, asker.serial, spec.trap_exit
    if spec.name is not None:
        state.names.add(
            spec.name, entry.serial, asker.serial, published=False, parent=asker.serial, reserve=body.reserve
        )  # fmt: skip
    if body.link:
        state.links.add(asker.serial, entry.serial)
    if body.monitor:
        state.monitors.add(asker.serial, body.monitor, entry.serial)
    state.deadlines.set(entry.serial, turn.now + spec.init_timeout_s)
    # gen_server:start: who is started without a link is its own parent.
    parent = asker.serial if body.link else entry.serial
    turn.deliver(entry, Begin(entry.serial, state.instance, entry.page, spec, parent))
    if body.introduce and asker.kind is not Kind.RESIDENT and asker.is_writable() and entry.is_writable():
        turn.connect(asker, entry)
    if body.wait_init:
        entry.starter = starter
    else:
        turn.tell_started(starter, entry.serial)
    return None


def refill(turn: Turn, fact: Refill) -> None:
    """Fork blanks until there are ``count``; forking ones count."""
    if turn.state.templates.get(fact.template) != "":
        return
    blanks = turn.state.blanks.setdefault(fact.template, {})
    while len(blanks) < fact.count:
        entry = _fork(turn, fact.template, blank=True)
        if entry is None:
            turn.report("out_of_pages", 0, fact.template)
            break
        blanks[entry.serial] = None
    if not blanks:
        del turn.state.blanks[fact.template]


def template_told(turn: Turn, fact: TemplateTold) -> None:
    """A template can be used or not; who waits for a fork from one that cannot is told."""
    state = turn.state
    state.templates[fact.template] = fact.trouble
    if fact.preloads:
        state.preloading[fact.template] = None
    if not fact.trouble:
        return
    turn.report("template_refused", 0, {fact.template: fact.trouble})
    unborn = [e for e in state.entries.values() if e.kind is Kind.PROCESS and not e.os_pid and e.template == fact.template]
    for entry in unborn:
        never_lived(turn, entry, {"template": fact.trouble}, ("invalid_spec", f"template {fact.template!r}: {fact.trouble}"))


def born(turn: Turn, entry: Entry, fact: Born) -> None:
    """The child runs: what waited for it, Begin first, can be sent."""
    if entry.os_pid:
        return turn.report("stale", entry.serial, "born")
    entry.os_pid = fact.os_pid
    if entry.phase is Phase.DYING:
        # Whoever performs effects may not have had a pidfd to kill through.
        return turn.effects.append(Kill(entry.serial))
    entry.phase = Phase.WARM if entry.is_blank() else Phase.BOOTING
    return become_writable(turn, entry)


def booted(turn: Turn, entry: Entry, fact: Booted) -> None:
    """Ready means ready: only now is the name found, then the starter is answered."""
    if entry.phase is not Phase.BOOTING or entry.spec is None:
        return turn.report("stale", entry.serial, "booted")
    entry.phase = Phase.RUNNING
    turn.state.deadlines.cancel(entry.serial)
    hangs.watch(turn, entry)
    turn.publish([entry.serial])
    turn.report("process_started", entry.serial, entry.spec.start)
    if fact.better:
        _remember(turn.state.better, entry.spec.start, fact.better)
    starter, entry.starter = entry.starter, None
    if starter is not None:
        turn.tell_started(starter, entry.serial)
    return None


def refused(turn: Turn, entry: Entry, fact: Refused) -> None:
    """init said no, or ignore (None): as in OTP the name is free before the starter hears of it."""
    if entry.phase is not Phase.BOOTING:
        return turn.report("stale", entry.serial, "refused")
    reason = fact.reason
    entry.phase = Phase.REFUSED
    turn.state.deadlines.set(entry.serial, turn.now + REFUSAL_LINGER_S)
    turn.state.names.release_unpublished(entry.serial)
    turn.report("process_refused", entry.serial, reason)
    starter, entry.starter = entry.starter, None
    if starter is not None and isinstance(reason, dict) and "already_registered" in reason:
        # As with a name that is taken, which is seen before a process is made: no link tells it a second time (gen.erl).
        turn.state.links.remove(starter.asker, entry.serial)
    if starter is not None and reason is None:
        turn.tell_started(starter, entry.serial, ignored=True)
    elif starter is not None:
        turn.fail_start(starter, "start_failed", reason, entry.serial)
    return None


def fork_failed(turn: Turn, entry: Entry, fact: ForkFailed) -> None:
    """It never lived: who waits for its start is told, and not by its link as well."""
    if entry.os_pid:
        return turn.report("stale", entry.serial, "fork_failed")
    turn.report("fork_failed", entry.serial, fact.errno_name)
    return never_lived(turn, entry, {"resource_exhausted": fact.errno_name}, ("resource_exhausted", fact.errno_name))


def never_lived(turn: Turn, entry: Entry, reason: Reason, error: tuple[str, Term]) -> None:
    """It could not be forked: ``error`` for its starter, ``reason`` for whoever watches, unless its end was ordered."""
    if entry.starter is not None:
        turn.state.links.remove(entry.starter.asker, entry.serial)
    if entry.ordered is not None:
        return deaths.end(turn, entry, entry.ordered)
    return deaths.end(turn, entry, reason, error)


def overdue(turn: Turn, entry: Entry) -> None:
    """init took too long, or a refused process stays. OTP's start: unlink, kill, ``{error, timeout}``."""
    turn.report("start_timeout", entry.serial, entry.phase.value)
    turn.state.names.release_unpublished(entry.serial)
    starter, entry.starter = entry.starter, None
    if starter is not None:
        turn.state.links.remove(starter.asker, entry.serial)
        turn.fail_start(starter, "start_timeout", "timeout", entry.serial)
    turn.doom(entry, KILLED)


def _name_error(turn: Turn, name: str, parent: int) -> Reason | None:
    is_ours = turn.state.names.held.get(parent, "").startswith(RESERVED_PREFIX)
    code = key_error(name, is_ours) or turn.state.names.error_of(name, NOBODY, parent)
    if code == "already_registered":
        return {code: turn.state.names.holder_of(name)}
    return {code: name} if code in ("invalid_key", "reserved_key") else code


def _template_of(state: State, spec: ProcessSpec) -> str:
    """The template that ``auto`` means now: one that cannot be used is never better."""
    if spec.template != AUTO:
        return spec.template
    better = state.better.get(spec.start, LEAN)
    return better if state.templates.get(better) == "" else LEAN


def _remember(better: dict[str, str], start: str, template: str) -> None:
    better[start] = template
    while len(better) > MAX_BETTER:
        del better[next(iter(better))]


def _new_entry(turn: Turn, template: str, alone: bool) -> Entry | None:
    if template == RESIDENT:
        return turn.state.add(Kind.RESIDENT, Phase.BOOTING)
    if alone:
        return _fork(turn, template, alone=True)
    return _take_blank(turn, template) or _fork(turn, template)


def _take_blank(turn: Turn, template: str) -> Entry | None:
    """The oldest warm blank of the template, else the oldest on its way: a fork ordered now would come behind it."""
    blanks = [turn.state.entries[serial] for serial in turn.state.blanks.get(template, ())]
    usable = [entry for entry in blanks if entry.phase in (Phase.WARM, Phase.FORKING)]
    entry = next((entry for entry in usable if entry.phase is Phase.WARM), next(iter(usable), None))
    if entry is not None:
        turn.state.discard_blank(entry)
        if entry.phase is Phase.WARM:
            entry.phase = Phase.BOOTING
    return entry


def _fork(turn: Turn, template: str, blank: bool = False, alone: bool = False) -> Entry | None:
    entry = turn.state.add_process(template)
    if entry is not None:
        turn.effects.append(Fork(entry.serial, template, entry.page, blank, alone))
    return entry
