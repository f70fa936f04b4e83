import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.urls import normalise_url, parse_image_url


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


@pytest.mark.parametrize("url", ["/B/03/0", "image.zarr", "/data"])
def test_url_outside_a_plate_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="plate"):
        parse_image_url(url)
