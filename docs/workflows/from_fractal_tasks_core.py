"""Switch an exported workflow of fractal-tasks-core to the tasks of fractal-tasks.

Usage: ``python from_fractal_tasks_core.py EXPORTED.json > NEW.json``. Needs only
Python. Changes the three registration tasks and leaves all others as they are.
"""

import json
import sys

VERSION = "0.1.0"
"""Version of fractal-tasks that was collected on the server."""

TASKS = {
    "Calculate Registration (image-based)",
    "Find Registration Consensus",
    "Apply Registration to Image",
}

with open(sys.argv[1], encoding="utf-8") as exported:
    workflow = json.load(exported)

workflow["name"] += f" (fractal-tasks {VERSION})"
for step in workflow["task_list"]:
    task = step["task"]
    if task["pkg_name"] == "fractal-tasks-core" and task["name"] in TASKS:
        task.update(pkg_name="fractal-tasks", version=VERSION)
        # CPUs and memory are those that fractal-tasks asks for.
        step.update(meta_non_parallel=None, meta_parallel=None)

json.dump(workflow, sys.stdout, indent=2)
