"""Reaching an object store: credentials, options, errors, and no secret anywhere."""

import logging
import sys

import pytest
from pydantic import ValidationError

from fractal_tasks.errors import InvalidDataError, InvalidInputError, PublishError
from fractal_tasks.model.task_arguments import InitArgsRegistration
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table, replace_roi_table
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from tests.conftest import MakePlate
from tests.storage.remote.conftest import PlatePair
from tests.storage.remote.s3 import SECRET_KEY, Server
from tests.tasks.plates import REGISTERED, image_urls, read_table

TINY = {"field_size_px": 64, "acquisitions": 2, "levels": 3, "labels": False}


def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)


def calculate(urls: list[str], **arguments: object) -> None:
    calculate_registration(
        zarr_url=urls[1],
        init_args=InitArgsRegistration(reference_zarr_url=urls[0]),
        wavelength_id="A01_C01",
        level_path="0",
        **arguments,
    )


@pytest.mark.e2e
def test_options_take_the_place_of_the_environment_and_are_seen_nowhere(
    plate_pair: PlatePair,
    s3: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, url = plate_pair(**TINY)
    without_environment(monkeypatch)
    caplog.set_level(logging.DEBUG, logger="fractal_tasks")
    urls = image_urls(url, 2)
    units = init_calculate_registration(
        zarr_urls=urls, zarr_dir="", storage_options=s3.options
    )
    assert SECRET_KEY not in str(units)
    calculate(urls, storage_options=s3.options)
    assert "translation_y" in columns_of(s3, urls[1])
    assert "calculate_registration" in caplog.text
    assert SECRET_KEY not in caplog.text
    assert not any(SECRET_KEY.encode() in item for item in s3.tree_of(url).values())


def columns_of(s3: Server, zarr_url: str) -> set[str]:
    image = parse_image_url(zarr_url, s3.options)
    table = read_roi_table(open_image(image), "FOV_ROI_table")
    return {key for roi in table.rois.values() for key in (roi.model_extra or {})}


def test_secrets_are_not_in_errors_about_arguments(s3: Server) -> None:
    with pytest.raises(ValidationError) as caught:
        apply_registration_to_image(  # type: ignore[call-arg]
            zarr_url="s3://bucket/p.zarr/A/01/1", storage_options=s3.options
        )
    assert "registered_roi_table" in str(caught.value)
    assert SECRET_KEY not in str(caught.value)


def test_public_data_are_read_without_signing(
    make_plate: MakePlate, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.put(make_plate(**TINY), acl="public-read")
    without_environment(monkeypatch)
    s3.application.requests.clear()
    units = init_calculate_registration(
        zarr_urls=image_urls(url, 2),
        zarr_dir="",
        storage_options=f'{{"anon": true, "endpoint_url": "{s3.endpoint}"}}',
    )
    assert [unit["zarr_url"] for unit in units["parallelization_list"]] == [
        f"{url}/A/01/1"
    ]
    assert s3.application.requests
    assert not any(request.is_signed for request in s3.application.requests)


def test_local_image_is_registered_to_a_reference_in_an_object_store(
    plate_pair: PlatePair,
) -> None:
    plate, url = plate_pair(**TINY)
    local, remote = image_urls(plate, 2), image_urls(url, 2)
    calculate(local)
    # As text: what is not known is NaN, which equals nothing.
    expected = repr(read_table(local[1]).rois)
    calculate([remote[0], local[1]])
    assert repr(read_table(local[1]).rois) == expected


def test_image_in_an_object_store_is_not_replaced(
    plate_pair: PlatePair, s3: Server
) -> None:
    _, url = plate_pair(**TINY)
    s3.application.requests.clear()
    with pytest.raises(InvalidInputError, match="Set overwrite_input=False"):
        apply_registration_to_image(
            zarr_url=f"{url}/A/01/1", registered_roi_table=REGISTERED
        )
    assert s3.application.requests == []


def test_missing_bucket_is_an_error_that_names_the_url(s3: Server) -> None:
    zarr_url = "s3://no-such-bucket/plate.zarr/A/01/0"
    with pytest.raises(InvalidDataError, match=r"s3://no-such-bucket/plate\.zarr"):
        init_calculate_registration(zarr_urls=[zarr_url], zarr_dir="")


def test_wrong_credentials_are_an_error_that_says_what_to_do(
    plate_pair: PlatePair, s3: Server
) -> None:
    _, url = plate_pair(**TINY)
    with (
        s3.checking_credentials(),
        pytest.raises(InvalidDataError, match=f"{url}.*credentials") as caught,
    ):
        init_calculate_registration(zarr_urls=image_urls(url, 2), zarr_dir="")
    assert SECRET_KEY not in str(caught.value)


def test_missing_credentials_are_an_error_that_says_what_to_do(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_environment(monkeypatch)
    url = "s3://bucket/plate.zarr"
    # An instance of its own: those of other tests know the credentials.
    options = {"endpoint_url": s3.endpoint, "max_concurrency": 2}
    with pytest.raises(InvalidDataError, match=f"{url}.*credentials"):
        init_calculate_registration(
            zarr_urls=image_urls(url, 2), zarr_dir="", storage_options=options
        )


@pytest.mark.e2e
def test_refused_writing_leaves_the_table_and_says_what_to_do(
    plate_pair: PlatePair, s3: Server
) -> None:
    _, url = plate_pair(**TINY)
    image = parse_image_url(f"{url}/A/01/1")
    table = read_table(image.zarr_url)
    before = s3.tree_of(url)
    with s3.refusing("PUT"), pytest.raises(PublishError, match=f"{url}.*allow to"):
        replace_roi_table(
            image,
            "FOV_ROI_table",
            rois=list(table.rois.values()),
            meta=table.meta,
            record={},
        )
    assert s3.tree_of(url) == before


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    # Another test may have loaded it; fsspec has a dict behind a read-only view.
    loaded = vars(sys.modules["fsspec.registry"])["_registry"]
    monkeypatch.delitem(loaded, "s3", raising=False)
    with pytest.raises(
        InvalidInputError, match=r'pip install "fractal-tasks\[remote\]"'
    ):
        init_calculate_registration(
            zarr_urls=["s3://bucket/plate.zarr/A/01/0"], zarr_dir=""
        )


def test_unknown_protocols_are_refused() -> None:
    url = "nonsense://bucket/plate.zarr/A/01/0"
    with pytest.raises(InvalidInputError, match=r"nonsense://.*unknown protocol"):
        init_calculate_registration(zarr_urls=[url], zarr_dir="")


@pytest.mark.parametrize(
    "storage_options",
    [
        {"nonsense": "hidden"},
        {"secret": "hidden", "key": "hidden", "endpoint_url": "127.0.0.1:9"},
    ],
)
def test_options_that_do_not_fit_are_refused_without_their_values(
    storage_options: dict[str, str],
) -> None:
    url = "s3://bucket/plate.zarr/A/01/0"
    with pytest.raises(InvalidDataError, match="storage_options") as caught:
        init_calculate_registration(
            zarr_urls=[url], zarr_dir="", storage_options=storage_options
        )
    assert "hidden" not in str(caught.value)
