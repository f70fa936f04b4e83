import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.urls import (
    normalise_url,
    parse_image_url,
    parse_storage_options,
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/data/p.zarr/B/03/1", "/data/p.zarr/B/03/1"),
        ("/data/p.zarr/B/03/1/", "/data/p.zarr/B/03/1"),
        ("/data//p.zarr/B/03/1//", "/data/p.zarr/B/03/1"),
        ("p.zarr/B/03/1", "p.zarr/B/03/1"),
        ("s3://bucket/p.zarr/B/03/1/", "s3://bucket/p.zarr/B/03/1"),
    ],
)
def test_trailing_and_doubled_slashes_are_removed(url: str, expected: str) -> None:
    assert normalise_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        "/data/p.zarr/B/../03/1",
        "./p.zarr/B/03/1",
        "/data/p.zarr/B/03/\0",
        "/data/p.zarr/B/03/1\n",
        "/data/p.zarr/B/03/\ud800",
        f"/data/p.zarr/B/03/{'x' * 300}",
    ],
)
def test_dots_and_impossible_names_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="zarr_url"):
        normalise_url(url)


def test_image_url_is_taken_apart() -> None:
    image = parse_image_url("/data/p.zarr/B/03/1_illum_corr/")
    assert (image.plate_url, image.row, image.column) == ("/data/p.zarr", "B", "03")
    assert image.well_url == "/data/p.zarr/B/03"
    assert image.suffix == "illum_corr"
    assert image.sibling("0").zarr_url == "/data/p.zarr/B/03/0"


@pytest.mark.parametrize(
    ("url", "folder", "beside"),
    [
        ("/data/a.zarr", "/data", "/data/b"),
        ("/a.zarr", "/", "/b"),
        ("a.zarr", ".", "b"),
        ("s3://bucket/a.zarr", "s3://bucket", "s3://bucket/b"),
    ],
)
def test_url_of_an_image_in_no_plate_has_a_folder(
    url: str, folder: str, beside: str
) -> None:
    image = parse_image_url(url)
    assert image.well_url == folder
    assert image.sibling("b").zarr_url == beside


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1", "1_registered"),
        ("day1.zarr", "day1_registered.zarr"),
        ("day.1.ome.zarr", "day.1_registered.ome.zarr"),
    ],
)
def test_ending_of_a_name_stays_its_end(name: str, expected: str) -> None:
    image = parse_image_url(f"/data/{name}")
    assert image.name_with("registered") == expected


def test_remote_image_url_is_taken_apart_with_its_options() -> None:
    image = parse_image_url("s3://bucket/a/p.zarr/B/03/1", {"anon": True})
    assert image.is_remote
    assert (image.plate_url, image.row) == ("s3://bucket/a/p.zarr", "B")
    for location in (image.plate, image.well, image.sibling("0").location):
        assert location.storage_options == {"anon": True}


def test_remote_url_without_a_path_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="plate"):
        parse_image_url("memory://")


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hidden@bucket/p.zarr/B/03/1",
        "https://host/p.zarr/B/03/1?signature=hidden",
    ],
)
def test_secrets_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidInputError, match="storage_options") as caught:
        parse_image_url(url)
    assert "hidden" not in str(caught.value)


def test_options_neither_tell_images_apart_nor_are_shown() -> None:
    url = "s3://bucket/p.zarr/B/03/1"
    image = parse_image_url(url, {"secret": "hidden"})
    assert image == parse_image_url(url)
    assert hash(image) == hash(parse_image_url(url))
    assert "hidden" not in repr(image) + repr(image.location)


@pytest.mark.parametrize("text", ['{"secret": "hidden"', '["hidden"]', '"hidden"'])
def test_options_that_are_no_json_object_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidInputError, match="JSON object") as caught:
        parse_storage_options(text)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
