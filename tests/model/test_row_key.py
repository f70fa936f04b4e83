import pytest

from fractal_tasks.model import RowKey


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (RowKey("FOV_1"), "ROI 'FOV_1'"),
        (RowKey("FOV_1", timepoint=0), "ROI 'FOV_1', timepoint 0"),
        (RowKey("FOV_1", channel="A02_C02"), "ROI 'FOV_1', channel 'A02_C02'"),
        (RowKey("a\nb", 3, "C"), r"ROI 'a\nb', timepoint 3, channel 'C'"),
    ],
    ids=["roi", "first timepoint", "channel", "all on one line"],
)
def test_text_names_what_the_row_is_about(key: RowKey, text: str) -> None:
    assert str(key) == text


def test_keys_are_equal_by_their_parts_and_can_be_looked_up() -> None:
    rows = {RowKey("FOV_1", 0): "first", RowKey("FOV_1"): "all"}
    assert rows[RowKey("FOV_1", 0, None)] == "first"
    assert rows[RowKey("FOV_1")] == "all"
    assert RowKey("FOV_1", 1) not in rows


def test_keys_are_ordered_by_roi_then_timepoint_then_channel() -> None:
    ordered = [
        RowKey("FOV_1", 0, "A"),
        RowKey("FOV_1", 0, "B"),
        RowKey("FOV_1", 10, "A"),
        RowKey("FOV_2", 2, "A"),
    ]
    given = [ordered[place] for place in (2, 0, 3, 1)]
    assert sorted(given) == ordered
