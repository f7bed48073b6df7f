"""Loops in children of a warmed zygote: a bare clone tells libuv nothing, so its lock must be made anew (loops.py)."""

from __future__ import annotations

import subprocess
import sys

WARMED = """
import asyncio, os
from actorcore.runtime import syscalls
from actorcore.runtime.actor.loops import loops

async def output_of_a_program():
    program = await asyncio.create_subprocess_exec("/bin/echo", "spoken", stdout=asyncio.subprocess.PIPE)
    return (await program.communicate())[0]

def life():
    loop = loops.new()
    kind, said = type(loop).__module__, loop.run_until_complete(output_of_a_program())
    loops.close(loop)
    return kind, said, sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}"))

def bare_clone():
    syscalls._before_fork()
    child = syscalls._syscall(syscalls._NR_CLONE, syscalls._SIGCHLD, None, None, None, None)
    (syscalls._after_fork_parent if child else syscalls._after_fork_child)()
    return child

reader, writer = os.pipe()
loops.warm()
%s
in_zygote = life()[:2]
child = bare_clone()
if child == 0:
    os.dup2(writer, 3)
    syscalls.close_from(4)
    os.write(3, repr([life() for _ in range(3)]).encode())
    os._exit(0)
os.close(writer)
print(in_zygote, os.read(reader, 4096).decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def outcome(change: str = "") -> str:
    """What the zygote, then three loops of its child said; the child's exit status."""
    ran = subprocess.run([sys.executable, "-c", WARMED % change], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_child_of_a_bare_clone_runs_loop_after_loop_with_programs_and_leaves_no_descriptor() -> None:
    life = "('uvloop', b'spoken\\n', [0, 1, 2, 3])"
    assert outcome() == f"('uvloop', b'spoken\\n') [{life}, {life}, {life}] 0"


def test_without_the_lock_made_anew_such_a_child_is_aborted() -> None:
    """So the test above would notice; and the day this one fails, loops.py can go."""
    assert outcome("loops._make_lock = lambda: None").endswith(" -6")


def test_of_a_libuv_that_keeps_something_unknown_asyncios_own_loop_is_used() -> None:
    life = "('asyncio.unix_events', b'spoken\\n', [0, 1, 2, 3])"
    assert outcome("loops._is_known = False") == f"('asyncio.unix_events', b'spoken\\n') [{life}, {life}, {life}] 0"
