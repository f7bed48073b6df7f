"""The registry's memory: who makes it, who may write it, who only reads it.

The guardian makes it: one writable mapping, then seals, so that no process can ever make another. The mapping is not
inherited by forks except inside :meth:`SharedRegistry.inherited`, where the guardian forks a node. Everybody else gets the
read-only descriptor and maps that; the seals refuse the rest with EPERM (acceptance 27, RELIABILITY F6, C16).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from actorcore.errors import ProtocolError
from actorcore.registry_layout import SLOTS, format_registry, registry_bytes
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.memory import (
    PAGE_BYTES,
    Allocate,
    create_memfd,
    map_shared,
    reopen_read_only,
    seal,
    set_inherited,
    unmap,
)  # fmt: skip


class SharedRegistry:
    """A registry of this process's making; owns the mapping and :attr:`fd`, both until :meth:`close`."""

    def __init__(self, instance: int, slots: int = SLOTS, allocate: Allocate = os.posix_fallocate) -> None:
        """An empty registry of guardian start ``instance``, every page allocated.

        :raises RequestError: ``resource_exhausted``; nothing is left behind.
        """
        size_bytes = registry_bytes(slots)
        made = create_memfd("actorcore-registry", size_bytes, allocate)
        try:
            self._memory = map_shared(made, size_bytes, writable=True)
            try:
                set_inherited(self._memory, False)
                format_registry(self._memory, instance, slots)
                seal(made, future_write=True)
                self.fd = reopen_read_only(made)
            except BaseException:
                unmap(self._memory)
                raise
        finally:
            os.close(made)

    def writer(self) -> RegistryWriter:
        """The writer; for one process at a time, after the end of its predecessor. Close it before the registry."""
        return RegistryWriter(self._memory)

    @property
    def memory(self) -> memoryview:
        """The writable mapping."""
        return self._memory

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """Forks made inside have the writable mapping, and their own forks do not once they have left the block."""
        set_inherited(self._memory, True)
        try:
            yield
        finally:
            set_inherited(self._memory, False)

    def close(self) -> None:
        """Unmap and close; readers and writers on it must be closed before."""
        unmap(self._memory)
        os.close(self.fd)


class AttachedRegistry:
    """Another process's registry, to read; owns its mapping, not the descriptor it came from."""

    def __init__(self, fd: int) -> None:
        """Map ``fd`` read-only; the descriptor may be closed afterwards.

        :raises ProtocolError: no registry of this layout.
        :raises RequestError: ``resource_exhausted``, no address space left.
        """
        size_bytes = os.fstat(fd).st_size
        if size_bytes == 0 or size_bytes % PAGE_BYTES:
            raise ProtocolError("not a registry of this layout")
        self._memory = map_shared(fd, size_bytes, writable=False)
        try:
            self.reader = RegistryReader(self._memory)
        except BaseException:
            unmap(self._memory)
            raise

    def __enter__(self) -> RegistryReader:
        return self.reader

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Unmap; the reader is closed with it."""
        self.reader.close()
        unmap(self._memory)
