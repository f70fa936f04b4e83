"""What docs/extending.md promises: one file and one name in one place.

Each extension is added to a copy of the package in just this way, and then used from
the command line, as a user would.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import fractal_tasks
from tests.conftest import MakePlate
from tests.tasks.plates import REGISTERED, image_urls, read_pixels, read_table

PACKAGE = Path(fractal_tasks.__file__).parent
COMMAND = Path(sys.executable).parent / "fractal-tasks"
PIXEL_UM = 0.325

METHODS = '''"""Methods that do not look at the images."""

from typing import Literal

from fractal_tasks.model import Candidate
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import PatchPyramid
from fractal_tasks.transforms import TRANSFORM_TYPES, Transform, Translation


class Fixed(RegistrationMethod):
    """The same shift for all."""

    type: Literal["fixed_shift"] = "fixed_shift"

    rows: int = 2
    """Pixels along y."""

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        return _certain(Translation((0.0, self.rows * fixed[0].spacing_um[-2], 0.0)))


class Stretched(RegistrationMethod):
    """One per cent larger, about the first corner."""

    type: Literal["stretched"] = "stretched"

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        fields = {"type": "stretch", "factors": [1, 1.01, 1.01], "offset": [0, 0, 0]}
        return _certain(TRANSFORM_TYPES["stretch"].from_dict(fields))


def _certain(transform: Transform) -> Estimate:
    return Estimate((Candidate(transform, 0.99, 0.01),))
'''

VETO = '''def moves_far(
    candidate: Candidate, measurement: Measurement
) -> Objection | None:
    """Object to more than 2 um along y."""
    if abs(measurement.displacement_um(candidate)[1]) <= 2:
        return None
    return Objection(limit=0.0, reason="moves the ROI too far")


'''

TASK = '''"""Say how large an image is."""

from pathlib import Path

from pydantic import validate_call


@validate_call
def note_size(*, zarr_url: str, file_name: str = "size.txt") -> None:
    """Write the number of files of an image beside the plate.

    Args:
        zarr_url: Url of the image to process (set by the Fractal server).
        file_name: Name of the file, e.g. `size.txt`.
    """
    files = sum(path.is_file() for path in Path(zarr_url).rglob("*"))
    (Path(zarr_url).parents[3] / file_name).write_text(str(files))
'''

TASK_ENTRY = """ParallelTask(
        name="Note Size",
        executable="tasks/note_size.py",
        docs_info="file:task_info/note_size.md",
    ),"""


def add_name(module: Path, *, after: str, name: str, line: str = "") -> None:
    """Add a name to the place that the documentation says, and import it."""
    text = module.read_text()
    changed, places = re.subn(rf"^{after}", rf"\g<0>{name} ", text, flags=re.M)
    assert places == 1, module
    module.write_text(re.sub(r"^(?=from )", line, changed, count=1, flags=re.M))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the package, and add to it what the documentation says."""
    copy = tmp_path_factory.mktemp("extended") / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "registration" / "blind.py").write_text(METHODS)
    add_name(
        copy / "registration" / "registry.py",
        after="_Method: TypeAlias = ",
        name="Fixed | Stretched |",
        line="from fractal_tasks.registration.blind import Fixed, Stretched\n",
    )
    stretch = Path(__file__).parent / "transforms" / "stretch.py"
    own_base = "from fractal_tasks.transforms.base import"
    text = stretch.read_text().replace("from fractal_tasks.transforms import", own_base)
    (copy / "transforms" / "stretch.py").write_text(text)
    add_name(
        copy / "transforms" / "registry.py",
        after=r".*for transform_type in \(",
        name="Stretch,",
        line="from fractal_tasks.transforms.stretch import Stretch\n",
    )
    add_name(
        copy / "qc" / "vetoes.py",
        after=r"VETOES: tuple\[Veto, \.\.\.\] = \(",
        name="moves_far,",
    )
    vetoes = copy / "qc" / "vetoes.py"
    vetoes.write_text(re.sub(r"^(?=VETOES:)", VETO, vetoes.read_text(), flags=re.M))
    (copy / "tasks" / "note_size.py").write_text(TASK)
    (copy / "dev" / "task_info" / "note_size.md").write_text("Counts files.\n")
    add_name(
        copy / "dev" / "task_list.py",
        after=r"TASK_LIST = \[",
        name="\n    " + TASK_ENTRY,
    )
    return copy


def run(package: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a program that imports the extended package."""
    paths = os.pathsep.join([str(package.parent), *sys.path])
    return subprocess.run(
        [str(part) for part in command],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def calculate(package: Path, zarr_urls: list[str], *flags: object) -> None:
    unit = run(
        package,
        *(COMMAND, "calculate-registration", *zarr_urls),
        *("--wavelength-id", "A01_C01", "--workers", "1", *flags),
    )
    assert unit.returncode == 0, unit.stderr


def make_images(make_plate: MakePlate) -> list[str]:
    return image_urls(make_plate(acquisitions=2), 2)


def test_method_is_measured_judged_and_offered_to_the_user(
    make_plate: MakePlate, package: Path
) -> None:
    urls = make_images(make_plate)
    calculate(package, urls, "--method", "fixed_shift", "--method.rows", 4)
    consensus = run(
        package, COMMAND, "find-registration-consensus", *urls, "--workers", "1"
    )
    assert consensus.returncode == 0, consensus.stderr
    for table in ("FOV_ROI_table", REGISTERED):
        for roi in read_table(urls[1], table).rois.values():
            assert (roi.model_extra or {})["translation_y"] == pytest.approx(
                4 * PIXEL_UM
            )
    # The upper 4 rows of the reference lie outside of what the acquisition has seen.
    assert read_table(urls[0], REGISTERED).rois["FOV_1"]["y"].start == pytest.approx(
        4 * PIXEL_UM
    )
    program = "from fractal_tasks.dev.manifest import build_manifest as b; print(b())"
    manifest = json.loads(run(package, sys.executable, "-c", program).stdout)
    schema = json.dumps(manifest["task_list"])
    assert '"fixed_shift"' in schema
    assert "Pixels along y." in schema


@pytest.mark.e2e
def test_transform_is_stored_judged_and_applied(
    make_plate: MakePlate, package: Path
) -> None:
    """Pixels are interpolated, whatever the transform is."""
    urls = make_images(make_plate)
    calculate(package, urls, "--method", "stretched")
    for roi in read_table(urls[1]).rois.values():
        extra = roi.model_extra or {}
        assert json.loads(extra["transform"])["type"] == "stretch"
        # Each field about its corner: the centre moves by 1 % of half a field.
        assert extra["translation_y"] == pytest.approx(0.01 * 128 * PIXEL_UM)
    before = read_pixels(urls[1])[0, 0]
    for command in ("find-registration-consensus", "apply-registration-to-image"):
        table = ["--registered-roi-table", REGISTERED] if "apply" in command else []
        unit = run(package, COMMAND, command, *urls, *table, "--workers", "1")
        assert unit.returncode == 0, unit.stderr
    after = read_pixels(urls[1])[0, 0]
    # What was at 100 is at 101 of the same field; half a pixel is that of the centres.
    places = np.arange(50, 200)
    expected = map_coordinates(
        before[:256, :256].astype(float),
        np.meshgrid(*[(places + 0.5) / 1.01 - 0.5] * 2, indexing="ij"),
        order=1,
    )
    np.testing.assert_allclose(after[50:200, 50:200], expected, atol=0.51)


@pytest.mark.e2e
def test_veto_speaks_against_a_candidate(make_plate: MakePlate, package: Path) -> None:
    urls = make_images(make_plate)
    calculate(package, urls, "--method", "fixed_shift", "--method.rows", 10)
    command = (
        COMMAND,
        "find-registration-consensus",
        *urls,
        "--workers",
        "1",
        "--rejected",
        "error",
    )
    consensus = run(package, *command)
    assert consensus.returncode == 1
    assert "the transform of candidate 1 moves the ROI" in (
        " ".join(consensus.stderr.split())
    )


def test_task_is_listed_and_run(make_plate: MakePlate, package: Path) -> None:
    urls = make_images(make_plate)
    assert "note-size" in run(package, COMMAND, "list").stdout
    unit = run(
        package,
        COMMAND,
        "note-size",
        urls[0],
        "--file-name",
        "files.txt",
        "--workers",
        "1",
    )
    assert unit.returncode == 0, unit.stderr
    found = int((Path(urls[0]).parents[3] / "files.txt").read_text())
    assert found == sum(path.is_file() for path in Path(urls[0]).rglob("*"))
