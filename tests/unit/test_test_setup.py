"""The names of files and modules in the set-up of the tests exist. A wrong name would only make the tests slow."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST
from tests.forked import PRELOADED

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", LONGEST_FIRST)
def test_file_that_starts_first_exists(name):
    assert (TESTS / name).is_file()


@pytest.mark.parametrize("module", PRELOADED)
def test_preloaded_module_exists(module):
    if module == "torchvision" and find_spec("torch") is None:
        pytest.skip("the extra `train` is not installed")
    assert find_spec(module) is not None
