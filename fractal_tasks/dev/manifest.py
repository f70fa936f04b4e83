"""The manifest: generated from the task list, shipped inside the package."""

import json
from pathlib import Path

import fractal_tasks
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.upstream import create_manifest

PACKAGE = Path(fractal_tasks.__file__).parent
PACKAGED_MANIFEST = PACKAGE / "__FRACTAL_MANIFEST__.json"
CHECKOUT_MANIFEST = PACKAGE.parent / "task_manifest.json"


def build_manifest() -> str:
    """Generate the manifest from task list, signatures and docstrings, as JSON text.

    Raises:
        InvalidDataError: A signature has something that a Fractal web form cannot show.
    """
    try:
        manifest = create_manifest(fractal_tasks.__name__, "dev.task_list")
    except ValueError as error:
        raise InvalidDataError(
            f"{PACKAGE}: the manifest cannot be made: {error}. Correct the signature "
            "that this names."
        ) from error
    return json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"


def write_manifest() -> Path:
    """Generate the manifest of this checkout.

    Returns:
        The path of the written file.

    Raises:
        InvalidInputError: The package is installed and not in a checkout.
    """
    if not _in_checkout():
        raise InvalidInputError(
            f"{PACKAGE}: found an installed package; needed is a checkout of the "
            "repository, with pyproject.toml beside the package. An installed manifest "
            "is never rewritten; use 'manifest check'."
        )
    CHECKOUT_MANIFEST.write_text(build_manifest(), encoding="utf-8")
    return CHECKOUT_MANIFEST


def check_manifest() -> Path:
    """Check that the manifest is what the code gives, byte for byte.

    Returns:
        The path of the checked file: the one of the checkout, or the packaged one.

    Raises:
        InvalidDataError: It is missing, or differs.
    """
    path = CHECKOUT_MANIFEST if _in_checkout() else PACKAGED_MANIFEST
    if not path.exists():
        raise InvalidDataError(f"{path}: found no manifest. Install the package again.")
    if path.read_bytes() != build_manifest().encode():
        raise InvalidDataError(
            f"{path}: differs from what task list, signatures and docstrings give. Run "
            "'fractal-tasks manifest write' in a checkout, or install the package "
            "again."
        )
    return path


def _in_checkout() -> bool:
    return (PACKAGE.parent / "pyproject.toml").exists()
