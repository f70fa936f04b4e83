"""Where the light falls: expected places from closed forms and from array flips."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import find_objects, label

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
@pytest.mark.sampled(4)
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


@pytest.mark.parametrize("defocus_um", [0.5, 2.5])
def test_defocus_blurs_by_its_standard_deviation_also_across_the_border(
    defocus_um: float,
) -> None:
    """A window cut out of a wider one, blurred there: nothing is invented outside."""
    wide, window = window_of(1, 256), window_of(1, 256).padded(-64)
    nuclei = draw_nuclei(PlateOptions(channels=1, seed=5), well=0)

    sharp = render_field(nuclei, wide).signal[0, 0]
    blurred = render_field(nuclei, window, defocus_um=defocus_um)
    kernel = np.exp(-0.5 * (np.arange(-60, 61) * PIXEL_UM / defocus_um) ** 2)
    kernel /= kernel.sum()
    along_y = np.apply_along_axis(np.convolve, 0, sharp, kernel, mode="same")
    expected = np.apply_along_axis(np.convolve, 1, along_y, kernel, mode="same")
    # The package cuts the kernel at 4 standard deviations, which leaves out 6e-5.
    np.testing.assert_allclose(
        blurred.signal[0, 0], expected[64:-64, 64:-64], atol=1e-3
    )
    np.testing.assert_array_equal(
        blurred.labels[0], render_field(nuclei, wide).labels[0, 64:-64, 64:-64]
    )


def test_identical_nuclei_on_a_lattice_repeat_after_its_pitch() -> None:
    pitch_px = 48
    options = PlateOptions(
        channels=1, lattice_um=pitch_px * PIXEL_UM, identical_nuclei=True, lost_cells=0
    )
    nuclei = draw_nuclei(options, well=0)

    image = render_field(nuclei, window_of(1)).signal[0, 0]
    assert np.ptp(image) > 0.5
    # The light far from a nucleus ends where the package no longer draws it.
    np.testing.assert_allclose(image[:, pitch_px:], image[:, :-pitch_px], atol=0.01)
    np.testing.assert_allclose(image[pitch_px:], image[:-pitch_px], atol=0.01)
    half = pitch_px // 2
    assert np.abs(image[half:] - image[:-half]).max() > 0.5


def test_nuclei_on_a_lattice_differ_if_not_told_otherwise() -> None:
    nuclei = draw_nuclei(PlateOptions(lattice_um=20), well=0)

    steps_um = np.diff(np.unique(nuclei.centre_um[:, 1].round(6)))
    np.testing.assert_allclose(steps_um, 20)
    assert len(np.unique(nuclei.radii_um[:, 0])) == len(nuclei)


def test_dust_takes_its_share_of_the_light_everywhere_the_same() -> None:
    quiet = {"vignetting": 0, "hot_pixels": 0, "photons_per_count": 0}
    options = PlateOptions(dust_specks=5, read_noise_counts=0, dtype="float32", **quiet)
    camera = build_camera(options)
    rng = np.random.default_rng(0)
    light = np.ones((1, 512, 512), dtype=np.float32)

    bright, dim = (camera.expose(light, gain, rng)[0] for gain in (1.0, 0.25))
    passes = (bright - 100) / 1000
    np.testing.assert_allclose((dim - 100) / 250, passes, atol=1e-5)
    # Specks may overlap: five of 30 % at one place leave 0.7 ** 5.
    assert 0.7**5 <= passes.min() <= 0.95
    # The share of the light that a Gaussian speck takes, at most 30 % x 2 pi 25^2.
    assert 0 < (1 - passes).sum() <= 5 * 0.3 * 2 * np.pi * 25**2
    assert np.median(passes) > 0.99


def test_hot_clusters_are_small_squares_of_equal_counts() -> None:
    options = PlateOptions(hot_pixels=0, hot_clusters=3, field_size_px=128)
    offset = build_camera(options).offset_counts

    hot, count = label(offset > 100)
    assert count == 3
    for box in find_objects(hot):
        counts = offset[box]
        assert counts.shape in {(2, 2), (3, 3), (4, 4)}
        assert np.ptp(counts) == 0
        assert 1100 <= counts[0, 0] <= 4100
