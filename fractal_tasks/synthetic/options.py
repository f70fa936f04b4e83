"""What can be chosen about a synthetic plate."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Axes = Literal["yx", "zyx", "cyx", "czyx", "tyx", "tczyx"]
Dtype = Literal["uint8", "uint16", "uint32", "int16", "float32"]


class PlateOptions(BaseModel):
    """Size, sample, stage and camera of a synthetic plate."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    rows: int = Field(default=1, ge=1, le=26)
    """Rows of wells, named A, B, ..."""
    columns: int = Field(default=1, ge=1, le=99)
    """Columns of wells, named 01, 02, ..."""
    fields_y: int = Field(default=2, ge=1)
    """Fields of view per well along y."""
    fields_x: int = Field(default=2, ge=1)
    """Fields of view per well along x."""
    field_size_px: int = Field(default=512, ge=32, le=8192)
    """Height and width of one field in pixels."""
    planes: int = Field(default=1, ge=1)
    """Planes along z. With 1 the nuclei are flat discs, as in a projection."""
    axes: Axes = "czyx"
    """Axes of the images; Fractal's converters write czyx."""
    timepoints: int = Field(default=1, ge=1)
    """Time points: the same sample each time, with new noise."""
    acquisitions: int = Field(default=3, ge=1, le=99)
    """Imaging rounds, stored as images 0, 1, 2, ... of each well."""
    channels: int = Field(default=2, ge=1, le=99)
    """Channels: DAPI (A01_C01) in every acquisition, then markers (A02_C02, ...) that
    differ between acquisitions."""
    pixel_size_um: float = Field(default=0.325, gt=0)
    """Pixel size along y and x in micrometres."""
    z_spacing_um: float = Field(default=1.0, gt=0)
    """Distance between planes in micrometres."""

    dtype: Dtype = "uint16"
    """Pixel type. uint8 holds the camera's counts divided by 16."""
    ngff_version: Literal["0.4", "0.5"] = "0.4"
    """OME-Zarr version."""
    shards: bool = False
    """Store 2 x 2 chunks in one file; needs ngff_version 0.5."""
    chunk_size_px: int | None = Field(default=None, ge=16)
    """Height and width of a chunk in pixels; left out, one field, at most 2048."""
    levels: int = Field(default=5, ge=3, le=8)
    """Pyramid levels, each half as large as the one before."""
    table_backend: Literal["anndata", "json", "csv", "parquet"] = "anndata"
    """How the tables are stored; Fractal's converters use anndata."""
    labels: bool = True
    """Write the true label image `nuclei` with its masking ROI and feature tables."""

    seed: int = Field(default=0, ge=0)
    """Same seed and options, same pixels."""
    nuclei_per_mm2: float = Field(default=1500.0, ge=0)
    """Nuclei per square millimetre. Above about 3500 for nuclei of 12 um no more
    of them find a place."""
    nucleus_diameter_um: float = Field(default=12.0, gt=0)
    """Typical diameter of a nucleus in micrometres."""
    lattice_um: float = Field(default=0.0, ge=0)
    """Put the nuclei on a square lattice of this pitch in micrometres instead of
    drawing `nuclei_per_mm2`; 0 for none."""
    identical_nuclei: bool = False
    """Give all nuclei of a well the same shape, texture and brightness."""
    lost_cells: float = Field(default=0.02, ge=0, lt=1)
    """Fraction of the cells that is washed off before each later acquisition."""
    debris_per_field: float = Field(default=2.0, ge=0)
    """Mean number of bright blobs per field that exist in one acquisition only."""
    empty_fields: int = Field(default=0, ge=0)
    """Fields per well without any cell, in every acquisition."""

    last_rotation_deg: float = Field(default=0.0, ge=0, le=45)
    """Further rotation of the last acquisition about the well's centre in degrees."""
    last_debris: float = Field(default=0.0, ge=0)
    """Mean number of further bright blobs in the first field with cells of the last
    acquisition."""
    last_washed_um: float = Field(default=0.0, ge=0)
    """Radius of a region in the middle of the last field with cells that is washed off
    before the last acquisition."""

    plate_shift_um: float = Field(default=5.0, ge=0)
    """Longest shift of the plate between acquisitions in micrometres; one vector per
    acquisition, between 0.3 and 1 times as long."""
    stage_jitter_um: float = Field(default=0.5, ge=0)
    """Largest further shift of each field along y and along x in micrometres."""
    whole_pixel_shifts: bool = False
    """Round the shift of every field to whole pixels and planes."""
    z_shift_um: float = Field(default=0.0, ge=0)
    """Largest shift along z per acquisition in micrometres; needs several planes."""
    rotation_deg: float = Field(default=0.0, ge=0, le=45)
    """Largest rotation about the well's centre per acquisition in degrees."""
    scale_change: float = Field(default=0.0, ge=0, le=0.1)
    """Largest relative change of size per acquisition, e.g. 0.001."""

    signal_counts: float = Field(default=1000.0, gt=0)
    """Camera counts of a typical nucleus above the background, in acquisition 0."""
    gain_spread: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of brightness between acquisitions."""
    defocus_um: float = Field(default=0.0, ge=0, le=5)
    """Further blur of the nuclei in the later acquisitions: standard deviation in
    micrometres. The microscope's own is 0.35."""
    inverted: bool = False
    """Show dark nuclei on bright ground in the later acquisitions, as a stain that
    absorbs."""
    haze: float = Field(default=0.0, ge=0)
    """Even light from everywhere, relative to a typical nucleus; shows vignetting and
    dust where there are no cells."""
    bleaching: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of the brightness lost from each acquisition to the next."""
    background_counts: float = Field(default=100.0, ge=0)
    """Camera counts without light."""
    photons_per_count: float = Field(default=0.5, ge=0)
    """Photons per camera count: the fewer, the more shot noise; 0 for none."""
    read_noise_counts: float = Field(default=3.0, ge=0)
    """Standard deviation of the camera's read noise in counts."""
    vignetting: float = Field(default=0.2, ge=0, le=1)
    """Fraction of the light lost in the corners of a field."""
    hot_pixels: int = Field(default=20, ge=0)
    """Camera pixels that are always bright, the same in every image of the plate."""
    hot_clusters: int = Field(default=0, ge=0)
    """Groups of 2 x 2 to 4 x 4 such pixels."""
    dust_specks: int = Field(default=0, ge=0)
    """Shadows of dust on the camera, the same in every image of the plate: 4 to 25
    pixels wide (standard deviation), each takes 5 to 30 percent of the light."""

    def is_last(self, acquisition: int) -> bool:
        """Whether it is the one with the troubles of the last acquisition."""
        return 0 < acquisition == self.acquisitions - 1

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        extents = {"t": "timepoints", "c": "channels", "z": "planes"}
        for axis, option in extents.items():
            if axis not in self.axes and getattr(self, option) > 1:
                raise ValueError(
                    f"axes={self.axes!r} has no {axis} axis, but {option}="
                    f"{getattr(self, option)}. Set {option}=1 or choose other axes."
                )
        if self.z_shift_um > 0 and self.planes == 1:
            raise ValueError(
                f"z_shift_um={self.z_shift_um} needs planes > 1, got planes=1."
            )
        if 0 < self.lattice_um < self.nucleus_diameter_um:
            raise ValueError(
                f"lattice_um={self.lattice_um} is less than nucleus_diameter_um="
                f"{self.nucleus_diameter_um}: the nuclei would overlap. Raise "
                "lattice_um, or set it to 0 for a random sample."
            )
        if self.shards and self.ngff_version != "0.5":
            raise ValueError(
                f"shards need ngff_version='0.5', got {self.ngff_version!r}."
            )
        if self.empty_fields > self.fields_y * self.fields_x:
            raise ValueError(
                f"empty_fields={self.empty_fields}, but a well has only "
                f"{self.fields_y * self.fields_x} fields. Lower empty_fields."
            )
        if self.hot_pixels > self.field_size_px**2:
            raise ValueError(
                f"hot_pixels={self.hot_pixels}, but a field has only "
                f"{self.field_size_px**2} pixels. Lower hot_pixels."
            )
        if self.field_size_px < 2 ** (self.levels - 1):
            raise ValueError(
                f"levels={self.levels} leave less than one pixel of a field of "
                f"field_size_px={self.field_size_px}. Lower levels."
            )
        return self
