"""Files of points and shapes are mapped; all else in them stays."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ngio import open_ome_zarr_container

import fractal_tasks as ft
from fractal_tasks.cli import main
from fractal_tasks.transforms import Affine, plane_matrix
from tests.cli.helpers import Capture

TURN = Affine.of(plane_matrix(turn_rad=0.1), (0.0, 1.0, 2.0))
WIDER = Affine.of(plane_matrix(turn_rad=0.0, scale=1.1), (0.0, 1.0, 2.0))
PIXEL_UM = 0.325
ADDED = ["registration_roi", "registration_seen"]


def run(*words: object) -> int:
    return main(["points", *map(str, words)])


def shift_um(image: str) -> tuple[float, float]:
    (at,) = ft.point_map(image).to_reference([[5.0, 5.0]]).points_um.tolist()
    return at[0] - 5.0, at[1] - 5.0


@pytest.mark.parametrize(("unit", "first"), [("um", 0), ("pixel", 0), ("index", -0.5)])
@pytest.mark.sampled(3)
def test_rows_of_csv_are_mapped_and_back(
    image: str, tmp_path: Path, unit: str, first: float, capsys: Capture
) -> None:
    step = 1.0 if unit == "um" else PIXEL_UM
    y, x = 5 / step + first, 6 / step + first  # 5 and 6 um
    file, mapped, back = (tmp_path / f"{name}.csv" for name in ("in", "out", "back"))
    file.write_text(f"cell,x,y,area\n007,{x},{y},1.50\n008,-9,1,n/a\n")
    words = ["--unit", unit, "--to"]
    assert run(image, file, *words, "reference", "--output", mapped) == 0
    assert "1 of 2 lie in no ROI" in capsys.readouterr().err
    found = pd.read_csv(mapped, dtype=str, keep_default_na=False)
    assert list(found.columns) == ["cell", "x", "y", "area", *ADDED]
    assert list(found["cell"]) == ["007", "008"]
    assert list(found["area"]) == ["1.50", "n/a"]
    assert list(found["registration_roi"]) == ["FOV_1", ""]
    assert list(found["registration_seen"]) == ["True", ""]
    assert found["x"][1] == found["y"][1] == ""
    y_um, x_um = shift_um(image)
    assert float(found["y"][0]) == pytest.approx((5 + y_um) / step + first)
    assert float(found["x"][0]) == pytest.approx((6 + x_um) / step + first)
    assert run(image, mapped, *words, "acquisition", "--output", back) != 0
    assert "is no number" in capsys.readouterr().err
    mapped.write_text("".join(mapped.read_text().splitlines(keepends=True)[:2]))
    assert run(image, mapped, *words, "acquisition", "--output", back) == 0
    again = pd.read_csv(back)
    assert (again["y"][0], again["x"][0]) == pytest.approx((y, x))


def test_places_that_are_not_kept_are_marked(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    """The first or the last rows and columns of a field that moved are cropped."""
    extent_um = 32 * PIXEL_UM
    file, mapped = tmp_path / "in.csv", tmp_path / "out.csv"
    edge = [0.01, extent_um - 0.01]
    rows = [(y, x) for y in edge for x in edge]
    file.write_text("y,x\n5,6\n" + "".join(f"{y},{x}\n" for y, x in rows))
    shapes = [{"type": "Point", "coordinates": [x, y]} for y, x in [(5, 6), *rows]]
    drawn, moved = tmp_path / "in.geojson", tmp_path / "out.geojson"
    features = [{"type": "Feature", "geometry": one} for one in shapes]
    drawn.write_text(json.dumps({"features": features}))
    assert run(image, file, "--to", "reference", "--output", mapped) == 0
    found = pd.read_csv(mapped)
    assert found["registration_seen"][0]
    unseen = list(~found["registration_seen"]).count(True)
    assert 1 <= unseen < 5
    assert f"{unseen} of 5 lie where nothing of their ROI is kept" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run(image, drawn, "--to", "reference", "--output", moved) == 0
    assert [
        one["properties"]["registration_seen"]
        for one in json.loads(moved.read_text())["features"]
    ] == list(found["registration_seen"])


def test_shapes_of_geojson_go_as_a_whole(image: str, tmp_path: Path) -> None:
    ring = [[5, 6], [8, 6], [8, 9], [5, 6]]
    shapes = [
        {"type": "Polygon", "coordinates": [ring]},
        {"type": "Point", "coordinates": [5, 6, 1.5]},
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        {
            "type": "GeometryCollection",
            "geometries": [
                {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
            ],
        },
        None,
        {"type": "Point", "coordinates": [-50, 6]},
    ]
    features = [
        {"type": "Feature", "geometry": one, "properties": {"n": n}, "id": n}
        for n, one in enumerate(shapes)
    ]
    file, output = tmp_path / "in.geojson", tmp_path / "out.geojson"
    file.write_text(
        json.dumps(
            {"type": "FeatureCollection", "features": features, "bbox": [0, 0, 9, 9]}
        )
    )
    words = ["--unit", "pixel", "--to", "reference", "--output", output]
    assert run(image, file, *words) == 0
    found = json.loads(output.read_text())
    assert found.keys() == {"type", "features"}  # where they lay is not known any more
    *mapped, nothing, lost = found["features"]
    assert nothing == features[4]
    assert [one["id"] for one in mapped] == [0, 1, 2, 3]
    assert mapped[0]["properties"] == {"n": 0} | dict(
        zip(ADDED, ["FOV_1", True], strict=True)
    )
    assert lost["geometry"] is None
    assert lost["properties"] == {"n": 5} | dict.fromkeys(ADDED)
    y_um, x_um = shift_um(image)
    moved = [[x + x_um / PIXEL_UM, y + y_um / PIXEL_UM] for x, y in ring]
    for expected, point in zip(
        moved, mapped[0]["geometry"]["coordinates"][0], strict=True
    ):
        assert point == pytest.approx(expected)
    assert mapped[1]["geometry"]["coordinates"] == pytest.approx([*moved[0], 1.5])
    line = mapped[3]["geometry"]["geometries"][0]
    assert line["coordinates"] == mapped[2]["geometry"]["coordinates"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b\n1,2\n", "Name them: --columns y,x"),
        ("a.csv", "y,x\n1,a\n", "is no number"),
        ("a.csv", "", "cannot be read as CSV"),
        ("a.csv", None, "found no such file"),
        ("a.geojson", "{", "cannot be read as GeoJSON"),
        ("a.geojson", '{"type": "Topology"}', "cannot be read as GeoJSON"),
        ("a.geojson", '{"features": [{"geometry": {"type": "Point"}}]}', "GeoJSON"),
        ("a.geojson", None, "cannot be read as GeoJSON"),
    ],
)
@pytest.mark.sampled(4)
def test_file_that_holds_no_points_is_an_error(
    image: str,
    tmp_path: Path,
    name: str,
    content: str | None,
    message: str,
    capsys: Capture,
) -> None:
    file, output = tmp_path / name, tmp_path / "out"
    if content is not None:
        file.write_text(content)
    assert run(image, file, "--to", "reference", "--output", output) != 0
    shown = " ".join(capsys.readouterr().err.split())
    assert message in shown
    assert str(file) in shown
    assert not output.exists()


def test_file_that_is_there_is_left_alone(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("y,x\n5,5\n")
    assert run(image, file, "--to", "reference", "--output", file) != 0
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "y,x\n5,5\n"


def test_nothing_mapped_is_no_success(image: str, tmp_path: Path) -> None:
    file, output = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("top,left\n-5,-5\n")
    words = ["--to", "reference", "--columns", "top,left", "--output", output]
    assert run(image, file, *words) == 1
    assert output.read_text() == f"top,left,{','.join(ADDED)}\n,,,\n"


def test_table_of_the_image_is_mapped(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    """What was measured of objects: their places move, all else is told or holds."""
    output = tmp_path / "nuclei.csv"
    words = ["--to", "reference", "--output", output]
    assert run(image, "nuclei_features", *words, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["outdated_columns"] == []
    stored = open_ome_zarr_container(image).get_table("nuclei_features").dataframe
    found = pd.read_csv(output)
    names = [f"centroid_{axis}_um" for axis in "zyx"]
    assert list(found["label"]) == list(stored.index)
    pd.testing.assert_series_equal(
        found["mean_intensity_DAPI"],
        stored["mean_intensity_DAPI"].reset_index(drop=True),
        check_dtype=False,
    )
    expected = ft.point_map(image).to_reference(stored[names].to_numpy())
    np.testing.assert_allclose(found[names].to_numpy(), expected.points_um)
    assert list(found["registration_roi"].fillna("")) == [
        roi or "" for roi in expected.rois
    ]
    output.unlink()
    assert run(image, "cells", *words) == 2
    assert "'nuclei_features'" in capsys.readouterr().err


def test_columns_that_do_not_hold_any_more_are_named(
    image: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("label,centroid-0,centroid-1,bbox-0,area\n1,5,6,3,9\n")
    words = [image, file, "--to", "reference", "--output", tmp_path / "out.csv"]
    assert run(*words) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "the columns ['bbox-0'] are as they were measured" in shown
    found = pd.read_csv(tmp_path / "out.csv")
    y_um, x_um = shift_um(image)
    assert found["centroid-0"][0] == pytest.approx(5 + y_um)
    assert found["centroid-1"][0] == pytest.approx(6 + x_um)
    assert found["bbox-0"][0] == 3
