"""Buffers: what is taken belongs to nobody else."""

from __future__ import annotations

from actorcore.runtime.actor.buffers import MAX_KEPT, MAX_KEPT_BYTES, Buffers


def test_a_buffer_is_taken_again_when_its_last_view_has_gone() -> None:
    buffers = Buffers()
    first = buffers.take(100)
    view = memoryview(first)[10:20]
    buffers.give(first)
    second = buffers.take(100)
    assert second is not first
    view.release()
    assert buffers.take(100) is first


def test_a_kept_buffer_that_is_too_short_grows() -> None:
    buffers = Buffers()
    short = buffers.take(10)
    buffers.give(short)
    taken = buffers.take(1000)
    assert taken is short
    assert len(taken) == 1000


def test_few_and_small_buffers_are_kept() -> None:
    buffers = Buffers()
    buffers.give(bytearray(MAX_KEPT_BYTES + 1))
    given = [bytearray(number) for number in range(1, MAX_KEPT + 2)]
    for buffer in given:
        buffers.give(buffer)
    kept = given[-1 : -1 - MAX_KEPT : -1]
    assert [buffers.take(0) for _ in range(MAX_KEPT + 1)] == [*kept, bytearray()]
