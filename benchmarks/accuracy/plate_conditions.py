"""The conditions under which finished plates are scored.

By default: three wells that moved up to 40 pixels, each its own way; four fields of 512
pixels, each up to a pixel further; a tenth of the sample is new in each acquisition.
"""

from typing import Any

from plate_geometry import PlateKind

_ALONE: dict[str, Any] = {"grid": (1, 1), "wells": 6}
_ALL_AT_ONCE: dict[str, Any] = {
    "signal": 400,
    "jitter_px": 10,
    "debris": 15,
    "speckle": 0.3,
    "gradient": 0.6,
    "pattern": 0.1,
    "changed": 0.25,
}

PLATE_KINDS = [
    *(
        PlateKind(f"wells of {rows * columns}", grid=(rows, columns), wells=wells)
        for (rows, columns), wells in {
            (1, 1): 6,
            (1, 2): 4,
            (2, 2): 3,
            (3, 3): 2,
        }.items()
    ),
    PlateKind("one well of 1", grid=(1, 1), wells=1, jitter_px=10),
    PlateKind("wells of 1, all alike", **_ALONE, apart=False),
    PlateKind("jitter 0", jitter_px=0),
    PlateKind("jitter 5", jitter_px=5),
    PlateKind("jitter 15", jitter_px=15),
    PlateKind("jitter 15, wells of 2", jitter_px=15, grid=(1, 2), wells=4),
    PlateKind("jitter 15, wells of 9", jitter_px=15, grid=(3, 3), wells=1),
    PlateKind("jitter 15, lobed", "lobed", jitter_px=15),
    PlateKind("shift 40 %", shift_px=200, grid=(1, 2)),
    PlateKind("three acquisitions", acquisitions=3, wells=2),
    PlateKind("fields of 256", size_px=256, grid=(3, 3), wells=2),
    *(PlateKind(scene, scene) for scene in ("lobed", "tissue", "membranes")),
    *(PlateKind(scene, scene) for scene in ("bacteria", "filaments")),
    *(
        PlateKind(f"{scene}, faint", scene, signal=15)
        for scene in ("nuclei", "lobed", "tissue", "membranes", "bacteria", "filaments")
    ),
    *(
        PlateKind(f"{scene}, speckle", scene, speckle=0.7)
        for scene in ("nuclei", "tissue", "membranes", "bacteria")
    ),
    PlateKind("very faint", signal=5),
    PlateKind("very faint, tissue", "tissue", signal=5),
    PlateKind("half is new", changed=0.5),
    PlateKind("half is new, bacteria", "bacteria", changed=0.5),
    PlateKind("out of focus", defocus_px=5),
    PlateKind("out of focus, membranes", "membranes", defocus_px=4),
    PlateKind("sparse", "sparse"),
    PlateKind("sparse, wells of 1", "sparse", **_ALONE),
    PlateKind("debris 10", debris=10),
    PlateKind("debris 30", debris=30),
    PlateKind("debris 60", debris=60),
    PlateKind("debris 30, wells of 1", debris=30, **_ALONE),
    PlateKind("debris 30, jitter 15", debris=30, jitter_px=15),
    PlateKind("debris 30, sparse", "sparse", debris=30),
    PlateKind("debris 30, lobed", "lobed", debris=30),
    PlateKind("debris 30, membranes", "membranes", debris=30),
    PlateKind("debris 30, bacteria", "bacteria", debris=30),
    PlateKind("gradient", gradient=0.8),
    PlateKind("camera pattern", pattern=0.3),
    PlateKind("camera pattern, tissue", "tissue", pattern=0.3),
    PlateKind("1 of 4 empty", empty=1),
    PlateKind("1 of 4 empty, pattern", empty=1, pattern=0.3),
    PlateKind("3 of 9 empty", empty=3, grid=(3, 3), wells=2),
    PlateKind("1 of 2 empty, jitter 10", empty=1, grid=(1, 2), jitter_px=10),
    PlateKind("all empty, pattern", "empty", pattern=0.3, wells=1),
    PlateKind("at once", **_ALL_AT_ONCE),
    PlateKind("at once, lobed", "lobed", **_ALL_AT_ONCE),
    PlateKind("at once, tissue", "tissue", **_ALL_AT_ONCE),
    PlateKind("at once, wells of 1", **_ALL_AT_ONCE | _ALONE),
    PlateKind("at once, wells of 9", grid=(3, 3), empty=1, wells=1, **_ALL_AT_ONCE),
    PlateKind("hardly visible", signal=1, informative=False),
    PlateKind("hardly visible, tissue", "tissue", signal=1, informative=False),
    PlateKind("rotation 0.25 deg", rotation_deg=0.25),
    PlateKind("rotation 1 deg", rotation_deg=1),
    PlateKind("rotation 1 deg, tissue", "tissue", rotation_deg=1),
    PlateKind("rotation 4 deg", rotation_deg=4, grid=(1, 1)),
    PlateKind("scale 0.5 %", scale=1.005),
    PlateKind("scale 1 %, membranes", "membranes", scale=1.01),
    PlateKind("warp 3 px", warp_px=3),
    PlateKind("warp 3 px, tissue", "tissue", warp_px=3),
]
"""All conditions, from easy ones to those that a shift cannot correct."""
