"""The recipe for napari: where its layers lie, without a window."""

import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.synthetic import load_truth

PAGE = Path(__file__).parents[1] / "docs" / "napari.md"


@dataclass
class Viewer:
    """Takes layers as napari's does; napari makes all tests of its environment fail.

    It is a plugin of pytest that warns when it is loaded.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)

    def add_image(self, data: np.ndarray, **options: Any) -> dict[str, Any]:
        assert data.ndim == 2
        self.layers.append(options)
        return options


def first_pixel(layer: dict[str, Any]) -> np.ndarray:
    """Where in the world it lies: scale, then translate, then affine."""
    place = np.append(layer["translate"], 1.0)
    return np.asarray((layer.get("affine", np.eye(3)) @ place)[:2])


@pytest.mark.e2e
def test_layers_lie_where_the_truth_is_and_a_moved_one_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    for code in blocks[:2]:
        subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True)
    recipe = runpy.run_path("move_field.py")
    viewer = Viewer()
    layer = recipe["add_layers"](viewer)
    assert [one["name"] for one in viewer.layers] == ["reference", "acquisition 1"]
    reference, moved = map(first_pixel, viewer.layers)
    truth = load_truth(tmp_path / "plate.zarr").field("A/01", 1, "FOV_1")
    # To a tenth of a pixel of 0.325 um.
    assert moved - reference == pytest.approx(truth.translation_um[1:], abs=0.03)
    before = np.loadtxt("transforms/FOV_1.txt")
    dragged = layer["affine"].copy()
    dragged[:2, 2] += (1.5, -2.5)
    recipe["save"](dragged)
    stored = np.loadtxt("moved/FOV_1.txt")
    assert stored[1:3, 3] - before[1:3, 3] == pytest.approx((1.5, -2.5))
    assert np.array_equal(stored[0], before[0])
