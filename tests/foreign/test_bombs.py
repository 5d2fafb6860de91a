"""A small file cannot take much memory or time, however cleverly it asks for it."""

import pickle
import re
import signal

import pytest

from holdfast.checkpoint.foreign.limits import Limits
from tests.foreign.bombs import bombs, deep_key
from tests.foreign.watching import in_a_process, watched

SMALL, LARGE = 20_000, 4_500_000


def watch(folder, some, limits):
    """Opens bombs in one watched process; gives the most time that one took, and the most memory."""
    paths = []
    for name, (data, _) in some.items():
        paths.append(folder / f"{name}.pth")
        paths[-1].write_bytes(data)
    result = watched(paths, limits)
    for outcome, (name, (_, reason)) in zip(result.outcomes, some.items(), strict=True):
        print(f"{outcome.seconds:6.2f} s {result.grown >> 20:6} MiB  {name}: {outcome.message.partition(', but ')[2]}")
        assert bool(outcome.error) == bool(reason) and re.search(reason, outcome.message), outcome
        assert outcome.error in ("", "UnsafeFile", "UnreadableFile")
        assert "\n" not in outcome.message and outcome.heard == []
    return max(outcome.seconds for outcome in result.outcomes), result.grown


def test_small_bombs_do_not_go_off(here):
    seconds, grown = watch(here, bombs(SMALL), Limits(operations=3 * SMALL, seconds=10))
    assert seconds < 15 and grown < 500 << 20


def test_a_deep_key_ends_a_process_that_loads_it():
    with pytest.raises(RuntimeError, match=f"the process ended with -{signal.SIGSEGV}"):
        in_a_process(lambda: pickle.loads(deep_key(300_000)) and None)


@pytest.mark.long
@pytest.mark.parametrize("name", bombs(SMALL))
def test_a_large_bomb_does_not_go_off(here, name):
    seconds, grown = watch(here, {name: bombs(LARGE)[name]}, Limits(seconds=30))
    assert seconds < 60 and grown < 1400 << 20
