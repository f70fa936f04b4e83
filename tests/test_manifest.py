"""The manifest, against the rules of the platform; nothing is downloaded."""

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

import fractal_tasks
from fractal_tasks.dev import manifest as manifest_module
from fractal_tasks.errors import InvalidDataError, InvalidInputError

PACKAGE = Path(fractal_tasks.__file__).parent
CHECKOUT = PACKAGE.parent
MANIFEST: dict[str, Any] = json.loads((CHECKOUT / "task_manifest.json").read_text())
TASKS: list[dict[str, Any]] = MANIFEST["task_list"]

KEYS = {"manifest_version", "task_list", "has_args_schemas", "args_schema_version"}
TASK_KEYS = {
    "name": str,
    "type": str,
    "executable_non_parallel": str,
    "executable_parallel": str,
    "meta_non_parallel": dict,
    "meta_parallel": dict,
    "args_schema_non_parallel": dict,
    "args_schema_parallel": dict,
    "input_types": dict,
    "output_types": dict,
    "docs_info": str,
    "docs_link": str,
    "category": str,
    "modality": str,
    "tags": list,
}
SERVER_ARGUMENTS = {
    "non_parallel": {"zarr_urls", "zarr_dir"},
    ("compound", "parallel"): {"zarr_url", "init_args"},
    ("parallel", "parallel"): {"zarr_url"},
}
NAMES = {
    "Calculate Registration (image-based)": "compound",
    "Find Registration Consensus": "compound",
    "Apply Registration to Image": "parallel",
    "Registration Report": "non_parallel",
}
DEFAULT_METHOD = {"type": "phase_cross_correlation"}
# What workflows of fractal-tasks-core 2.x set: required arguments, and defaults.
DROP_IN = {
    "init_calculate_registration": (set(), {"reference_acquisition": 0}),
    "calculate_registration": (
        {"wavelength_id"},
        {
            "lower_rescale_quantile": 0.0,
            "upper_rescale_quantile": 0.99,
            "input_roi_table": "FOV_ROI_table",
            "level_path": "2",
        },
    ),
    "init_find_registration_consensus": (set(), {"reference_acquisition": 0}),
    "find_registration_consensus": (
        set(),
        {
            "input_roi_table": "FOV_ROI_table",
            "registered_roi_table": "{input_roi_table}_registered",
        },
    ),
    "apply_registration_to_image": (
        {"registered_roi_table"},
        {"reference_acquisition": 0, "register_labels": True, "overwrite_input": True},
    ),
}


def executables() -> list[Any]:
    return [
        pytest.param(task, kind, id=Path(task[f"executable_{kind}"]).stem)
        for task in TASKS
        for kind in ("non_parallel", "parallel")
        if f"executable_{kind}" in task
    ]


def server_arguments(task: dict[str, Any], kind: str) -> set[str]:
    key = kind if kind == "non_parallel" else (task["type"], kind)
    return SERVER_ARGUMENTS[key]


def test_manifest_made_in_a_fresh_process_is_the_one_in_the_repository() -> None:
    code = (
        "from fractal_tasks.dev.manifest import build_manifest as b; print(b(), end='')"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    ).stdout
    assert made == (CHECKOUT / "task_manifest.json").read_bytes()


def test_top_level_is_what_a_server_reads() -> None:
    assert set(MANIFEST) == {*KEYS, "authors"}
    assert MANIFEST["manifest_version"] == "2"
    assert MANIFEST["has_args_schemas"] is True
    assert MANIFEST["args_schema_version"] == "fractal_schema_v1"
    assert MANIFEST["authors"] == "fractal-tasks contributors"


def test_names_and_types_are_those_of_the_tasks_replaced() -> None:
    assert {task["name"]: task["type"] for task in TASKS} == NAMES
    assert len(TASKS) == len(NAMES)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["name"])
def test_task_has_only_keys_of_the_right_type(task: dict[str, Any]) -> None:
    for key, value in task.items():
        assert isinstance(value, TASK_KEYS[key]), key
    runs_over_all = task["type"] in {"compound", "non_parallel"}
    assert ("executable_non_parallel" in task) == runs_over_all
    assert task["category"] == "Registration"
    assert task["modality"] == "HCS"
    assert task["docs_info"].count("### ") == 4


def test_only_apply_filters_and_sets_the_type_registered() -> None:
    types = {t["name"]: (t.get("input_types"), t.get("output_types")) for t in TASKS}
    assert types.pop("Apply Registration to Image") == (
        {"registered": False},
        {"registered": True},
    )
    assert set(types.values()) == {(None, None)}


@pytest.mark.parametrize(("task", "kind"), executables())
def test_executable_defines_its_function_and_runs_it_as_a_file(
    task: dict[str, Any], kind: str
) -> None:
    path = PACKAGE / task[f"executable_{kind}"]
    module = ast.parse(path.read_text())
    functions = {f.name for f in module.body if isinstance(f, ast.FunctionDef)}
    assert path.stem in functions
    guards = [node for node in module.body if isinstance(node, ast.If)]
    guarded = [ast.unparse(g) for g in guards if "__main__" in ast.unparse(g.test)]
    assert f"run_fractal_task(task_function={path.stem})" in guarded[0]


@pytest.mark.parametrize(("task", "kind"), executables())
def test_resources_are_whole_numbers(task: dict[str, Any], kind: str) -> None:
    meta = task[f"meta_{kind}"]
    assert set(meta) == {"cpus_per_task", "mem"}
    assert all(isinstance(value, int) and value > 0 for value in meta.values())


@pytest.mark.parametrize(("task", "kind"), executables())
def test_schema_has_the_arguments_a_server_sets_and_describes_all(
    task: dict[str, Any], kind: str
) -> None:
    schema = task[f"args_schema_{kind}"]
    every = set().union(*SERVER_ARGUMENTS.values())
    found = set(schema["properties"])
    assert found & every == server_arguments(task, kind)
    for argument in schema["properties"].values():
        assert len(argument["description"]) > 15
    for model in schema.get("$defs", {}).values():
        assert model["description"]
        for name, field in model["properties"].items():
            assert name == "type" or field["description"]
    assert "Missing description" not in json.dumps(schema)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("task", "kind"), executables())
def test_flags_have_defaults(task: dict[str, Any], kind: str) -> None:
    for argument in task[f"args_schema_{kind}"]["properties"].values():
        if argument.get("type") == "boolean":
            assert isinstance(argument["default"], bool)


@pytest.mark.parametrize(("task", "kind"), executables())
def test_schema_keeps_the_arguments_and_defaults_of_the_tasks_replaced(
    task: dict[str, Any], kind: str
) -> None:
    function = Path(task[f"executable_{kind}"]).stem
    if function == "registration_report":
        pytest.skip("it replaces none")
    required, defaults = DROP_IN[function]
    schema = task[f"args_schema_{kind}"]
    assert set(schema["required"]) == required | server_arguments(task, kind)
    for name, default in defaults.items():
        assert schema["properties"][name]["default"] == default


def test_method_is_a_choice_of_forms_told_apart_by_type() -> None:
    schema = TASKS[0]["args_schema_parallel"]
    method = schema["properties"]["method"]
    mapping = method["discriminator"]["mapping"]
    assert method["discriminator"]["propertyName"] == "type"
    assert set(mapping) >= {"phase_cross_correlation", "chi2_shift"}
    assert sorted(form["$ref"] for form in method["oneOf"]) == sorted(mapping.values())
    assert method["default"].items() >= DEFAULT_METHOD.items()
    for name, reference in mapping.items():
        form = schema["$defs"][reference.removeprefix("#/$defs/")]
        assert form["properties"]["type"]["const"] == name


def test_wheel_contains_exactly_one_manifest(tmp_path: Path) -> None:
    builder = WheelBuilder(str(CHECKOUT))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        manifests = [n for n in names if n.endswith("__FRACTAL_MANIFEST__.json")]
        assert manifests == ["fractal_tasks/__FRACTAL_MANIFEST__.json"]
        shipped = archive.read(manifests[0])
        for task in TASKS:
            kind = "non_" * (task["type"] == "non_parallel") + "parallel"
            assert f"fractal_tasks/{task[f'executable_{kind}']}" in names
        assert "fractal_tasks/report/page.html.j2" in names
    assert shipped == (CHECKOUT / "task_manifest.json").read_bytes()


def pretend_to_be_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the package seem to lie in `folder`, away from the repository."""
    package = folder / "fractal_tasks"
    package.mkdir()
    packaged = package / "__FRACTAL_MANIFEST__.json"
    monkeypatch.setattr(manifest_module, "PACKAGE", package)
    monkeypatch.setattr(manifest_module, "PACKAGED_MANIFEST", packaged)
    monkeypatch.setattr(manifest_module, "build_manifest", lambda: "{}\n")
    return packaged


def test_installed_manifest_is_checked_and_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = pretend_to_be_installed(tmp_path, monkeypatch)
    with pytest.raises(InvalidInputError, match="needed is a checkout"):
        manifest_module.write_manifest()
    with pytest.raises(InvalidDataError, match="found no manifest"):
        manifest_module.check_manifest()
    packaged.write_text("{}")
    with pytest.raises(InvalidDataError, match="differs"):
        manifest_module.check_manifest()
    packaged.write_text("{}\n")
    assert manifest_module.check_manifest() == packaged
