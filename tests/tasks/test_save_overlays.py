"""Pictures that *calculate* and *apply* write beside the plate, if they are to."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture, tree_hash
from tests.conftest import MakePlate
from tests.tasks.plates import image_urls, run_apply, run_calculate, run_consensus

TINY = {"acquisitions": 2, "channels": 1}


def pictures(plate: Path) -> list[str]:
    folder = plate.with_name("plate_registration_overlays")
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("overwrite_input", [True, False])
@pytest.mark.sampled(2)
def test_each_step_writes_a_picture_per_roi(
    make_plate: MakePlate, overwrite_input: bool
) -> None:
    plate = make_plate(**TINY)
    urls = image_urls(plate, 2)
    run_calculate(urls, save_overlays=True)
    estimated = [f"A01_1_FOV_{number}_estimated.jpg" for number in (1, 2)]
    assert pictures(plate) == estimated
    run_consensus(urls)
    run_apply(urls, overwrite_input=overwrite_input, save_overlays=True)
    registered = [f"A01_1_FOV_{number}_registered.jpg" for number in (1, 2)]
    assert pictures(plate) == sorted(estimated + registered)
    with Image.open(
        plate.parent / "plate_registration_overlays" / registered[0]
    ) as one:
        assert one.format == "JPEG"
        assert one.width > 4 * 256


def test_folder_that_cannot_be_written_is_refused_before_any_work(
    make_plate: MakePlate, capsys: Capture
) -> None:
    plate = make_plate(**TINY)
    plate.with_name("plate_registration_overlays").write_text("a file in its place")
    before = tree_hash(plate)
    message = "is no folder that can be written"
    words = [*CHANNEL, *IN_PROCESS, "--save-overlays", "--no-overwrite-input"]
    assert main(["register", str(plate), *words]) != 0
    assert message in capsys.readouterr().err
    with pytest.raises(InvalidInputError, match=message):
        run_calculate(image_urls(plate, 2), save_overlays=True)
    assert tree_hash(plate) == before


def test_object_store_is_refused() -> None:
    url = "s3://bucket/plate.zarr/A/01/1"
    init_args = {"reference_zarr_url": "s3://bucket/plate.zarr/A/01/0"}
    with pytest.raises(InvalidInputError, match="found an object store"):
        calculate_registration(
            zarr_url=url,
            init_args=init_args,
            wavelength_id="A01_C01",
            save_overlays=True,
            storage_options='{"anon": true}',
        )


def test_drawing_is_loaded_only_where_it_is_asked_for(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    code = (
        "import sys\n"
        "from fractal_tasks.tasks import calculate_registration as task\n"
        f"base = '{plate}/A/01/'\n"
        "task.calculate_registration(zarr_url=base + '1', wavelength_id='A01_C01',\n"
        "    init_args={'reference_zarr_url': base + '0'})\n"
        "drawing = ('fractal_tasks.report.figure', 'bokeh')\n"
        "print([name for name in drawing if name in sys.modules])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_apply_asks_before_it_writes(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    urls = image_urls(plate, 2)
    run_calculate(urls)
    run_consensus(urls)
    plate.with_name("plate_registration_overlays").write_text("a file in its place")
    before = tree_hash(plate)
    with pytest.raises(InvalidInputError, match="save_overlays=True"):
        apply_registration_to_image(
            zarr_url=urls[1],
            registered_roi_table="FOV_ROI_table_registered",
            save_overlays=True,
        )
    assert tree_hash(plate) == before
