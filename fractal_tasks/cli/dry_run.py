"""How the command line shows what `register` would do to a plate."""

from collections.abc import Sequence
from typing import Any

from fractal_tasks.storage.files import files_of
from fractal_tasks.workflow.plan import ImagePlan


def describe_plan(plans: Sequence[ImagePlan]) -> str:
    """Write a plan as text, one paragraph per image and the sums at the end."""
    lines = []
    sizes = [_size_bytes(plan) for plan in plans]
    for plan, size_bytes in zip(plans, sizes, strict=True):
        lines += [
            f"{plan.url.zarr_url}: {_role(plan)}, {plan.rois} ROIs, "
            f"{_format_size(size_bytes)}, labels {plan.labels}",
            *(f"  new      {url}" for url in plan.writes),
            *(f"  replaced {url}" for url in plan.replaces),
            *(
                f"  link     {link}: a copy takes its place, and what it leads to stays"
                for link in _list_links(plan)
            ),
        ]
    lines.append(
        f"{len(plans)} images, {sum(plan.rois for plan in plans)} ROIs, "
        f"{_format_size(sum(sizes))} to read and about as much to write; the largest "
        f"image has {_format_size(max(sizes, default=0))}. Nothing was changed."
    )
    return "\n".join(lines)


def plan_to_json(plans: Sequence[ImagePlan]) -> dict[str, Any]:
    """Give a plan as JSON data."""
    images = [
        {
            "zarr_url": plan.url.zarr_url,
            "role": _role(plan),
            "rois": plan.rois,
            "labels": plan.labels,
            "size_bytes": _size_bytes(plan),
            "writes": plan.writes,
            "replaces": plan.replaces,
            "links": _list_links(plan),
        }
        for plan in plans
    ]
    return {
        "images": images,
        "rois": sum(plan.rois for plan in plans),
        "size_bytes": sum(image["size_bytes"] for image in images),
    }


def describe_additions(
    plans: Sequence[ImagePlan], input_roi_table: str, registered_roi_table: str
) -> str:
    """Say what is added to images that are kept; '' if there are none."""
    kept = [plan for plan in plans if not plan.replaces_input]
    if not kept:
        return ""
    return (
        "The input is kept: its pixels, labels and tables can be read as before. Added "
        "to it are, beside each image that is registered, its registered version; in "
        f"each image, the table {registered_roi_table!r}; and in the table "
        f"{input_roi_table!r}, which is made where there is none, the column "
        "'transform' and columns whose names begin with 'translation_' or "
        "'registration_'."
    )


def _role(plan: ImagePlan) -> str:
    if plan.is_reference:
        return "reference"
    return f"registered to {plan.reference.zarr_url}"


def _list_links(plan: ImagePlan) -> list[str]:
    """Give the links of an image and its well of which copies take the place."""
    files, image, well = files_of(plan.url), plan.url.location, plan.url.well
    links = [
        image / name for name in files.list_links(image) if _is_rewritten(name, plan)
    ]
    if not plan.replaces_input:
        # The registered image is added to those that its well lists.
        documents = [well / name for name in ("zarr.json", ".zattrs")]
        links += [one for one in documents if files.is_link(one)]
    return [link.url for link in links]


def _is_rewritten(link: str, plan: ImagePlan) -> bool:
    if link in {"labels", "tables"}:
        return any(name.startswith(f"{link}/") for name in plan.rewrites)
    return any(link == name or link.startswith(f"{name}/") for name in plan.rewrites)


def _size_bytes(plan: ImagePlan) -> int:
    """Give the size on disk: about what is read and what is written."""
    return files_of(plan.url).size_bytes(plan.url.location)


def _format_size(size_bytes: int) -> str:
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
