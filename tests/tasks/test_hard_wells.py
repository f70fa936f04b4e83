"""Find Registration Consensus on wells whose estimates cannot all be believed."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import Candidate
from fractal_tasks.model.task_arguments import InitArgsRegistrationConsensus
from fractal_tasks.records.candidates import candidates_to_json
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)
from fractal_tasks.transforms import Translation
from tests.conftest import MakePlate
from tests.records.plates import PIXELS
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    Vector,
    read_pixels,
    read_table,
    run_apply,
    run_consensus,
    tree_of,
    write_rois_of,
)

# A field is 64 um wide.
TINY: dict[str, Any] = {
    "fields_y": 2,
    "fields_x": 3,
    "field_size_px": 32,
    "pixel_size_um": 2.0,
    "levels": 3,
    "channels": 1,
    "acquisitions": 3,
    "labels": False,
    "table_backend": "csv",
    "nuclei_per_mm2": 0,
}
PIXEL_UM = 2.0
SHIFT_UM = (0.0, 6.0, -4.0)
FIELDS = [f"FOV_{number}" for number in range(1, 7)]
CHANCE: dict[str, Vector] = {
    name: (0.0, 30.0 - 11.0 * index, -25.0 + 17.0 * (index % 4))
    for index, name in enumerate(FIELDS)
}
"""Estimates that have nothing in common."""


def urls_of(plate: Path, well: str = "A/01") -> list[str]:
    return [f"{plate}/{well}/{acquisition}" for acquisition in range(3)]


def store(
    zarr_url: str,
    translations_um: Vector | dict[str, Vector] = SHIFT_UM,
    confidence: float | None = 0.95,
    **rows: Any,
) -> None:
    """Store estimates as *calculate* would; `rows` change columns of single ROIs."""
    rois = []
    for name, roi in read_table(zarr_url).rois.items():
        vector = translations_um
        if isinstance(vector, dict):
            vector = vector[name]
        columns: dict[str, object] = dict(
            zip(
                ("translation_z", "translation_y", "translation_x"), vector, strict=True
            )
        )
        if confidence is not None:
            columns["registration_confidence"] = confidence
            columns["registration_alternatives"] = candidates_to_json([], PIXELS)
        rois.append(roi.model_copy(update={**columns, **rows.get(name, {})}))
    write_rois_of(zarr_url, rois)


def found_in(zarr_url: str, name: str) -> dict[str, Any]:
    return dict(read_table(zarr_url, REGISTERED).rois[name].model_extra or {})


def translation_in(zarr_url: str, name: str) -> list[float]:
    found = found_in(zarr_url, name)
    return [found[f"translation_{axis}"] for axis in "zyx"]


FAR = {"translation_y": 36.0}
UNCLEAR = {"translation_y": -25.0, "registration_confidence": 0.1}


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    """One well in which every estimate is good."""
    plate = make_plate(**TINY)
    for url in urls_of(plate)[1:]:
        store(url)
    return plate


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (FAR, r"confidence 0\.95, .*below 0\.90; the first one is 30\.0 um away"),
        (UNCLEAR, r"confidence 0\.10.*below 0\.90"),
    ],
    ids=["far", "unclear"],
)
def test_wrong_estimate_is_imputed_from_its_well(
    plate: Path,
    row: Mapping[str, object],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    urls = urls_of(plate)
    store(urls[1], FOV_3=row)
    with caplog.at_level(logging.INFO, "fractal_tasks"):
        run_consensus(urls)
    found = found_in(urls[1], "FOV_3")
    assert found["registration_status"] == "imputed"
    assert re.search(reason, found["registration_reason"])
    assert "; imputed from 5 ROIs of the well, " in found["registration_reason"]
    assert found["registration_confidence"] < 0.5
    np.testing.assert_allclose(translation_in(urls[1], "FOV_3"), SHIFT_UM, atol=1e-9)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert re.search(r"ROI 'FOV_3', acquisition 1 .*: imputed, ", warnings[0])
    assert re.search(
        r"Acquisition 1: shift z=0\.00, y=6\.00, x=-4\.00 um, rotation 0\.000 deg, "
        r"scale 1\.00000, scatter 0\.00 um; 5 ROIs measured, 0 chosen, 1 imputed, "
        r"0 unresolved, 0 excluded",
        caplog.text,
    )


def test_alternative_that_the_well_agrees_on_is_chosen(plate: Path) -> None:
    urls = urls_of(plate)
    alternatives = [
        Candidate(Translation((0.0, -14.0, 10.0)), 0.2, 0.01),
        Candidate(Translation(SHIFT_UM), 0.2, 0.01),
    ]
    row = {
        "translation_x": 20.0,
        "registration_confidence": 0.4,
        "registration_alternatives": candidates_to_json(alternatives, PIXELS),
    }
    store(urls[2], FOV_4=row)
    run_consensus(urls)
    found = found_in(urls[2], "FOV_4")
    assert found["registration_status"] == "chosen"
    assert "candidate 3" in found["registration_reason"]
    # The other two are far away, and three fields in 1000 move alone.
    assert found["registration_confidence"] > 0.99
    assert translation_in(urls[2], "FOV_4") == list(SHIFT_UM)
    assert "registration_alternatives" not in found


def test_rejected_estimates_can_be_an_error(plate: Path) -> None:
    urls = urls_of(plate)
    store(urls[1], FOV_3=FAR)
    store(urls[2], FOV_5=UNCLEAR)
    before = tree_of(plate)
    with pytest.raises(
        InvalidDataError,
        match=rf"found 2 .*'FOV_3', acquisition 1 \({urls[1]}\): .*30\.0 um.*"
        r"'FOV_5', acquisition 2 .*below 0\.90.*rejected='impute'",
    ):
        run_consensus(urls, rejected="error")
    assert tree_of(plate) == before


def test_no_rejected_estimate_is_no_error(plate: Path) -> None:
    run_consensus(urls_of(plate), rejected="error")
    assert found_in(urls_of(plate)[1], "FOV_1")["registration_status"] == "measured"


def test_rejected_rois_can_be_left_out_of_all_acquisitions(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    urls = urls_of(plate)
    store(urls[1], FOV_3=FAR)
    for url in urls:
        array = zarr.open_array(f"{url}/0", mode="r+")
        array[:] = 7
    run_consensus(urls, rejected="exclude")
    assert "'FOV_3', acquisition 1" in caplog.text
    assert "excluded from all acquisitions" in caplog.text
    kept = [name for name in FIELDS if name != "FOV_3"]
    for url in urls:
        assert list(read_table(url, REGISTERED).rois) == kept
    run_apply(urls)
    for url in urls:
        assert list(read_table(url, REGISTERED).rois) == kept
        assert list(read_table(url).rois) == FIELDS
        field = read_pixels(url)[
            ..., :32, 64:
        ]  # FOV_3 is the last one of the first row
        assert not field.any()
        assert (read_pixels(url)[..., 3:32, :30] == 7).all()


def test_excluding_every_roi_is_an_error(plate: Path) -> None:
    urls = urls_of(plate)
    for url, names in ((urls[1], FIELDS[:3]), (urls[2], FIELDS[3:])):
        unclear: dict[str, Any] = dict.fromkeys(names, UNCLEAR)
        store(url, **unclear)
    before = tree_of(plate)
    with pytest.raises(InvalidDataError, match=r"A/01: found no ROI .*'impute'"):
        run_consensus(urls, rejected="exclude")
    assert tree_of(plate) == before


@pytest.mark.parametrize("reference_acquisition", [0, 1])
@pytest.mark.sampled(2)
def test_rotated_plate_has_no_outliers_and_is_imputed_exactly(
    make_plate: MakePlate, reference_acquisition: int
) -> None:
    """One degree over 5 x 5 fields, noise 0.02 px: 0.5 px are 25 sigma of a field."""
    plate = make_plate(**{**TINY, "fields_y": 5, "fields_x": 5, "acquisitions": 2})
    urls = urls_of(plate)[:2]
    url = urls[1 - reference_acquisition]
    rng = np.random.default_rng(0)
    angle = np.deg2rad(1)
    turn = [[np.cos(angle) - 1, -np.sin(angle)], [np.sin(angle), np.cos(angle) - 1]]
    truth_um, noisy_um = {}, {}
    for index in range(25):
        place_um = (np.array(divmod(index, 5)) - 2) * 64.0
        y, x = (np.array(turn) @ place_um + SHIFT_UM[1:]).tolist()
        name = f"FOV_{index + 1}"
        truth_um[name] = (0.0, y, x)
        dy, dx = rng.normal(0, 0.02 * PIXEL_UM, 2).tolist()
        noisy_um[name] = (0.0, y + dy, x + dx)
    store(url, noisy_um, FOV_1=FAR, FOV_13=UNCLEAR)
    run_consensus(urls, reference_acquisition=reference_acquisition)
    for name, expected_um in truth_um.items():
        status = "imputed" if name in {"FOV_1", "FOV_13"} else "measured"
        assert found_in(url, name)["registration_status"] == status
        error_px = np.subtract(translation_in(url, name), expected_um) / PIXEL_UM
        # With 23 fields a prediction is better than a measurement: 5 sigma.
        assert np.abs(error_px).max() < 0.1


def test_estimates_of_another_package_are_judged_by_their_neighbours(
    plate: Path,
) -> None:
    """Its tables hold neither confidences nor alternatives."""
    urls = urls_of(plate)
    for url in urls[1:]:
        rois = list(read_table(url).rois.values())
        extras = ("registration_confidence", "registration_alternatives")
        for roi in rois:
            for extra in extras:
                (roi.model_extra or {}).pop(extra)
        write_rois_of(url, rois)
    store(urls[1], confidence=None, FOV_2=FAR)
    run_consensus(urls)
    assert found_in(urls[1], "FOV_2")["registration_status"] == "imputed"
    assert found_in(urls[1], "FOV_1")["registration_status"] == "measured"


@pytest.mark.parametrize("value", [1.5, -0.1], ids=str)
def test_confidence_that_is_no_probability_is_an_error(
    plate: Path, value: float
) -> None:
    urls = urls_of(plate)
    store(urls[1], FOV_2={"registration_confidence": value})
    with pytest.raises(InvalidDataError, match=rf"'FOV_2', acquisition 1.*{value}"):
        run_consensus(urls)


def test_rois_that_overlap_are_judged_each(plate: Path) -> None:
    urls = urls_of(plate)
    for url in urls:
        rois = list(read_table(url).rois.values())
        half = rois[0].update_slice(name="x", new_slice=(32.0, 64.0))
        write_rois_of(url, [half, *rois[1:]])
    store(urls[1], FOV_2=FAR)
    run_consensus(urls)
    assert found_in(urls[1], "FOV_2")["registration_status"] == "imputed"
    assert found_in(urls[1], "FOV_1")["registration_status"] == "measured"


# Wells of a plate


def run_plate(urls: list[str], **arguments: Any) -> list[dict[str, Any]]:
    """Run the init task only."""
    return init_find_registration_consensus(zarr_urls=urls, zarr_dir="", **arguments)[
        "parallelization_list"
    ]


@pytest.fixture
def wells(make_plate: MakePlate) -> dict[str, list[str]]:
    """Urls of 2 x 2 wells; the plate is turned: 1 um from well to well."""
    plate = make_plate(**TINY, rows=2, columns=2)
    wells = {}
    for row, row_name in enumerate("AB"):
        for column in range(2):
            well = f"{row_name}/0{column + 1}"
            wells[well] = urls_of(plate, well)
            for url in wells[well][1:]:
                store(url, (0.0, 6.0 - column, -4.0 + row))
    return wells


def all_urls(wells: dict[str, list[str]]) -> list[str]:
    return [url for urls in wells.values() for url in urls]


@pytest.mark.e2e
def test_well_in_which_nothing_is_believed_is_imputed_from_its_plate(
    wells: dict[str, list[str]],
) -> None:
    bad = wells["B/02"][2]
    store(bad, CHANCE, confidence=0.01)
    run_consensus(all_urls(wells))
    for name in FIELDS:
        found = found_in(bad, name)
        assert found["registration_status"] == "imputed"
        assert "imputed from 3 other wells of the plate" in found["registration_reason"]
        # The plate turns: the fourth corner is where the others say it must be.
        np.testing.assert_allclose(translation_in(bad, name), (0, 5, -3), atol=1e-6)
    assert found_in(wells["B/02"][1], "FOV_1")["registration_status"] == "measured"


@pytest.mark.e2e
def test_acquisition_in_which_no_well_is_believed_is_unresolved(
    wells: dict[str, list[str]],
) -> None:
    for urls in wells.values():
        store(urls[2], CHANCE, confidence=0.01)
    run_consensus(all_urls(wells))
    for urls in wells.values():
        for name in FIELDS:
            found = found_in(urls[2], name)
            assert found["registration_status"] == "unresolved"
            # Lost: 10 px in all.
            assert found["registration_error"] == pytest.approx(
                10 * PIXEL_UM / np.sqrt(2), rel=0.05
            )
            assert found_in(urls[1], name)["registration_status"] == "measured"


def test_plate_is_frozen_by_the_init_task(wells: dict[str, list[str]]) -> None:
    units = run_plate(all_urls(wells))
    store(wells["A/01"][1], (0.0, 50.0, 50.0))  # comes too late
    plate = units[-1]["init_args"]["plate"]
    assert plate["input_roi_table"] == TABLE
    movement = plate["movements"][1]
    np.testing.assert_allclose(movement["translation_um"], (0, 5, -3), atol=1e-6)
    assert movement["wells"] == 3


def test_wells_without_translations_say_nothing_about_the_plate(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY, columns=4)
    wells = [urls_of(plate, f"A/0{number}") for number in range(1, 5)]
    urls = [url for well in wells for url in well]
    assert all("plate" not in unit["init_args"] for unit in run_plate(urls))
    for well in wells[1:]:
        for url in well[1:]:
            store(url)
    first, *others = run_plate(urls)
    assert first["init_args"]["plate"]["movements"][2]["wells"] == 3
    # Two wells are not enough to say that wells move alike.
    assert all("plate" not in other["init_args"] for other in others)
    missing = run_plate(urls, input_roi_table="nuclei_ROI_table")
    assert all("plate" not in unit["init_args"] for unit in missing)


def test_damaged_table_of_one_well_does_not_stop_the_others(
    wells: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    store(wells["A/01"][1], FOV_1={"registration_confidence": 7.0})
    units = run_plate(all_urls(wells))
    # Of the other three wells, two are left, and say nothing.
    assert set(units[-1]["init_args"]["plate"]["movements"]) == {2}
    assert re.search(r"Nothing is learnt .*'FOV_1' .*7\.0", caplog.text)


def test_plate_read_from_another_table_is_not_used(
    wells: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """On a server, the two arguments are set one by one and may differ."""
    urls = wells["B/02"]
    store(urls[2], CHANCE, confidence=0.01)
    unit = run_plate(all_urls(wells))[-1]
    unit["init_args"]["plate"]["input_roi_table"] = "well_ROI_table"
    find_registration_consensus(**unit)
    assert found_in(urls[2], "FOV_1")["registration_status"] == "unresolved"
    assert "their table 'well_ROI_table', not 'FOV_ROI_table'" in caplog.text


def test_init_args_without_a_plate_still_work(plate: Path) -> None:
    """As fractal-tasks-core's init task makes them."""
    urls = urls_of(plate)
    find_registration_consensus(
        zarr_url=urls[0],
        init_args=InitArgsRegistrationConsensus.model_validate({"zarr_url_list": urls}),
    )
    assert translation_in(urls[1], "FOV_1") == list(SHIFT_UM)


def test_acquisitions_of_the_plate_survive_json(wells: dict[str, list[str]]) -> None:
    """A server passes init_args on as JSON, where all keys are text."""
    unit = run_plate(all_urls(wells))[0]
    model = InitArgsRegistrationConsensus.model_validate(unit["init_args"])
    again = InitArgsRegistrationConsensus.model_validate_json(model.model_dump_json())
    assert again == model
    assert again.plate is not None
    assert sorted(again.plate.movements) == [1, 2]
