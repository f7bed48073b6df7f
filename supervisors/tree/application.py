"""Applications: a supervision tree as one session, described in code or in a TOML file that is checked before it is started.

::

    name = "shop"                    # its session, `actorcore stop shop`, and the registered name of its supervisor
    path = "src"                     # where modules are imported from, seen from the file; default: the file's folder
    strategy = "rest_for_one"        # intensity, period_s, auto_shutdown: as in supervisors.tree.spec.SupervisorSpec

    [session]                        # of the whole: what happens when the tree has ended: supervisors.tree.child_spec.ChildSpec
    restart = "permanent"

    [[children]]                     # started in this order, stopped in the reverse one
    id = "counter"                   # restart, shutdown_s, significant: as in supervisors.tree.spec.Child
    start = "shop:Counter"           # args, name, template, via, limits, …: as in actorcore.words.ProcessSpec

    [[children]]
    id = "workers"                   # children of its own make it a supervisor
    [[children.children]]
    id = "first"
    start = "shop:Worker"
"""

from __future__ import annotations

import sys
import tomllib
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import msgspec

from actorcore.words import RESIDENT, ProcessSpec
from supervisors.machines import MACHINES
from supervisors.tree import child_spec, spec as tree_spec, toml_lines
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.spec import Child, SupervisorSpec
from supervisors.tree.toml_lines import Path as Place

SUPERVISOR = "supervisor"
_FLAGS = tuple(name for name in SupervisorSpec.__struct_fields__ if name != "children")
_CHILD = tuple(name for name in Child.__struct_fields__ if name not in ("process", "type"))
_PROCESS = tuple(name for name in ProcessSpec.__struct_fields__ if name != "task")
_SESSION = tuple(name for name in ChildSpec.__struct_fields__ if name not in ("id", "process"))
_TOP = ("name", "path", *_FLAGS, "session", "children")


class InvalidApplication(Exception):
    """The text names the file, the line and what is wrong there."""


class Application(msgspec.Struct, frozen=True):
    """``session`` are fields of ChildSpec for the whole; a tree may take as long as it wants to stop unless they say else."""

    name: str
    tree: SupervisorSpec
    session: dict[str, Any] = {}

    def child_spec(self) -> ChildSpec:
        """The session to start: ``client.start_session(application.child_spec())``.

        :raises msgspec.ValidationError: ``session`` has a field of the wrong type.
        """
        process = ProcessSpec(SUPERVISOR, [msgspec.to_builtins(self.tree)], template=RESIDENT, name=self.name)
        return msgspec.convert({"id": self.name, "process": process, "shutdown_s": "infinity", **self.session}, ChildSpec)


def read_application(file: Path) -> Application:
    """What ``file`` describes.

    :raises InvalidApplication: it cannot be read, is no TOML, or describes something that cannot be started.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidApplication(f"{file}: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}") from None
    try:
        return parse(text, file.absolute().parent)
    except InvalidApplication as error:
        raise InvalidApplication(f"{file}{error}") from None


def parse(text: str, folder: Path) -> Application:
    """The application in ``text``, whose paths are seen from ``folder``.

    :raises InvalidApplication: its text begins with ``:LINE:``.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidApplication(f":{toml_lines.line_of_error(text, error)}: {error}") from None
    return _Reader(text, folder).application(table)


class _Reader:
    """One text being read."""

    def __init__(self, text: str, folder: Path) -> None:
        self._text = text
        self._folder = folder

    def application(self, table: dict[str, Any]) -> Application:
        self._check_keys((), table, _TOP)
        name = table.get("name")
        if not isinstance(name, str) or not child_spec.ID.fullmatch(name):
            raise self._wrong(("name",), f"must match {child_spec.ID.pattern}")
        self._folder = self._path((), table) or self._folder
        tree = self._tree((), table)
        session = table.get("session", {})
        if not isinstance(session, dict):
            raise self._wrong(("session",), "must be a table")
        self._check_keys(("session",), session, _SESSION)
        self._check_types(("session",), session, ChildSpec, {"id": name, "process": ProcessSpec(SUPERVISOR)})
        application = Application(name, tree, session)
        if (refusal := child_spec.validate(application.child_spec())) is not None:
            field, _, why = refusal[1].partition(": ")
            raise self._wrong(self._place_of(("session",), session, field), why)
        return application

    def _tree(self, where: Place, table: dict[str, Any]) -> SupervisorSpec:
        """The supervisor that ``table`` describes, and all below it."""
        children = table.get("children", [])
        if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
            raise self._wrong((*where, "children"), "must be an array of tables")
        flags = {name: table[name] for name in _FLAGS if name in table}
        self._check_types(where, flags, SupervisorSpec, {})
        found = [self._child((*where, "children", place), child) for place, child in enumerate(children)]
        spec = msgspec.convert({**flags, "children": [msgspec.to_builtins(child) for child in found]}, SupervisorSpec)
        if (trouble := tree_spec.trouble_with(spec)) is not None:
            raise self._trouble(where, table, trouble)
        return spec

    def _child(self, where: Place, table: dict[str, Any]) -> Child:
        if "children" in table or "strategy" in table:
            self._check_keys(where, table, (*_CHILD, *_FLAGS, "name", "template", "children"))
            tree = msgspec.to_builtins(self._tree(where, table))
            process: dict[str, Any] = {"start": SUPERVISOR, "args": [tree], "template": RESIDENT}
            process |= {name: table[name] for name in ("name", "template") if name in table}
        else:
            self._check_keys(where, table, (*_CHILD, *_PROCESS))
            process = {name: table[name] for name in _PROCESS if name in table}
        fields = {name: table[name] for name in _CHILD if name in table}
        if "id" not in fields:
            raise self._wrong((*where, "id"), "is missing", where)
        if "start" not in process:
            raise self._wrong((*where, "start"), "is missing; or children, for a supervisor", where)
        self._check_types(where, process, ProcessSpec, {"start": SUPERVISOR})
        self._check_types(where, fields, Child, {"id": "x", "process": ProcessSpec(SUPERVISOR)})
        kind = "supervisor" if process["start"] in MACHINES else "worker"
        if kind == "worker" and process.get("template") == RESIDENT:
            raise self._wrong((*where, "start"), f"one of {', '.join(sorted(MACHINES))}")
        if kind == "worker":
            process["path"] = str(self._path(where, table) or self._folder)
            self._check_module((*where, "start"), str(process["start"]), process["path"])
        return msgspec.convert({**fields, "process": process, "type": kind}, Child)

    def _path(self, where: Place, table: dict[str, Any]) -> Path | None:
        """The folder of ``path``; None when it is not said."""
        if "path" not in table:
            return None
        if not isinstance(table["path"], str) or not (found := self._folder / table["path"]).is_dir():
            raise self._wrong((*where, "path"), "is no folder")
        return found.resolve()

    def _check_module(self, place: Place, start: str, path: str) -> None:
        """Whether there is such a module; it is not imported here."""
        module, colon, name = start.partition(":")
        if not colon or not name.isidentifier():
            raise self._wrong(place, "must be module:name")
        if module.partition(".")[0] in sys.stdlib_module_names:
            return
        folders: list[str] | None = [path, *sys.path]
        begun = ""
        for part in module.split("."):
            begun = f"{begun}.{part}" if begun else part
            found = PathFinder.find_spec(begun, folders) if folders is not None and part.isidentifier() else None
            if found is None:
                raise self._wrong(place, f"there is no module {begun[:80]!r} in {path} or on Python's path")
            folders = None if found.submodule_search_locations is None else list(found.submodule_search_locations)

    def _check_keys(self, where: Place, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self._wrong((*where, key), f"unknown; known are {', '.join(known)}")

    def _check_types(self, where: Place, fields: dict[str, Any], kind: type[msgspec.Struct], rest: dict[str, Any]) -> None:
        """Each of ``fields`` by itself, so that it is known which one it is."""
        for name, value in fields.items():
            try:
                msgspec.convert({**rest, name: value}, kind)
            except msgspec.ValidationError as error:
                raise self._wrong((*where, name), str(error).partition(" - at")[0]) from None

    def _trouble(self, where: Place, table: dict[str, Any], trouble: str) -> InvalidApplication:
        """What tree_spec says, at the place that it is about."""
        field, _, why = trouble.partition(": ")
        if field.startswith("children["):
            place, _, field = field.removeprefix("children[").partition("].")
            where, table = (*where, "children", int(place)), table["children"][int(place)]
        return self._wrong(self._place_of(where, table, field.removeprefix("process.")), why)

    def _place_of(self, where: Place, table: dict[str, Any], field: str) -> Place:
        """Where ``field`` of ``table`` is said, or what comes nearest: of a back-off, one of its numbers."""
        said = [name for name in table if name == field or name.startswith(f"{field}_")]
        return (*where, said[-1]) if said else where

    def _wrong(self, place: Place, why: str, at: Place | None = None) -> InvalidApplication:
        line = toml_lines.line_of(self._text, place if at is None else at)
        return InvalidApplication(f":{line}: {toml_lines.spelled(place)}: {why}")
