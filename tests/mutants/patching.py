"""Wrong programs: a module is imported with other source text than its file has. The file and its cache stay as they are."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent.parent


def path_of(module: str) -> Path:
    return ROOT / (module.replace(".", "/") + ".py")


def replaced(text: str, old: str, new: str) -> str:
    """``text`` with its one ``old`` replaced. Raises ValueError when there is none, or more than one."""
    if text.count(old) != 1:
        raise ValueError(f"the source has {text.count(old)} of {old!r}, one is needed")
    return text.replace(old, new)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, module: str, text: str) -> None:
        super().__init__(module, str(path_of(module)))
        self._text = text

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError("no cache: neither read nor written")

    def get_data(self, path: str) -> bytes:
        return self._text.encode()


class WrongModule:
    """To be put first into ``sys.meta_path`` before ``module`` is imported for the first time."""

    def __init__(self, module: str, text: str) -> None:
        if module in sys.modules:
            raise ValueError(f"{module} has been imported")
        self._module, self._text = module, text

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        loader = _Loader(name, self._text)
        return importlib.machinery.ModuleSpec(name, loader, origin=loader.path)
