"""Erlang/OTP: gen_servers in one VM, which isolates nothing from ``kill -9`` — and each in a VM of its own, over loopback.

In one VM an actor is killed by ``exit(Pid, kill)`` and replaced by OTP's supervisor; all is measured inside (echo_vm.erl). VMs
of their own are started by OTP's ``peer`` module over distributed Erlang, as its documentation has it; their DOWN comes from
``monitor``, and a line of ours to the VM that waits for it is part of the time; another is started by hand.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.contract import Peer, program, resting_pss_mb
from benchmarks.peers.process_tree import end_below

SOURCE = Path(__file__).with_name("echo_vm.erl")
QUIET = ["-kernel", "logger_level", "none", "-connect_all", "false"]
"""No reports on the line between us; VMs that know only whom they talk to, for nothing here is registered globally."""
EPMD_PORT = "43690"
"""Its own epmd, not the machine's."""


class Vm(Peer[int]):
    """The VM that is asked; an actor is a number."""

    def version(self) -> str:
        asked = 'io:format("~s", [erlang:system_info(otp_release)]), halt().'
        said = subprocess.run(["erl", "-noshell", "-eval", asked], capture_output=True, text=True, check=True)
        return f"OTP {said.stdout}"

    def open(self) -> None:
        erl, erlc = program("erl", "erlang-base"), program("erlc", "erlang-base")
        self.folder = tempfile.TemporaryDirectory()
        subprocess.run([erlc, "-o", self.folder.name, SOURCE], check=True)
        os.environ |= {"ERL_EPMD_PORT": EPMD_PORT, "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": self.folder.name}
        argv = [erl, "-noinput", "-noshell", *QUIET, "-pa", self.folder.name, *self.arguments(), "-s", "echo_vm", "main"]
        self.vm = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.actors = 0

    def arguments(self) -> list[str]:
        return []

    def ask(self, verb: str, *numbers: int) -> int:
        """The VM's answer to a line."""
        self.tell(verb, *numbers)
        return self.answer()

    def tell(self, verb: str, *numbers: int) -> None:
        assert self.vm.stdin is not None
        print(verb, *numbers, file=self.vm.stdin, flush=True)

    def answer(self) -> int:
        assert self.vm.stdout is not None
        return int(self.vm.stdout.readline())

    def close(self) -> None:
        assert self.vm.stdin is not None
        self.vm.stdin.close()
        self.vm.wait()
        end_below(os.getpid())  # its epmd stays by design
        self.folder.cleanup()


class OneVm(Vm):
    calls_each, casts_each = 20_000, 100_000
    remarks = {
        **dict.fromkeys(("told", "replaced", "storm"), "exit(Pid, kill): a kill -9 would take the whole VM"),
        "memory": "of a process in the VM",
    }
    idle_actors = 20_000

    def spawn(self) -> int:
        return 0

    def end(self, actor: int) -> None:
        """There is one, as long as the VM."""

    def spawn_us(self) -> float:
        return self.ask("spawn", 1_000) / 1e3

    def call_us(self) -> float:
        return self.ask("calls", 0, self.calls_each) / 1e3

    def casts_per_s(self) -> float:
        return 1e9 / self.ask("casts", 0, self.casts_each)

    def told_us(self) -> float:
        return self.ask("told", 1_000) / 1e3

    def replaced_us(self) -> float:
        return self.ask("replaced", 1, 100) / 1e3

    def storm_ms(self) -> float:
        return self.ask("replaced", self.storm_actors, 10) / 1e6

    def idle_mb(self) -> float:
        before = resting_pss_mb()
        self.ask("hold", self.idle_actors)
        grown = resting_pss_mb() - before
        self.ask("release")
        return grown / self.idle_actors


class ManyVms(Vm):
    remarks = {"told": "DOWN with noconnection", "replaced": "by hand: another VM", "storm": "by hand"}
    calls_each, casts_each = 1_000, 20_000

    def arguments(self) -> list[str]:
        return ["-name", f"asker{os.getpid()}@127.0.0.1"]

    def open(self) -> None:
        super().open()
        self.os_pids = dict[int, int]()

    def spawn(self) -> int:
        self.actors += 1
        self.os_pids[self.actors] = self.ask("vm_spawn", self.actors)
        return self.actors

    def end(self, actor: int) -> None:
        self.ask("vm_end", actor)

    def calls(self, actor: int, count: int) -> None:
        self.ask("calls", actor, count)

    def casts(self, actor: int, count: int) -> None:
        self.ask("casts", actor, count)

    def os_pid(self, actor: int) -> int:
        return self.os_pids[actor]

    def watch(self, actor: int) -> Callable[[], object]:
        self.tell("vm_told", actor)
        return self.answer

    def await_replacement(self, actor: int) -> None:
        self.await_replacements([actor])

    def await_replacements(self, actors: list[int]) -> None:
        self.tell("vm_replaced", *actors)
        for actor in actors:
            self.os_pids[actor] = self.answer()


PEERS = {"one-vm": OneVm, "many-vms": ManyVms}
