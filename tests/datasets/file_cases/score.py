"""Score of the reading of files whose rows are known.

    python -m tests.datasets.file_cases.score [--list]

A file is `right` if its rows, its finding and the remedy are those of the case. Otherwise it is
`refused` if no row came out, and `misread` if wrong rows came out. `--list` names each wrong file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from service.datasets.checks.issues import DatasetError, Issue
from service.datasets.formats.convert import convert
from service.datasets.formats.options import FormatOptions
from tests.datasets.file_cases.cases import Case, all_cases
from tests.datasets.file_cases.repairs import clean_rows

CLEANING = "clean"
"""The key of a case's options that holds the options of a cleaning."""


class Reading(NamedTuple):
    """The rows that came out of a file, and all findings."""

    rows: list[dict[str, Any]]
    issues: tuple[Issue, ...]


def read(case: Case, folder: Path) -> Reading:
    """Read a file as its check does, and clean it if the case says so."""
    source, out = folder / "source", folder / "out"
    source.write_bytes(case.data)
    given = {key: value for key, value in case.options.items() if key != CLEANING}
    try:
        options = msgspec.convert(given, FormatOptions)
        result = convert(source, out, options)
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        if CLEANING in case.options:
            rows = clean_rows(source, folder, case.options[CLEANING])
    except DatasetError as error:
        return Reading([], (error.issue,))
    except msgspec.ValidationError:  # an option that does not exist
        return Reading([], ())
    return Reading(rows, result.validation.issues)


def verdict(case: Case, folder: Path) -> tuple[str, str]:
    """Whether a file is right, refused or misread, and what was found instead."""
    reading = read(case, folder)
    codes = {issue.code for issue in reading.issues}
    told = ", ".join(sorted(codes)) or "no finding"
    if reading.rows != (case.rows or []):
        return ("misread" if reading.rows else "refused"), told
    if case.finding is not None and case.finding not in codes:
        return ("misread" if reading.rows else "refused"), told
    if case.remedy and not any(case.remedy in issue.fix for issue in reading.issues):
        return "refused", f"{told}, without the remedy {case.remedy}"
    return "right", told


def verdicts() -> list[tuple[Case, str, str]]:
    """The verdict of each case, with what was found."""
    made = []
    for case in all_cases():
        with tempfile.TemporaryDirectory() as folder:
            made.append((case, *verdict(case, Path(folder))))
    return made


def main() -> None:
    """Print the scores as a Markdown table and, if asked, each file that is not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="name each file that is not right")
    show = parser.parse_args().list
    begun = time.process_time()
    made = verdicts()
    print("| topic | files | right | refused | misread |\n| --- | --- | --- | --- | --- |")
    for topic in dict.fromkeys(case.topic for case, _, _ in made):
        counts = Counter(what for case, what, _ in made if case.topic == topic)
        figures = (counts.total(), counts["right"], counts["refused"], counts["misread"])
        print(f"| {topic} | " + " | ".join(map(str, figures)) + " |")
    print(f"\n{time.process_time() - begun:.1f} CPU seconds")
    for case, what, told in made:
        if show and what != "right":
            print(f"{case.topic}: {case.name}: {what} ({told})")


if __name__ == "__main__":
    main()
