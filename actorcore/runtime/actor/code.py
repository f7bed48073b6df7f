"""Code: the user's callables by name, and a module's source on disk in place of what was imported before."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import TypeAlias

from actorcore.exit_reason import Term

Start: TypeAlias = Callable[..., object]


def load(start: str) -> Start:
    """The callable of ``module:name``: one import, one getattr.

    :raises ValueError, ImportError, AttributeError, TypeError: there is none.
    """
    module, colon, name = start.partition(":")
    if not colon or not name.isidentifier():  # nothing is imported for what cannot be
        raise ValueError(f"not module:name: {start[:80]!r}")
    found = getattr(sys.modules.get(module) or importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{start[:80]} is not callable")
    return found  # type: ignore[no-any-return]


def import_anew(module: ModuleType) -> None:
    """Import ``module`` as one that nobody knows, from a folder that nobody has looked into; what it was before, it stays.

    Its file may be another by now, of another version, or none: then that was all.
    """
    assert module.__file__ is not None
    del sys.modules[module.__name__]
    sys.path_importer_cache.pop(os.path.dirname(module.__file__), None)
    with contextlib.suppress(Exception):
        importlib.import_module(module.__name__)
    sys.modules[module.__name__] = module


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles what is there: a file of bytecode is taken for current when time in seconds and size are those of the source."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def renew(module: str, kind: type) -> tuple[type, Term, Callable[[], None]]:
    """Import ``module`` from its source again: what stands for ``kind`` now, the version before, the way back.

    The new module is another object, so whoever holds something of the old one keeps it; ``import`` finds the new one.

    :raises Exception: what the import raises, or AttributeError, TypeError: it has no such class any more. Nothing has
        changed then.
    """
    old = sys.modules[module]
    spec = old.__spec__
    if spec is None or spec.origin is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
        raise ImportError(f"{module} is of no source file")
    spec.loader = _FromSource(module, spec.origin)

    def go_back() -> None:
        sys.modules[module] = old

    del sys.modules[module]
    try:
        new = importlib.util.module_from_spec(spec)
        sys.modules[module] = new
        spec.loader.exec_module(new)
        found = getattr(new, kind.__qualname__)
        if not isinstance(found, type):
            raise TypeError(f"{kind.__qualname__} is no class any more")
    except BaseException:
        go_back()
        raise
    version: Term = getattr(old, "__version__", None)
    return found, version, go_back
