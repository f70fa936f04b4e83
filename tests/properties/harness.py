"""A tiny plate that examples damage, and what may come of a call on it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ngio import open_ome_zarr_container

from fractal_tasks.errors import FractalTasksError
from tests.tasks.plates import image_urls


class Sandbox:
    """A plate in a folder of its own that is put back after every example."""

    def __init__(self, plate: Path) -> None:
        self.plate = plate
        self.urls = image_urls(plate, 2)
        self.axes = open_ome_zarr_container(self.urls[0]).get_image().axes
        self._original = snapshot(plate.parent)

    def read_json(self, path: str) -> Any:
        return json.loads((self.plate / path).read_text())

    def write_json(self, path: str, content: Any) -> None:
        (self.plate / path).write_text(json.dumps(content))

    def json_files(self) -> list[str]:
        """Give all metadata of the plate, but for what anndata never looks at."""
        unused = {"varm", "obsm", "varp", "obsp", "layers", "uns"}
        names = {".zattrs", ".zarray", ".zgroup", "zarr.json", "table.json"}
        return sorted(
            path.relative_to(self.plate).as_posix()
            for path in self.plate.rglob("*")
            if path.name in names and not unused & set(path.parts)
        )

    def run(
        self, call: Callable[[], object], place: str | None = None, also: str = ""
    ) -> FractalTasksError | None:
        """Run a call; any other error than ours passes, and fails the test.

        An error must name its place (`place`, or, if that is left out, `also`, or
        something in the plate, or an argument), and must not have changed a byte
        before.
        """
        before = snapshot(self.plate.parent)
        raised = None
        try:
            call()
        except FractalTasksError as error:
            raised = error
        if raised is not None:
            assert snapshot(self.plate.parent) == before
            message = str(raised)
            if place:
                assert place in message
            elif not (also and also in message):
                assert names_a_place(message, self.plate)
            assert "\n" not in message
            assert "pydantic" not in message
        return raised

    def restore(self) -> None:
        folder = self.plate.parent
        found = snapshot(folder)
        for name in sorted(found, reverse=True):
            path = folder / name
            if found[name] != self._original.get(name, 0):
                path.rmdir() if found[name] is None else path.unlink()
        for name in sorted(self._original):
            content = self._original[name]
            if content is None:
                (folder / name).mkdir(exist_ok=True)
            elif found.get(name) != content:
                (folder / name).write_bytes(content)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Give the content of every file below a folder, None for a folder.

    Lock files stay beside the plate, and say nothing.
    """
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    return {
        path.as_posix(): None
        if (folder / path).is_dir()
        else (folder / path).read_bytes()
        for path in paths
        if not path.parts[0].endswith("-locks")
    }


def names_a_place(message: str, plate: Path) -> bool:
    arguments = (
        "zarr_url",
        "table",
        "wavelength_id",
        "level_path",
        "quantile",
        "output_image_suffix",
        "fill_value",
        "storage_options",
        "dimensions",
    )
    return plate.name in message or any(name in message for name in arguments)
