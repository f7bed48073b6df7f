"""The sources keep the rules of the design: layers, purity, what may be called where, and the size of files.

Each rule is a function of parsed sources, so each is also shown a planted violation.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("actorcore", "supervisors")
FOLDERS = (*PRODUCT, "tests", "benchmarks", "examples")
MAX_LINES = 400
MAX_TEST_LINES = 650
"""A file of tests may be a long list of sentences; it is still reported."""
MAX_GUARDIAN_LINES = 499

# ---- the tables: a new module finds its place here or the test fails ---------------------------------------------

PURE_LAYERS = {0, 1, 3}
# ``a.*`` names the direct children of a, ``a.**`` everything below it; an exact name goes first.
LAYERS: dict[str, int] = {
    **dict.fromkeys((f"actorcore.{name}" for name in (
        "words terms pids exit_reason requests signals effects errors telemetry faults"
    ).split()), 0),
    "actorcore.*": 1,
    "actorcore.table": 1,
    "actorcore.table.*": 1,
    "actorcore.runtime": 2,
    "actorcore.runtime.**": 2,
    "actorcore": 2,  # the package's face: may offer what any of its layers has
    **dict.fromkeys((f"supervisors.{name}" for name in "machines own_names".split()), 3),
    **dict.fromkeys((f"supervisors.tree.{name}" for name in "application process".split()), 4),
    "supervisors.tree.*": 3,
    "supervisors.registry.*": 3,
    **dict.fromkeys((f"supervisors.services.{name}" for name in "cache_server task_pools".split()), 4),
    "supervisors.services.*": 3,
    **dict.fromkeys((f"supervisors.session.{name}" for name in "server project_files project_path resuming".split()), 4),
    "supervisors.session.*": 3,
    **dict.fromkeys((f"supervisors.persistence.{name}" for name in (
        "snapshot signing saved retention proof store_words"
    ).split()), 3),
    "supervisors.persistence.*": 4,
    "supervisors.clients.*": 4,
    **dict.fromkeys((f"supervisors.{name}" for name in (
        "client async_client telemetry configuration launch private_daemon paths place exit_codes demo_actors"
    ).split()), 4),
    **dict.fromkeys((f"supervisors.{name}" for name in "daemon node_entry demo __main__".split()), 5),
    "supervisors.cli.*": 5,
    **dict.fromkeys((f"supervisors.{name}" for name in "tree registry services session persistence".split()), 3),
    "supervisors.clients": 4,
    "supervisors.cli": 5,
    "supervisors": 5,
}  # fmt: skip

IMPURE = set(
    "os socket selectors asyncio threading multiprocessing mmap subprocess signal time random pathlib "
    "select fcntl ctypes secrets tempfile shutil sqlite3 logging concurrent uvloop psutil".split()
)
IMPURE_CALLS = {"open", "print", "input"}
NEVER_IMPORTED = {"pickle", "marshal", "yaml", "shelve", "dill", "cloudpickle"}
NEVER_CALLED = {"eval", "exec", "__import__"}

LOADERS = {
    "actorcore.runtime.actor.code", "actorcore.runtime.actor.lean", "actorcore.runtime.zygote.zygote",
    "actorcore.runtime.guardian.node_birth", "supervisors.tree.application",
}  # fmt: skip
"""May use importlib: they load a user's ``module:name``, or the node's entry point, by its name; or only look for it."""
LATE_IMPORTS = {("supervisors.paths", "platformdirs"): "20 ms that most callers need not spend"}
"""(module, imported) → why an import stands inside a function."""
LATE_IMPORTERS = ("supervisors.cli.", "supervisors.__main__")
"""Commands import what only they need, so that ``actorcore --help`` stays under 100 ms (P15)."""
KILLERS = {"actorcore.runtime.children"}
"""May signal by number: the only reaper, where a pid that has not been reaped cannot be a stranger's."""
SLEEPERS: set[str] = {"tests.otp.settle"}
"""May sleep: the settling of OTP vectors waits for nothing that has an fd."""

Sources = dict[str, ast.Module]


def layer_of(module: str) -> int | None:
    """The layer of ``module`` by LAYERS, None when it is unknown."""
    if module in LAYERS:
        return LAYERS[module]
    parent = module.rpartition(".")[0]
    if f"{parent}.*" in LAYERS:
        return LAYERS[f"{parent}.*"]
    while parent:
        if f"{parent}.**" in LAYERS:
            return LAYERS[f"{parent}.**"]
        parent = parent.rpartition(".")[0]
    return None


# ---- reading ----------------------------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(folders: tuple[str, ...]) -> Sources:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {module_name(path): parsed(path) for path in paths}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def imports(tree: ast.AST, known: Sources) -> Iterator[tuple[str, ast.stmt]]:
    """Every imported module; ``from package import module`` means the module when there is one of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in known or inner in LAYERS else node.module or ""), node


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def ours(module: str) -> bool:
    return module.split(".")[0] in PRODUCT


# ---- the rules: each yields one line per violation ----------------------------------------------------------------


def unknown_modules(sources: Sources) -> Iterator[str]:
    yield from (f"{module}: in no layer; add it to LAYERS" for module in sources if ours(module) and layer_of(module) is None)


def upward_imports(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        here = layer_of(module)
        for target, node in imports(tree, sources):
            there = layer_of(target)
            if not ours(module) or not ours(target) or here is None or there is None:
                continue
            if there > here or (module.startswith("actorcore") and target.startswith("supervisors")):
                yield f"{module}:{node.lineno} (layer {here}) imports {target} (layer {there})"
            elif here in PURE_LAYERS and there not in PURE_LAYERS:
                yield f"{module}:{node.lineno} is pure and imports {target}, which is not"


def impurities(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        if layer_of(module) not in PURE_LAYERS:
            continue
        for target, node in imports(tree, sources):
            if target.split(".")[0] in IMPURE:
                yield f"{module}:{node.lineno} is pure and imports {target}"
        yield from (f"{module}:{node.lineno} is pure and calls {name}" for name, node in calls(tree) if name in IMPURE_CALLS)


def cycles(sources: Sources) -> Iterator[str]:
    edges = {module: {t for t, _ in imports(tree, sources) if t in sources} - {module} for module, tree in sources.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield "cycle: " + " → ".join((*path[path.index(module) :], module))
        elif module not in done:
            for target in sorted(edges[module]):
                yield from visit(target, (*path, module))
            done.add(module)

    for module in sorted(edges):
        yield from visit(module, ())


def misplaced_imports(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield f"{module}:{node.lineno} is a relative import"
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for target, statement in imports(node, sources):
                    if (module, target) not in LATE_IMPORTS and not module.startswith(LATE_IMPORTERS):
                        yield f"{module}:{statement.lineno} imports {target} inside {node.name}()"


def forbidden_code(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        for target, node in imports(tree, sources):
            root = target.split(".")[0]
            if root in NEVER_IMPORTED or (root == "importlib" and ours(module) and module not in LOADERS):
                yield f"{module}:{node.lineno} imports {target}"
        yield from (f"{module}:{node.lineno} calls {name}" for name, node in calls(tree) if name in NEVER_CALLED)


def kills_by_number(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        if ours(module) and module not in KILLERS:
            yield from _uses(module, tree, "os", {"kill", "killpg"})


def sleeps(sources: Sources) -> Iterator[str]:
    for module, tree in sources.items():
        if module not in SLEEPERS:
            yield from _uses(module, tree, "time", {"sleep"})
            yield from _uses(module, tree, "asyncio", {"sleep"})


def _uses(module: str, tree: ast.AST, owner: str, names: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name == owner and alias.asname for alias in node.names):
            yield f"{module}:{node.lineno} renames {owner}"
        if isinstance(node, ast.ImportFrom) and node.module == owner and names & {alias.name for alias in node.names}:
            yield f"{module}:{node.lineno} takes names from {owner}"
        if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == owner:
            yield f"{module}:{node.lineno} uses {owner}.{node.attr}"


def oversized(lines: dict[str, int]) -> Iterator[str]:
    for name, count in lines.items():
        allowed = MAX_LINES if ours(name) else MAX_TEST_LINES
        if count > allowed:
            yield f"{name}: {count} lines, {allowed} allowed"
    guardian = sum(lines.get(f"actorcore.runtime.guardian.{name}", 0) for name in ("guardian", "keep"))
    if guardian > MAX_GUARDIAN_LINES:
        yield f"the guardian: {guardian} lines, {MAX_GUARDIAN_LINES} allowed"


# Written in pieces, so that this file is no violation of itself.
_PLACES = [
    "/" + "work/", "/" + "root/", "pypi" + r"\.org", "python" + r"hosted\.org", "--(extra-)?index" + "-url", "INDEX" + "_URL",
]  # fmt: skip
PLACES = re.compile("|".join(_PLACES))
"""Paths of one machine, and hosts of package indexes."""


def places(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        yield from (f"{name}:{number} names {match[0]}" for match in PLACES.finditer(line))


# ---- the sources keep the rules -----------------------------------------------------------------------------------

RULES_OF_PRODUCT = (unknown_modules, upward_imports, impurities, cycles, misplaced_imports, kills_by_number)
RULES_OF_ALL = (forbidden_code, sleeps)


@pytest.mark.parametrize("rule", RULES_OF_PRODUCT, ids=lambda rule: rule.__name__)
def test_S10_the_product_has_no(rule):
    assert list(rule(read(PRODUCT))) == []


@pytest.mark.parametrize("rule", RULES_OF_ALL, ids=lambda rule: rule.__name__)
def test_S7_product_tests_and_benchmarks_have_no(rule):
    assert list(rule(read(FOLDERS))) == []


def test_S20_the_guardian_knows_neither_what_clients_and_processes_say_nor_how_they_connect():
    folder = "actorcore.runtime.guardian"
    sources = read(PRODUCT)
    of_guardian = [tree for module, tree in sources.items() if module.startswith(folder)]
    found = {target for tree in of_guardian for target, _ in imports(tree, sources)}
    assert found & {"actorcore.frames", "actorcore.requests"} == set()
    assert {target for target in found if target.startswith("actorcore.runtime.") and target.count(".") > 2} == {
        f"{folder}.{name}" for name in ("keep", "node_birth", "processes", "zygotes")
    }


def test_files_are_small(record_property):
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lines = {module_name(path): len(path.read_bytes().splitlines()) for path in paths}
    record_property("longest", sorted(lines.items(), key=lambda item: -item[1])[:5])
    assert list(oversized(lines)) == []


def test_no_tracked_file_names_a_place_of_one_machine():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing tells which files are tracked")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    found = []
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            found += places(name, (ROOT / name).read_text(errors="replace"))
    assert found == []


# ---- the rules catch what is planted ------------------------------------------------------------------------------

A_FROM_C = {"actorcore.c": "from actorcore.a import f"}
PLANTS = [
    (unknown_modules, {"supervisors.newcomer": ""}),
    (unknown_modules, {"actorcore.inner.deep": ""}),
    (upward_imports, {"actorcore.links": "from actorcore.runtime import clock", "actorcore.runtime.clock": ""}),
    (upward_imports, {"actorcore.pids": "import actorcore.links"}),
    (upward_imports, {"actorcore.runtime.node.node": "import supervisors.tree.strategy"}),
    (upward_imports, {"supervisors.tree.strategy": "from actorcore.runtime.clock import now"}),
    (upward_imports, {"supervisors.tree.strategy": "from supervisors import daemon"}),
    (upward_imports, {"supervisors.client": "if TYPE_CHECKING:\n    from supervisors.cli.commands import spawn"}),
    *((impurities, {"actorcore.links": f"import {name}"}) for name in sorted(IMPURE)),
    (impurities, {"supervisors.session.state": "from os.path import join"}),
    (impurities, {"actorcore.pids": "def f():\n    import time"}),
    (impurities, {"actorcore.ledger": "open('x')"}),
    (cycles, {"actorcore.a": "import actorcore.b", "actorcore.b": "import actorcore.a"}),
    (cycles, {"actorcore.a": "import actorcore.b", "actorcore.b": "from actorcore import c", **A_FROM_C}),
    (misplaced_imports, {"actorcore.a": "from . import b"}),
    (misplaced_imports, {"actorcore.a": "from .b import c"}),
    (misplaced_imports, {"actorcore.a": "class A:\n    async def f(self):\n        if 1:\n            import json"}),
    *((forbidden_code, {"tests.a": f"from {name} import x"}) for name in sorted(NEVER_IMPORTED)),
    *((forbidden_code, {"tests.a": f"x = {name}('1')"}) for name in sorted(NEVER_CALLED)),
    (forbidden_code, {"actorcore.frames": "import importlib"}),
    (kills_by_number, {"actorcore.runtime.node.node": "import os\nos.kill(1, 9)"}),
    (kills_by_number, {"supervisors.clients.command": "stop = os.killpg"}),
    (kills_by_number, {"supervisors.clients.command": "from os import kill as end"}),
    (kills_by_number, {"supervisors.clients.command": "import os as o\no.kill(1, 9)"}),
    (sleeps, {"tests.a": "import time\ntime.sleep(1)"}),
    (sleeps, {"supervisors.http": "from time import sleep"}),
    (sleeps, {"tests.a": "async def f():\n    await asyncio.sleep(0.1)"}),
]


@pytest.mark.parametrize(("rule", "planted"), PLANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_planted_violation_is_caught_once(rule, planted):
    assert len(list(rule({module: ast.parse(text) for module, text in planted.items()}))) == 1


def test_what_the_rules_allow_is_not_reported():
    allowed = {
        "actorcore.links": "import msgspec\nfrom actorcore import errors\nfrom actorcore.pids import Pid",
        "actorcore.runtime.actor.lean": "import importlib, os\nfrom actorcore import links",
        "actorcore.runtime.children": "import os\nos.killpg(1, 9)",
        "supervisors.daemon": "import supervisors.tree.strategy\nfrom actorcore.runtime import zygote",
    }
    sources = {module: ast.parse(text) for module, text in allowed.items()}
    assert [line for rule in (*RULES_OF_PRODUCT, *RULES_OF_ALL) for line in rule(sources)] == []


@pytest.mark.parametrize("text", ["cd /" + "work/x", "https://pypi" + ".org/simple", "pip install --index" + "-url x"])
def test_a_planted_place_is_caught(text):
    assert len(list(places("README.md", f"fine\n{text}\n"))) == 1


def test_a_planted_long_file_and_a_fat_guardian_are_caught():
    assert len(list(oversized({"actorcore.links": 401}))) == 1
    assert len(list(oversized({"actorcore.runtime.guardian.guardian": 300, "actorcore.runtime.guardian.keep": 200}))) == 1
    assert list(oversized({"actorcore.links": 400, "actorcore.runtime.guardian.guardian": 400})) == []
