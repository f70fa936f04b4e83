"""How a new image is stored, where not as the image that it is made from."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class OutputFormat(BaseModel):
    """How the registered image and its labels are stored. Pixels do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    ngff_version: Literal["same", "0.4", "0.5"] = "same"
    """OME-Zarr version, with tables of the same. An image in a plate keeps that of the
    plate, as software reads a plate by one version."""

    # Larger chunks could be more than compressors take, which is 2 GiB.
    chunk_size_px: int | None = Field(default=None, ge=16, le=8192)
    """Height and width of a chunk in pixels, e.g. `1024`, with one plane of one channel
    in it; left out, chunks stay as they are. Smaller ones are quicker to look at, and
    are more files."""

    shard_size_px: int | None = Field(default=None, ge=16)
    """Height and width of a shard in pixels, e.g. `4096`, a multiple of that of
    a chunk: all chunks in it are one file. Needs OME-Zarr 0.5. Left out, shards stay as
    they are; 0.4 has none. Larger ones take more memory."""

    compressor: Literal["same", "zstd", "blosc", "gzip", "none"] = "same"
    """How chunks are compressed: `blosc` (with lz4) is quickest, `zstd` smaller, and
    `gzip` known to all software."""
