"""Registration tasks for multiplexed OME-Zarr plates on the Fractal platform."""

from importlib.metadata import version

__version__ = version("fractal-tasks")
