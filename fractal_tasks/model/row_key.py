"""What a row of a ROI table is about."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class RowKey:
    """A ROI, and the timepoint and channel if rows differ in these.

    Estimates of an acquisition are paired with those of others by it.
    """

    roi: str
    """Name of the ROI."""

    timepoint: int | None = None
    """None: all timepoints alike."""

    channel: str | None = None
    """Wavelength id; None: all channels alike."""

    def __str__(self) -> str:
        """Name it in errors and in the log, e.g. ``ROI 'FOV_1'``."""
        parts = [f"ROI {self.roi!r}"]
        if self.timepoint is not None:
            parts.append(f"timepoint {self.timepoint}")
        if self.channel is not None:
            parts.append(f"channel {self.channel!r}")
        return ", ".join(parts)
