"""Files of points and shapes are mapped; all else in them stays."""

import json
from pathlib import Path

import pandas as pd
import pytest

import fractal_tasks as ft
from fractal_tasks.cli import main
from tests.cli.helpers import Capture

PIXEL_UM = 0.325


def run(*words: object) -> int:
    return main(["points", *map(str, words)])


def shift_um(image: str) -> tuple[float, float]:
    (at,) = ft.point_map(image).to_reference([[5.0, 5.0]]).points_um.tolist()
    return at[0] - 5.0, at[1] - 5.0


@pytest.mark.parametrize(("unit", "first"), [("um", 0), ("pixel", 0), ("index", -0.5)])
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
    assert list(found.columns) == ["cell", "x", "y", "area", "registration_roi"]
    assert list(found["cell"]) == ["007", "008"]
    assert list(found["area"]) == ["1.50", "n/a"]
    assert list(found["registration_roi"]) == ["FOV_1", ""]
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
    assert mapped[0]["properties"] == {"n": 0, "registration_roi": "FOV_1"}
    assert lost["geometry"] is None
    assert lost["properties"] == {"n": 5, "registration_roi": None}
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
        ("a.csv", None, "cannot be read as CSV"),
        ("a.geojson", "{", "cannot be read as GeoJSON"),
        ("a.geojson", '{"type": "Topology"}', "cannot be read as GeoJSON"),
        ("a.geojson", '{"features": [{"geometry": {"type": "Point"}}]}', "GeoJSON"),
        ("a.geojson", None, "cannot be read as GeoJSON"),
    ],
)
@pytest.mark.sampled(2)
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
    assert output.read_text() == "top,left,registration_roi\n,,\n"
