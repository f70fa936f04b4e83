"""Apply Registration to Image, against pixels moved by hand."""

import fcntl
import logging
from pathlib import Path

import numpy as np
import pytest
import zarr
from ngio import MaskingRoiTable, Roi, RoiTable, open_ome_zarr_container
from ngio.tables import ConditionTable
from pandas import DataFrame

from fractal_tasks.errors import (
    InvalidDataError,
    InvalidInputError,
    MissingStepError,
)
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    Vector,
    image_urls,
    open_container,
    read_pixels,
    read_table,
    run_apply,
    run_consensus,
    set_translations,
    tree_of,
)

PIXEL_UM = 0.325
SHIFTS_PX = {
    1: {"FOV_1": (7, -12), "FOV_2": (-3, 5)},
    2: {"FOV_1": (0, 4), "FOV_2": (9, 0)},
}
KEPT_PX = {"FOV_1": (256 - 7, 256 - 16), "FOV_2": (256 - 12, 256 - 5)}
"""Rows and columns of each field that all three acquisitions see."""
SPOT = Roi.from_values(name="spot", slices={"x": (30, 10), "y": (20, 10), "z": (0, 1)})


def prepare(plate: Path, **consensus: object) -> list[str]:
    """Store known whole-pixel translations and find the consensus."""
    urls = image_urls(plate)
    for acquisition, shifts in SHIFTS_PX.items():
        translations: dict[str, Vector] = {
            name: (0.0, y * PIXEL_UM, x * PIXEL_UM) for name, (y, x) in shifts.items()
        }
        set_translations(urls[acquisition], translations)
    run_consensus(urls, **consensus)
    return urls


def moved_by_hand(pixels: np.ndarray, acquisition: int, size: int) -> np.ndarray:
    """Move each field and keep what all three acquisitions see; the rest is 0."""
    expected = np.zeros_like(pixels)
    for index, name in enumerate(("FOV_1", "FOV_2")):
        shifts = [(0, 0), *(SHIFTS_PX[a][name] for a in (1, 2))]
        y0, x0 = np.max(shifts, axis=0)
        y1, x1 = size + np.min(shifts, axis=0)
        y, x = shifts[acquisition]
        left = index * size
        expected[..., y0:y1, left + x0 : left + x1] = pixels[
            ..., y0 - y : y1 - y, left + x0 - x : left + x1 - x
        ]
    return expected


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="v04"),
        pytest.param({"ngff_version": "0.5"}, id="v05", marks=pytest.mark.e2e),
        pytest.param(
            {"ngff_version": "0.5", "shards": True, "chunk_size_px": 64}, id="sharded"
        ),
        pytest.param({"chunk_size_px": 100}, id="odd chunks", marks=pytest.mark.e2e),
        pytest.param({"dtype": "float32"}, id="float", marks=pytest.mark.e2e),
        pytest.param({"axes": "yx", "channels": 1}, id="yx", marks=pytest.mark.e2e),
        pytest.param({"axes": "cyx"}, id="cyx", marks=pytest.mark.e2e),
        pytest.param({"planes": 3}, id="stack", marks=pytest.mark.e2e),
        pytest.param({"axes": "tczyx"}, id="tczyx"),
    ],
)
@pytest.mark.sampled(3)
def test_every_field_moves_to_where_the_reference_has_it(
    make_plate: MakePlate, options: dict[str, object]
) -> None:
    plate = make_plate(then=[prepare], **options)
    urls = image_urls(plate)
    before = [read_pixels(url) for url in urls]
    arrays = [zarr.open_array(f"{url}/0", mode="r") for url in urls]
    metadata = [array.metadata for array in arrays]
    assert run_apply(urls) == [{"zarr_url": url} for url in urls]
    for acquisition, url in enumerate(urls):
        expected = moved_by_hand(before[acquisition], acquisition, size=256)
        np.testing.assert_array_equal(read_pixels(url), expected)
        assert zarr.open_array(f"{url}/0", mode="r").metadata == metadata[acquisition]


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
@pytest.mark.sampled(2)
def test_pyramid_is_that_of_ngio(make_plate: MakePlate, ngff_version: str) -> None:
    plate = make_plate(ngff_version=ngff_version, then=[prepare])
    urls = image_urls(plate)
    run_apply(urls[1:2])
    levels = [read_pixels(urls[1], path) for path in ("1", "2", "3")]
    open_ome_zarr_container(urls[1]).get_image().consolidate(mode="numpy")
    for path, level in zip(("1", "2", "3"), levels, strict=True):
        np.testing.assert_array_equal(level, read_pixels(urls[1], path))


def test_keeping_the_input_writes_a_new_image_and_lists_it(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    before = {url: tree_of(Path(url)) for url in urls}
    updates = run_apply(urls, overwrite_input=False)
    assert updates == [{"zarr_url": f"{url}_registered", "origin": url} for url in urls]
    assert {url: tree_of(Path(url)) for url in urls} == before
    well = zarr.open_group(plate / "A/01", mode="r").attrs.asdict()["well"]
    listed = {image["path"]: image["acquisition"] for image in well["images"]}
    assert listed == {
        "0": 0, "1": 1, "2": 2, "0_registered": 0, "1_registered": 1, "2_registered": 2
    }  # fmt: skip
    expected = moved_by_hand(read_pixels(urls[2]), 2, size=256)
    np.testing.assert_array_equal(read_pixels(f"{urls[2]}_registered"), expected)


def test_the_output_is_locked_with_the_input_and_beside_the_plate_are_only_locks(
    make_plate: MakePlate, caplog: pytest.LogCaptureFixture
) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    before = set(plate.parent.iterdir())
    locked: list[str] = []

    def look(record: logging.LogRecord) -> bool:
        if "moved by" in record.getMessage():
            folder = plate.with_name("plate.zarr.fractal-tasks-locks")
            locked[:] = sorted(path.name for path in folder.iterdir() if held(path))
        return True

    caplog.handler.addFilter(look)
    caplog.set_level(logging.INFO, "fractal_tasks")
    run_apply(urls[1:2], overwrite_input=False)
    assert locked == ["A_01_1.lock", "A_01_1_registered.lock"]
    kinds = ("fractal-tasks", "ngio")
    folders = {plate.with_name(f"plate.zarr.{kind}-locks") for kind in kinds}
    assert set(plate.parent.iterdir()) == before | folders


def held(lock: Path) -> bool:
    """Whether anybody holds the lock of a file."""
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_channel_metadata_and_unknown_attributes_are_kept(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    group = zarr.open_group(urls[1], mode="r+")
    group.attrs["lab_notes"] = {"operator": "someone"}
    (Path(urls[1]) / "thumbnails").mkdir()
    (Path(urls[1]) / "thumbnails" / "a.txt").write_text("kept")
    before = group.attrs.asdict()
    run_apply(urls[1:2])
    after = zarr.open_group(urls[1], mode="r").attrs.asdict()
    assert after.pop("registration")["reference_image"] == "0"
    assert after == before
    assert (Path(urls[1]) / "thumbnails" / "a.txt").read_text() == "kept"


def test_labels_move_along_with_their_ids(make_plate: MakePlate) -> None:
    plate = make_plate()
    big = 8589934597
    for url in image_urls(plate):
        container = open_ome_zarr_container(url)
        nuclei = container.get_label("nuclei").get_as_numpy()
        label = container.derive_label("cells", dtype="uint64")
        label.set_array(np.where(nuclei > 0, nuclei.astype("uint64") + big, 0))
        label.consolidate(mode="numpy")
    urls = prepare(plate)
    before = open_container(urls[1]).get_label("cells").get_as_numpy()
    run_apply(urls[1:2])
    after = open_container(urls[1]).get_label("cells")
    assert after.dtype == "uint64"
    np.testing.assert_array_equal(
        after.get_as_numpy(), moved_by_hand(np.asarray(before), 1, size=256)
    )


def test_label_at_half_resolution_moves_by_the_nearest_whole_pixel(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    for url in image_urls(plate):
        container = open_ome_zarr_container(url)
        ref = container.get_image(path="1")
        label = container.derive_label("coarse", ref_image=ref, dtype="uint16")
        rng = np.random.default_rng(3)
        label.set_array(rng.integers(1, 99, label.shape).astype("uint16"))
        label.consolidate(mode="numpy")
    urls = prepare(plate)
    before = np.asarray(open_container(urls[2]).get_label("coarse").get_as_numpy())
    run_apply(urls[2:])
    label = open_container(urls[2]).get_label("coarse")
    assert label.pixel_size.y == pytest.approx(2 * PIXEL_UM)
    after = np.asarray(label.get_as_numpy())
    # FOV_1 moves by x = 4 px of the image: 2 px of the label; y0 = 7, x0 = 4.
    shifts = [(0, 0), *(SHIFTS_PX[a]["FOV_1"] for a in (1, 2))]
    rows = range(*(int(np.ceil(v / 2 - 0.5)) for v in (7, 256)))
    columns = range(*(int(np.ceil(v / 2 - 0.5)) for v in (4, 256 - 12)))
    assert np.max(shifts, axis=0).tolist() == [7, 4]
    inside = after[..., rows.start : rows.stop, columns.start : columns.stop]
    expected = before[..., rows.start : rows.stop, columns.start - 2 : columns.stop - 2]
    np.testing.assert_array_equal(inside, expected)
    assert not after[..., : rows.start, : 256 // 2].any()


def test_labels_are_not_lost_without_a_further_word(make_plate: MakePlate) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match=r"labels \['nuclei'\].*discard_labels"):
        run_apply(urls[1:2], register_labels=False)
    assert tree_of(plate) == before
    run_apply(urls[1:2], register_labels=False, discard_labels=True)
    assert open_container(urls[1]).list_labels() == []


def test_tables_of_the_registered_image(make_plate: MakePlate) -> None:
    plate = make_plate()
    url = image_urls(plate)[1]
    container = open_ome_zarr_container(url)
    container.add_table("my_rois", RoiTable(rois=[SPOT]))
    container.add_table("drugs", ConditionTable(DataFrame({"dose": [1.0, 2.0]})))
    reference = open_ome_zarr_container(image_urls(plate)[0])
    reference.add_table("reference_rois", RoiTable(rois=[SPOT]))
    features = container.get_table("nuclei_features").dataframe
    urls = prepare(plate)
    run_apply(urls[1:2])
    after = open_container(urls[1])
    assert set(after.list_tables()) == {
        TABLE, "well_ROI_table", REGISTERED, "reference_rois", "my_rois",
        "nuclei_ROI_table", "nuclei_features", "drugs",
    }  # fmt: skip
    # Under FOV_1, which moves by y = 7, x = -12 px.
    moved = read_table(url, "my_rois").rois["spot"]
    assert moved["y"].start == pytest.approx(20 + 7 * PIXEL_UM)
    assert moved["x"].start == pytest.approx(30 - 12 * PIXEL_UM)
    assert after.get_table("drugs").dataframe["dose"].tolist() == [1.0, 2.0]
    assert after.get_table("nuclei_features").dataframe.equals(features)
    expected = read_table(urls[0], REGISTERED).rois
    found = read_table(urls[1], REGISTERED).rois
    assert [roi.slices for roi in found.values()] == [
        roi.slices for roi in expected.values()
    ]


@pytest.mark.e2e
def test_own_table_with_the_name_of_the_reference_is_kept_beside_it(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    urls = image_urls(plate)
    for url, name in zip(urls, "abc", strict=True):
        roi = Roi.from_values(name=name, slices={"x": (9, 9), "y": (9, 9), "z": (0, 1)})
        open_ome_zarr_container(url).add_table("mine", RoiTable(rois=[roi]))
    prepare(plate)
    run_apply(urls[1:2])
    assert list(read_table(urls[1], "mine").rois) == ["a"]
    assert list(read_table(urls[1], "mine_acquisition").rois) == ["b"]


def test_masking_roi_table_is_made_anew_from_the_registered_label(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    run_apply(urls[1:2])
    container = open_container(urls[1])
    label = container.get_label("nuclei")
    pixels = np.asarray(label.get_as_numpy())
    table = container.get_masking_roi_table("nuclei_ROI_table")
    assert isinstance(table, MaskingRoiTable)
    assert sorted(int(roi.label or 0) for roi in table.rois()) == sorted(
        set(np.unique(pixels).tolist()) - {0}
    )
    for roi in table.rois():
        where = np.nonzero(pixels == roi.label)
        for axis, index in zip(("y", "x"), where[-2:], strict=True):
            assert roi[axis].start == pytest.approx(index.min() * PIXEL_UM)
            assert roi[axis].length == pytest.approx(
                (index.max() + 1 - index.min()) * PIXEL_UM
            )


@pytest.mark.parametrize("overwrite_input", [True, False], ids=["replace", "keep"])
@pytest.mark.sampled(2)
def test_second_run_does_nothing(make_plate: MakePlate, overwrite_input: bool) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    first = run_apply(urls, overwrite_input=overwrite_input)
    before = tree_of(plate)
    assert run_apply(urls, overwrite_input=overwrite_input) == first
    assert tree_of(plate) == before


def test_registered_images_keep_their_verdicts_in_place(make_plate: MakePlate) -> None:
    """Also an acquisition that follows when the reference is registered already."""
    urls = image_urls(make_plate(then=[prepare]))
    before = [read_table(url, REGISTERED).rois for url in urls]
    run_apply(urls)
    reference = before[0]
    for url, own in zip(urls, before, strict=True):
        for name, roi in read_table(url, REGISTERED).rois.items():
            assert roi.slices == reference[name].slices
            assert roi.model_extra == own[name].model_extra
            rows, columns = KEPT_PX[name]
            kept = (roi.model_extra or {})["registration_kept"]
            assert kept == pytest.approx(rows * columns / 256**2)


@pytest.mark.e2e
def test_new_consensus_makes_the_output_anew(make_plate: MakePlate) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    run_apply(urls, overwrite_input=False)
    run_consensus(urls, keep="reference")
    run_apply(urls, overwrite_input=False)
    moved = read_pixels(f"{urls[1]}_registered")
    # With the whole field kept, FOV_1 is empty only in its first 7 rows.
    assert not moved[..., :7, :256].any()
    assert moved[..., 7, : 256 - 12].all()


def test_foreign_image_in_the_place_of_the_output_is_left_alone(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    foreign = Path(f"{urls[1]}_registered")
    foreign.mkdir()
    (foreign / "data").write_text("somebody's")
    with pytest.raises(InvalidDataError, match="output_image_suffix"):
        run_apply(urls[1:2], overwrite_input=False)
    assert (foreign / "data").read_text() == "somebody's"


def test_keep_reference_fills_what_was_not_seen(make_plate: MakePlate) -> None:
    plate = make_plate()
    urls = prepare(plate, keep="reference", fill_value=7)
    before = read_pixels(urls[1])
    run_apply(urls)
    after = read_pixels(urls[1])
    expected = np.full_like(before, 7)
    expected[..., 7:, : 256 - 12] = before[..., :-7, 12:256]
    expected[..., : 256 - 3, 256 + 5 :] = before[..., 3:, 256 : 512 - 5]
    np.testing.assert_array_equal(after, expected)


def test_fill_value_that_pixels_cannot_hold_is_refused(make_plate: MakePlate) -> None:
    plate = make_plate()
    with pytest.raises(InvalidInputError, match=r"fill_value=-1.0.*uint16"):
        prepare(plate, keep="reference", fill_value=-1)


def test_record_says_what_was_applied(make_plate: MakePlate) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    run_apply(urls[1:2])
    record = read_applied_record(parse_image_url(urls[1]))
    assert record is not None
    assert record.reference_image == "0"
    assert record.settings["registered_roi_table"] == REGISTERED
    assert record.consensus is not None
    assert record.consensus.settings["keep"] == "intersection"
    (placement, _) = record.placements
    assert placement.roi == "FOV_1"
    assert placement.source.to_lists() == [[0, 1], [0, 249], [16, 256]]
    assert placement.destination.to_lists() == [[0, 1], [7, 256], [4, 244]]


def test_apply_reads_nothing_of_the_reference(make_plate: MakePlate) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    before = read_pixels(urls[1])
    Path(urls[0]).rename(plate / "A/01/elsewhere")
    run_apply(urls[1:2])
    expected = moved_by_hand(before, 1, size=256)
    np.testing.assert_array_equal(read_pixels(urls[1]), expected)


def test_table_without_plan_is_applied_from_the_reference(
    make_plate: MakePlate,
) -> None:
    """Registered tables that fractal-tasks-core wrote have no plan beside them."""
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    before = read_pixels(urls[1])
    for url in urls:
        table = f"{url}/tables/{REGISTERED}"
        del zarr.open_group(table, mode="r+").attrs["registration"]
    run_apply(urls)
    expected = moved_by_hand(before, 1, size=256)
    np.testing.assert_array_equal(read_pixels(urls[1]), expected)
    again = read_pixels(urls[1])
    run_apply(urls)
    np.testing.assert_array_equal(read_pixels(urls[1]), again)


def test_apply_before_consensus_says_which_tasks_to_run(make_plate: MakePlate) -> None:
    plate = make_plate()
    with pytest.raises(MissingStepError, match="Find Registration Consensus"):
        run_apply(image_urls(plate)[1:2])


def test_other_reference_acquisition_is_refused(make_plate: MakePlate) -> None:
    plate = make_plate(then=[prepare])
    urls = image_urls(plate)
    with pytest.raises(InvalidDataError, match="reference_acquisition=1"):
        run_apply(urls[2:], reference_acquisition=1)


def test_overlapping_rois_are_reported(
    make_plate: MakePlate, caplog: pytest.LogCaptureFixture
) -> None:
    plate = make_plate()
    urls = prepare(plate, keep="reference")
    rois = list(read_table(urls[1]).rois.values())
    widened = [rois[0].update_slice(name="x", new_slice=(0, 300 * PIXEL_UM)), rois[1]]
    for url in urls:
        translations = dict.fromkeys(("FOV_1", "FOV_2"), (0.0, 0.0, 0.0))
        open_ome_zarr_container(url).add_table(
            TABLE, RoiTable(rois=widened), overwrite=True
        )
        set_translations(url, translations)
    run_consensus(urls)
    run_apply(urls[1:2])
    assert "'FOV_1' and 'FOV_2'" in caplog.text
