"""The tasks of this package, as the manifest and the command line list them."""

from fractal_tasks.storage.upstream import log_unchanged

with log_unchanged():
    from fractal_task_tools.task_models import (
        CompoundTask,
        NonParallelTask,
        ParallelTask,
    )

# Not for development alone: the command line makes its commands from it at run time. It
# lies here as fractal-task-tools looks for `<package>.dev.task_list`.
AUTHORS = "fractal-tasks contributors"
DOCS_LINK = None

_COMMON = {
    "category": "Registration",
    "modality": "HCS",
    "tags": ["Multiplexing", "2D", "3D"],
}
# Measured peaks of memory (docs/server.md): init parts 235 MB, calculate 380 MB in 2D
# and 660 MB for stacks, consensus 240 MB, apply 690 MB with four threads. They hardly
# grow with the image. About three times that leaves room for larger chunks and shards.
_INIT_RESOURCES = {"cpus_per_task": 1, "mem": 1000}

TASK_LIST = [
    CompoundTask(
        name="Calculate Registration (image-based)",
        executable_init="tasks/init_calculate_registration.py",
        executable="tasks/calculate_registration.py",
        meta_init=_INIT_RESOURCES,
        meta={"cpus_per_task": 1, "mem": 2000},
        docs_info="file:task_info/calculate_registration.md",
        **_COMMON,
    ),
    CompoundTask(
        name="Find Registration Consensus",
        executable_init="tasks/init_find_registration_consensus.py",
        executable="tasks/find_registration_consensus.py",
        meta_init=_INIT_RESOURCES,
        meta={"cpus_per_task": 1, "mem": 1000},
        docs_info="file:task_info/find_registration_consensus.md",
        **_COMMON,
    ),
    ParallelTask(
        name="Apply Registration to Image",
        executable="tasks/apply_registration_to_image.py",
        input_types={"registered": False},
        output_types={"registered": True},
        meta={"cpus_per_task": 2, "mem": 2000},
        docs_info="file:task_info/apply_registration_to_image.md",
        **_COMMON,
    ),
    NonParallelTask(
        name="Registration Report",
        executable="tasks/registration_report.py",
        meta={"cpus_per_task": 1, "mem": 2000},
        docs_info="file:task_info/registration_report.md",
        **_COMMON,
    ),
]
