"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import fractal_tasks

LAYERS = ("transforms", "model", "registration", "qc")
"""The pure ones: an example needs no plate."""


def modules_of(layer: str) -> list[ModuleType]:
    package = importlib.import_module(f"{fractal_tasks.__name__}.{layer}")
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [package, *(importlib.import_module(info.name) for info in found)]


@pytest.mark.parametrize("layer", LAYERS)
def test_examples_of_a_layer_give_what_they_show(layer: str) -> None:
    results = [doctest.testmod(module) for module in modules_of(layer)]
    assert sum(result.attempted for result in results) > 0, "no example was found"
    assert sum(result.failed for result in results) == 0
