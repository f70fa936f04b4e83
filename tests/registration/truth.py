"""How far a transform is from the truth, whatever its type: errors at points.

The target registration error is the distance between where a transform puts a point and
where it belongs. It is asked at points all over the moving ROI.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.estimate import Estimate

Points = npt.NDArray[np.float64]


def as_volume(
    shape: Sequence[int], spacing_um: Sequence[float]
) -> tuple[tuple[int, ...], Points]:
    """Give shape and spacing along z, y, x; a plane has a thickness of 0."""
    if len(shape) == 3:
        return tuple(shape), np.array(spacing_um)
    return (1, *shape), np.array((0.0, *spacing_um))


def roi_points_um(shape: Sequence[int], spacing_um: Sequence[float]) -> Points:
    """Give the corners of a ROI, the middles of its edges and faces, and its centre."""
    pixels, spacing = as_volume(shape, spacing_um)
    axes = [(0.0, 0.5 * size, size) for size in pixels * spacing]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def displacements_px(
    estimate: Estimate, shape: Sequence[int], spacing_um: Sequence[float]
) -> Points:
    """Give how far the best transform moves points of the moving ROI (z, y, x).

    In pixels of level 0; of a plane z is in micrometres. Shape ``(n, 3)``.
    """
    points = roi_points_um(shape, spacing_um)
    moved = estimate.best.transform.map_points(points)
    assert moved.shape == points.shape
    return (moved - points) / (1.0, *spacing_um)[-3:]


def target_errors_px(
    estimate: Estimate,
    truth_px: Sequence[float],
    shape: Sequence[int],
    spacing_um: Sequence[float],
) -> Points:
    """Give the target registration errors (z, y, x) where the truth is a shift.

    Args:
        estimate: What a method found.
        truth_px: ``x_fixed = x_moving + truth_px``, in pixels of level 0; of a plane
            y and x only.
        shape: That of the moving image.
        spacing_um: Pixel size of level 0.
    """
    truth = (0.0, *truth_px)[-3:]
    return displacements_px(estimate, shape, spacing_um) - truth


def centre_displacement_px(
    estimate: Estimate, shape: Sequence[int], spacing_um: Sequence[float]
) -> Points:
    """Give how far the centre of the moving ROI moves (z, y, x)."""
    points = displacements_px(estimate, shape, spacing_um)
    centre: Points = points[len(points) // 2]
    return centre
