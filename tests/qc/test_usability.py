"""The verdict on a plate, from results made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from fractal_tasks.qc.usability import UsabilityLimits, find_blame, judge_plate
from fractal_tasks.report.results import RoiResult
from tests.report.test_results import of_well, result

GOOD = of_well("A/01", *["measured"] * 9)


def test_plate_is_usable_if_all_rois_are_known_well() -> None:
    verdict = judge_plate([*GOOD, *of_well("A/02", "imputed")])
    assert verdict.usability == "usable"
    assert verdict.look_at == ()
    assert str(verdict) == (
        "Usable: all 10 ROIs have their place on the reference, 1 of them placed as "
        "their well or plate moved; half are known to 0.10 px, 95% to 0.10 px."
    )


def test_plate_of_which_something_is_left_out_is_not_simply_usable() -> None:
    verdict = judge_plate(GOOD, left_out=2)
    assert verdict.usability == "usable, but look at these"
    assert verdict.sentence.startswith("all 9 ROIs have their place on the reference")
    assert "images and wells left out: 2" in verdict.sentence


def test_rois_that_an_acquisition_lacks_are_counted() -> None:
    reference = [replace(one, status="reference", acquisition=0) for one in GOOD]
    assert judge_plate([*reference, *GOOD]).usability == "usable"
    verdict = judge_plate([*reference, *GOOD[:7]])
    assert verdict.usability == "usable, but look at these"
    assert "reference that A/01 acquisition 1 lacks: 2" in verdict.sentence


@pytest.mark.parametrize(
    ("changes", "reason", "sentence"),
    [
        (
            {"status": "unresolved"},
            "nothing is known of its place",
            "1 is unresolved, leave it out",
        ),
        ({"error_px": 4.5}, "may be off by 4.5 px", "1 may be off by more than 3 px"),
        ({"evidence": {"left_px": 5.0}}, "off by up to 5.0 px", "'similarity'"),
        ({"kept": 0.5}, "50% of it is cropped", "1 keeps 50% of its area"),
    ],
)
def test_what_is_worth_a_look_is_named(
    changes: dict[str, Any], reason: str, sentence: str
) -> None:
    verdict = judge_plate([*GOOD, result(well="B/02", roi="FOV_3", **changes)])
    assert verdict.usability == "usable, but look at these"
    assert sentence in verdict.sentence
    (flag,) = verdict.look_at
    assert (flag.index, flag.place, flag.roi) == (9, "B/02 acquisition 1", "FOV_3")
    assert reason in flag.reason


def test_sentences_count_one_and_many() -> None:
    one, two = result(roi="FOV_1", kept=0.5), result(roi="FOV_2", kept=0.5)
    assert "of 1 ROI, 1 keeps 50% of its area" in judge_plate([one]).sentence
    many = judge_plate([one, two])
    assert "of 2 ROIs, 2 keep 50% of their area" in many.sentence
    assert "since acquisition 1 moved far" in many.sentence


def test_the_worst_is_first() -> None:
    rois = [
        result(roi="cropped", kept=0.4),
        result(roi="exact"),
        result(roi="lost", status="unresolved"),
        result(roi="unsure", error_px=4.0),
        *GOOD,
    ]
    indices = [flag.index for flag in judge_plate(rois).look_at]
    assert indices == [2, 3, 0]


def test_plate_is_not_usable_if_an_acquisition_is_lost() -> None:
    """In a plate of many acquisitions it is but a small part of all ROIs."""
    good = [result(acquisition=number) for number in range(1, 20)]
    lost = result(acquisition=20, status="unresolved")
    verdict = judge_plate([*good, lost])
    assert verdict.usability == "not usable"
    assert "1 of 1 in acquisition 20" in verdict.sentence
    lenient = judge_plate([*good, lost], UsabilityLimits(max_unresolved=1))
    assert lenient.usability == "usable, but look at these"


@pytest.mark.parametrize("rois", [[], [result(status=None)]])
def test_what_has_no_verdicts_is_not_judged(rois: list[RoiResult]) -> None:
    assert judge_plate(rois).usability == "not judged"


def test_area_is_lost_because_of_what_moved_farthest() -> None:
    near = result(acquisition=1, kept=0.5)
    far = result(acquisition=2, kept=0.5, shift_um=(0.0, 90.0, 0.0))
    assert find_blame([near, far]) == 2
    assert find_blame([result(kept=1.0)]) is None
