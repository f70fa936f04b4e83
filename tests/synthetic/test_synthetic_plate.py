"""The plate on disk: it opens, it is what the truth says, and it is safe to make."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ngio import open_ome_zarr_container, open_ome_zarr_plate
from pydantic import ValidationError
from scipy.spatial.distance import pdist

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.synthetic import PlateOptions, create_plate, load_truth, writing
from fractal_tasks.synthetic.nuclei import draw_nuclei

SMALL: dict[str, Any] = {
    "field_size_px": 64,
    "acquisitions": 2,
    "levels": 3,
    # The fastest; the default is tried where the tables are what is tested.
    "table_backend": "json",
}
CLEAN: dict[str, Any] = {
    "debris_per_field": 0,
    "gain_spread": 0,
    "bleaching": 0,
    "lost_cells": 0,
    "photons_per_count": 0,
    "read_noise_counts": 0,
    "vignetting": 0,
    "hot_pixels": 0,
}


def make(folder: Path, **options: Any) -> Path:
    return create_plate(folder / "plate.zarr", PlateOptions(**(SMALL | options)))


def pixels(plate: Path, image: str, path: str = "0") -> np.ndarray:
    container = open_ome_zarr_container(plate / image)
    return np.asarray(container.get_image(path=path).zarr_array[...])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("ngff_version", "shards"), [("0.4", False), ("0.5", False), ("0.5", True)]
)
@pytest.mark.sampled(3)
def test_plate_opens_with_images_labels_and_tables(
    tmp_path: Path, ngff_version: str, shards: bool
) -> None:
    path = make(
        tmp_path,
        rows=2,
        fields_x=3,
        ngff_version=ngff_version,
        shards=shards,
        chunk_size_px=32,
        table_backend="anndata",
    )

    plate = open_ome_zarr_plate(path)
    assert plate.wells_paths() == ["A/01", "B/01"]
    assert plate.get_well("B", 1).paths() == ["0", "1"]
    assert plate.acquisition_ids == [0, 1]
    container = open_ome_zarr_container(path / "B/01/1")
    image = container.get_image()
    assert image.shape == (2, 1, 128, 192)
    assert image.zarr_array.chunks == (1, 1, 32, 32)
    assert image.zarr_array.shards == ((1, 1, 64, 64) if shards else None)
    assert container.level_paths == ["0", "1", "2"]
    assert container.wavelength_ids == ["A01_C01", "A02_C02"]
    assert container.list_labels() == ["nuclei"]
    assert sorted(container.list_tables()) == [
        "FOV_ROI_table",
        "nuclei_ROI_table",
        "nuclei_features",
        "well_ROI_table",
    ]
    fields = container.get_roi_table("FOV_ROI_table").rois()
    assert [roi.name for roi in fields] == [f"FOV_{n}" for n in range(1, 7)]
    y_um, x_um = fields[4].get("y"), fields[4].get("x")
    assert y_um is not None
    assert x_um is not None
    assert (y_um.start, y_um.length) == pytest.approx((64 * 0.325, 64 * 0.325))
    assert (x_um.start, x_um.length) == pytest.approx((64 * 0.325, 64 * 0.325))
    assert image.get_roi(fields[4]).shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("yx", (128, 128)),
        ("zyx", (2, 128, 128)),
        ("cyx", (2, 128, 128)),
        ("czyx", (2, 2, 128, 128)),
        ("tyx", (3, 128, 128)),
        ("tczyx", (3, 2, 2, 128, 128)),
    ],
)
def test_every_set_of_axes_can_be_written(
    tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    extents = {
        "timepoints": 3 if "t" in axes else 1,
        "channels": 2 if "c" in axes else 1,
        "planes": 2 if "z" in axes else 1,
    }
    path = make(tmp_path, axes=axes, acquisitions=1, **extents)

    container = open_ome_zarr_container(path / "A/01/0")
    assert container.get_image().shape == shape
    label = container.get_label("nuclei")
    assert label.axes == tuple(axis for axis in axes if axis != "c")
    assert np.any(label.zarr_array[...])
    assert np.any(pixels(path, "A/01/0", "2"))


def test_fields_differ_between_acquisitions_by_the_true_shift(tmp_path: Path) -> None:
    """Whole pixels without noise: what both see is the same, pixel by pixel."""
    path = make(
        tmp_path,
        acquisitions=3,
        planes=4,
        z_spacing_um=2.0,
        z_shift_um=4.0,
        channels=1,
        stage_jitter_um=1.5,
        whole_pixel_shifts=True,
        **CLEAN,
    )

    truth = load_truth(path)
    fixed = pixels(path, "A/01/0")[0].astype(int)
    shifts = set()
    for acquisition in (1, 2):
        moving = pixels(path, f"A/01/{acquisition}")[0].astype(int)
        for field, corner in enumerate([(0, 0), (0, 64), (64, 0), (64, 64)], start=1):
            one = truth.field("A/01", acquisition, f"FOV_{field}")
            shift = np.rint(np.array(one.translation_um) / (2, 0.325, 0.325))
            z, y, x = shift.astype(int).tolist()
            shifts.add((z, y, x))
            window = (
                slice(None),
                slice(corner[0], corner[0] + 64),
                slice(corner[1], corner[1] + 64),
            )
            # Moving pixel i shows what fixed pixel i + shift shows.
            fixed_box = tuple(
                slice(max(0, s), n + min(0, s))
                for s, n in zip((z, y, x), (4, 64, 64), strict=True)
            )
            moving_box = tuple(
                slice(max(0, -s), n - max(0, s))
                for s, n in zip((z, y, x), (4, 64, 64), strict=True)
            )
            difference = moving[window][moving_box] - fixed[window][fixed_box]
            # Rounding to counts, and glow that ends beyond the reach of a nucleus.
            assert np.abs(difference).max() <= 2
            assert fixed[window].max() > 500
    assert len(shifts) > 4


def test_the_truth_states_the_displacement_of_the_centre_of_each_field(
    tmp_path: Path,
) -> None:
    path = make(tmp_path, rotation_deg=2.0, scale_change=0.01, labels=False)

    truth = load_truth(path)
    assert truth.options.rotation_deg == 2.0
    reference, acquisition = truth.wells[0].acquisitions
    for field in reference.fields:
        assert field.translation_um == (0, 0, 0)
        np.testing.assert_allclose(field.matrix, np.eye(4)[:3], atol=1e-12)
    assert 0.6 <= abs(acquisition.rotation_deg) <= 2
    assert 0.003 <= abs(acquisition.scale - 1) <= 0.01
    field_centres_um = 0.325 * 64 * np.array([(a, b) for a in (0, 1) for b in (0, 1)])
    for field, corner_um in zip(acquisition.fields, field_centres_um, strict=True):
        centre_um = np.array([0.5, *(corner_um + 0.325 * 32)])
        mapped_um = np.array(field.matrix) @ [*centre_um, 1]
        np.testing.assert_allclose(mapped_um - centre_um, field.translation_um)


def test_same_seed_gives_the_same_bytes_and_another_seed_another_plate(
    tmp_path: Path,
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(tmp_path / name, seed=seed, acquisitions=1)

    first, second, other = (files(tmp_path / name) for name in "abc")
    assert first == second
    assert first != other
    assert np.any(
        pixels(tmp_path / "a/plate.zarr", "A/01/0")
        != pixels(tmp_path / "c/plate.zarr", "A/01/0")
    )


def test_more_acquisitions_leave_the_earlier_ones_as_they_were(tmp_path: Path) -> None:
    for name, acquisitions in (("a", 1), ("b", 3)):
        make(tmp_path / name, acquisitions=acquisitions)

    np.testing.assert_array_equal(
        pixels(tmp_path / "a/plate.zarr", "A/01/0"),
        pixels(tmp_path / "b/plate.zarr", "A/01/0"),
    )


def test_hot_pixels_stay_in_place_in_all_fields_and_acquisitions(
    tmp_path: Path,
) -> None:
    quiet = CLEAN | {"hot_pixels": 7}
    path = make(tmp_path, nuclei_per_mm2=0, channels=1, columns=2, **quiet)

    places = set()
    for image in ("A/01/0", "A/01/1", "A/02/1"):
        for y in (0, 64):
            for x in (0, 64):
                field = pixels(path, image)[0, 0, y : y + 64, x : x + 64]
                places.add(tuple(np.flatnonzero(field > 1000).tolist()))
    assert len(places) == 1
    assert len(places.pop()) == 7


@pytest.mark.parametrize("inverted", [False, True], ids=["fluorescent", "absorbing"])
def test_haze_and_inversion_change_the_light_as_they_say(
    tmp_path: Path, inverted: bool
) -> None:
    """The signal is added to the haze, or exp(-signal) is; rounded to counts."""
    path = make(
        tmp_path,
        channels=1,
        plate_shift_um=0,
        stage_jitter_um=0,
        haze=0.5,
        inverted=inverted,
        **CLEAN,
    )

    reference, acquisition = (
        (pixels(path, f"A/01/{image}")[0, 0] - 100) / 1000 for image in "01"
    )
    signal = reference - 0.5
    expected = (np.exp(-signal) if inverted else signal) + 0.5
    # Half a count of each picture.
    np.testing.assert_allclose(acquisition, expected, atol=1.1e-3)
    assert signal.max() > 0.5


def test_only_later_acquisitions_are_out_of_focus(tmp_path: Path) -> None:
    for name, defocus_um in (("sharp", 0), ("blurred", 2)):
        make(tmp_path / name, channels=1, defocus_um=defocus_um, seed=1, **CLEAN)

    sharp, blurred = (
        pixels(tmp_path / "blurred/plate.zarr", f"A/01/{image}").astype(float)
        for image in "01"
    )
    steepest = [np.abs(np.diff(image, axis=-1)).max() for image in (sharp, blurred)]
    # The microscope's own blur of 0.35 um against 2 um: 5.8 times as wide an edge.
    assert steepest[1] < steepest[0] / 3


def test_empty_fields_show_nothing_in_any_acquisition(tmp_path: Path) -> None:
    path = make(
        tmp_path,
        fields_y=3,
        fields_x=3,
        field_size_px=128,
        empty_fields=2,
        rotation_deg=1.0,
        **CLEAN,
    )

    truth = load_truth(path)
    for acquisition in truth.wells[0].acquisitions:
        image = pixels(path, f"A/01/{acquisition.acquisition}")
        empty = [field.empty for field in acquisition.fields]
        assert sum(empty) >= 2
        for index, is_empty in enumerate(empty):
            y, x = (128 * one for one in divmod(index, 3))
            field = image[..., y : y + 128, x : x + 128]
            assert np.all(field == 100) == is_empty
            assert acquisition.fields[index].nuclei == 0 or not is_empty


def test_labels_tables_and_pixels_tell_the_same(tmp_path: Path) -> None:
    path = make(tmp_path, field_size_px=128, planes=3, z_spacing_um=2.0)

    container = open_ome_zarr_container(path / "A/01/1")
    labels = np.asarray(container.get_label("nuclei").zarr_array[...])
    image = pixels(path, "A/01/1")[0]
    features = container.get_table("nuclei_features").dataframe
    masks = container.get_masking_roi_table("nuclei_ROI_table")
    present = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(np.sort(features.index), present)
    for value in present.tolist():
        where = np.nonzero(labels == value)
        assert features.loc[value, "size_px"] == len(where[0])
        assert features.loc[value, "mean_intensity_DAPI"] == pytest.approx(
            image[where].mean()
        )
        for axis, name, step_um in zip("zyx", where, (2, 0.325, 0.325), strict=True):
            extent = masks.get_label(value).get(axis)
            assert extent is not None
            assert extent.start == pytest.approx(name.min() * step_um)
            assert extent.end == pytest.approx((name.max() + 1) * step_um)
            assert features.loc[value, f"centroid_{axis}_um"] == pytest.approx(
                (name.mean() + 0.5) * step_um
            )


def test_lost_cells_do_not_come_back() -> None:
    options = PlateOptions(lost_cells=0.3, nuclei_per_mm2=2000, seed=3)
    lost_in = draw_nuclei(options, well=0).lost_in

    assert lost_in.min() >= 1
    lost = np.mean(lost_in <= 1)
    assert lost == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / len(lost_in)))


def test_nuclei_keep_their_distance_and_reach_beyond_the_well() -> None:
    options = PlateOptions(nuclei_per_mm2=1500, plate_shift_um=30)
    centre_um = draw_nuclei(options, well=0).centre_um[:, 1:]

    well_um = 2 * 512 * 0.325
    assert pdist(centre_um).min() > 0.95 * 12
    assert centre_um.min() < -30
    assert centre_um.max() > well_um + 30
    area_mm2 = np.prod(np.ptp(centre_um, axis=0)) * 1e-6
    assert len(centre_um) / area_mm2 == pytest.approx(1500, rel=0.15)


def test_an_existing_path_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    path.mkdir()
    (path / "mine").write_text("data")

    with pytest.raises(InvalidInputError, match=r"plate\.zarr: already exists"):
        create_plate(path)

    assert files(tmp_path) == {"plate.zarr/mine": b"data"}


def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writing, "write_tables", fail)
    with pytest.raises(OSError, match="disk full"):
        make(tmp_path)

    assert os.listdir(tmp_path) == []


def test_a_plate_without_truth_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="demo-plate"):
        load_truth(tmp_path / "other.zarr")


def test_an_unknown_field_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    truth = load_truth(make(tmp_path, acquisitions=1, labels=False))

    with pytest.raises(InvalidInputError, match=r"FOV_9.*A/01.*4 fields"):
        truth.field("A/01", 0, "FOV_9")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "zyx"}, "no c axis, but channels=2. Set channels=1"),
        ({"axes": "cyx", "planes": 3}, "no z axis, but planes=3"),
        ({"timepoints": 2}, "no t axis, but timepoints=2"),
        ({"z_shift_um": 1.0}, "needs planes > 1"),
        ({"lattice_um": 8.0}, "less than nucleus_diameter_um=12"),
        ({"shards": True}, "need ngff_version='0.5'"),
        ({"empty_fields": 5}, "only 4 fields"),
        ({"hot_pixels": 2000, "field_size_px": 32}, "only 1024 pixels"),
        ({"levels": 8, "field_size_px": 64}, "Lower levels"),
        ({"pixel_size_um": 0.0}, "greater than 0"),
        ({"rotate": 1.0}, "not permitted"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        PlateOptions(**options)


def test_every_option_explains_itself() -> None:
    for name, field in PlateOptions.model_fields.items():
        assert field.description, name


def test_last_acquisition_is_turned_dirty_and_washed(tmp_path: Path) -> None:
    """The two acquisitions before it are as they are without these options."""
    own = {"acquisitions": 3, "fields_y": 1, "nuclei_per_mm2": 3000, "seed": 2}
    trouble = {"last_rotation_deg": 0.5, "last_debris": 30, "last_washed_um": 20.0}
    plain = make(tmp_path / "plain", **CLEAN, **own)
    plate = make(tmp_path / "trouble", **CLEAN, **own, **trouble)
    first, _, last = load_truth(plate).wells[0].acquisitions
    assert (first.rotation_deg, last.rotation_deg) == (0.0, 0.5)
    half = pixels(plain, "A/01/2").shape[-1] // 2
    bright = [
        np.count_nonzero(pixels(one, "A/01/2")[..., :half] > 1500)
        for one in (plain, plate)
    ]
    assert bright[1] > bright[0] + 30
    # The last field is 64 pixels of 0.325 um wide.
    before, after = (pixels(plate, f"A/01/{number}")[0] for number in (0, 2))
    middle = (..., slice(8, 56), slice(half + 8, half + 56))
    assert before[middle].max() > 500 > after[middle].max()


def test_single_acquisition_has_no_trouble(tmp_path: Path) -> None:
    plain = make(tmp_path / "plain", acquisitions=1)
    plate = make(tmp_path / "same", acquisitions=1, last_debris=30, last_washed_um=9.0)
    assert np.array_equal(pixels(plain, "A/01/0"), pixels(plate, "A/01/0"))
