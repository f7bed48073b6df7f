"""Bugs that are planted into a copy of the product: those here are in places that no pure test runs, others are the mutants'."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.daemon_fixture import ROOT
from tests.mutants.patching import path_of, replaced
from tests.mutants.planted import planted

OWN: dict[str, tuple[str, str, str]] = {
    "effects that the dead node had not performed are dropped": (
        "actorcore.runtime.node.node", "perform(recovered.unfinished)", "perform([])",
    ),
    "links are lost at a takeover": (
        "actorcore.kernel",
        "                self._desk.took_over(event)\n",
        "                self._desk.took_over(event)\n                self.table._state.links.partners.clear()\n",
    ),
    "rest_for_one is one_for_one": ("supervisors.tree.supervisor", "if key >= life.key]", "if key == life.key]"),
    "a message is acknowledged and not written": (
        "supervisors.persistence.database", "log.write(frame, at)", "log.write(bytes(len(frame)), at)",
    ),
}  # fmt: skip
"""Module, right, wrong."""
OF_MUTANTS = ["a DOWN comes twice", "names are retracted after telling", "a client that returns has lost what it missed"]


def product_with(bug: str, folder: Path) -> Path:
    """A copy of the product in ``folder``, with ``bug``."""
    for package in ("actorcore", "supervisors"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    if bug in OWN:
        module, right, wrong = OWN[bug]
        text = replaced(path_of(module).read_text(), right, wrong)
    else:
        (found,) = [found for found in planted() if found.name == bug]
        module, text = found.module, found.text()
    (folder / path_of(module).relative_to(ROOT)).write_text(text)
    return folder
