"""What became of an image, from what became of its ROIs."""

import pytest

from fractal_tasks.model import Outcome, Status, find_outcome, find_outcomes


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "none"),
        ([None, None], "none"),
        (["reference", "reference"], "reference"),
        (["measured", "measured"], "measured"),
        (["measured", "chosen"], "measured"),
        (["measured", "imputed"], "partly_imputed"),
        (["imputed", "imputed"], "partly_imputed"),
        (["imputed", "unresolved"], "partly_unresolved"),
        (["unresolved", "measured"], "partly_unresolved"),
        (["unresolved", "unresolved"], "unresolved"),
    ],
)
def test_outcome_of_an_image_is_that_of_its_worst_rois(
    statuses: list[Status | None], expected: Outcome
) -> None:
    assert find_outcome(statuses) == expected
    assert find_outcome(statuses[::-1]) == expected


def test_image_alone_in_its_well_has_nothing_to_register() -> None:
    assert find_outcomes({"0": ["reference"]}) == {"0": "none"}
    assert find_outcomes({"0": ["reference"], "1": ["chosen"]}) == {
        "0": "reference",
        "1": "measured",
    }
