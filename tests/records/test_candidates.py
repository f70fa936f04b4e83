import json

import pytest

from fractal_tasks.model import Candidate
from fractal_tasks.records.candidates import candidates_from_json, candidates_to_json
from fractal_tasks.transforms import Translation
from tests.records.plates import PIXELS

FIRST = Candidate(
    Translation((0.0, 1.25, -2.0)), 0.5, 0.125, {"peak_ratio": 2.0}, error_z_um=0.75
)
SECOND = Candidate(Translation((1.0, 0.0, 0.0)), None, None)
TRANSFORM = {"type": "translation", "translation": [0.0, 1.25, -2.0]}
ENDS = {"input": {"name": "acquisition"}, "output": {"name": "reference"}}


def test_text_holds_all_candidates_in_their_order() -> None:
    assert json.loads(candidates_to_json([FIRST, SECOND], PIXELS)) == [
        {
            "transform": TRANSFORM | ENDS,
            "confidence": 0.5,
            "error_um": 0.125,
            "evidence": {"peak_ratio": 2.0},
            "error_z_um": 0.75,
        },
        {
            "transform": {"type": "translation", "translation": [1.0, 0.0, 0.0]} | ENDS,
            "confidence": None,
            "error_um": None,
            "evidence": {},
            "error_z_um": None,
        },
    ]


@pytest.mark.parametrize("candidates", [[], [FIRST], [SECOND, FIRST]])
def test_candidates_survive_as_text(candidates: list[Candidate]) -> None:
    assert (
        candidates_from_json(candidates_to_json(candidates, PIXELS), PIXELS)
        == candidates
    )


@pytest.mark.parametrize(
    "change",
    [
        {"transform": {"type": "warp"}},
        {"transform": None},
        {"confidence": 1.01},
        {"confidence": -0.01},
        {"confidence": float("nan")},
        {"error_um": -1},
        {"error_um": float("inf")},
        {"error_z_um": -1},
        {"evidence": {"peak_ratio": "high"}},
        {"evidence": None},
        {"colour": "red"},
    ],
    ids=str,
)
def test_damaged_candidate_is_refused(change: dict[str, object]) -> None:
    whole = {"transform": TRANSFORM, "confidence": 0.5, "error_um": 0.1, "evidence": {}}
    assert len(candidates_from_json(json.dumps([whole]), PIXELS)) == 1
    with pytest.raises(ValueError):  # noqa: PT011 (each has its own text)
        candidates_from_json(json.dumps([{**whole, **change}]), PIXELS)


@pytest.mark.parametrize("name", ["transform", "confidence", "error_um"])
def test_candidate_without_a_part_is_refused(name: str) -> None:
    (stored,) = json.loads(candidates_to_json([FIRST], PIXELS))
    del stored[name]
    with pytest.raises(ValueError, match=name):
        candidates_from_json(json.dumps([stored]), PIXELS)


@pytest.mark.parametrize("text", ["", "{}", "7", "[[0.0, 1.0, 1.0, 0.4, 0.1]]", "[7]"])
def test_what_is_no_list_of_candidates_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        candidates_from_json(text, PIXELS)
