"""What standard errors say: how probable a small error is, and a value by chance."""

import math

_FREEDOM = 4
"""Degrees of freedom of the errors; the fewer, the more of them are large."""


def within_pixel(error_px: float) -> float:
    """Give the probability that a shift is right within a pixel in y and x.

    A standard error is itself only estimated, from a few windows, so errors divided by
    it follow Student's t-distribution, here in two dimensions. On synthetic fields
    their median is 1.1, and one in 100 is above 4.1: with 4 degrees of freedom it would
    be a little more.

    Args:
        error_px: Standard error in pixels, 0 or more; 0 says that it is exact.

    Example:
        >>> within_pixel(0.0)
        1.0
        >>> round(within_pixel(0.5), 2)
        0.75
    """
    share = math.sin(math.atan(math.sqrt(_FREEDOM) * error_px))
    return 1 - share**_FREEDOM


def chance_of_pair(square: float, freedom: float) -> float:
    """Give the probability that chance makes two numbers as large as these.

    It is the F test, which has this closed form with 2 numbers in the numerator.

    Args:
        square: Sum of squares of both, each over its standard error.
        freedom: Degrees of freedom of the standard errors.

    Example:
        >>> chance_of_pair(0.0, 4.0)
        1.0
        >>> round(chance_of_pair(16.0, 4.0), 3)
        0.04
    """
    return float((1 + square / freedom) ** (-freedom / 2))
