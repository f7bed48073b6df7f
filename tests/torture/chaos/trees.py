"""Acts of supervisors: who is replaced when somebody is hit, and who is not; when a supervisor gives up; how trees end."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from actorcore.errors import CallFailed, RequestError
from actorcore.exit_reason import Reason
from actorcore.pids import Pid
from actorcore.words import ProcessSpec
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.partition_supervisor import partition_of
from tests.torture.chaos.book import GONE, check, patience
from tests.torture.chaos.worker import COUNT, ECHO, WAIT_S, Worker

MANY = {"intensity": 1000, "period_s": 3600.0}
SIZE = 3


def replaced_by(strategy: str, hit: set[int]) -> set[int]:
    """Which of SIZE children are replaced when those ``hit`` die (OTP's supervisor(3))."""
    if not hit or strategy == "one_for_one":
        return set(hit)
    return set(range(0 if strategy == "one_for_all" else min(hit), SIZE))


def child(id: str, start: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "process": {"start": start, "name": name, "init_timeout_s": WAIT_S}, **fields}


class Tree:
    """root (resident) → inner (resident or a process) → three children that count; all names begin with ``prefix``."""

    def __init__(self, w: Worker, strategy: str, template: str) -> None:
        self.w, self.strategy = w, strategy
        self.prefix = w.fresh("t")
        self.names = [f"{self.prefix}.{place}" for place in range(SIZE)]
        self.inner_name = f"{self.prefix}.inner"
        kids = [child(f"k{place}", COUNT, name) for place, name in enumerate(self.names)]
        inner = {
            "start": "supervisor", "args": [{"strategy": strategy, **MANY, "children": kids}], "template": template,
            "name": self.inner_name, "init_timeout_s": 3 * WAIT_S,
        }  # fmt: skip
        above = {**MANY, "children": [{"id": "inner", "type": "supervisor", "process": inner}]}
        spec = ProcessSpec("supervisor", [above], template="resident", name=f"{self.prefix}.root", init_timeout_s=3 * WAIT_S)
        self.root = w.spawn_spec(spec, also=[COUNT, "supervisor"])
        self.mark, self.inner = 0, 0
        self.serials: list[int] = []
        self.counts: dict[int, int] = {}

    def look(self) -> None:
        """Remember who there is, when all are there again and nobody was hit meanwhile."""
        for _ in patience("look", self.prefix):
            mark = self.w.settle(self.prefix)
            ((_, inner, _),) = self.w.c.call(self.root, ["which_children"], WAIT_S)
            if not isinstance(inner, int) or (answer := self.w.call(self.w.pid(inner), ["which_children"])) is None:
                continue
            rows: Any = answer[0]
            check([row[0] for row in rows] == [f"k{place}" for place in range(SIZE)], "children", rows)
            serials = [serial for _, serial, _ in rows]
            if mark == self.w.settle(self.prefix) and all(isinstance(serial, int) for serial in serials):
                self.mark, self.inner, self.serials = mark, inner, serials
                return

    def check(self) -> None:
        """Those and only those were replaced who had to be."""
        mark, inner, before = self.mark, self.inner, self.serials
        self.look()
        changed = {place for place in range(SIZE) if before[place] != self.serials[place]}
        hits = self.w.book.hits(self.prefix, mark)
        must = replaced_by(self.strategy, {place for place in range(SIZE) if before[place] in hits})
        named = {place for place, name in enumerate(self.names) if self.w.book.hits(name, mark)}
        may = replaced_by(self.strategy, named)  # who was hit again before all were back
        if self.inner != inner:
            check(inner in hits, "inner was replaced and not hit", inner)
            must = may = set(range(SIZE))
        check(must <= changed <= may, self.strategy, "replaced", changed, "must", must, "may", may, before, self.serials)

    def count(self, place: int) -> None:
        """Who was not replaced goes on counting."""
        serial = self.serials[place]
        try:
            answer = self.w.c.call(self.w.pid(serial), None, WAIT_S)
        except CallFailed as error:  # hit, or a sibling, or the supervisor
            check(self.w.book.hits(self.prefix, self.mark) != [], "nobody of the tree was hit", serial, error.reason)
            check(error.reason in ("killed", "shutdown", GONE), "a child has ended with", error.reason)
        else:
            self.counts[serial] = self.counts.get(serial, 0) + 1
            check(answer == self.counts[serial], "count", self.names[place], answer, self.counts[serial])

    def hit(self, serial: int, name: str, how: str) -> None:
        self.w.book.hit(serial, name, "test")
        try:
            self.w.c.kill(self.w.pid(serial), 9) if how == "SIGKILL" else self.w.c.exit(self.w.pid(serial), "kill")
        except CallFailed as error:
            self.w.book.check_end(serial, error.reason, how)

    def replace(self, place: int) -> None:
        """terminate_child and restart_child, which cost nobody else."""
        inner, id = self.w.pid(self.inner), f"k{place}"
        self.w.book.hit(self.serials[place], self.names[place], "test", "shutdown")
        asked = ["terminate_child", id]
        for _ in patience("replace", self.prefix):
            try:
                self.w.c.call(inner, asked, WAIT_S)
            except CallFailed as error:
                self.w.book.check_end(self.inner, error.reason, "inner")
                return
            except RequestError as error:
                # A sibling was hit and the strategy has started it; or it was killed before it was ready.
                check(len(self.w.book.hits(self.prefix, self.mark)) > 1, asked, error.code, error.detail)
                check(error.code in ("running", "restarting", "start_failed"), asked, error.code, error.detail)
                if error.code != "start_failed":
                    return
            else:
                if asked[0] == "restart_child":
                    return
            asked = ["restart_child", id]

    def stop(self) -> None:
        """A stop that returned is over: nobody has a name any more. The children of one that was killed die of their links."""
        self.w.c.stop(self.root, timeout_s=WAIT_S)
        left = [pid for name in self.names if (pid := self.w.c.whereis(name)) is not None]
        check(left == [] or self.w.book.hits(self.inner_name) != [], "children of a stopped supervisor", left)
        for pid in left:
            self.w.c.wait_down(self.w.c.monitor(pid), WAIT_S)
        check(self.w.c.whereis(f"{self.prefix}.root") is None, "a stopped supervisor")


def tree(w: Worker, chance: Random) -> None:
    """Of a tree exactly those are replaced whom the strategy says, however its members end."""
    tree = Tree(w, chance.choice(["one_for_one", "one_for_all", "rest_for_one"]), chance.choice(["resident", "auto"]))
    if tree.root is None:
        left = [name for name in [f"{tree.prefix}.root", *tree.names] if w.c.whereis(name) is not None]
        check(left == [] or w.book.hits(tree.inner_name) != [], "names of a tree that never was", left)
        return
    tree.look()
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(SIZE)
        match chance.choice(["count", "count", "SIGKILL", "exit", "replace", "inner"]):
            case "count":
                tree.count(place)
            case "replace":
                tree.replace(place)
                tree.look()
            case "inner":
                tree.hit(tree.inner, tree.inner_name, "exit")
                tree.check()
            case how:
                tree.hit(tree.serials[place], tree.names[place], how)
                tree.check()
    tree.check()
    tree.stop()


def budget(w: Worker, chance: Random) -> None:
    """A supervisor gives up at one restart more than it may make, not before, and says so."""
    most, name, early = chance.randrange(4), w.fresh("g"), w.book.blanks()
    spec = {"intensity": most, "period_s": 3600.0, "children": [child("k", COUNT, name)]}
    pid = w.spawn_spec(ProcessSpec("supervisor", [spec], template="resident", init_timeout_s=WAIT_S), also=[COUNT])
    if pid is None:
        return
    ref = w.c.monitor(pid)
    for _ in patience("budget", name):
        w.settle(name)
        least = len(w.book.hits(name))
        try:
            w.c.call(pid, ["which_children"], WAIT_S)
        except CallFailed as error:
            deaths = len(w.book.hits(name)) + w.book.blanks() - early
            check(error.reason in ("shutdown", GONE) and deaths > most, "gave up", error.reason, "after", deaths, "of", most)
            break
        check(least <= most, "goes on after", least, "of", most)
        if (found := w.c.whereis(name)) is not None:
            w.book.hit(found.serial, name, "test")
            w.c.exit(found, "kill")
    w.book.hit(pid.serial, "", "test", "shutdown")
    check(w.down_of(ref, pid) == "shutdown" and w.c.whereis(name) is None, "the end of a supervisor")


def dynamic(w: Worker, chance: Random) -> None:
    """Children by restart type: who ends normally, and who is killed, is back or forgotten as its type says."""
    pid = w.resident("dynamic_supervisor", MANY)
    types = {restart: w.fresh("d") for restart in ("permanent", "transient", "temporary")}
    serials: dict[str, int] = {}
    for restart, name in types.items():
        try:
            serials[restart] = w.c.call(pid, ["start_child", child("k", ECHO, name, restart=restart)], WAIT_S)
        except RequestError as error:
            check(error.code == "start_failed", "start_child", error.code)
            w.book.check_failed_start([ECHO], error.detail, "start_child")
    how, reason = chance.choice([("cast", "normal"), ("kill", "killed")])
    heard: dict[str, Reason] = {}
    for restart, serial in serials.items():
        w.book.hit(serial, types[restart], "test", reason)
        ref = w.c.monitor(w.pid(serial))
        w.c.cast(w.pid(serial), 1) if how == "cast" else w.c.exit(w.pid(serial), "kill")
        heard[restart] = w.down_of(ref, w.pid(serial))
    for restart, why in heard.items():
        name = types[restart]
        lives = restart == "permanent" or (restart == "transient" and why == "killed")
        waiting = patience(restart, name)
        while lives and w.c.whereis(name) is None:  # its supervisor has no end, so it is on its way
            next(waiting)
            w.c.call(pid, ["count_children"], WAIT_S)
        check(lives or why == GONE or w.c.whereis(name) is None, restart, "is back after", why)
    w.c.stop(pid, timeout_s=WAIT_S)
    check([w.c.whereis(name) for name in types.values()] == [None] * 3, "children of a stopped supervisor")


def partitions(w: Worker, chance: Random) -> None:
    """The partition that has a key is who has its name; the others know nothing of its death."""
    name, size = w.fresh("p"), chance.randrange(1, 5)
    spec = {"child": child("part", COUNT, name), "partitions": size, **MANY}
    made = ProcessSpec("partition_supervisor", [spec], template="resident", init_timeout_s=WAIT_S)
    pid = w.spawn_spec(made, also=[COUNT])
    if pid is None:
        return
    for key in (chance.randrange(100), "pears"):
        mark = w.settle(name)
        try:
            number, serial = w.c.call(pid, ["partition", key], WAIT_S)
        except RequestError as error:
            check(error.code == "restarting" and w.book.hits(name) != [], "partition", error.code)
            continue
        check(number == partition_of(key, size), "partition of", key, number)
        if w.settle(name) == mark:
            check(w.c.whereis(f"{name}.{number}") == w.pid(serial) or w.book.hits(name, mark) != [], "partition", number, serial)
        w.call(w.pid(serial), None)
        w.kill(w.pid(serial), f"{name}.{number}")
    w.c.stop(pid, timeout_s=WAIT_S)
    check([w.c.whereis(f"{name}.{number}") for number in range(size)] == [None] * size, "partitions of a stopped one")


def supervised(w: Worker, chance: Random) -> None:
    """A session of one process: its restarts are the deaths that there were, and its stop leaves nothing."""
    id, name = w.fresh("s"), w.fresh("sn")
    process = ProcessSpec(ECHO, name=name, init_timeout_s=WAIT_S)
    spec = ChildSpec(id, process, "permanent", intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0)
    try:
        w.c.start_session(spec)
    except RequestError as error:
        check(error.code == "start_failed", "start_session", error.code, error.detail)
        w.book.check_failed_start([ECHO], error.detail, "start_session")
        return
    renewed = 0
    for _ in range(chance.randrange(5)):
        if (found := w.c.whereis(name)) is None:
            check(w.book.hits(name) != [], "nobody has the name of a session", name)
            continue
        how = chance.choice(["SIGKILL", "kill", "cast", "restart"])
        if how == "restart":
            renewed += restart_session(w, id, name, found)
            continue
        w.book.hit(found.serial, name, "test", "normal" if how == "cast" else "killed")
        try:
            {"SIGKILL": w.c.kill, "kill": w.c.exit, "cast": w.c.cast}[how](found, {"SIGKILL": 9, "kill": "kill", "cast": 1}[how])
        except CallFailed as error:
            w.book.check_end(found.serial, error.reason, how)
    for _ in patience("restarts", name):
        mark = w.settle(name)
        row = w.c.session(id)
        if mark == w.settle(name):
            break
    hits = len(w.book.hits(name))
    check(hits - renewed <= row["restarts"] <= hits, "restarts", row, "and hits", hits, "renewed", renewed)
    row = w.c.stop_session(id, WAIT_S)
    check(row["state"] == "stopped" and w.c.whereis(name) is None, "a stopped session", row)
    try:
        w.c.session(id)
    except RequestError as error:
        check(error.code == "not_found", "a stopped session", error.code)
    else:
        check(False, "a stopped session is listed", id)


def restart_session(w: Worker, id: str, name: str, found: Pid) -> int:
    """1: one death less than hits is a restart."""
    w.book.hit(found.serial, name, "test", "shutdown")
    try:
        w.c.restart_session(id, WAIT_S)
    except RequestError as error:
        check(error.code in ("start_failed", "not_running", "restarting", "busy"), "restart_session", error.code, error.detail)
        check(len(w.book.hits(name)) > 1, "restart_session", error.code, error.detail)
    return 1


TREE_ACTS: dict[str, Callable[[Worker, Random], None]] = {
    "tree": tree, "budget": budget, "dynamic": dynamic, "partitions": partitions, "supervised": supervised,
}  # fmt: skip
