"""The power-loss explorer: what a child writes is recorded at the gate, and every disk is rebuilt that a weak file system may
leave when the power fails after any of its calls.

Weak is: what was not synced may be there, be half there, be zeros of the right length, or be missing, each write for itself;
names of a directory that was not synced are those after any number of its changes. One rule helps: a disk writes a sector
of 512 bytes as a whole, so a write within one is there or is not.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from tests.persistence.gate import Seen, run

SECTOR_BYTES = 512
BLOCK_BYTES = 4096
Content = tuple[bytes, ...]
"""Of a file, in blocks: what two disks have in common is there once."""


@dataclass(frozen=True)
class Op:
    """``kind``: write, truncate, sync, create, unlink, link, rename, mkdir, say. ``path`` is relative to the root."""

    kind: str
    path: str
    at: int = 0
    data: bytes = b""
    other: str = ""


def record(root: str, act: Callable[[Callable[[bytes], None]], None]) -> list[Op]:
    """The calls of ``act`` below ``root``, and what it says by the function that it is given, in order."""
    ops: list[Op] = []
    reader, writer = os.pipe()

    def note(seen: Seen) -> None:
        ops.extend(_ops_of(seen, root))

    try:
        status = run(lambda: act(lambda data: (os.write(writer, data), None)[1]), note)
        assert status == 0, f"the recorded program fails: {status}"
    finally:
        os.close(reader)
        os.close(writer)
    return ops


def _ops_of(seen: Seen, root: str) -> Iterator[Op]:
    arguments = seen.arguments
    if seen.name in ("write", "pwrite64", "fsync", "fdatasync", "ftruncate"):
        path = seen.path_of()
        if path.startswith("pipe:") and seen.name == "write":
            yield Op("say", "", data=seen.memory(arguments[1], arguments[2]))
        if not path.startswith(root):
            return
        path = os.path.relpath(path, root)
        match seen.name:
            case "write" | "pwrite64":
                at = arguments[3] if seen.name == "pwrite64" else _position(seen)
                yield Op("write", path, at, seen.memory(arguments[1], arguments[2]))
            case "ftruncate":
                yield Op("truncate", path, arguments[1])
            case _:
                yield Op("sync", path)
        return
    first = 1 if seen.name.endswith(("at", "at2")) else 0
    path = seen.text(first)
    if not path.startswith(root):
        return
    name = os.path.relpath(path, root)
    match seen.name:
        case "openat" | "open":
            if arguments[first + 1] & os.O_CREAT and not os.path.exists(path):
                yield Op("create", name)
            elif arguments[first + 1] & os.O_TRUNC:
                yield Op("truncate", name, 0)
        case "unlink" | "unlinkat":
            if os.path.exists(path):
                yield Op("unlink", name)
        case "rename" | "renameat" if os.path.exists(path):
            yield Op("rename", name, other=os.path.relpath(seen.text(1 if seen.name == "rename" else 3), root))
        case "link":
            if os.path.exists(path):
                yield Op("link", name, other=os.path.relpath(seen.text(1), root))
        case "mkdir" | "mkdirat":
            if not os.path.exists(path):
                yield Op("mkdir", name)
        case "rename" | "renameat":
            pass  # it fails
        case _:
            raise AssertionError(f"{seen.name} is not modelled")


def _position(seen: Seen) -> int:
    with open(f"/proc/{seen.os_pid}/fdinfo/{seen.arguments[0]}") as file:
        return int(file.readline().split()[1])


# ---- the weak disk ----------------------------------------------------------------------------------------------------


@dataclass
class Inode:
    """``variants``: every content that may be found; the last one is what the system would say now."""

    variants: list[Content] = field(default_factory=lambda: [()])

    def change(self, op: Op, most: int, chance: random.Random) -> None:
        now = _applied(self.variants[-1], op, op.data)
        found = dict.fromkeys(self.variants)
        for one in self.variants:
            found.update(dict.fromkeys(_applied(one, op, data) for data in _parts(op)))
        found.pop(now, None)
        kept = list(found)
        if len(kept) >= most:
            kept = [kept[0], *chance.sample(kept[1:], most - 2)]
        self.variants = [*kept, now]

    def sync(self) -> None:
        self.variants = self.variants[-1:]


def _parts(op: Op) -> list[bytes]:
    """What of a write may be there."""
    size = len(op.data)
    if op.kind == "truncate" or op.at // SECTOR_BYTES == (op.at + size - 1) // SECTOR_BYTES:
        return [op.data]
    return [op.data, op.data[: size // 2], bytes(size)]


def _applied(content: Content, op: Op, data: bytes) -> Content:
    if op.kind == "truncate":
        return _blocks(b"".join(content)[: op.at].ljust(op.at, b"\0"))
    first, last = op.at // BLOCK_BYTES, (op.at + len(op.data) - 1) // BLOCK_BYTES
    if (content and first * BLOCK_BYTES > (len(content) - 1) * BLOCK_BYTES + len(content[-1])) or (first and not content):
        content = _blocks(b"".join(content).ljust(first * BLOCK_BYTES, b"\0"))
    begin = op.at - first * BLOCK_BYTES
    there = b"".join(content[first : last + 1])
    there = there[:begin].ljust(begin, b"\0") + data + there[begin + len(data) :]
    return (*content[:first], *_blocks(there), *content[last + 1 :])


def _blocks(data: bytes) -> Content:
    return tuple(data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))


Names = dict[str, int]


class WeakDisk:
    """What may be found after a power failure: ``names`` are all states of the directories, ``inodes`` what is in the files."""

    def __init__(self, most: int = 256, seed: int = 1) -> None:
        self._most = most
        self._chance = random.Random(seed)
        self.inodes: dict[int, Inode] = {}
        self.names: list[Names] = [{}]

    def do(self, op: Op) -> None:
        """One call of the recorded program."""
        now = self.names[-1]
        match op.kind:
            case "write" | "truncate":
                self.inodes[now[op.path]].change(op, self._most, self._chance)
            case "sync" if op.path in now:
                self.inodes[now[op.path]].sync()
            case "sync":
                self.names = [now]  # one directory and its parent: that they are synced apart is not modelled
            case "create":
                number = len(self.inodes)
                self.inodes[number] = Inode()
                self.names.append({**now, op.path: number})
            case "unlink":
                self.names.append({name: number for name, number in now.items() if name != op.path})
            case "rename":
                rest = {name: number for name, number in now.items() if name != op.path}
                self.names.append({**rest, op.other: now[op.path]})
            case "link":
                self.names.append({**now, op.other: now[op.path]})
            case "mkdir":
                pass
            case _:
                raise AssertionError(op)

    def groups(self) -> Iterator[tuple[list[str], list[list[Content]]]]:
        """The disks in groups: names of the files, and for each what may be in it, in all combinations."""
        for names in self.names:
            files = sorted(names)
            yield files, [self.inodes[names[name]].variants for name in files]


Disk = dict[str, Content]


@dataclass
class Found:
    """``disks`` is how many were judged, all of them distinct; ``bad`` are the first violations."""

    disks: int = 0
    bad: list[str] = field(default_factory=list)
    violations: int = 0


def explore(
    ops: list[Op], load: Callable[[Disk], object], check: Callable[[object, list[bytes]], str | None],
    most: int = 256, is_enough: Callable[[Found], bool] = lambda found: False,
) -> Found:  # fmt: skip
    """Judge the disks after each call, of each file at most ``most`` contents at a time, until it ``is_enough``.

    ``load`` says what is found on a disk, once for each; ``check`` what is wrong with that when so much has been said.
    """
    disk, said, found = WeakDisk(most), [], Found()
    loaded: dict[int, object] = {}
    numbers: dict[object, int] = {}
    for at, op in enumerate(ops):
        if op.kind == "say":  # from now on more must be there
            said.append(op.data)
        else:
            disk.do(op)
        for files, variants in disk.groups():
            first = numbers.setdefault(tuple(files), len(numbers))
            numbered = [[(numbers.setdefault(content, len(numbers)), content) for content in some] for some in variants]
            for one in product(*numbered):
                key = first
                for number, _ in one:
                    key = key << 20 | number
                if key not in loaded:
                    loaded[key] = load(dict(zip(files, (content for _, content in one), strict=True)))
                if (why := check(loaded[key], said)) is not None:
                    found.violations += 1
                    if len(found.bad) < 3:
                        found.bad.append(f"after call {at} ({op.kind} {op.path}): {why}")
                    if is_enough(found):
                        return found
    assert len(numbers) < 1 << 20
    found.disks = len(loaded)
    return found
