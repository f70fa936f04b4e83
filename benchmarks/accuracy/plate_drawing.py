"""Write plates of which the place of every pixel is known, drawn by `plate_scenes`.

The reference and the acquisitions look up the same spline through the sample, at places
that are never its nodes.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ngio import (
    Channel,
    ImageInWellPath,
    Roi,
    create_empty_ome_zarr,
    create_empty_plate,
)
from ngio.tables import RoiTable
from plate_geometry import PIXEL_UM, DrawnPlate, Field, PlateKind, draw_fields
from plate_scenes import OPTICS_PX, SCENES, FloatArray, draw_debris, draw_stack
from scipy import ndimage
from scipy.interpolate import make_interp_spline

TRACER_STEPS = 32
"""Channels after the first hold the place of every pixel in its own image, plus one, in
parts of a pixel: interpolated, they are right within a 64th. In stacks z is the first.
"""

BACKGROUND = 100.0
"""Counts where nothing is."""

_TABLE = "FOV_ROI_table"
_DEBRIS_SHARE = 0.05
_MARGIN_PLANES = 6
_OPTICS_PLANES = 1.2


def draw_plate(path: Path, kind: PlateKind, seed: int) -> DrawnPlate:
    """Write a plate to a path where nothing is."""
    images = [
        ImageInWellPath(row="A", column=well + 1, path=f"{one}", acquisition_id=one)
        for well in range(kind.wells)
        for one in range(kind.acquisitions)
    ]
    plate = create_empty_plate(path, name=path.stem, images=images)
    camera = _Camera(kind, np.random.default_rng([seed, 0]))
    wells = {}
    for number, well in enumerate(plate.wells_paths()):
        fields = list(draw_fields(kind, seed, number))
        samples = [
            list(_draw_samples(field, np.random.default_rng([seed, 2, number, index])))
            for index, field in enumerate(fields)
        ]
        for acquisition in range(kind.acquisitions):
            places = np.indices((kind.planes, *kind.shape))
            tracers = (places[-kind.ndim :] + 1) * TRACER_STEPS
            image = np.zeros((1 + kind.ndim, *places.shape[1:]), dtype=np.uint16)
            image[1:] = tracers
            rng = np.random.default_rng([seed, 3, number, acquisition])
            for field, sample in zip(fields, samples, strict=True):
                image[0][:, *field.box] = camera.expose(sample[acquisition], rng)
            _write_image(path / well / f"{acquisition}", image, fields)
        wells[well] = fields
    return DrawnPlate(kind, seed, path, wells)


def read_places(image: npt.NDArray[np.uint16]) -> FloatArray:
    """Give where the pixels of an image came from, shape ``(z, y, x, 2 or 3)``.

    What came from nowhere has -1.
    """
    return np.moveaxis(image[1:] / TRACER_STEPS - 1, 0, -1)


def _draw_samples(field: Field, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Give what each acquisition sees of a field (z, y, x), before the camera."""
    kind, margin = field.kind, field.kind.margin_px
    size = kind.size_px + 2 * margin
    draw = SCENES["empty" if field.is_empty else kind.scene]
    if kind.planes > 1:
        draw = partial(draw_stack, planes=kind.planes + 2 * _MARGIN_PLANES)
    common = draw(rng, size)
    # Between nodes in the reference as well: a spline is a little softer there.
    offset = margin + rng.uniform(0, 1, 2) - field.corner_px
    offset_planes = rng.uniform(0, 1) if kind.planes > 1 else 0
    for acquisition in range(kind.acquisitions):
        places, sample, planes = field.pixels, common, offset_planes
        if acquisition > 0:
            movement = field.movements[acquisition - 1]
            places, planes = movement(places), planes + movement.shift_planes
            # Nothing is new in an empty field.
            new = kind.changed * draw(rng, size)
            sample = np.maximum((1 - kind.changed) * common, new)
        if kind.debris > 0:
            objects = rng.poisson(kind.debris * (size / kind.size_px) ** 2)
            sample = sample + draw_debris(rng, size, objects, _DEBRIS_SHARE)
        blur_px = np.hypot(OPTICS_PX, kind.defocus_px * (acquisition > 0))
        sample = ndimage.gaussian_filter(sample, blur_px, axes=(-2, -1))
        if kind.planes > 1:
            sample = _look_up_planes(sample, planes)
        coordinates = np.moveaxis(places + offset, -1, 0)
        seen = [
            ndimage.map_coordinates(plane, coordinates, order=3)
            for plane in sample.reshape(-1, size, size)
        ]
        yield np.maximum(seen, 0)


def _look_up_planes(sample: FloatArray, planes: float) -> FloatArray:
    """Blur a stack along z, and look up its inner planes, moved by some."""
    blurred = ndimage.gaussian_filter1d(sample, _OPTICS_PLANES, axis=0)
    nodes = np.arange(len(blurred))
    inner = nodes[_MARGIN_PLANES:-_MARGIN_PLANES]
    moved: FloatArray = make_interp_spline(nodes, blurred)(inner + planes)
    return moved


class _Camera:
    """One camera for the whole plate: what it adds stays where it is."""

    def __init__(self, kind: PlateKind, rng: np.random.Generator) -> None:
        size = kind.size_px
        self._kind = kind
        y, x = np.indices((size, size)) / size
        angle = rng.uniform(0, 2 * np.pi)
        slope = 0.5 + (np.sin(angle) * (y - 0.5) + np.cos(angle) * (x - 0.5)) / 1.42
        shadows = ndimage.gaussian_filter(rng.uniform(size=(size, size)) > 0.9998, 6)
        shadows = shadows / max(shadows.max(), 1e-12)
        self._passes = (1 - kind.gradient * slope) * (
            1 - min(kind.pattern, 1) * 0.5 * shadows
        )
        stripes = 0.3 * rng.uniform(0, 1, size)
        hot = 3.0 * (rng.uniform(size=(size, size)) > 0.9995)
        self._adds = BACKGROUND + kind.pattern * kind.signal * (stripes + hot)

    def expose(
        self, sample: FloatArray, rng: np.random.Generator
    ) -> npt.NDArray[np.uint16]:
        """Take a picture: speckle, shot noise, read noise."""
        kind = self._kind
        light = kind.signal * rng.uniform(0.7, 1) * sample * self._passes
        if kind.speckle > 0:
            light = light * rng.gamma(kind.speckle**-2, kind.speckle**2, light.shape)
        counts = rng.poisson(light * kind.photons_per_count) / kind.photons_per_count
        counts = counts + self._adds + rng.normal(0, 3, light.shape)
        digital: npt.NDArray[np.uint16]
        digital = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
        return digital


def _write_image(
    path: Path, image: npt.NDArray[np.uint16], fields: list[Field]
) -> None:
    tracers = "zyx"[-(len(image) - 1) :]
    channels = [
        Channel.default_init(
            label=name, wavelength_id=f"A0{number}_C0{number}", data_type="uint16"
        )
        for number, name in enumerate(("sample", *tracers), start=1)
    ]
    size = fields[0].kind.size_px
    container = create_empty_ome_zarr(
        path,
        shape=image.shape,
        axes_names=tuple("czyx"),
        pixelsize=PIXEL_UM,
        z_spacing=1.0,
        levels=4,
        channels_meta=channels,
        chunks=(1, 1, size, size),
        dtype="uint16",
    )
    target = container.get_image()
    target.set_array(image)
    target.consolidate(mode="dask")
    rois = [
        Roi.from_values(
            name=field.name,
            slices={
                "z": (0.0, float(image.shape[1])),
                "y": (field.corner_px[0] * PIXEL_UM, size * PIXEL_UM),
                "x": (field.corner_px[1] * PIXEL_UM, size * PIXEL_UM),
            },
            space="world",
            # The converters of Fractal write them, and fractal-tasks-core reads them.
            y_micrometer_original=field.corner_px[0] * PIXEL_UM,
            x_micrometer_original=field.corner_px[1] * PIXEL_UM,
        )
        for field in fields
    ]
    container.add_table(_TABLE, RoiTable(rois=rois), backend="json")
