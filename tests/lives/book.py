"""Book: who must be told what, from the events alone; the rules of OTP once more, without the table's code or state.

:meth:`Book.expect` reads an event before the node handles it, :meth:`Book.check` its effects. Receivers are played here
too: each drops repeated frames, finds gaps, and crosses off what it was due. Nothing may come twice, nothing may be
missing, and each DOWN, EXIT and answer has the value that the book has worked out by itself.
"""

from __future__ import annotations

from typing import Any

from actorcore.effects import Connect, Deliver, Effect, Forget, Fork, Kill, Look, Publish, PublishMany, Report, Retract
from actorcore.exit_reason import SIGNAL_NAMES, Reason
from actorcore.requests import (
    Ask,
    Demonitor,
    Introduce,
    IsAlive,
    Link,
    Lookup,
    Monitor,
    Register,
    RegisterMany,
    Release,
    SendExit,
    Spawn,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)
from actorcore.signals import (
    EVERYTHING,
    Answer,
    Asked,
    Begin,
    Booted,
    Born,
    Channel,
    ClientAttached,
    ClientDetached,
    Continued,
    Down,
    Event,
    Exit,
    Exited,
    ForkFailed,
    Looked,
    NotConnected,
    PeerDown,
    Received,
    Refill,
    Refused,
    Stopped,
    Ticked,
    TookOver,
    Undelivered,
    Violated,
    Writable,
)
from tests.lives.names import NameBook
from tests.lives.party import ANY, BY_SUPERVISOR, NOT_YET, Blocked, Party

LINGER_S = 5.0
"""Of a client that hung up, and of a process whose init said no."""
STOPPED_LIMIT_S = 1.5
JUDGED_WITHIN_S = 1.0
SIGTERM, SIGKILL = 15, 9


class Book(NameBook):
    def __init__(self, residents: dict[str, int]) -> None:
        super().__init__(residents)
        self.now = 0.0
        self.residents = set(residents.values())
        self.lives = 0
        self.looks: list[int] = []
        self.blanks: dict[int, Party] = {}
        self.newest: Party | None = None
        self.bounced: list[Undelivered] = []
        self.spawning: tuple[Party, int, Spawn] | None = None
        self.is_refill = self.is_death = False
        self.kills: set[int] = set()
        self.struck: list[int] = []
        self.forgets: set[int] = set()
        self.doomed: set[int] = set()
        self.ending: list[Party] = []
        self.last_words: list[tuple[Party, Exit]] = []
        self.ended: dict[int, Party] = {}

    # ---- events: what must follow -----------------------------------------------------------------------------------

    def expect(self, event: Event) -> None:
        """Read an event that is about to be handled."""
        self.is_death = type(event) is Exited
        FOLLOWS[type(event)](self, event)
        while self.ending:  # clients that die with it, each may take others along
            party = self.ending.pop(0)
            self._end(party, party.ordered)

    def _asked(self, event: Asked) -> None:
        asker = self.parties.get(event.frm)
        if asker is None or not asker.alive or event.number <= asker.last_number:
            return
        asker.last_number = event.number
        ANSWERS[type(event.body)](self, asker, event.number, event.body)

    def _spawn(self, asker: Party, number: int, body: Spawn) -> None:
        name = body.spec.name
        if not asker.may_spawn:
            asker.waits[number] = (None, ("not_permitted", "may_spawn"))
        elif body.monitor and body.monitor in asker.watching:
            asker.waits[number] = (None, ("already_exists", "ref"))
        elif name is not None and (taken := self._taken(name)) and (taken.holder or taken.owner != asker.serial):
            asker.waits[number] = (None, ("start_failed", {"already_registered": taken.holder}))
        else:
            self.spawning = (asker, number, body)
            if self.blanks and not any(party.phase == "warm" and party.ordered is None for party in self.parties.values()):
                for blank in self._on_their_way()[:1]:  # no new fork: it would come behind
                    self._take(blank)
                    self._begins(blank)

    def _on_their_way(self) -> list[Party]:
        """Blanks that are not born yet, oldest first."""
        return [blank for blank in self.blanks.values() if blank.phase == "blank" and blank.ordered is None]

    def _take(self, blank: Party) -> None:
        del self.blanks[blank.serial]
        blank.phase, blank.alive = "forking", True

    def take_for_sessions(self, left: int) -> None:
        """The node has so many blanks ``left``: those that nobody else took are a supervisor's, which asks inside."""
        mine = [party for party in self.parties.values() if party.phase in ("blank", "warm")]
        for blank in self._on_their_way()[: len(mine) - left]:
            self._take(blank)
            blank.is_session = True

    def _send_exit(self, asker: Party, number: int, body: SendExit) -> None:
        target = self._living(body.to)
        asker.waits[number] = (target is not None and target.traps and body.reason != "kill", None)
        if target is None:
            return
        if body.reason == "kill":
            self._doom(target, "killed")
        elif target.traps:
            target.exits.append(Exit(asker.serial, body.reason, 0, number))
        elif body.reason != "normal" or target is asker:
            self._end_by_signal(target, Exit(asker.serial, body.reason, 0, number))

    def _link(self, asker: Party, number: int, body: Link) -> None:
        target = self._living(body.to)
        if target is not None:
            if target is not asker:
                asker.links[target.serial] = target.links[asker.serial] = None
            asker.waits[number] = (True, None)
        elif asker.traps:
            asker.waits[number] = (True, None)
            asker.exits.append(Exit(body.to, "noproc", EVERYTHING))
        else:
            asker.waits[number] = (None, ("process_not_alive", "noproc"))

    def _unlink(self, asker: Party, number: int, body: Unlink) -> None:
        asker.waits[number] = (True, None)
        self._cut(asker, body.to)

    def _cut(self, party: Party, to: int) -> None:
        if party.links.pop(to, 0) is None:
            del self.parties[to].links[party.serial]

    def _monitor(self, asker: Party, number: int, body: Monitor) -> None:
        if body.ref in asker.watching:
            asker.waits[number] = (None, ("already_exists", "ref"))
            return
        asker.waits[number] = (True, None)
        to = self.published.get(body.name, 0) if body.name else body.to
        target = self.parties.get(to)
        if target is None:
            asker.downs[body.ref] = (to, "noproc")
        else:  # of one whose end is decided it comes with the end
            asker.watching[body.ref] = to
            target.watchers[asker.serial, body.ref] = not target.alive

    def _demonitor(self, asker: Party, number: int, body: Demonitor) -> None:
        target = asker.watching.pop(body.ref, None)
        asker.waits[number] = (target is not None, None)
        if target is not None:
            del self.parties[target].watchers[asker.serial, body.ref]

    def _trap_exit(self, asker: Party, number: int, body: TrapExit) -> None:
        asker.waits[number] = (asker.traps, None)
        asker.traps = body.on

    def _whereis(self, asker: Party, number: int, body: Whereis) -> None:
        asker.waits[number] = (self.published.get(body.name), None)

    def _is_alive(self, asker: Party, number: int, body: IsAlive) -> None:
        asker.waits[number] = (self._living(body.who) is not None, None)

    def _introduce(self, asker: Party, number: int, body: Introduce) -> None:
        asker.waits[number] = Blocked(body.to)

    def _ask(self, asker: Party, number: int, body: Ask) -> None:
        asker.waits[number] = ANY

    def _born(self, event: Born) -> None:
        party = self.parties.get(event.serial)
        if party is None or party.kind != "process" or party.os_pid:
            return
        party.os_pid = event.os_pid
        self.blanks.pop(party.serial, None)
        if party.ordered is not None:
            self.kills.add(party.serial)  # whoever was to kill it may have had no pidfd yet
        else:
            party.phase = "warm" if party.phase == "blank" else "booting"

    def _booted(self, event: Booted) -> None:
        party = self._in_boot(event.serial)
        if party is None:
            return
        party.phase, party.deadline = "running", None
        if party.name is not None and party.name not in self.published:
            self.publishes.add(party.name)
        self._answer_starter(party, (party.serial, None))

    def _refused(self, event: Refused) -> None:
        party = self._in_boot(event.serial)
        if party is None:
            return
        party.phase, party.deadline = "refused", self.now + LINGER_S
        self._free_reserved_name(party)
        self._answer_starter(party, (None, None if event.reason is None else ("start_failed", event.reason)))

    def _in_boot(self, serial: int) -> Party | None:
        party = self._living(serial)
        return party if party is not None and party.phase == "booting" else None

    def _answer_starter(self, party: Party, answer: object) -> None:
        if party.starter is not None:
            asker, number = party.starter
            asker.waits[number] = answer
            party.starter = None

    def _fork_failed(self, event: ForkFailed) -> None:
        party = self.parties.get(event.serial)
        if party is None or party.kind != "process" or party.os_pid:
            return
        if party.starter is not None:
            self._cut(party, party.starter[0].serial)
        if party.ordered is not None:
            self._end(party, party.ordered)
        else:
            reason: Reason = {"resource_exhausted": event.errno_name}
            self._end(party, reason, ("resource_exhausted", event.errno_name))

    def _exited(self, event: Exited) -> None:
        party = self.parties.get(event.serial)
        if party is None or party.kind != "process":
            self.forgets.add(event.serial)
        elif event.code == 1:
            by_itself: Reason = "normal" if event.status == 0 else {"exit": event.status}
            self._end(party, by_itself if event.declared is None else event.declared)
        elif event.status == SIGKILL:
            self._end(party, "killed" if party.ordered is None else party.ordered)
        else:
            self._end(party, "shutdown" if event.status == SIGTERM else {"signal": SIGNAL_NAMES[event.status]})

    def _ticked(self, event: Ticked) -> None:
        for party in [p for p in self.parties.values() if p.deadline is not None and p.deadline <= self.now]:
            if party.kind == "client":
                self._doom(party, "noconnection")
                continue
            self._free_reserved_name(party)
            if party.starter is not None:
                self._cut(party, party.starter[0].serial)
                self._answer_starter(party, (None, ("start_timeout", "timeout")))
            self._doom(party, "killed")
        for party in [p for p in self.parties.values() if p.hangs_at is not None and p.hangs_at <= self.now]:
            if self.now - party.hangs_at > JUDGED_WITHIN_S:  # the node was frozen too
                party.hangs_at = self.now + STOPPED_LIMIT_S
                continue
            party.hangs_at = None
            self._hang(party)

    def _hang(self, party: Party) -> None:
        """It is unresponsive; its spec says whether it dies of it."""
        if not party.is_hung:
            party.is_hung = True
            if party.spec is not None and party.spec.when_hung == "kill":
                self._doom(party, {"killed": "unresponsive"})

    def _stopped(self, event: Stopped) -> None:
        party = self.parties.get(event.serial)
        if party is None or party.kind != "process":
            return
        party.is_stopped = True
        if party.phase in ("blank", "warm"):
            party.alive = party.ordered is None
            self._doom(party, "killed")
        elif party.alive and not party.is_hung:
            party.hangs_at = self.now + STOPPED_LIMIT_S

    def _continued(self, event: Continued) -> None:
        party = self.parties.get(event.serial)
        if party is not None:
            party.is_stopped = party.is_hung = False
            party.hangs_at = None

    def _looked(self, event: Looked) -> None:
        for serial, since_s in event.busy.items():
            party = self._living(serial)
            limit = None if party is None or party.spec is None else party.spec.busy_timeout_s
            if party is not None and limit is not None and party.phase == "running" and not party.is_stopped:
                if since_s and self.now - since_s >= limit:
                    self._hang(party)
                else:
                    party.is_hung = False

    def _not_connected(self, event: NotConnected) -> None:
        for serial, other in ((event.a, event.b), (event.b, event.a)):
            party = self.parties.get(serial)
            if party is not None and other in party.peers:
                del party.peers[other]
                party.peer_downs.setdefault(other, []).append({"resource_exhausted": event.errno_name})

    def _attached(self, event: ClientAttached) -> None:
        party = self.parties.get(event.serial)
        if party is not None and party.kind == "client" and event.secret == secret_of(party.number):
            party.attached, party.deadline = True, None
            party.lost = party.full = party.jammed = party.deaf = False

    def add_client(self, serial: int, number: int) -> Party:
        """A new client was given ``serial``; its secret is made of ``number``."""
        party = self.parties[serial] = Party(serial, "client", "running")
        party.number, party.attached = number, True
        return party

    def _detached(self, event: ClientDetached) -> None:
        party = self._living(event.serial)
        if party is None or party.kind != "client":
            return
        was_attached, party.attached = party.attached, False
        if event.dead:
            self._doom(party, "noconnection")
        elif was_attached or party.lost:
            party.lost, party.deadline = event.lost, None if event.lost else self.now + LINGER_S

    def _violated(self, event: Violated) -> None:
        party = self._living(event.serial)
        if party is not None:
            self._doom(party, {"error": {"type": "protocol_error", "text": event.detail}})

    def _undelivered(self, event: Undelivered) -> None:
        party = self.parties.get(event.to)
        if party is not None:
            party.jammed = True

    def _writable(self, event: Writable) -> None:
        party = self.parties.get(event.to)
        if party is not None and party.phase not in ("forking", "blank"):
            party.full = party.jammed = False

    def _refill(self, event: Refill) -> None:
        self.is_refill = True

    def _nothing(self, event: object) -> None:
        pass

    # ---- ends -------------------------------------------------------------------------------------------------------

    def _doom(self, party: Party, reason: Any) -> None:
        """The first decision stands."""
        if not party.alive:
            return
        party.alive, party.ordered, party.deadline, party.hangs_at = False, reason, None, None
        self.doomed.add(party.serial)
        if party.kind == "process":
            self.kills.add(party.serial)
        else:
            self.ending.append(party)

    def _end_by_signal(self, party: Party, signal: Exit) -> None:
        if party.kind == "client" and party.alive:
            party.exits.append(signal)
            if party.is_reachable():
                self.last_words.append((party, signal))
        if party.phase != "refused":  # it is ending already, with the reason that its starter was told
            self._doom(party, signal.reason)

    def _end(self, party: Party, reason: Any, refusal: tuple[str, Any] | None = None) -> None:
        serial = party.serial
        del self.parties[serial]
        self.blanks.pop(serial, None)
        self.ended[serial] = party
        party.alive = False
        self.forgets.add(serial)
        self.lives += party.kind == "process"
        self._free_name(party)
        for name, held in [(name, held) for name, held in self.names.items() if held.owner == serial]:
            self._keep_no_longer(name, held)
        for ref, target in party.watching.items():
            watched = party if target == serial else self.parties[target]
            del watched.watchers[serial, ref]
        for (watcher, ref), is_late in party.watchers.items():
            watching = self.parties[watcher]
            del watching.watching[ref]
            watching.downs[ref] = (serial, "noproc" if is_late else reason)
        for other in party.links:
            partner = self.parties[other]
            del partner.links[serial]
            if not partner.alive:
                continue
            if partner.traps:
                partner.exits.append(Exit(serial, reason, EVERYTHING))
            elif reason != "normal":
                self._end_by_signal(partner, Exit(serial, reason, EVERYTHING))
        for other in party.peers:
            peer = self.parties[other]
            del peer.peers[serial]
            peer.peer_downs.setdefault(serial, []).append(reason)
        if party.starter is not None:
            self._answer_starter(party, (None, refusal or ("start_failed", reason)))

    # ---- effects ----------------------------------------------------------------------------------------------------

    def check(self, effects: list[Effect]) -> None:
        """Cross off what the event has led to; nothing more, and nothing less, may have been."""
        for effect in effects:
            if type(effect) is not Report:
                CHECKS[type(effect)](self, effect)
        if self.spawning or self.kills or self.publishes or self.retracts or self.forgets:
            left = (self.spawning, self.kills, self.publishes, self.retracts, self.forgets)
            raise AssertionError(f"no effect: {left}")
        if self.last_words:
            for party, signal in self.last_words:
                assert signal not in party.exits, f"{party.serial} ends without the EXIT that ended it: {signal}"
            self.last_words.clear()
        self.is_refill = False
        if self.doomed or self.ended:
            self.doomed.clear()
            self.ended.clear()

    def _deliver(self, effect: Deliver) -> None:
        body = effect.body
        if type(body) is Begin:
            self._begin(effect.to, body)
        party = self._receiver(effect.to)
        assert not party.jammed, f"{effect.to} cannot hear"
        if party.full:
            self.bounced.append(Undelivered(effect.to, effect.seq, body))
        elif not party.deaf:
            self.receive(party, effect.seq, body)

    def _receiver(self, serial: int, is_repeat: bool = False) -> Party:
        party = self.parties.get(serial) or self.ended.get(serial)
        assert party is not None, f"{serial} is dead and hears something"
        assert party.alive or serial in self.doomed, f"{serial} is dying and hears something"
        if party.kind == "client":
            assert party.attached or is_repeat, f"{serial} is not there and hears something"
        else:
            assert party.os_pid, f"{serial} is not born and hears something"
        return party

    def receive(self, party: Party, seq: int, body: object) -> None:
        """What a receiver does: drop repeats, miss what is missing, cross off the rest."""
        if seq <= party.seen:
            return
        if seq != party.seen + 1:
            assert party.gaps.issuperset(range(party.seen + 1, seq)), f"{party.serial}: lost {party.seen + 1} to {seq - 1}"
        assert (seq == 1) is (type(body) is Begin) or party.kind == "client", "Begin is the first frame"
        party.seen = seq
        match body:
            case Answer(number, value, error):
                assert number in party.waits, f"{party.serial}: answer {number} was not due: {body}"
                expected = party.waits.pop(number)
                assert expected == (value, error), f"{party.serial}: answer {number} is {value, error}, not {expected}"
            case Down(refs, pid, reason):
                assert refs, "a DOWN without a ref"
                assert pid not in self.retracts, f"{party.serial} is told of the death of {pid}, which is still found"
                for ref in refs:
                    expected = party.downs.pop(ref, None)
                    assert expected == (pid, reason), f"{party.serial}: DOWN {ref} of {pid, reason}, due was {expected}"
            case Exit(frm):
                assert frm not in self.retracts or not self.is_death, f"{party.serial} is told of {frm}, which is still found"
                if frm not in self.residents:
                    assert body in party.exits, f"{party.serial}: {body}, due were {party.exits}"
                    party.exits.remove(body)
            case PeerDown(peer, reason):
                due = party.peer_downs.get(peer, [])
                assert due[:1] == [reason], f"{party.serial}: PeerDown {peer, reason}, due were {due}"
                del due[0]
                if not due:
                    del party.peer_downs[peer]
            case Begin(serial, _, _, spec):
                assert (serial, spec) == (party.serial, party.spec), "a process begins as what was ordered"

    def _fork(self, effect: Fork) -> None:
        assert effect.serial not in self.parties, f"{effect.serial} is forked twice"
        party = self.parties[effect.serial] = Party(effect.serial, "process", "blank" if self.is_refill else "forking")
        if self.is_refill:
            party.alive = False
            self.blanks[party.serial] = party
        else:
            self._begins(party)

    def _begin(self, serial: int, body: Begin) -> None:
        party = self.parties[serial]
        if party.phase == "warm":  # a blank is used
            party.alive, party.phase = True, "booting"
            self._begins(party)
        if party.spec is None:  # a session of the supervisor's, known from here on
            party.spec, party.traps, party.may_spawn = body.spec, body.spec.trap_exit, body.spec.may_spawn
            if body.spec.name is not None:
                self._hold(party, body.spec.name, body.parent, 0)

    def _begins(self, party: Party) -> None:
        if self.spawning is None:
            party.is_session = True
            return
        asker, number, body = self.spawning
        self.spawning = None
        self.newest, party.parent = party, asker.serial
        party.spec, party.traps, party.may_spawn = body.spec, body.spec.trap_exit, body.spec.may_spawn
        party.deadline = self.now + body.spec.init_timeout_s
        if body.spec.name is not None:
            self._hold(party, body.spec.name, asker.serial, asker.serial if body.reserve else 0)
        if body.link:
            party.links[asker.serial] = asker.links[party.serial] = None
        if body.monitor:
            asker.watching[body.monitor] = party.serial
            party.watchers[asker.serial, body.monitor] = False
        if body.wait_init:
            party.starter = (asker, number)
            asker.waits[number] = NOT_YET
        else:
            asker.waits[number] = (party.serial, None)

    def _connect(self, effect: Connect) -> None:
        for serial, seq, other in ((effect.a, effect.a_seq, effect.b), (effect.b, effect.b_seq, effect.a)):
            # For the sake of one end the frame of the other may go out again, to whom cannot hear now.
            party = self._receiver(serial, is_repeat=other in self.parties and serial in self.parties[other].peers)
            party.peers[other] = None
            is_lost = party.deaf or (party.kind == "client" and not party.attached)
            if party.full or party.jammed or is_lost:
                party.gaps.add(seq)
            if (party.full or party.jammed) and not is_lost:
                self.bounced.append(Undelivered(serial, seq, Channel(other, serial == effect.a)))
            elif not is_lost:
                self.receive(party, seq, None)

    def _kill(self, effect: Kill) -> None:
        self.struck.append(effect.serial)
        if effect.serial in self.kills:
            self.kills.discard(effect.serial)
            return
        party = self.parties[effect.serial]
        assert party.is_session, f"{effect.serial} is killed without a reason"
        self._doom(party, BY_SUPERVISOR)
        self.kills.discard(effect.serial)

    def _forget(self, effect: Forget) -> None:
        assert effect.serial in self.forgets, f"{effect.serial} is forgotten and lives"
        assert effect.serial not in self.published.values(), f"{effect.serial} is forgotten and still found"
        self.forgets.discard(effect.serial)
        self.ended.pop(effect.serial, None)

    def _look(self, effect: Look) -> None:
        for serial in effect.pages:
            party = self.parties[serial]
            assert party.spec is not None, f"{serial} is a blank"
            assert party.spec.busy_timeout_s is not None, f"{serial} may be busy for as long as it likes"
            assert party.alive or serial in self.doomed, f"{serial} is dying and looked at"
        self.looks += effect.pages

    # ---- now and then -----------------------------------------------------------------------------------------------

    def check_all(self) -> None:
        """Nothing is due to whoever can hear."""
        for party in self.parties.values():
            if not party.alive or not party.is_reachable():
                continue
            left = (party.downs, party.exits, party.peer_downs)
            assert left == ({}, [], {}), f"{party.serial} was never told {left}"
            for answer in party.waits.values():
                peer = self.parties.get(answer.to) if type(answer) is Blocked else None
                blocked = peer is not None and not (peer.alive and peer.is_reachable())
                assert type(answer) is not Blocked or blocked, f"{party.serial} waits for a channel to {answer.to}"
            unanswered = {number: answer for number, answer in party.waits.items() if type(answer) is tuple}
            assert unanswered == {}, f"{party.serial} was never answered {unanswered}"
        for name, serial in self.published.items():
            assert serial in self.residents or serial in self.parties, f"{name} is a dead one's"


def secret_of(number: int) -> bytes:
    return number.to_bytes(4, "big")


FOLLOWS: dict[type, Any] = {
    Asked: Book._asked, Born: Book._born, Booted: Book._booted, Refused: Book._refused, ForkFailed: Book._fork_failed,
    Exited: Book._exited, Ticked: Book._ticked, ClientAttached: Book._attached, ClientDetached: Book._detached,
    Violated: Book._violated, Undelivered: Book._undelivered, Writable: Book._writable, Refill: Book._refill,
    Received: Book._nothing, Stopped: Book._stopped, Continued: Book._continued, TookOver: Book._nothing, Looked: Book._looked,
    NotConnected: Book._not_connected,
}  # fmt: skip
ANSWERS: dict[type, Any] = {
    Spawn: Book._spawn, SendExit: Book._send_exit, Link: Book._link, Unlink: Book._unlink, Monitor: Book._monitor,
    Demonitor: Book._demonitor, TrapExit: Book._trap_exit, Register: Book._register, Unregister: Book._unregister,
    RegisterMany: Book._register_many, Release: Book._release, Lookup: Book._lookup,
    Whereis: Book._whereis, IsAlive: Book._is_alive, Introduce: Book._introduce, Ask: Book._ask,
}  # fmt: skip
CHECKS: dict[type, Any] = {
    Deliver: Book._deliver, Fork: Book._fork, Connect: Book._connect, Kill: Book._kill, Publish: Book._publish,
    PublishMany: Book._publish_many, Retract: Book._retract, Forget: Book._forget, Look: Book._look,
}  # fmt: skip
