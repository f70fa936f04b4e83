"""What is paired with what, and by what."""

from collections.abc import Sequence

import pytest

from fractal_tasks.model import Item, Pairing, pair_items

SIZE_UM = (100.0, 100.0)


def grid(*names: str, offset_um: float = 0.0) -> list[Item]:
    """Lay fields of 100 um out in rows of two."""
    return [
        Item(name, name, (100.0 * (i // 2) + offset_um, 100.0 * (i % 2)), SIZE_UM)
        for i, name in enumerate(names)
    ]


def reordered(items: Sequence[Item], *names: str) -> list[Item]:
    """Give the places of other items to names."""
    return [
        Item(name, name, item.centre_um, item.size_um)
        for item, name in zip(items, names, strict=True)
    ]


def nowhere(*names: str) -> list[Item]:
    return [Item(name, name) for name in names]


def by(pairing: Pairing, how: str) -> dict[str, str]:
    """Give moving to fixed of the pairs that were made in one way."""
    return {
        one: other
        for one, other in pairing.partners.items()
        if pairing.paired_by[one] == how
    }


FIXED = grid("a", "b", "c", "d")


def test_same_names_at_the_same_places_are_paired_in_any_order() -> None:
    pairing = pair_items(FIXED, FIXED[::-1])
    assert by(pairing, "name") == {name: name for name in "abcd"}
    assert list(pairing.partners) == ["d", "c", "b", "a"]
    assert not pairing.fixed_alone
    assert not pairing.moving_alone


def test_what_only_one_has_is_left_alone() -> None:
    moving = [FIXED[0], FIXED[3], Item("x", "x", (900.0, 900.0), SIZE_UM)]
    pairing = pair_items(FIXED, moving)
    assert by(pairing, "name") == {"a": "a", "d": "d"}
    assert pairing.fixed_alone == ("b", "c")
    assert pairing.moving_alone == ("x",)


@pytest.mark.parametrize("offset_um", [0.0, 25.0, -25.0])
def test_other_names_at_the_same_places_are_paired_by_place(offset_um: float) -> None:
    pairing = pair_items(FIXED, grid("1", "2", "3", "4", offset_um=offset_um))
    assert by(pairing, "place") == dict(zip("1234", "abcd", strict=True))


def test_farther_than_a_quarter_of_their_size_is_another_place() -> None:
    pairing = pair_items(FIXED, grid("1", "2", offset_um=26.0))
    assert not pairing.partners
    assert pairing.moving_alone == ("1", "2")


def test_place_fills_what_names_leave() -> None:
    pairing = pair_items(FIXED, reordered(FIXED, "a", "b", "c", "z"))
    assert by(pairing, "name") == {name: name for name in "abc"}
    assert by(pairing, "place") == {"z": "d"}


def test_same_names_in_another_scan_order_are_paired_by_place() -> None:
    """Rows scanned to and fro, against all from the left."""
    pairing = pair_items(FIXED, reordered(FIXED, "a", "b", "d", "c"))
    assert by(pairing, "place") == {"a": "a", "b": "b", "d": "c", "c": "d"}


def test_same_names_with_one_field_less_and_new_numbers_are_paired_by_place() -> None:
    without_b = [FIXED[0], FIXED[2], FIXED[3]]
    pairing = pair_items(FIXED, reordered(without_b, "a", "b", "c"))
    assert by(pairing, "place") == {"a": "a", "b": "c", "c": "d"}
    assert pairing.fixed_alone == ("b",)


def test_names_count_where_all_places_are_off_alike() -> None:
    """Another origin: each field lies where its neighbour was, but none was moved."""
    pairing = pair_items(FIXED, grid("a", "b", "c", "d", offset_um=100.0))
    assert by(pairing, "name") == {name: name for name in "abcd"}


def test_nothing_else_leaves_the_order_if_there_are_as_many() -> None:
    assert by(pair_items(nowhere("a", "b"), nowhere("x", "y")), "order") == {
        "x": "a",
        "y": "b",
    }
    pairing = pair_items(nowhere("a", "b"), nowhere("x"))
    assert not pairing.partners
    assert pairing.fixed_alone == ("a", "b")


def test_order_is_not_used_beside_names() -> None:
    pairing = pair_items(nowhere("a", "b"), nowhere("a", "y"))
    assert pairing.partners == {"a": "a"}
    assert pairing.moving_alone == ("y",)


def test_names_that_are_there_twice_pair_nothing() -> None:
    fixed = [Item("0", ""), Item("1", "")]
    moving = [Item("2", ""), Item("3", "")]
    assert by(pair_items(fixed, moving), "order") == {"2": "0", "3": "1"}


def test_no_item_is_the_partner_of_two() -> None:
    moving = [FIXED[0], Item("x", "x", (1.0, 1.0), SIZE_UM)]
    pairing = pair_items([FIXED[0]], moving)
    assert pairing.partners == {"a": "a"}
    assert pairing.moving_alone == ("x",)


def test_pairing_is_told_in_words() -> None:
    pairing = pair_items(FIXED, reordered(FIXED, "a", "b", "c", "z"))
    assert pairing.describe() == "3 by name, 1 by place"
