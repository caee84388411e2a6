"""Graders in a process that has only the libraries of the image `api`."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.dependencies import dependencies

ROOT = Path(__file__).parents[2]
_SCRIPT = """
import asyncio, sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from tests.grading.tools import graded

METRICS = ("fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_l")
SOURCE = "import numpy, rapidfuzz\\ndef grade(sample, item):\\n    return 1"
GRADERS = [
    *({"type": "text_similarity", "evaluation_metric": m, "input": "{{sample.output_text}}",
       "reference": "We open at nine."} for m in METRICS),
    {"type": "chrf", "reference": "We open at nine."},
    {"type": "language", "reference": "en"},
    {"type": "python", "source": SOURCE},
]

async def main():
    for grader in GRADERS:
        result = await graded({"name": "g", **grader}, {}, "We open at nine.")
        assert result.score > 0.9 and not result.errors, (grader, result)

asyncio.run(main())
"""


def installed_by_api() -> set[str]:
    """Return the names of the distributions that the api's dependencies install."""
    found: set[str] = set()
    wanted = [Requirement(line) for line in dependencies([])]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        wanted += map(Requirement, metadata.requires(name) or [])
    return found


def test_graders_need_only_the_libraries_of_the_api() -> None:
    have = installed_by_api()
    others = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not have & {canonicalize_name(owner) for owner in owners}
    } - {"service", "finetuned", "pip"}
    assert {"torch", "pyarrow"} <= others
    subprocess.run([sys.executable, "-c", _SCRIPT, *sorted(others)], cwd=ROOT, check=True)
