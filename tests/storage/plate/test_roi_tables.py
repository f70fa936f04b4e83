"""ROI tables are checked when they are read, and replaced as a whole."""

import json
import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.local import publish
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.ngio_tables import finding_files
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import (
    check_rois,
    load_roi_table,
    own_columns_known,
    plain_meta,
    read_roi_table,
    replace_roi_table,
)
from fractal_tasks.storage.plate.tables import read_table_types
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from tests.conftest import MakePlate
from tests.storage.tiny import TABLE, TINY, WELL, make_roi, read_table

NEW = "new_ROI_table"


@pytest.fixture
def url(make_plate: MakePlate) -> ImageUrl:
    return parse_image_url(f"{make_plate(**TINY)}/{WELL}/1")


@pytest.fixture
def image(url: ImageUrl) -> OpenImage:
    return open_image(url)


def write(url: ImageUrl, name: str, rois: list[Any], backend: str = "anndata") -> None:
    replace_roi_table(url, name, rois=rois, meta=plain_meta(backend), record={"n": 1})


def attributes_of(url: ImageUrl, name: str) -> Path:
    return url.path / "tables" / name / ".zattrs"


@pytest.mark.parametrize("backend", ["anndata", "json", "csv", "parquet"])
def test_what_is_written_is_read(url: ImageUrl, backend: str) -> None:
    rois = [
        make_roi("b", 1.5, note="x", **{"size (um)": 2.0}, translation_y=-1.25),
        make_roi("a", 3.25, note="y", **{"size (um)": 4.0}, translation_y=0.5),
    ]
    write(url, NEW, rois, backend)
    table = read_table(url.zarr_url, NEW)
    assert list(table.rois) == ["b", "a"]
    assert table.record == {"n": 1}
    assert table.meta.backend == backend
    for roi, found in zip(rois, table.rois.values(), strict=True):
        assert found.get("x") == roi.get("x")
        assert found.model_extra == roi.model_extra
    assert list_tables(open_image(url))[-1] == NEW


def test_writing_again_replaces_the_table_and_lists_it_once(url: ImageUrl) -> None:
    write(url, NEW, [make_roi("a")])
    write(url, NEW, [make_roi("b")])
    assert list(read_table(url.zarr_url, NEW).rois) == ["b"]
    assert list_tables(open_image(url)).count(NEW) == 1


def test_table_that_cannot_be_written_leaves_the_old_one(
    url: ImageUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_table(url.zarr_url).rois.keys()

    def refuse(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "_flush_file_system", refuse)
    with pytest.raises(PublishError, match="No space left"):
        write(url, TABLE, [make_roi("a")])
    assert read_table(url.zarr_url).rois.keys() == before


def test_column_that_no_backend_can_store_is_named(url: ImageUrl) -> None:
    with pytest.raises(InvalidDataError, match="cannot be stored in a table"):
        write(url, NEW, [make_roi("a", odd={"a": {1, 2}})])


def test_missing_table_is_an_error_that_names_the_others(image: OpenImage) -> None:
    with pytest.raises(InvalidDataError, match=f"'nothing' is needed.*{TABLE}"):
        read_roi_table(image, "nothing")


def test_table_of_another_type_is_an_error(url: ImageUrl) -> None:
    path = attributes_of(url, TABLE)
    path.write_text(path.read_text().replace('"roi_table"', '"feature_table"'))
    with pytest.raises(InvalidDataError, match="cannot be read as a ROI table"):
        read_roi_table(open_image(url), TABLE)


def test_table_without_a_type_is_a_roi_table_if_it_has_the_columns(
    url: ImageUrl,
) -> None:
    path = attributes_of(url, TABLE)
    attributes = json.loads(path.read_text())
    for name in ("type", "table_version", "backend"):
        attributes.pop(name, None)
    path.write_text(json.dumps(attributes))
    image = open_image(url)
    assert list(read_roi_table(image, TABLE).rois) == ["FOV_1", "FOV_2"]
    assert read_table_types(image)[TABLE] == "roi_table"


def test_types_are_those_of_the_metadata(image: OpenImage) -> None:
    types = read_table_types(image)
    assert list(types) == list_tables(image)
    assert types[TABLE] == "roi_table"
    assert types["nuclei_ROI_table"] == "masking_roi_table"


def test_record_of_another_shape_is_none(url: ImageUrl) -> None:
    path = attributes_of(url, TABLE)
    path.write_text(json.dumps({**json.loads(path.read_text()), "registration": 1}))
    assert read_table(url.zarr_url).record is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", ""], "1 without a name"),
        (["nan", "None", " "], "3 without a name"),
        (["b", "a", "b", "a", "c"], r"duplicates \['a', 'b'\]"),
    ],
)
def test_rois_need_names_of_their_own(names: list[str], message: str) -> None:
    with pytest.raises(InvalidDataError, match=f"^here.*{message}"):
        check_rois("here", names, [make_roi(name) for name in names])


def test_table_without_rois_is_refused_where_rois_are_needed(url: ImageUrl) -> None:
    """What is only carried along may be empty: the nuclei of an empty field."""
    write(url, NEW, [])
    assert load_roi_table(open_image(url), NEW).rois == {}
    with pytest.raises(InvalidDataError, match=f"'{NEW}' has no ROIs"):
        read_roi_table(open_image(url), NEW)


@pytest.mark.parametrize("x_um", [np.nan, np.inf, 2e9])
def test_rois_need_to_lie_somewhere(x_um: float) -> None:
    with pytest.raises(InvalidDataError, match="ROI 'b': found x from"):
        check_rois("here", ["a", "b"], [make_roi("a"), make_roi("b", x_um)])


def test_file_that_a_store_did_not_give_is_not_said_to_be_missing(
    image: OpenImage,
) -> None:
    (there, *_) = files_of(image.url).list_files(image.url.location / "tables" / TABLE)
    with (
        pytest.raises(InvalidDataError, match="could not be read, though it is there"),
        finding_files(image, TABLE),
    ):
        raise FileNotFoundError(f"bucket/tables/{TABLE}/{there}")
    with pytest.raises(FileNotFoundError), finding_files(image, TABLE):
        raise FileNotFoundError(f"bucket/tables/{TABLE}/nothing.csv")


def test_open_image_reads_each_table_once(url: ImageUrl) -> None:
    image = open_image(url)
    first = load_roi_table(image, TABLE)
    shutil.rmtree(url.path / "tables" / TABLE)
    assert read_roi_table(image, TABLE) is first


def test_ten_thousand_rois_are_checked_with_one_look_at_each_name() -> None:
    """A table of a plate's fields or nuclei; to compare all pairs takes minutes."""
    looks = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return str.__eq__(self, str(other))

        __hash__ = str.__hash__

    names = [Name(f"FOV_{number}") for number in range(10_000)]
    check_rois("here", list(names), [make_roi("a")] * len(names))
    # A few from names whose hashes fall together.
    assert looks < 10 * len(names)


def test_first_table_of_an_image_makes_the_folder_of_tables(url: ImageUrl) -> None:
    shutil.rmtree(url.path / "tables")
    write(url, NEW, [make_roi("a")])
    assert list_tables(open_image(url)) == [NEW]
    assert list(read_table(url.zarr_url, NEW).rois) == ["a"]


def test_further_columns_are_read_and_written_without_a_remark(
    url: ImageUrl, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        write(url, NEW, [make_roi("a", whatever=1.5, text="t")])
        read_table(url.zarr_url, NEW)
    assert caplog.messages == []


def test_other_remarks_of_the_same_loggers_are_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("anndata")
    with caplog.at_level(logging.INFO, logger="anndata"):
        with own_columns_known():
            logger.info("... storing 'a' as categorical")
            logger.info("something else")
        logger.info("... storing 'a' as categorical")
    assert caplog.messages == ["something else", "... storing 'a' as categorical"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_chunk_of_a_table_that_is_cut_anywhere_is_refused(
    make_plate: MakePlate, version: str
) -> None:
    """The codec blosc read beyond the end, and gave other numbers without an error."""
    image = make_plate(**TINY, ngff_version=version) / WELL / "1"
    for array in ("X", "obs/FieldIndex"):
        chunks = (image / "tables" / TABLE / array).rglob("*")
        chunk = next(path for path in chunks if path.is_file() and "0" in path.name)
        whole = chunk.read_bytes()
        for length in range(0, len(whole), 8):
            chunk.write_bytes(whole[:length])
            with pytest.raises(InvalidDataError, match=f"1: table '{TABLE}' cannot"):
                read_table(str(image))
        chunk.write_bytes(whole)


@pytest.mark.filterwarnings("ignore:Element .* was written without encoding metadata")
@pytest.mark.filterwarnings("ignore:Object at table.* is not recognized")
@pytest.mark.parametrize("backend", ["anndata", "json", "csv", "parquet"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.sampled(3)
def test_a_table_that_lost_a_metadata_file_is_refused_or_has_the_same_rois(
    make_plate: MakePlate, version: str, backend: str
) -> None:
    options = {**TINY, "ngff_version": version, "table_backend": backend}
    image = make_plate(**options) / WELL / "1"
    whole = read_table(str(image)).rois
    names = (".zgroup", ".zarray", ".zattrs", "zarr.json")
    for path in (image / "tables" / TABLE).rglob("*"):
        if path.name not in names:
            continue
        content = path.read_bytes()
        path.unlink()
        try:
            found = read_table(str(image)).rois
        except InvalidDataError as error:
            named = TABLE in str(error)
        else:
            named = found == whole
        assert named, path
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize("path", ["X/0.0", "X/.zarray", "obs/.zattrs"])
def test_a_file_of_a_table_that_is_none_is_refused(
    url: ImageUrl, path: str, kind: str
) -> None:
    """A pipe was waited for without end, a folder taken for a chunk of zeros."""
    place = url.path / "tables" / TABLE / path
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(InvalidDataError, match=TABLE):
        read_table(url.zarr_url)
