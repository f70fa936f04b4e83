"""Where the light falls: expected places from closed forms and from array flips."""

from dataclasses import replace

import numpy as np
import pytest

from fractal_tasks.synthetic import PlateOptions
from fractal_tasks.synthetic.camera import build_camera
from fractal_tasks.synthetic.geometry import Placement, Window
from fractal_tasks.synthetic.nuclei import Nuclei, draw_nuclei, stain_markers
from fractal_tasks.synthetic.rendering import render_field

PIXEL_UM = 0.325


def window_of(planes: int, size_px: int = 256) -> Window:
    return Window(
        origin_um=(0.0, 0.0),
        size_px=size_px,
        planes=planes,
        pixel_size_um=PIXEL_UM,
        z_spacing_um=1.0,
    )


def nuclei_at(centres_um: list[list[float]], channels: int = 1) -> Nuclei:
    """Take nuclei of a drawn population and put them where they are wanted."""
    options = PlateOptions(channels=channels, seed=5)
    drawn = stain_markers(draw_nuclei(options, well=0), options, 0, 0)
    nuclei = drawn.select(np.arange(len(drawn)) < len(centres_um))
    return replace(nuclei, centre_um=np.array(centres_um))


def placement_at(window: Window, **changes: object) -> Placement:
    z_um, y_um, x_um = window.centre_um.tolist()
    unmoved = Placement((0.0, 0.0, 0.0), 0.0, 1.0, centre_um=(z_um, y_um, x_um))
    return replace(unmoved, **changes)  # type: ignore[arg-type]


def centroid_px(image: np.ndarray) -> np.ndarray:
    image = image.astype(float)
    return np.array(
        [
            (np.indices(image.shape)[axis] * image).sum() / image.sum()
            for axis in range(image.ndim)
        ]
    )


@pytest.mark.parametrize("channels", [1, 3], ids=["DAPI", "markers"])
@pytest.mark.parametrize(
    ("planes", "translation_px"),
    [
        (1, (0.0, 4.0, -7.0)),
        (1, (0.0, 0.25, -0.5)),
        (1, (0.0, -3.37, 2.11)),
        (64, (0.0, 0.4, -0.3)),
        (64, (1.5, 0.0, 0.0)),
        (64, (-0.4, 1.2, 0.7)),
    ],
    ids=["2D whole", "2D half", "2D odd", "3D plane", "3D axial", "3D all"],
)
def test_a_nucleus_is_seen_at_its_place_minus_the_translation(
    planes: int, translation_px: tuple[float, float, float], channels: int
) -> None:
    """Band-limited samples: the centroid is exact; 0.01 px is half the promise."""
    window = window_of(planes)
    nuclei = nuclei_at([window.centre_um.tolist()], channels)
    spacing_um = np.array([1.0, PIXEL_UM, PIXEL_UM])
    z_um, y_um, x_um = (np.array(translation_px) * spacing_um).tolist()
    placement = placement_at(window, translation_um=(z_um, y_um, x_um))

    fixed = render_field(nuclei, window).signal
    moving = render_field(nuclei.moved(placement), window).signal

    for channel in range(channels):
        seen_px = centroid_px(moving[channel]) - centroid_px(fixed[channel])
        np.testing.assert_allclose(seen_px, -np.array(translation_px), atol=0.01)


def test_a_sample_4_px_further_in_the_acquisition_has_a_translation_of_minus_4_px() -> (
    None
):
    window = window_of(planes=1, size_px=128)
    nuclei = nuclei_at([[0.5, 15.0, 12.0], [0.5, 30.0, 33.0], [0.5, -2.0, 20.0]])
    placement = placement_at(window, translation_um=(0.0, -4 * PIXEL_UM, 0.0))

    fixed = render_field(nuclei, window)
    moving = render_field(nuclei.moved(placement), window)

    np.testing.assert_allclose(
        moving.signal[0, 0, 4:], fixed.signal[0, 0, :-4], atol=1e-4
    )
    np.testing.assert_array_equal(moving.labels[0, 4:], fixed.labels[0, :-4])


@pytest.mark.parametrize(("turns", "rotation_deg"), [(-1, 90), (1, -90), (2, 180)])
def test_a_sample_turned_by_right_angles_is_the_turned_image(
    turns: int, rotation_deg: float
) -> None:
    """At +90 degrees A takes the acquisition's right to the reference's top."""
    window = window_of(planes=3, size_px=128)
    nuclei = nuclei_at([[1.0, 15.0, 12.0], [2.0, 30.0, 33.0], [1.5, 8.0, 30.0]])
    placement = placement_at(window, rotation_deg=rotation_deg)

    fixed = render_field(nuclei, window)
    moving = render_field(nuclei.moved(placement), window)

    np.testing.assert_allclose(
        moving.signal, np.rot90(fixed.signal, turns, axes=(2, 3)), atol=1e-4
    )
    np.testing.assert_array_equal(
        moving.labels, np.rot90(fixed.labels, turns, axes=(1, 2))
    )


def test_rotation_and_scale_act_about_the_centre_of_the_well() -> None:
    """Reference 10 um above the centre; seen to its right, nearer by the scale."""
    window = window_of(planes=1)
    _, y_um, x_um = window.centre_um
    nuclei = nuclei_at([[0.5, y_um - 10, x_um]])
    placement = placement_at(window, rotation_deg=90.0, scale=1.25)

    image = render_field(nuclei.moved(placement), window).signal[0, 0]
    unmoved = render_field(nuclei, window).signal[0, 0]

    place_um = (centroid_px(image) + 0.5) * PIXEL_UM
    # The texture puts the centroid off the centre; that offset turns and shrinks too.
    off_y_um, off_x_um = (centroid_px(unmoved) + 0.5) * PIXEL_UM - (y_um - 10, x_um)
    expected_um = (y_um + off_x_um / 1.25, x_um + (10 - off_y_um) / 1.25)
    np.testing.assert_allclose(place_um, expected_um, atol=0.01)
    # Light is an area: it shrinks with the square of the scale.
    assert unmoved.sum() / image.sum() == pytest.approx(1.25**2, rel=0.01)


def test_every_spot_moves_with_its_nucleus() -> None:
    """Spots in the well, written out by hand, before and after the transform."""

    def spots_um(nuclei: Nuclei) -> np.ndarray:
        cos, sin = np.cos(nuclei.angle_rad)[:, None], np.sin(nuclei.angle_rad)[:, None]
        z, u, v = np.moveaxis(nuclei.spot_um, 2, 0)
        offsets_um = np.stack([z, cos * u - sin * v, sin * u + cos * v], axis=2)
        return np.reshape(nuclei.centre_um[:, None] + offsets_um, (-1, 3))

    placement = placement_at(
        window_of(planes=4), translation_um=(0.5, -3, 7), rotation_deg=33.0, scale=1.2
    )
    nuclei = draw_nuclei(PlateOptions(planes=4), well=0)

    moved = nuclei.moved(placement)

    np.testing.assert_allclose(
        placement.to_reference(spots_um(moved)), spots_um(nuclei), atol=1e-9
    )
    np.testing.assert_allclose(moved.spot_width_um, nuclei.spot_width_um / 1.2)


def test_the_matrix_says_what_the_placement_does() -> None:
    window = window_of(planes=4)
    placement = placement_at(
        window, translation_um=(0.5, -3.0, 7.0), rotation_deg=20.0, scale=1.01
    )
    points_um = np.random.default_rng(0).uniform(0, 50, (20, 3))

    seen_um = placement.to_acquisition(points_um)

    homogeneous = np.column_stack([seen_um, np.ones(20)])
    np.testing.assert_allclose(homogeneous @ placement.matrix.T, points_um)


def test_finer_pixels_give_the_same_light() -> None:
    """Blur and brightness are those of the sample: four small pixels make a large one.

    The edge model is not exactly additive over pixels, hence 3 % of a nucleus.
    """
    nuclei = nuclei_at([[0.5, 20.0, 21.0]])
    coarse = Window((0.0, 0.0), 64, 1, pixel_size_um=0.65, z_spacing_um=1.0)
    fine = Window((0.0, 0.0), 256, 1, pixel_size_um=0.1625, z_spacing_um=1.0)

    image = render_field(nuclei, coarse).signal[0, 0]
    averaged = render_field(nuclei, fine).signal[0, 0]
    averaged = averaged.reshape(64, 4, 64, 4).mean(axis=(1, 3))

    np.testing.assert_allclose(image, averaged, atol=0.03 * image.max())


def test_noise_has_the_variance_of_photons_and_readout() -> None:
    options = PlateOptions(
        photons_per_count=0.25,
        read_noise_counts=5,
        signal_counts=1000,
        vignetting=0,
        hot_pixels=0,
    )
    signal = np.full((1, 1, 512, 512), 0.8, dtype=np.float32)

    counts = build_camera(options).expose(signal, 0.5, np.random.default_rng(1))

    light = 0.5 * 0.8 * 1000
    # Rounding to whole counts adds 1/12.
    variance = light / 0.25 + 5**2 + 1 / 12
    standard_error = np.sqrt(variance / counts.size)
    assert counts.mean() == pytest.approx(100 + light, abs=5 * standard_error)
    assert counts.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / counts.size))


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [("uint8", 255), ("int16", 32767), ("uint16", 65535), ("uint32", 1e7 + 100)],
)
def test_a_pixel_type_saturates_instead_of_wrapping(dtype: str, largest: float) -> None:
    options = PlateOptions.model_validate(
        {"dtype": dtype, "field_size_px": 32, "hot_pixels": 0, "vignetting": 0}
        | {"photons_per_count": 0, "read_noise_counts": 0}
    )
    signal = np.full((1, 1, 32, 32), 1e4, dtype=np.float32)

    counts = build_camera(options).expose(signal, 1.0, np.random.default_rng(1))

    assert counts.dtype == dtype
    assert np.all(counts == largest)


def test_light_falls_off_towards_the_corners_only_by_the_vignetting() -> None:
    illumination = build_camera(PlateOptions(vignetting=0.3)).illumination

    assert illumination[0, 0] == pytest.approx(0.7)
    assert illumination[255:257, 255:257] == pytest.approx(1.0, abs=1e-4)
