"""Settings of the fuzz tests, and changed bytes of the files in `corpus`.

`make test` tries the same inputs each time. `make fuzz` sets FUZZ_SECONDS and tries new ones.
"""

from __future__ import annotations

import base64
import os
from functools import wraps
from inspect import signature
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CORPUS = Path(__file__).parent / "corpus"
_INPUTS_PER_SEED = 25
"""Hypothesis takes longer to draw a seed than most tests take for an input."""
_TIMES_MORE = 20
_INTERESTING = (0, 1, 0x22, 0x2C, 0x3B, 0x0A, 0x7F, 0x80, 0xC3, 0xFE, 0xFF)
_MOST_CHANGES = 6
_CHANGES = ("set", "set", "flip", "insert", "remove", "repeat", "cut", "join")


def fuzz(number: int, draw: Callable[[Random], object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test, so that its last argument is one input after another. Its other arguments are fixtures.

    Args:
        number: the number of inputs in `make test`.
        draw: makes one input.
    """
    is_long = "FUZZ_SECONDS" in os.environ
    options = settings(
        max_examples=max(1, number // _INPUTS_PER_SEED) * (_TIMES_MORE if is_long else 1),
        derandomize=not is_long,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        name = list(signature(test).parameters)[-1]

        @wraps(test)
        def try_inputs(**arguments: Any) -> None:
            random = Random(arguments.pop(name))
            for _ in range(min(number, _INPUTS_PER_SEED)):
                value = draw(random)
                try:
                    test(**arguments, **{name: value})
                except BaseException as error:
                    error.add_note(f"the input: {value!r}")
                    raise

        return options(given(**{name: st.integers(0, 2**64)})(try_inputs))

    return decorate


def corpus(pattern: str) -> list[bytes]:
    """Return the files of the corpus with this pattern of names. Files that end in .base64 hold binary formats."""
    return [
        base64.b64decode(path.read_bytes()) if path.suffix == ".base64" else path.read_bytes()
        for path in sorted(CORPUS.glob(pattern))
    ]


def changed(seeds: Sequence[bytes]) -> Callable[[Random], bytes]:
    """Return a function that draws a file with changed, removed, repeated or cut bytes, or two files joined."""
    return lambda random: _change(random, seeds)


def _change(random: Random, seeds: Sequence[bytes]) -> bytes:
    data = random.choice(seeds)
    for _ in range(random.randrange(_MOST_CHANGES)):
        index, count = random.randrange(len(data) + 1), random.choice((1, 1, 2, 4, 40))
        byte = random.choice(_INTERESTING) if random.random() < 0.5 else random.randrange(256)
        head, tail = data[:index], data[index:]
        match random.choice(_CHANGES):
            case "set":
                data = head + bytes([byte]) + tail[1:]
            case "flip":
                data = head + bytes(old ^ (1 << byte % 8) for old in tail[:1]) + tail[1:]
            case "insert":
                data = head + bytes([byte]) * count + tail
            case "remove":
                data = head + tail[count:]
            case "repeat":
                data = head + tail[:count] * 2 + tail[count:]
            case "cut":
                data = head
            case _:
                data = head + random.choice(seeds)
    return data
