"""Checks all profiles against checkov's policies. Exceptions have a reason.

checkov pins libraries that conflict with this project's, so it is installed in a folder under
.cache when first needed. That takes longer than all other tests of the chart, so
`make proof NAME=policies` runs this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv

import pytest
import yaml

from tests.cached import cache
from tests.helm.support import MODEL, PROFILES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "FINETUNED_POLICIES" not in os.environ, reason="'make proof NAME=policies' runs it"
    ),
]

CHECKOV = "checkov==3.3.30"
REASONS = {
    "CKV_K8S_11": "CPU limits slow pods down while cores are idle; memory has limits",
    "CKV_K8S_15": "IfNotPresent: a node that has the image starts without the registry",
    "CKV_K8S_35": "settings are read from the environment alone, and no child is given them",
    "CKV_K8S_43": "digests are the operator's to give (image.digests)",
    "CKV_K8S_8": "the pod of `helm test` runs to its end",
    "CKV_K8S_9": "the pod of `helm test` runs to its end",
}


@pytest.fixture(scope="session")
def checkov() -> list[str]:
    """The command that runs checkov."""
    with cache(CHECKOV.replace("==", "-")) as place:
        # Its script names the interpreter by a path that changes if the checkout is moved.
        python, program = str(place / "bin" / "python"), place / "bin" / "checkov"
        if not program.exists():
            venv.create(place, with_pip=True, clear=True)
            quiet = ["--quiet", "--disable-pip-version-check"]
            pip = [python, "-m", "pip", "install", *quiet, CHECKOV]
            subprocess.run(pip, check=True, timeout=600)
    return [python, str(program)]


@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the folder is made for Linux")
def test_failed_policies_are_listed_with_a_reason(render, checkov, tmp_path):
    for profile in (None, *PROFILES):
        rendered = render({} if profile else {"models": [MODEL]}, profile=profile)
        (tmp_path / f"{profile or 'default'}.yaml").write_text(yaml.safe_dump_all(rendered.objects))
    command = [*checkov, "--framework", "kubernetes", "--directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--output", "json", "--compact", "--quiet", "--skip-download"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 500
    assert not report["summary"]["parsing_errors"]
    failed: dict[str, set[str]] = {}
    for check in report["results"]["failed_checks"]:
        failed.setdefault(check["check_id"], set()).add(
            f"{check['resource']}: {check['check_name']}"
        )
    assert not {k: v for k, v in failed.items() if k not in REASONS}
    assert set(failed) == set(REASONS), "a reason that is needed no more"
