"""RFC-5 is read as the conformance cases of its authors mean it.

They are planes, in the syntax of older drafts, without arrays; what they lack is in
tests/transforms/test_rfc5.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

CASES = 24
ROOT = Path(__file__).parents[2]


def test_all_cases_of_the_conformance_package_pass() -> None:
    program = Path(sys.executable).with_name("oztc")
    words = [program, "--", sys.executable, "-m", "tests.interop.map_points"]
    found = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    results = [line.split("\t")[1] for line in found.stdout.splitlines()]
    assert results == ["pass"] * CASES, found.stdout + found.stderr
    assert found.returncode == 0
