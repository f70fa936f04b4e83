import re

import pytest
from pydantic import TypeAdapter, ValidationError

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.planes import Planes, choose_planes


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ("all", range(9)),
        ("3", range(3, 6)),
        ("4", range(2, 6)),
        ("20", range(9)),
        ("0-8", range(9)),
        ("5-5", range(5, 6)),
    ],
)
def test_planes_are_counted_from_0_or_from_the_middle(
    planes: str, expected: range
) -> None:
    assert TypeAdapter(Planes).validate_python(planes) == planes
    assert choose_planes(planes, 9, "ROI") == expected


@pytest.mark.parametrize("planes", ["5-4", "0-9", "9-9"])
def test_planes_that_are_not_there_are_an_error(planes: str) -> None:
    with pytest.raises(InvalidInputError, match=r"ROI .a..*has the planes 0-8"):
        choose_planes(planes, 9, "ROI 'a'")


@pytest.mark.parametrize("planes", ["", "0", "-3", "3-", "middle", "1.5"])
def test_anything_else_is_refused(planes: str) -> None:
    with pytest.raises(ValidationError, match="needed is 'all', so many"):
        TypeAdapter(Planes).validate_python(planes)


def test_web_forms_know_what_is_accepted() -> None:
    schema = TypeAdapter(Planes).json_schema()
    assert re.fullmatch(schema["pattern"], "2-9")
    assert not re.fullmatch(schema["pattern"], "3-")
