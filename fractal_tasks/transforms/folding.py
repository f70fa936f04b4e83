"""Whether a map turns space inside out."""

import numpy as np
import numpy.typing as npt


def smallest_volumes(points_um: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the smallest volume at the corners of each box of a grid, in um3.

    Where a box keeps its orientation, the three edges that meet at each of its corners
    span a positive volume. It is the determinant of the Jacobian by forward and
    backward differences; together the eight corners see more than one difference in
    the middle would.

    Args:
        points_um: Where the nodes of the grid are mapped to, shape ``(z, y, x, 3)``.

    Returns:
        Shape ``(z - 1, y - 1, x - 1)``; negative where a corner is inside out.

    References:
        Karacali & Davatzikos, IEEE Transactions on Medical Imaging 23, 868 (2004).
    """
    along_z, along_y, along_x = (np.diff(points_um, axis=axis) for axis in range(3))
    lower, upper = slice(None, -1), slice(1, None)
    sides = (lower, upper)
    volumes = [
        np.einsum(
            "...i,...i",
            along_z[:, y, x],
            np.cross(along_y[z, :, x], along_x[z, y, :]),
        )
        for z in sides
        for y in sides
        for x in sides
    ]
    smallest: npt.NDArray[np.float64] = np.min(volumes, axis=0)
    return smallest
