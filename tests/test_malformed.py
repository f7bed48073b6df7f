"""R9: malformed input gives a valid value or the one declared error, whatever is malformed about it."""

from __future__ import annotations

import random
import time

import msgspec
import pytest

from actorcore import frames
from actorcore.errors import ProtocolError
from actorcore.frames import Numbered, decode_up
from actorcore.runtime.node import node
from actorcore.signals import Ask
from tests.malformed import DEEP, Decoder, World, decoders, mutated

DECODERS = decoders()
SHARE = {"request": 8, "snapshot": 0.2, "ledger": 0.5, "status page": 0.5}
"""Of the inputs, against one for each other decoder: what clients can send most, what is slow and ours alone least."""
WORLD_REQUESTS = 20_000
"""A world is begun anew after so many: its table grows."""


def attack(name: str, decoder: Decoder, inputs: int, seed: int) -> tuple[int, int]:
    """How many of ``inputs`` were values, and how many refused; what clients may ask for is also asked of a kernel."""
    chance = random.Random(f"{seed} {name}")
    values, world = 0, World()
    for at in range(inputs):
        data = mutated(chance, decoder)
        try:
            found = decoder.decode(data)
            if name == "session request":  # on its way to the resident it is the body of a request
                data = frames.encoder.encode([Numbered(1, Ask(world.sessions, msgspec.Raw(data)))])
                found = frames.decode_up(data)
            for message in found if name in ("request", "session request") else ():  # type: ignore[attr-defined]
                if isinstance(message, Numbered):
                    world.ask(message.body)
            values += 1
        except decoder.declared:
            continue
        except BaseException as error:
            raise AssertionError(f"seed {seed}, {name}, input {at}: {error!r} for {data.hex()}") from error
        if world.number > WORLD_REQUESTS:
            world = World()
    return values, inputs - values


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_valid_decodes(name: str) -> None:
    decoder = DECODERS[name]
    for data in decoder.valid:
        assert decoder.decode(data) is not None


@pytest.mark.timeout(300)
def test_R9_a_million_malformed_inputs_are_values_or_the_declared_error(
    malformed_inputs: int, malformed_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = {name: SHARE.get(name, 1) for name in DECODERS}
    whole = sum(shares.values())
    started = time.perf_counter()
    inputs = {name: round(malformed_inputs * share / whole) for name, share in shares.items()}
    done = {name: attack(name, DECODERS[name], count, malformed_seed) for name, count in inputs.items()}
    total = sum(values + refused for values, refused in done.values())
    with capsys.disabled():
        took_s = time.perf_counter() - started
        print(f"\nR9: {total:,} malformed inputs in {took_s:.0f} s, 0 crashes (seed {malformed_seed}); values: "
              + ", ".join(f"{name} {values}" for name, (values, _) in done.items()))  # fmt: skip
    assert all(refused or DECODERS[name].declared == () for name, (_, refused) in done.items())


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_R9_more_malformed_inputs_than_make_test_has_time_for(
    malformed_inputs: int, malformed_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    test_R9_a_million_malformed_inputs_are_values_or_the_declared_error(20 * malformed_inputs, malformed_seed, capsys)


@pytest.mark.parametrize("name", DECODERS)
def test_E3_E15_every_truncation_and_every_flipped_bit_is_a_value_or_the_declared_error(name: str) -> None:
    decoder = DECODERS[name]
    for whole in decoder.valid:
        whole = whole[:700]
        cut = [whole[:at] for at in range(len(whole))]
        flipped = []
        for bit in range(8 * len(whole)):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            flipped.append(bytes(data))
        for data in cut + flipped:
            try:
                decoder.decode(data)
            except decoder.declared:
                pass


@pytest.mark.parametrize("body", [
    DEEP, b"\x81\xc0\x01", b"\x81\x90\x01", b"\xd6\xff" + bytes(4), b"\xdc\x27\x10" + b"\x80" * 10_000,
], ids=["deep", "null key", "list as key", "timestamp", "ten thousand maps"])  # fmt: skip
def test_a_term_that_would_cost_the_node_is_refused_before_the_ledger(body: bytes) -> None:
    reason = b"\x91\x93\xa8numbered\x01\x93\xa9send_exit\x05"
    with pytest.raises(ProtocolError):
        decode_up(reason + b"\x81\xa1x" + body)


@pytest.mark.parametrize(("name", "module", "plant", "weaker"), [
    ("request", node, "_encode", msgspec.msgpack.encode),  # a Pid among the arguments once killed node after node
    ("channel", frames, "DECODE_ERRORS", (msgspec.ValidationError,)),
    ("hello", frames, "DECODE_ERRORS", (msgspec.DecodeError,)),
])  # fmt: skip
def test_the_attack_finds_what_lets_something_through(
    monkeypatch: pytest.MonkeyPatch, name: str, module: object, plant: str, weaker: object
) -> None:
    monkeypatch.setattr(module, plant, weaker)
    with pytest.raises(AssertionError, match="seed 7"):
        attack(name, DECODERS[name], 20_000, 7)
