"""A run: a daemon of its own, the clients and the nemesis of a plan, and then the peace in which everything must be well.

``python -m tests.torture.chaos --seed 7 --acts 60 --strikes 80`` says what was done; what was broken, with the seed and the
history, when something was.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

from actorcore.errors import ActorError
from supervisors.own_names import STORE
from tests.daemon_fixture import ROOT, Daemon, Desk, descriptors_beyond, desk_of
from tests.torture.chaos.book import Book, Broken, check, patience
from tests.torture.chaos.lives import LIFE_ACTS
from tests.torture.chaos.plan import Plan
from tests.torture.chaos.services import SERVICE_ACTS
from tests.torture.chaos.sessions import SESSION_ACTS
from tests.torture.chaos.strikes import Nemesis
from tests.torture.chaos.trees import TREE_ACTS
from tests.torture.chaos.worker import IDLE, Worker
from tests.torture.load import resident_bytes

ACTS: dict[str, Callable[[Worker, Random], None]] = {**LIFE_ACTS, **TREE_ACTS, **SERVICE_ACTS, **SESSION_ACTS}
TEMPLATES = ("lean", "asyncio", "session", "supervisor")
MORE_BYTES = 1 << 20
"""Of guardian and node: pools and the interpreter's own stores fill, some 200 KiB."""
CONFIGURATION = "[sessions]\nmax_saved = 10000\n"


def run(plan: Plan, folder: Path, root: Path = ROOT) -> Book:
    """Do it. Raises Broken with seed and end of the history; all of it is in ``folder/history``. ``root``: of the product."""
    book = Book()
    try:
        own = Daemon(folder / "run", root, "tests.fault.poisoned", configuration=CONFIGURATION)
        temporary = folder / "temporary"
        temporary.mkdir()
        own.environment["TMPDIR"] = str(temporary)
        with own as daemon:
            daemon.bystanders()
            with desk_of(daemon) as desk:
                before = settled(desk, book)
                memory = resident_bytes(daemon, desk.node_os_pid())
            work(daemon, plan, book, folder)
            with desk_of(daemon) as desk:  # an idle client does not notice the death of its node, and expires
                after = settled(desk, book)
                grown = resident_bytes(daemon, desk.node_os_pid()) - memory
            check(list(temporary.rglob("*")) == [], "temporary files", list(temporary.rglob("*")))
            check(grown < MORE_BYTES, "memory", grown)
            for what in before:
                check(before[what] == after[what], "left:", what, before[what], after[what])
            check_log(daemon)
    except BaseException as error:
        (folder / "history").write_text("\n".join(book.history))
        if isinstance(error, Exception):
            last = "\n".join(list(book.history)[-60:])
            trace = "".join(traceback.format_exception(error))
            raise Broken(f"seed {plan.seed}: {error!r}\nhistory in {folder / 'history'}, its end:\n{last}\n{trace}") from error
        raise
    return book


def settled(desk: Desk, book: Book) -> dict[str, Any]:
    """What must be the same before and after: processes with a spec, clients, sessions, descriptors, files."""
    for template in TEMPLATES:  # each has its zygote
        pid = desk.client.spawn(IDLE, template=template, init_timeout_s=60.0)
        ref = desk.client.monitor(pid)
        desk.client.exit(pid, "kill")
        desk.client.wait_down(ref, 60.0)
    list(desk.client.saved.list())
    rows = list(desk.client.processes())
    waiting = patience("the dying", rows)
    while any(row["phase"] == "dying" for row in rows) or sum(row["kind"] == "client" for row in rows) > 1:
        next(waiting)
        rows = list(desk.client.processes())  # who hung up while there was no node has five seconds
    descriptors = descriptors_beyond(desk)  # a node that sleeps has put the logs of the dead away
    own = desk.daemon.directory
    paths = list(own.rglob("*"))
    living = {f"{row['serial']}.log" for row in desk.client.processes()}  # those on their way into a pool as well
    files = [str(path.relative_to(own)) for path in paths if path.name not in living and not is_said(path)]
    return {
        "bystanders": desk.before,
        "processes": [row["serial"] for row in rows if row["start"] and row["name"] != STORE],
        "store": [row["name"] for row in rows if row["name"] == STORE],
        "sessions": [row["id"] for row in desk.client.sessions()],
        "managed": [row["id"] for row in desk.client.manager.list()],
        "saved": [saved.id for saved in desk.client.saved.list()],
        "descriptors": descriptors,
        "files": sorted(path for path in files if path != "state/index" and not is_unborn(path, book)),
    }


def is_said(path: Path) -> bool:
    """A log in which something is, which stays for who wants to read why it died."""
    return path.parent.name == "log" and path.stat().st_size > 0


def is_unborn(path: str, book: Book) -> bool:
    return any(path.startswith(f"state/sessions/{id}") for id in book.unborn)


def work(daemon: Daemon, plan: Plan, book: Book, folder: Path) -> None:
    """Until all clients have done their acts, or one has found something broken."""
    raised: list[BaseException] = []
    with ExitStack() as stack:
        workers = [Worker(daemon.directory, folder / f"w{place}", f"w{place}", book) for place in range(len(plan.acts))]
        for worker in workers:
            stack.callback(worker.close)
            book.begin()
        nemesis = Nemesis(daemon, plan, book)
        stack.callback(nemesis.finish)  # before the workers hang up

        def live(place: int) -> None:
            worker = workers[place]
            try:
                for act in plan.acts[place]:
                    if raised:
                        return
                    book.note(worker.name, f"--- {act}")
                    worker.begin_act()
                    try:
                        ACTS[act.kind](worker, Random(act.seed))
                        worker.check_mail()
                    except (Broken, ActorError):
                        if not worker.is_spoiled():
                            raise
                    else:
                        book.done[act.kind] += 1
            except BaseException as error:
                book.note(worker.name, f"BROKEN {error!r}")
                raised.append(error)
            finally:
                book.end()

        threads = [threading.Thread(target=live, args=(place,), name=f"w{place}") for place in range(len(workers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    book.done["strikes"] = nemesis.struck
    for error in [*raised, nemesis.raised]:
        if error is not None:
            raise error


def check_log(daemon: Daemon) -> None:
    """I10: each line is a record, and none tells of a bug of ours."""
    lines = daemon.log.read_text().splitlines()
    strange = [line for line in lines if not line.startswith("{")]
    check(strange == [], "lines of the log", strange[:20])
    kinds = Counter(json.loads(line)["kind"] for line in lines)
    check(kinds["internal_error"] == 0 and kinds["resident_failed"] == 0, "log", dict(kinds))
