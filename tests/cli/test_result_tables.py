"""Results as text and as CSV, from results made by hand."""

import csv
import json
from pathlib import Path

import pytest

from fractal_tasks.cli.result_tables import (
    check_csv,
    describe_lost,
    describe_results,
    results_as_data,
    write_csv,
)
from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.report.results import RoiResult
from tests.report.test_results import of_well, result


def plate_of(wells: int) -> list[RoiResult]:
    results = [
        result(acquisition=0, status="reference", zarr_url="/data/p.zarr/A/01/0")
    ]
    for number in range(1, wells + 1):
        far = {"shift_um": (0.0, -123.4, 123.4), "shift_px": (0.0, -379.7, 379.7)}
        results += of_well(f"A/{number:02d}", "measured", "imputed", **far)
    return results


def test_text_has_the_acquisitions_and_at_most_20_wells() -> None:
    text = describe_results(plate_of(wells=25))
    assert text.startswith(
        "Usable: all 50 ROIs have their place on the reference, 25 of them"
    )
    assert "Acquisitions of p.zarr" in text
    assert "Wells, worst first (20 of 25)" in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.lstrip().startswith("A/") for line in lines) == 20
    (moved,) = (line.split() for line in lines if line.split()[:1] == ["1"])
    assert moved == [
        "1", "-123.4", "123.4", "-379.7", "379.7", "25", "0", "25", "0",
        "0.99", "0.10", "-", "90.0%",
    ]  # fmt: skip


def test_text_and_data_say_what_turns_leave_off() -> None:
    results = of_well("A/01", "measured", evidence={"left_px": 12.345})
    (line,) = (
        line for line in describe_results(results).splitlines() if "A/01" in line
    )
    assert line.split()[-2] == "12.3"
    assert results_as_data(results)["wells"][0]["largest_left_px"] == 12.345


def test_numbers_are_never_cut() -> None:
    far = {"shift_um": (-12.5, -1234.5, 9876.5), "shift_px": (-12.5, -1234.5, 9876.5)}
    text = describe_results(of_well("A/01", "measured", **far))
    assert text.count("-12.5 -1234.5 9876.5") == 4
    assert "…" not in text


def test_text_names_what_is_lost_and_plates_if_there_are_several() -> None:
    lost = of_well("A/02", "unresolved", "unresolved")
    other = of_well("A/03", "measured", plate_url="/data/q.zarr")
    text = describe_results([*lost, *other])
    assert (
        describe_lost([*lost, *other])
        == "Nothing is resolved in 1 of 2: p.zarr A/02 acquisition 1."
    )
    assert "Acquisitions of q.zarr" in text
    (line,) = (line for line in text.splitlines() if "A/03" in line)
    assert line.split()[0] == "q.zarr"


def test_images_in_no_plate_are_told_one_by_one_by_their_urls() -> None:
    images = [
        result(plate_url="", well="", zarr_url=f"/lab/day_{day}/image.zarr", **changes)
        for day, changes in enumerate(
            [{"status": "reference"}, {}, {"status": "unresolved"}]
        )
    ]
    text = describe_results(images)
    assert "Acquisitions" not in text
    assert "Wells" not in text
    assert "Images, worst first (2 of 2)" in text
    first = [line.split()[0] for line in text.splitlines() if "/lab" in line]
    assert first == ["/lab/day_2/image.zarr", "/lab/day_1/image.zarr"]
    assert (
        describe_lost(images) == "Nothing is resolved in 1 of 2: /lab/day_2/image.zarr."
    )


def test_images_of_one_acquisition_are_told_apart() -> None:
    images = [
        result(zarr_url=f"/plate.zarr/A/01/{name}", **changes)
        for name, changes in (("1", {}), ("1_mip", {"status": "unresolved"}))
    ]
    text = describe_results(images)
    lines = [line.split()[:3] for line in text.splitlines() if "A/01" in line]
    assert lines[:2] == [["A/01", "1", "1_mip"], ["A/01", "1", "1"]]
    assert (
        describe_lost(images)
        == "Nothing is resolved in 1 of 2: A/01 acquisition 1 image 1_mip."
    )


def test_nothing_has_no_text() -> None:
    assert describe_results([]) == ""


def test_data_have_all_wells_and_all_rois() -> None:
    data = json.loads(json.dumps(results_as_data(plate_of(wells=25))))
    assert len(data["acquisitions"]) == 2
    assert len(data["wells"]) == 25
    assert len(data["rois"]) == 51
    assert data["rois"][1]["shift_um"] == [0.0, -123.4, 123.4]


def test_csv_has_a_row_for_each_roi(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    unknown = {"shift_um": None, "shift_px": None, "evidence": {"lead": 2.0}}
    write_csv(file, [result(reason='a, "b"'), result(roi="FOV_2", **unknown)])
    with file.open(newline="", encoding="utf-8") as opened:
        first, second = csv.DictReader(opened)
    assert first["well"] == "A/01"
    assert first["reason"] == 'a, "b"'
    shift = [first[f"shift_{axis}_um"] for axis in "zyx"]
    assert shift == ["0.0", "1.3", "0.65"]
    assert first["shift_y_px"] == "4.0"
    assert (first["ratio"], second["ratio"]) == ("3.0", "")
    assert (second["roi"], second["shift_y_um"], second["lead"]) == ("FOV_2", "", "2.0")


def test_csv_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    check_csv(tmp_path / "new.csv")
    for path in (tmp_path, tmp_path / "missing" / "new.csv"):
        with pytest.raises(InvalidInputError, match="--csv"):
            check_csv(path)


def test_csv_on_a_full_disk_says_that_the_plate_is_not_concerned() -> None:
    with pytest.raises(PublishError, match="The plate is as the tasks left it"):
        write_csv(Path("/dev/full"), [result()])
