import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.table_names import format_table_name


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{input_roi_table}_registered", "FOV_registered"),
        ("registered", "registered"),
        ("{input_roi_table}_{input_roi_table}", "FOV_FOV"),
    ],
)
def test_name_of_the_input_stands_for_the_placeholder(template: str, name: str) -> None:
    assert format_table_name(template, "FOV") == name


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{table}_registered", "only placeholder"),
        ("{input_roi_table.__class__}", "only placeholder"),
        ("{0}", "only placeholder"),
        ("registered}", "only placeholder"),
        ("FOV", "also the input_roi_table"),
        ("{input_roi_table}", "also the input_roi_table"),
        ("", "plain table name"),
        (".hidden", "plain table name"),
        ("a/b", "plain table name"),
        ("..", "plain table name"),
        ("a\nb", "plain table name"),
        ("ü" * 101, "plain table name"),
    ],
)
def test_name_that_cannot_be_one_is_refused(template: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        format_table_name(template, "FOV")
    assert "registered_roi_table=" in str(caught.value)
