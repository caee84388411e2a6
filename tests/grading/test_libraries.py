"""Processes without the worker's libraries, such as the api."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import asyncio, sys
for name in ("sacrebleu", "nltk", "rapidfuzz", "numpy", "py3langid"):
    sys.modules[name] = None
from service.grading.libraries import missing_library
from tests.grading.tools import GRADER, graded

async def main():
    for metric in ("bleu", "meteor", "rouge_l", "rouge_1"):
        body = {"type": "text_similarity", "name": "t", "evaluation_metric": metric,
                "input": "a", "reference": "a"}
        result = await graded(body, {})
        print(metric, missing_library(GRADER.validate_python(body)), result.score,
              [error.message for error in result.errors])

asyncio.run(main())
"""


def test_graders_name_the_library_that_is_missing() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == [
        "bleu sacrebleu 0.0 ['The grader needs the library sacrebleu.']",
        "meteor nltk 0.0 ['The grader needs the library nltk.']",
        "rouge_l rapidfuzz 0.0 ['The grader needs the library rapidfuzz.']",
        "rouge_1 None 1.0 []",
    ]
