"""Versions of the software, without importing any of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import sklearn

import sightline
from sightline.versions import versions


def test_the_versions_are_those_that_the_packages_themselves_tell() -> None:
    found = versions(["numpy", "scikit-learn"])
    assert found == {
        "Python": platform.python_version(),
        "sightline": sightline.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    assert list(found) == ["Python", "sightline", "numpy", "scikit-learn"]


def test_a_package_that_is_not_there_is_said_not_to_be() -> None:
    assert versions(["no-such-package"])["no-such-package"] == "not installed"


def test_asking_for_a_version_imports_nothing() -> None:
    code = "import sys; from sightline.versions import versions; versions(['torch']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
