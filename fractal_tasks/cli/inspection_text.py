"""How the command line shows what is in images, and how it could be registered."""

import shlex
from collections.abc import Iterable, Sequence, Sized
from dataclasses import replace
from typing import Any

from fractal_tasks.cli.inspection import Content, Inspection
from fractal_tasks.model import Pairing
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.workflow.plan import ImagePlan

_MAX_LINES = 20
"""Of one kind; all are in the JSON."""

_MAX_NAMES = 5
"""In one line."""


def describe(found: Inspection) -> str:
    """Write what was found: the images, what belongs together, and what to type."""
    parts = [*_describe_contents(found), _describe_pairs(found), _advise(found)]
    return "\n\n".join(part for part in parts if part)


def to_json(found: Inspection) -> dict[str, Any]:
    """Give the same of every image, as JSON data."""
    return {
        "urls": found.urls,
        "reference": found.reference,
        "images": [
            {
                "zarr_url": url.zarr_url,
                "acquisition": found.acquisitions.get(url),
                **content.to_json(),
            }
            for url, content in found.contents.items()
        ],
        "registered": found.registered,
        "begun": found.begun,
        "left": found.left,
        "pairs": [
            _pair_to_json(plan, plan.pairing)
            for plan in found.plan.images
            if plan.pairing is not None
        ],
        "failures": {url: str(error) for url, error in found.failures.items()},
        "closed": {url: str(error) for url, error in found.closed.items()},
        "wavelength_id": found.stain.wavelength_id if found.stain else None,
        "command": found.command,
    }


def _pair_to_json(plan: ImagePlan, pairing: Pairing) -> dict[str, Any]:
    return {
        "zarr_url": plan.url.zarr_url,
        "reference_zarr_url": plan.reference.zarr_url,
        "image_paired_by": plan.paired_by,
        "rois": dict(pairing.partners),
        "paired_by": dict(pairing.paired_by),
        "without_partner": list(pairing.moving_alone),
        "without_partner_in_reference": list(pairing.fixed_alone),
    }


def _describe_contents(found: Inspection) -> list[str]:
    """Write a paragraph for the images of each acquisition that are alike."""
    alike: dict[tuple[int | None, Content], list[ImageUrl]] = {}
    for url, content in found.contents.items():
        # Wells differ in the number of their cells.
        key = found.acquisitions.get(url), replace(content, roi_counts=())
        alike.setdefault(key, []).append(url)
    texts = []
    if any(number is not None for number in found.acquisitions.values()):
        wells = list(dict.fromkeys(_well(url) for url in found.acquisitions))
        texts.append(f"{_count(wells, 'well')}: {_listed(wells)}")
    for (number, _), urls in sorted(alike.items(), key=lambda one: one[0][0] or 0):
        title = "" if number is None else f"acquisition {number}, "
        names = _listed([_name(url, number) for url in urls])
        text = _describe_content([found.contents[url] for url in urls])
        texts.append(f"{_count(urls, 'image')}, {title}{names}\n{text}")
    if found.registered:
        count = _count(found.registered, "image", "is", "are")
        texts.append(f"{count} registered already and left out.")
    if found.begun:
        count = _count(found.begun, "image", "is", "are")
        texts.append(
            f"{count} left of a run that was interrupted; the same 'register' command "
            "finishes it."
        )
    if found.left:
        texts.append(
            f"Something of a run that was interrupted lies beside {_listed(found.left)}"
            "; the next task on them clears it, or 'fractal-tasks heal'."
        )
    return texts


def _describe_content(contents: Sequence[Content]) -> str:
    """Write what is in images that differ in nothing but the number of ROIs."""
    content = contents[0]
    unit = content.unit or "none, taken as micrometer"
    axes = ("z", "y", "x") if "z" in content.axes else ("y", "x")
    channels = (
        f"{one.index}: id {one.wavelength_id or '-'}, label {one.label or '-'}"
        for one in content.channels
    )
    rois = [
        f"{name} ({_range(counts)})"
        for name, *counts in zip(
            content.roi_tables, *(one.roi_counts for one in contents), strict=True
        )
    ]
    rows = {
        "pixels": f"{content.data_type}, axes {' '.join(content.axes)}, unit {unit}",
        "levels": "\n".join(
            f"{level.path}: {_times(level.shape[-len(axes) :])}, pixels of "
            f"{_times(level.pixel_um[-len(axes) :])} um ({', '.join(axes)})"
            for level in content.levels
        ),
        "channels": "\n".join(channels),
        "ROIs": ", ".join(rois) or "no table: the whole image is one",
        "labels": ", ".join(content.labels),
        "tables": ", ".join(content.other_tables),
    }
    lines = []
    for title, text in rows.items():
        for part in text.splitlines():
            lines.append(f"  {title:9} {part}")
            title = ""
    return "\n".join(lines)


def _describe_pairs(found: Inspection) -> str:
    """Write what is compared with what: alike wells in one line."""
    alike: dict[str, list[str]] = {}
    remarks = []
    for plan in found.plan.images:
        if plan.pairing is None:
            continue
        number = found.acquisitions.get(plan.url)
        one, other = plan.url.zarr_url, plan.reference.zarr_url
        if number is not None:
            one, other = plan.url.image_path, _within(plan.reference, plan.url)
        by = f", by {plan.paired_by}" if plan.paired_by else ""
        text = f"{one} to {other}{by}: ROIs {plan.pairing.describe()}"
        if plan.paired_by == "order":
            text += "; so their pixels must confirm it"
        if number is not None:
            text = f"acquisition {number}: image {text}"
        alike.setdefault(text, [])
        if number is not None:
            alike[text].append(_well(plan.url))
        remarks += _remark(plan, plan.pairing)
    lines = [
        f"  {text}" + (f" (in {_listed(wells)})" if wells else "")
        for text, wells in alike.items()
    ]
    if not lines:
        return ""
    return "\n".join(["What is registered to what", *_cut(lines), *_cut(remarks)])


def _remark(plan: ImagePlan, pairing: Pairing) -> list[str]:
    """Say what is not as one would think."""
    renamed = [f"{a!r} with {b!r}" for a, b in pairing.partners.items() if a != b]
    where = f"  {plan.url.zarr_url}: "
    return [
        where + text + _listed(names)
        for text, names in (
            ("compared are ", renamed),
            ("ROIs without a partner ", list(pairing.moving_alone)),
            ("ROIs of the reference without one ", list(pairing.fixed_alone)),
        )
        if names
    ]


def _advise(found: Inspection) -> str:
    """Say whether it can be registered, and what to type."""
    lines = []
    for title, errors in (
        ("Cannot be registered", found.failures),
        ("Cannot be written where it is", found.closed),
    ):
        reasons: dict[str, list[str]] = {}
        for url, error in errors.items():
            reasons.setdefault(str(error), []).append(url)
        if reasons:
            shown = [f"  {_listed(urls)}: {text}" for text, urls in reasons.items()]
            lines += [title, *_cut(shown), ""]
    if not found.plan.images:
        return "\n".join([*lines, _say_nothing(found)])
    lines.append(f"{_count(found.plan.images, 'image')} can be registered.")
    if found.command is None:
        lines.append(
            "No stain is known to be in all of them: choose what shows the same with "
            f"--wavelength-id, and --acquisition-wavelength-ids.{_key(found)}"
        )
        return "\n".join(lines)
    stain = found.stain.label or found.stain.wavelength_id if found.stain else ""
    lines += [
        f"By the channel {stain}, and with all that is there kept as it is"
        + (", in a folder of its own:" if found.closed else ":"),
        f"  {found.command}",
        "Choose the stain that shows the same in all acquisitions, and add --dry-run "
        "to see what would be written.",
    ]
    return "\n".join(lines)


def _key(found: Inspection) -> str:
    """Say how --acquisition-wavelength-ids names an image."""
    if any(number is not None for number in found.acquisitions.values()):
        return "N for acquisition N."
    stem = next(reversed(found.acquisitions)).stem
    return f"NAME for an image NAME.zarr, e.g. {stem}."


def _say_nothing(found: Inspection) -> str:
    if found.begun:
        return "Nothing else can be registered."
    if found.registered:
        return "All that can be registered is registered already."
    if found.failures:
        return "Nothing can be registered."
    return (
        "This image is in no plate. To register others to it, name them after it: "
        f"fractal-tasks inspect {shlex.join(found.urls)} OTHER_IMAGE"
    )


def _count(things: Sized, noun: str, one: str = "", several: str = "") -> str:
    """Write a number with its noun, and with a verb if it is given for both."""
    is_one = len(things) == 1
    verb = one if is_one else several
    return f"{len(things)} {noun}{'' if is_one else 's'} {verb}".rstrip()


def _well(url: ImageUrl) -> str:
    return f"{url.row}/{url.column}"


def _name(url: ImageUrl, number: int | None) -> str:
    """Name an image in its plate; by its url, if it is in none."""
    return url.zarr_url if number is None else f"{_well(url)}/{url.image_path}"


def _within(reference: ImageUrl, url: ImageUrl) -> str:
    """Name a reference as records do: by its path, if it is in the same well."""
    name = reference.seen_from(url)
    return name if name == reference.image_path else f"that of {reference.plate_url}"


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _times(numbers: Iterable[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    listed = ", ".join(names[:_MAX_NAMES])
    return f"{listed} and {more} more" if more > 0 else listed


def _cut(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MAX_LINES
    return [
        *lines[:_MAX_LINES],
        *([f"  and {more} more: see --json"] if more > 0 else []),
    ]
