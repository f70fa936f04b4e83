"""What the image list says of a registration, as the local runner keeps it."""

from pathlib import Path

import pytest

from fractal_tasks.runner import ImageEntry, Place, TaskResult, open_engine, run_task
from fractal_tasks.workflow.catalogue import list_task_commands
from tests.tasks.plates import REGISTERED, image_urls, make_registered_plate

TASKS = {command.function_name: command.load() for command in list_task_commands()}


def run(name: str, images: list[ImageEntry], **arguments: object) -> TaskResult:
    with open_engine(Place(), 1) as engine:
        result = run_task(TASKS[name], images, arguments, engine=engine)
    assert not result.failures
    return result


@pytest.mark.parametrize(
    "overwrite_input",
    [
        pytest.param(True, id="replace", marks=pytest.mark.e2e),
        pytest.param(False, id="keep"),
    ],
)
def test_images_say_what_became_of_them_before_and_after_apply(
    tmp_path: Path, overwrite_input: bool
) -> None:
    urls = image_urls(make_registered_plate(tmp_path / "plate.zarr"), 2)
    listed = [ImageEntry(url, attributes={"well": "A01"}) for url in urls]
    judged = run("find_registration_consensus", listed).images
    expected = {
        url: {"well": "A01", "registration": outcome}
        for url, outcome in zip(urls, ("reference", "measured"), strict=True)
    }
    assert {image.zarr_url: image.attributes for image in judged} == expected
    assert all(image.types == {} for image in judged)
    applied = run(
        "apply_registration_to_image",
        judged,
        registered_roi_table=REGISTERED,
        overwrite_input=overwrite_input,
    ).images
    registered = [image for image in applied if image.types.get("registered")]
    assert len(registered) == len(urls)
    for image in registered:
        origin = image.zarr_url if overwrite_input else image.origin
        assert image.attributes == expected[str(origin)]
