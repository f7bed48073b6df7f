"""The corpus of vectors: what a folder holds, and which of it a runner can play."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

VECTORS = Path(__file__).parent / "vectors"
DERIVED = Path(__file__).parent / "derived"
"""Not recorded, but read out of OTP's sources: see its README."""
FORMAT = 1
KINDS = frozenset({"proc", "server", "sup", "dynsup", "registry", "task_sup", "pg"})
"""Of actors that are built."""
OPERATIONS = frozenset(
    """start start_link spawn spawn_link spawn_monitor exit_signal kill send link unlink monitor demonitor trap_exit exit crash
    throw return sleep log recv wait_dead is_alive register unregister whereis call cast info stop start_child terminate_child
    restart_child delete_child which_children count_children do reg_register reg_unregister reg_lookup reg_keys reg_values
    reg_count reg_match reg_unregister_match reg_update reg_whereis reg_dispatch reg_send task task_await task_yield
    task_shutdown task_stream pg_join pg_leave pg_members pg_groups pg_monitor pg_demonitor""".split()
)
"""That are built: those of FORMAT.md §4."""
MACHINES = frozenset({"sup", "dynsup", "registry", "task_sup", "pg"})
"""Kinds that run as residents of the node or in processes of their own."""
TIMES = frozenset({"sleep", "ticks", "seconds", "timeout", "later"})
"""Keys of what takes its time, or has only so much."""
LONG_S = 60.0
"""Longer than any vector: a period of so many seconds does not end in it."""


class Folder(NamedTuple):
    """``vectors`` by id; ``troubles``: by file, why it is no vector."""

    vectors: list[dict[str, Any]]
    troubles: dict[str, str]


def load(directory: Path) -> list[dict[str, Any]]:
    """All vectors of ``directory``, by id.

    :raises ValueError: a file is no vector.
    """
    found = read(directory)
    for file, trouble in found.troubles.items():
        raise ValueError(f"{file}: {trouble}")
    return found.vectors


def read(directory: Path) -> Folder:
    """Whatever is in ``directory`` and below, or in the one file that it is."""
    files = sorted(directory.rglob("*.json")) if directory.is_dir() else [directory] if directory.exists() else []
    found = Folder([], {})
    for file in files:
        try:
            vector = json.loads(file.read_bytes())
        except (ValueError, OSError) as error:
            found.troubles[str(file)] = f"cannot be read as JSON: {error}"
            continue
        if (trouble := trouble_with(vector)) is None:
            found.vectors.append(vector)
        else:
            found.troubles[str(file)] = f"no vector: {trouble}"
    found.vectors.sort(key=lambda vector: vector["id"])
    return found


def trouble_with(vector: Any) -> str | None:
    """What keeps ``vector`` from being one (FORMAT.md §1); of another format only that number is looked at."""
    match vector:
        case {"format": int(number), "id": str()} if number != FORMAT:
            return None
        case {"format": int(), "id": str(), "kinds": [*_], "defs": dict(defs), "steps": [*steps], "expect": expect}:
            pass
        case dict():
            missing = {"format", "id", "kinds", "defs", "steps", "expect"} - vector.keys()
            return f"{', '.join(sorted(missing))}: missing" if missing else "a key of a type that it cannot have"
        case _:
            return "not a map"
    for name, how in defs.items():
        if not isinstance(how, dict) or not isinstance(how.get("kind"), str):
            return f"defs: {name} has no kind"
    for place, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("op"), str):
            return f"steps[{place}]: no op"
    match expect:
        case {"steps": [*results], "final": {"alive": [*_]}} if len(results) == len(steps):
            wrong = [place for place, result in enumerate(results) if not isinstance(result, dict) or "result" not in result]
            return f"expect.steps[{wrong[0]}]: no result" if wrong else None
    return f"expect: not the results of {len(steps)} steps and who is alive"


def placements_of(vector: dict[str, Any], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """In which of the ``wanted`` placements ``vector`` differs: one that has nothing to place is played once."""
    return wanted if MACHINES.intersection(vector["kinds"]) else wanted[:1]


def is_playable(vector: dict[str, Any]) -> bool:
    return unbuilt_in(vector) is None


def unbuilt_in(vector: dict[str, Any]) -> str | None:
    """What in it is not built, so that it cannot be played."""
    if vector["format"] != FORMAT:
        return f"format {vector['format']}"
    kinds = {*vector["kinds"], *(how["kind"] for how in vector["defs"].values())}
    strange = sorted(kinds - KINDS) or sorted(set(operations_of(vector["steps"])) - OPERATIONS)
    return ",".join(strange) or None


def operations_of(part: Any) -> Iterator[str]:
    """Of a vector's steps, in whatever they are nested: requests, scripts, inputs of a stream."""
    if isinstance(part, dict):
        if isinstance(part.get("op"), str):
            yield part["op"]
        for item in part.values():
            yield from operations_of(item)
    elif isinstance(part, list):
        for item in part:
            yield from operations_of(item)


def is_timed(part: Any) -> bool:
    """Whether anything in ``part`` of a vector waits for a time: else all that will happen happens at once."""
    match part:
        case {"op": "recv"} | {"shutdown": int() | float()}:
            return True
        case {"period_s": period_s} if period_s < LONG_S:
            return True
        case dict():
            return not TIMES.isdisjoint(part) or any(map(is_timed, part.values()))
        case list():
            return any(map(is_timed, part))
    return False
