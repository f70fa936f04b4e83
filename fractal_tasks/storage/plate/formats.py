"""How arrays and metadata of a new image are stored, if not as in the one it is from.

OME-Zarr 0.4 is stored by zarr 2, and 0.5 by zarr 3, which has shards and codecs of its
own, and keeps the metadata of OME under one key.
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.output_format import OutputFormat

if TYPE_CHECKING:
    from ngio import Image, Label

ZarrFormat = Literal[2, 3]

_ZARR_FORMATS: Mapping[str, ZarrFormat] = {"0.4": 2, "0.5": 3}

_OME_KEYS = ("bioformats2raw.layout", "image-label", "multiscales", "omero", "series")
"""What belongs to OME among the attributes of an image or label."""

_COMPRESSORS: Mapping[str, Mapping[ZarrFormat, Any]] = {
    "zstd": {
        2: {"id": "zstd", "level": 3},
        3: {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    },
    # What zarr 2 and most converters use.
    "blosc": {
        2: {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
        3: {
            "name": "blosc",
            "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"},
        },
    },
    "gzip": {
        2: {"id": "gzip", "level": 5},
        3: {"name": "gzip", "configuration": {"level": 5}},
    },
    "none": {2: (), 3: ()},
}

_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
"""Names of zarr 3 for the numbers of numcodecs."""


def zarr_format_of(level: "Image | Label", wanted: OutputFormat) -> ZarrFormat:
    """Give the zarr format of what is made from a level of an image or label."""
    stored: ZarrFormat = level.zarr_array.metadata.zarr_format
    return _ZARR_FORMATS.get(wanted.ngff_version, stored)


def changes_version(level: "Image | Label", wanted: OutputFormat) -> bool:
    """Whether what is made from a level is of another OME-Zarr version."""
    return zarr_format_of(level, wanted) != level.zarr_array.metadata.zarr_format


def array_options(
    level: "Image | Label", wanted: OutputFormat, where: str
) -> dict[str, Any]:
    """Give what ngio is to be told to make an image or label from another one.

    Args:
        level: The level of full resolution of the other one.
        wanted: What is to be otherwise.
        where: Names the other one in errors.

    Raises:
        InvalidInputError: It cannot be stored so.
    """
    if wanted == OutputFormat():
        return {}
    array, new_format = level.zarr_array, zarr_format_of(level, wanted)
    options: dict[str, Any] = {}
    chunks = array.chunks
    if wanted.chunk_size_px is not None:
        chunks = _in_plane(level, wanted.chunk_size_px, (1,) * array.ndim)
        options["chunks"] = chunks
    shards = array.shards if new_format == 3 else None
    if wanted.shard_size_px is not None:
        if new_format != 3:
            raise InvalidInputError(
                f"{where}: output_format.shard_size_px={wanted.shard_size_px}, but "
                "the registered image would be OME-Zarr 0.4, which has none. Leave it "
                "out; an image in no plate can get ngff_version='0.5'."
            )
        shards = _in_plane(level, wanted.shard_size_px, chunks)
        options["shards"] = shards
    if shards is not None and any(
        shard % chunk for shard, chunk in zip(shards, chunks, strict=True)
    ):
        raise InvalidInputError(
            f"{where}: found shards of {shards} pixels ({', '.join(level.axes)}) with "
            f"chunks of {chunks}; needed are multiples of these. Set "
            "output_format.chunk_size_px and output_format.shard_size_px to sizes that "
            "fit, e.g. 1024 and 4096."
        )
    if changes_version(level, wanted):
        options["ngff_version"] = wanted.ngff_version
        options.setdefault("shards", "auto" if new_format == 2 else None)
        # ngio would keep the byte order, and zarr 3 has none in its types.
        options["dtype"] = str(array.dtype.newbyteorder("="))
    if wanted.compressor != "same":
        options["compressors"] = _COMPRESSORS[wanted.compressor][new_format]
    elif changes_version(level, wanted):
        options["compressors"] = _translate_compressors(level, new_format, where)
    return options


def _in_plane(
    level: "Image | Label", size_px: int, others: tuple[int, ...]
) -> tuple[int, ...]:
    """Give a size along y and x, and others along the other axes."""
    return tuple(
        size_px if axis in "yx" else other
        for axis, other in zip(level.axes, others, strict=True)
    )


def _translate_compressors(
    level: "Image | Label", new_format: ZarrFormat, where: str
) -> dict[str, Any] | tuple[()]:
    """Give the compressor of a level in the words of another zarr format."""
    array = level.zarr_array
    if not array.compressors:
        return ()
    translate = _to_zarr_2 if new_format == 2 else _to_zarr_3
    found = [translate(codec, array.dtype.itemsize) for codec in array.compressors]
    if len(found) != 1 or found[0] is None:
        names = ", ".join(type(codec).__name__ for codec in array.compressors)
        raise InvalidInputError(
            f"{where}: found chunks compressed by {names}; what both OME-Zarr versions "
            "have is one of zstd, blosc and gzip. Choose one of these as "
            "output_format.compressor."
        )
    return found[0]


def _to_zarr_3(codec: object, itemsize: int) -> dict[str, Any] | None:
    from numcodecs import Blosc, GZip, Zstd

    if isinstance(codec, Blosc):
        shuffle = codec.shuffle
        if shuffle == Blosc.AUTOSHUFFLE:
            shuffle = Blosc.BITSHUFFLE if itemsize == 1 else Blosc.SHUFFLE
        settings = {
            "typesize": itemsize,
            "cname": codec.cname,
            "clevel": codec.clevel,
            "shuffle": _SHUFFLES[shuffle],
            "blocksize": codec.blocksize,
        }
        return {"name": "blosc", "configuration": settings}
    if isinstance(codec, Zstd):
        settings = {"level": codec.level, "checksum": codec.checksum}
        return {"name": "zstd", "configuration": settings}
    if isinstance(codec, GZip):
        return {"name": "gzip", "configuration": {"level": codec.level}}
    return None


def _to_zarr_2(codec: object, itemsize: int) -> dict[str, Any] | None:
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    if isinstance(codec, BloscCodec):
        return {
            "id": "blosc",
            "cname": codec.cname.value,
            "clevel": codec.clevel,
            "shuffle": _SHUFFLES.index(codec.shuffle.value),
            "blocksize": codec.blocksize,
        }
    if isinstance(codec, ZstdCodec):
        return {"id": "zstd", "level": codec.level, "checksum": codec.checksum}
    if isinstance(codec, GzipCodec):
        return {"id": "gzip", "level": codec.level}
    return None


def in_format(attributes: Mapping[str, Any], zarr_format: ZarrFormat) -> dict[str, Any]:
    """Give the attributes of an image or label as a zarr format has them.

    What is unknown is found at the top in both.
    """
    changed = copy.deepcopy(dict(attributes))
    if ("ome" in changed) == (zarr_format == 3):
        return changed
    if zarr_format == 3:
        ome = {key: changed.pop(key) for key in _OME_KEYS if key in changed}
        for multiscale in ome["multiscales"]:
            multiscale.pop("version", None)
        changed["ome"] = {"version": "0.5", **_tell_version(ome, "0.5")}
        return changed
    ome = changed.pop("ome")
    ome.pop("version", None)
    for multiscale in ome["multiscales"]:
        multiscale["version"] = "0.4"
    return {**changed, **_tell_version(ome, "0.4")}


def _tell_version(ome: dict[str, Any], version: str) -> dict[str, Any]:
    """Correct the version where there is one beside that of the multiscales."""
    for key in ("image-label", "omero"):
        if isinstance(ome.get(key), dict) and "version" in ome[key]:
            ome[key]["version"] = version
    return ome
