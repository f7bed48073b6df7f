"""Acts of what is shared: tasks, groups, a limiter, a cache, a state machine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from actorcore.errors import CallFailed, RequestError
from actorcore.words import ProcessSpec
from tests.torture.chaos.book import check
from tests.torture.chaos.worker import IDLE, WAIT_S, Worker, refusal

SQUARE, BOOM, DIE = (f"tests.fault.task_functions:{name}" for name in ("square", "boom", "as_item_says"))
CACHE = "supervisors.services.cache_server:CacheServer"
DOOR = "tests.torture.chaos.actors:Door"


def tasks(w: Worker, chance: Random) -> None:
    """A task's value comes once, or why there is none."""
    supervisor = w.resident(chance.choice(["task_supervisor", "task_pool"]))
    for _ in range(chance.randrange(1, 4)):
        number = chance.randrange(1000)
        start, args = chance.choice([(SQUARE, [number]), (BOOM, []), (DIE, [["die"], "/dev/null"])])
        spec = ProcessSpec(start, args, init_timeout_s=WAIT_S)
        try:
            value = w.c.run_task(supervisor, spec, WAIT_S)
            check((start, value) == (SQUARE, number * number), "value", start, value)
        except CallFailed as error:
            is_own = start == BOOM and isinstance(error.reason, dict) and error.reason["error"]["type"] == "ValueError"
            if not is_own and not (start == DIE and error.reason == "killed"):
                w.book.check_failed_start([start], error.reason, "task")
        except RequestError as error:
            check(error.code == "start_failed", "task", error.code)
            w.book.check_failed_start([start], error.detail, "task")
    w.c.stop(supervisor, timeout_s=WAIT_S)


def groups(w: Worker, chance: Random) -> None:
    """Members are in the order in which they joined, as often as they did; the dead are in no group."""
    scope = w.resident("groups")
    pids = [w.start(IDLE) for _ in range(3)]
    serials = [pid.serial for pid in pids]
    w.c.call(scope, ["join", "x", serials], WAIT_S)
    w.c.call(scope, ["join", "x", serials[1:2]], WAIT_S)
    check(w.c.call(scope, ["members", "x"], WAIT_S) == [*serials, serials[1]], "members")
    w.kill(pids[0])
    check(w.c.call(scope, ["members", "x"], WAIT_S) == [*serials[1:], serials[1]], "members after a death")
    w.c.call(scope, ["leave", "x", [serials[1]]], WAIT_S)
    check(sorted(w.c.call(scope, ["members", "x"], WAIT_S)) == sorted(serials[1:]), "members after one left")
    check(refusal(lambda: w.c.call(scope, ["leave", "x", [serials[0]]], WAIT_S)).code == "not_joined", "the dead leave")
    for pid in pids[1:]:
        w.kill(pid)
    check(w.c.call(scope, ["which_groups"], WAIT_S) == [], "groups of the dead")
    w.c.stop(scope, timeout_s=WAIT_S)


def limiter(w: Worker, chance: Random) -> None:
    """So many attempts pass and no more; no death of the node gives a fresh budget."""
    most = chance.randrange(1, 5)
    pid = w.resident("limiter", {"default": {"limit": most, "window_s": 3600.0}})
    for _ in range(most):
        check(w.c.call(pid, ["attempt", "save", "me"], WAIT_S) is True, "an attempt")
    for _ in range(2):
        error = refusal(lambda: w.c.call(pid, ["attempt", "save", "me"], WAIT_S))
        check(error.code == "rate_limit_exceeded" and 3500 < float(error.detail) <= 3600, "refused", error)
    check(w.c.call(pid, ["reset", "save", "me"], WAIT_S) is True, "reset")
    check(w.c.call(pid, ["attempt", "save", "me"], WAIT_S) is True, "an attempt after the reset")
    told = w.c.call(pid, ["statistics"], WAIT_S)
    check((told["passed"], told["refused"], told["keys"]) == (most + 1, 2, 1), "statistics", told)
    w.c.stop(pid, timeout_s=WAIT_S)


def cache(w: Worker, chance: Random) -> None:
    """What was put is found, until it is deleted or the cache dies."""
    name = w.fresh("cache")
    pid = w.spawn(CACHE, name=name)
    if pid is None:
        return
    known: dict[str, object] = {}
    for number in range(chance.randrange(1, 12)):
        key = f"k{chance.randrange(4)}"
        match chance.choice(["put", "get", "delete"]):
            case "put":
                answer, right = w.call(pid, ["cache_put", key, number]), (True,)
                known[key] = number
            case "delete":
                answer, right = w.call(pid, ["cache_delete", key]), (key in known,)
                known.pop(key, None)
            case _:
                right = (["hit", known[key]] if key in known else ["not_found", None],)
                answer = w.call(pid, ["cache_get", key])
        if answer is None:
            check(w.c.whereis(name) is None, "the name of a dead cache")
            return
        check(answer == right, "cache", key, answer, right)
    w.kill(pid, name)


def door(w: Worker, chance: Random) -> None:
    """A state machine: who comes while it is closed is postponed, and answered in order when it opens."""
    pid = w.spawn(DOOR)
    if pid is None:
        return
    passed, is_open = 0, False
    for _ in range(chance.randrange(1, 12)):
        what = chance.choice(["turn", "pass", "state"])
        if what == "turn" or (what == "pass" and not is_open):
            w.c.cast(pid, "turn")
            is_open = not is_open
        if what == "pass":
            answer, right = w.call(pid, "pass"), (passed := passed + 1)
        else:
            answer, right = w.call(pid, "state"), ["open" if is_open else "closed", passed]  # type: ignore[assignment]
        if answer is None:
            return
        check(answer == (right,), "door", what, answer, right)
    w.kill(pid)


SERVICE_ACTS: dict[str, Callable[[Worker, Random], None]] = {
    "tasks": tasks, "groups": groups, "limiter": limiter, "cache": cache, "door": door,
}  # fmt: skip
