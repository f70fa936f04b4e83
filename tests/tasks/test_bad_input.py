"""What bad input gets: one clear error, before anything is written."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from ngio import RoiTable, open_ome_zarr_container

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
)
from fractal_tasks.model.task_arguments import (
    InitArgsRegistration,
    InitArgsRegistrationConsensus,
)
from fractal_tasks.synthetic import create_plate
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)
from tests.conftest import SMALL, MakePlate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    data_of,
    image_urls,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    set_translations,
    tree_of,
    write_rois_of,
)

SIZE = {"field_size_px": 64, "acquisitions": 2}
SHIFTS_UM = {"FOV_1": (0.0, 1.3, 0.0), "FOV_2": (0.0, 0.0, 2.6)}
INIT_TASKS = [init_calculate_registration, init_find_registration_consensus]


def calculate(urls: list[str]) -> None:
    """Calculate as the server calls it, with the urls as they are."""
    calculate_registration(
        zarr_url=urls[1],
        init_args=InitArgsRegistration(reference_zarr_url=urls[0]),
        wavelength_id="A01_C01",
    )


def find_consensus(urls: list[str]) -> None:
    init_args = InitArgsRegistrationConsensus(zarr_url_list=urls)
    find_registration_consensus(zarr_url=urls[0], init_args=init_args)


def apply(urls: list[str]) -> None:
    for url in reversed(urls):
        apply_registration_to_image(zarr_url=url, registered_roi_table=REGISTERED)


TASKS = [calculate, find_consensus, apply]
ROI_TASKS = [calculate, find_consensus]
Task = Callable[[list[str]], None]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate that each of the three tasks can run on next."""
    folder = tmp_path_factory.mktemp("prepared") / "plate.zarr"
    plate = create_plate(folder, SMALL.model_copy(update=SIZE))
    urls = image_urls(plate, 2)
    for url in urls[1:]:
        set_translations(url, SHIFTS_UM)
    run_consensus(urls)
    return plate


@pytest.fixture
def plate(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "plate.zarr"))


@contextmanager
def refused(
    plate: Path, match: str, error: type[FractalTasksError] = InvalidDataError
) -> Iterator[None]:
    """Expect an error, and that not a byte in or beside the plate has changed."""
    before = data_of(plate.parent)
    beside = {path for path in plate.parent.iterdir() if "-locks" not in path.name}
    with pytest.raises(error, match=match):
        yield
    assert data_of(plate.parent) == before
    left = {path for path in plate.parent.iterdir() if "-locks" not in path.name}
    assert left == beside


def table_of(url: str, name: str = TABLE) -> zarr.Group:
    return zarr.open_group(f"{url}/tables/{name}", mode="r+")


def rename_rois(url: str, names: list[str]) -> None:
    """Change the index of the table on disk, which no library would write so."""
    array = table_of(url)["obs/FieldIndex"]
    assert isinstance(array, zarr.Array)
    array[:] = np.array(names, dtype=np.dtypes.StringDType())


# Urls


REFUSED_URLS = {
    "http://127.0.0.1:9/p.zarr/B/3/{}": "can only be read",
    "file:///data/p.zarr/B/03/{}": "give its path",
    "zip::s3://bucket/p.zarr/B/03/{}": "chained url",
    "s3://key:secret@bucket/p.zarr/B/03/{}": "has a password",
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("url", REFUSED_URLS)
def test_urls_that_cannot_be_written_are_refused(
    plate: Path, task: Task, url: str
) -> None:
    with refused(plate, REFUSED_URLS[url], InvalidInputError):
        task([url.format(0), url.format(1)])


@pytest.mark.parametrize("task", TASKS)
def test_dots_in_a_url_are_refused(plate: Path, task: Task) -> None:
    urls = [f"{plate}/A/01/../01/{name}" for name in range(2)]
    with refused(plate, r"'\.\.'.*needed", InvalidInputError):
        task(urls)


@pytest.mark.e2e
def test_trailing_slashes_make_no_difference(
    make_plate: MakePlate,
) -> None:
    trees = []
    for name, slash in (("plain.zarr", ""), ("slash.zarr", "/")):
        plate = make_plate(name, acquisitions=2)
        urls = [f"{url}{slash}" for url in image_urls(plate, 2)]
        for url in urls[1:]:
            calculate([urls[0], url])
        find_consensus(urls)
        apply(urls)
        trees.append(tree_of(plate))
    assert trees[0] == trees[1]


@pytest.mark.parametrize("init", INIT_TASKS)
def test_images_in_no_plate_need_a_reference(
    plate: Path, tmp_path: Path, init: Callable[..., object]
) -> None:
    urls = [str(tmp_path / f"{name}.zarr") for name in "ab"]
    for source, url in zip(image_urls(plate, 2), urls, strict=True):
        shutil.copytree(source, url)
    with refused(plate, "no well of an OME-Zarr plate.*as reference"):
        init(zarr_urls=urls, zarr_dir="")


@pytest.mark.parametrize("task", TASKS)
def test_plate_that_does_not_exist_is_refused(plate: Path, task: Task) -> None:
    urls = [f"{plate.parent}/missing/p.zarr/A/01/{name}" for name in range(2)]
    with refused(plate, r"missing/p.zarr.*no Zarr group", InvalidInputError):
        task(urls)


@pytest.mark.parametrize("task", TASKS)
def test_image_the_well_does_not_list_is_refused(plate: Path, task: Task) -> None:
    urls = image_urls(plate, 2)
    shutil.copytree(urls[1], f"{plate}/A/01/stray")
    with refused(plate, r"lists the images '0' \(acquisition 0\).*'stray'"):
        task([urls[0], f"{plate}/A/01/stray"])


@pytest.mark.parametrize("task", TASKS)
def test_missing_image_is_named(plate: Path, task: Task) -> None:
    urls = image_urls(plate, 2)
    shutil.rmtree(urls[1])
    with refused(plate, "A/01/1: found no OME-Zarr image"):
        task(urls)


def test_missing_reference_image_is_named(plate: Path) -> None:
    urls = image_urls(plate, 2)
    shutil.rmtree(urls[0])
    for task in ROI_TASKS:
        with refused(plate, "A/01/0: found no OME-Zarr image"):
            task(urls)


# Acquisitions


@pytest.mark.parametrize("run", [run_calculate, run_consensus, run_apply])
def test_missing_reference_acquisition_is_told_with_those_there_are(
    plate: Path, run: Callable[..., object]
) -> None:
    with refused(plate, "(?=.*0.*1).*reference_acquisition=9"):
        run(image_urls(plate, 2), reference_acquisition=9)


@pytest.mark.parametrize("init_task", INIT_TASKS)
def test_image_without_a_partner_is_left_out_and_named(
    plate: Path, init_task: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    urls = image_urls(plate, 2)
    added = [f"{urls[0]}_corrected", f"{urls[1]}_other"]
    well = zarr.open_group(plate / "A/01", mode="r+")
    attributes: dict[str, Any] = well.attrs.asdict()
    metadata = attributes["well"]
    for url, acquisition in zip(added, (0, 1), strict=True):
        shutil.copytree(urls[acquisition], url)
        path = Path(url).name
        metadata["images"].append({"path": path, "acquisition": acquisition})
    well.attrs["well"] = metadata
    output = init_task(zarr_urls=[*urls, *added], zarr_dir="")
    assert f"{urls[1]}_other" not in json.dumps(output)
    assert re.search(r"1_other.*\['0', '0_corrected'\].*\('other'\)", caplog.text)


# ROI tables


@pytest.mark.parametrize("run", [run_calculate, run_consensus])
class TestInputRoiTable:
    """Both tasks that take a ROI table check it alike."""

    def test_missing_table_is_told_with_those_there_are(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        with refused(plate, r"'grid' is needed.*'FOV_ROI_table'.*'well_ROI_table'"):
            run(image_urls(plate, 2), input_roi_table="grid")

    def test_table_of_another_type_is_refused(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        with refused(plate, r"'nuclei_features' cannot be read as a ROI table"):
            run(image_urls(plate, 2), input_roi_table="nuclei_features")

    def test_table_without_rois_is_refused(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        urls = image_urls(plate, 2)
        open_ome_zarr_container(urls[1]).add_table(
            TABLE, RoiTable(rois=[]), overwrite=True, backend="json"
        )
        with refused(plate, r"A/01/1: table 'FOV_ROI_table' has no ROIs"):
            run(urls)

    @pytest.mark.parametrize(
        ("names", "match"),
        [
            (["FOV_1", "FOV_1"], r"found the duplicates \['FOV_1'\]"),
            (["FOV_1", ""], "1 without a name"),
            (["nan", "FOV_2"], "1 without a name"),
        ],
        ids=["duplicate", "empty", "nan"],
    )
    def test_every_roi_needs_its_own_name(
        self, plate: Path, run: Callable[..., None], names: list[str], match: str
    ) -> None:
        urls = image_urls(plate, 2)
        rename_rois(urls[1], names)
        with refused(plate, rf"A/01/1: table 'FOV_ROI_table'.*{match}"):
            run(urls)

    def test_tables_with_nothing_in_common_are_refused(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        urls = image_urls(plate, 2)
        first = next(iter(read_table(urls[1]).rois.values()))
        between = first.update_slice(name="x", new_slice=(10.4, 20.8))
        elsewhere = {"name": "FOV_9", "x_micrometer_original": 500.0}
        write_rois_of(urls[1], [between.model_copy(update=elsewhere)])
        with refused(plate, r"A/01/0 has 2, .*A/01/1 has 1, \['FOV_9'\]"):
            run(urls)

    def test_position_that_is_not_a_number_is_refused(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        urls = image_urls(plate, 2)
        pixels = table_of(urls[1])["X"]
        assert isinstance(pixels, zarr.Array)
        pixels[1, 1] = np.nan
        with refused(plate, r"A/01/1.*ROI 'FOV_2': found y from nan"):
            run(urls)

    def test_roi_outside_the_image_is_refused(
        self, plate: Path, run: Callable[..., None]
    ) -> None:
        urls = image_urls(plate, 2)
        first, second = read_table(urls[1]).rois.values()
        outside = second.update_slice(name="x", new_slice=(39.0, 20.8))
        write_rois_of(urls[1], [first, outside])
        # 39 um and 20.8 um more are 120 and 184 of 128 px.
        with refused(plate, r"ROI 'FOV_2'.*\[120, 184\].*\(1, 64, 128\) pixels"):
            run(urls)


def test_registered_table_of_another_type_is_refused(plate: Path) -> None:
    with refused(plate, r"'nuclei_features' cannot be read as a ROI table"):
        run_apply(image_urls(plate, 2), registered_roi_table="nuclei_features")


# Other arguments


def test_unknown_wavelength_is_told_with_those_there_are(plate: Path) -> None:
    with refused(plate, r"'A09_C09' fits no.*'A01_C01'.*'A02_C02'", InvalidInputError):
        calculate_registration(
            zarr_url=image_urls(plate, 2)[1],
            init_args=InitArgsRegistration(reference_zarr_url=image_urls(plate, 2)[0]),
            wavelength_id="A09_C09",
        )


def test_unknown_level_is_told_with_those_there_are(plate: Path) -> None:
    with refused(plate, r"'7'.*\['0', '1', '2', '3'\]", InvalidInputError):
        run_calculate(image_urls(plate, 2), level_path="7")


@pytest.mark.parametrize(("lower", "upper"), [(0.9, 0.1), (0.5, 0.5)])
def test_quantiles_that_leave_no_intensities_are_refused(
    plate: Path, lower: float, upper: float
) -> None:
    match = f"lower_rescale_quantile={lower} must be less than .*={upper}"
    with refused(plate, match, InvalidInputError):
        run_calculate(
            image_urls(plate, 2),
            lower_rescale_quantile=lower,
            upper_rescale_quantile=upper,
        )
