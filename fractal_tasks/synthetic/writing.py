"""Writing the wells of a synthetic plate with ngio."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ngio import (
    Channel,
    Image,
    ImageInWellPath,
    Label,
    OmeZarrContainer,
    create_empty_ome_zarr,
    create_empty_plate,
)

from fractal_tasks.synthetic.camera import Camera, build_camera
from fractal_tasks.synthetic.geometry import (
    Placement,
    Window,
    draw_placements,
    draw_stage,
    field_windows,
    well_size_um,
)
from fractal_tasks.synthetic.nuclei import (
    Nuclei,
    draw_empty_fields,
    draw_nuclei,
    reach_um,
    remove_from_fields,
    stain_markers,
    wash_off,
)
from fractal_tasks.synthetic.options import PlateOptions
from fractal_tasks.synthetic.rendering import render_debris, render_field
from fractal_tasks.synthetic.tables import (
    LABEL_NAME,
    LabelStatistics,
    write_tables,
)
from fractal_tasks.synthetic.truth import (
    AcquisitionTruth,
    FieldTruth,
    Truth,
    WellTruth,
)

_NOISE_STREAM = 7
_COLOURS = ("00FFFF", "FFFF00", "FF00FF", "00FF00", "FF0000")


@dataclass(frozen=True)
class _Acquisition:
    """What one image of the plate is made from."""

    options: PlateOptions
    well: int
    acquisition: int
    gain: float
    camera: Camera
    dirty_field: int | None
    """The one with the debris of the last acquisition."""

    nuclei: Nuclei


@dataclass(frozen=True)
class _Target:
    """Where the fields of one image go."""

    image: Image
    label: Label | None
    statistics: LabelStatistics

    def write(
        self,
        picture: npt.NDArray[np.generic],
        labels: npt.NDArray[np.uint32],
        window: Window,
        timepoint: int,
    ) -> None:
        _write_block(self.image, picture, window, timepoint)
        if self.label is None:
            return
        _write_block(self.label, labels[None], window, timepoint)
        if timepoint == 0:
            self.statistics.add_field(labels, picture[0], window.origin_um)


def write_plate(
    path: Path,
    options: PlateOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Truth:
    """Write a plate to a path where nothing is yet, and give its truth.

    Args:
        path: Where.
        options: Size, sample, stage and camera.
        progress: Called with the number of wells that are written, and of all.
    """
    wells = [
        (chr(ord("A") + row), column)
        for row in range(options.rows)
        for column in range(1, options.columns + 1)
    ]
    images = [
        ImageInWellPath(
            row=row,
            column=column,
            path=str(acquisition),
            acquisition_id=acquisition,
            acquisition_name=f"acquisition {acquisition}",
        )
        for row, column in wells
        for acquisition in range(options.acquisitions)
    ]
    plate = create_empty_plate(
        path, name=path.stem, images=images, ngff_version=options.ngff_version
    )
    camera = build_camera(options)
    truths = []
    for well, well_path in enumerate(plate.wells_paths()):
        progress(well, len(wells))
        empty = draw_empty_fields(options, well)
        nuclei = remove_from_fields(draw_nuclei(options, well), options, empty)
        count = options.fields_y * options.fields_x
        full = [field for field in range(count) if field not in empty]
        if full:
            nuclei = wash_off(nuclei, options, full[-1])
        acquisitions = tuple(
            _write_image(
                path / well_path / str(acquisition),
                _Acquisition(
                    options=options,
                    well=well,
                    acquisition=acquisition,
                    gain=draw_stage(options, acquisition).gain,
                    camera=camera,
                    dirty_field=full[0] if full else None,
                    nuclei=stain_markers(
                        nuclei.select(nuclei.lost_in > acquisition),
                        options,
                        well,
                        acquisition,
                    ),
                ),
            )
            for acquisition in range(options.acquisitions)
        )
        truths.append(WellTruth(path=well_path, acquisitions=acquisitions))
    progress(len(wells), len(wells))
    return Truth(options=options, wells=tuple(truths))


def _write_image(path: Path, source: _Acquisition) -> AcquisitionTruth:
    options = source.options
    container = _create_image(path, options, source.acquisition)
    image = container.get_image()
    label = None
    if options.labels:
        label = container.derive_label(LABEL_NAME, dtype="uint32")
    statistics = LabelStatistics(options, int(source.nuclei.label.max(initial=0)))
    target = _Target(image, label, statistics)
    placements = draw_placements(options, source.well, source.acquisition)
    truths = tuple(
        _write_field(source, target, field, window, placement)
        for field, (window, placement) in enumerate(
            zip(field_windows(options), placements, strict=True)
        )
    )
    image.consolidate(mode="dask")
    if label is not None:
        label.consolidate(mode="dask")
    write_tables(container, options, statistics if options.labels else None)
    return AcquisitionTruth(
        acquisition=source.acquisition,
        rotation_deg=placements[0].rotation_deg,
        scale=placements[0].scale,
        gain=source.gain,
        fields=truths,
    )


def _write_field(
    source: _Acquisition,
    target: _Target,
    field: int,
    window: Window,
    placement: Placement,
) -> FieldTruth:
    options = source.options
    rng = np.random.default_rng(
        [options.seed, _NOISE_STREAM, source.well, source.acquisition, field]
    )
    later = source.acquisition > 0
    nuclei = source.nuclei.moved(placement)
    nuclei = nuclei.select(window.within(nuclei.centre_um, reach_um(options)))
    rendering = render_field(nuclei, window, defocus_um=options.defocus_um * later)
    is_dirty = options.is_last(source.acquisition) and field == source.dirty_field
    debris = options.debris_per_field + options.last_debris * is_dirty
    signal = rendering.signal + render_debris(debris, window, rng)
    if options.inverted and later:
        signal = np.exp(-signal)
    signal += np.float32(options.haze)
    for timepoint in range(options.timepoints):
        picture = source.camera.expose(signal, source.gain, rng)
        target.write(picture, rendering.labels, window, timepoint)
    centre_um = window.centre_um[None]
    z_um, y_um, x_um = (placement.to_reference(centre_um) - centre_um)[0].tolist()
    rows = [(a, b, c, d) for a, b, c, d in placement.matrix.tolist()]
    return FieldTruth(
        name=f"FOV_{field + 1}",
        translation_um=(z_um, y_um, x_um),
        matrix=(rows[0], rows[1], rows[2]),
        nuclei=int(window.within(nuclei.centre_um, 0).sum()),
        empty=len(nuclei) == 0,
    )


def _create_image(
    path: Path, options: PlateOptions, acquisition: int
) -> OmeZarrContainer:
    size_um = well_size_um(options)
    spacing_um = (options.z_spacing_um, options.pixel_size_um, options.pixel_size_um)
    _, height, width = np.rint(size_um / spacing_um).astype(int).tolist()
    chunk = options.chunk_size_px or min(options.field_size_px, 2048)
    chunk = min(chunk, height, width)
    shape = {"t": options.timepoints, "c": options.channels, "z": options.planes}
    shape |= {"y": height, "x": width}
    chunks = {"t": 1, "c": 1, "z": 1, "y": chunk, "x": chunk}
    shards = chunks | {"y": 2 * chunk, "x": 2 * chunk}
    axes = tuple(options.axes)
    return create_empty_ome_zarr(
        path,
        shape=[shape[axis] for axis in axes],
        axes_names=axes,
        pixelsize=options.pixel_size_um,
        z_spacing=options.z_spacing_um,
        levels=options.levels,
        channels_meta=_channels(options, acquisition),
        name=path.name,
        ngff_version=options.ngff_version,
        chunks=tuple(chunks[axis] for axis in axes),
        shards=tuple(shards[axis] for axis in axes) if options.shards else None,
        dtype=options.dtype,
    )


def _channels(options: PlateOptions, acquisition: int) -> list[Channel]:
    names = ["DAPI"] + [
        f"marker {acquisition * (options.channels - 1) + number}"
        for number in range(1, options.channels)
    ]
    start, end = (
        options.background_counts,
        options.background_counts + 1.5 * options.signal_counts,
    )
    if options.dtype == "uint8":
        start, end = start / 16, end / 16
    return [
        Channel.default_init(
            label=name,
            wavelength_id=f"A{number + 1:02d}_C{number + 1:02d}",
            color=_COLOURS[number % len(_COLOURS)],
            start=start,
            end=end,
            data_type=options.dtype,
        )
        for number, name in enumerate(names)
    ]


def _write_block(
    target: Image | Label,
    block: npt.NDArray[np.generic],
    window: Window,
    timepoint: int,
) -> None:
    """Write the pixels of one field, shape ``(c, z, y, x)``, whatever the axes."""
    y, x = (round(start / window.pixel_size_um) for start in window.origin_um)
    place: dict[str, int | slice] = {
        "t": timepoint,
        "c": slice(None),
        "z": slice(None),
        "y": slice(y, y + window.size_px),
        "x": slice(x, x + window.size_px),
    }
    kept = tuple(slice(None) if axis in target.axes else 0 for axis in "czyx")
    target.zarr_array[tuple(place[axis] for axis in target.axes)] = block[kept]
