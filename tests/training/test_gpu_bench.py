"""Tests of `bench/gpu/run.py`, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu.table import BEGIN, END, Result, section, table, write_into

ROOT = Path(__file__).parents[2]
GIB = 2**30


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "bench" / "gpu" / "run.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )


@pytest.mark.slow
def test_without_a_gpu_nothing_is_measured():
    done = run()
    assert done.returncode == 2, done.stderr
    assert "has no GPU that this process may use" in done.stdout


@pytest.mark.slow
@pytest.mark.e2e
def test_the_same_path_trains_a_tiny_model_on_a_cpu(tiny_model_path):
    """`--tiny --device cpu` does the same with all contestants and scores their adapters."""
    what = ("--device", "cpu", "--model", str(tiny_model_path), "--no-loss")
    done = run(*what, "--rows", "8", "--rounds", "1", "--only", "finetuned, QLoRA")
    assert done.returncode == 0, done.stderr
    assert f"### CPU, {tiny_model_path.name}" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("| finetuned")]
    assert row.split("|")[3].strip() == "1.00"


def test_the_table_is_relative_to_the_first_that_succeeded():
    results = {
        "a": Result(failure="out of memory"),
        "b": Result([4.0, 2.0], [GIB, 2 * GIB], [1.25, 1.5]),
        "c": Result([1.0], [GIB / 2], [1.0]),
    }
    assert table(1000, results).splitlines()[2:] == [
        "| a | – | – | – | out of memory |",
        "| b | 500 | 1.00 | 2.0 GiB | 1.250, 1.500 |",
        "| c | 1,000 | 2.00 | 512 MiB | 1.000 |",
    ]


def test_a_section_replaces_only_the_one_of_the_same_gpu(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{BEGIN}\n\nNothing yet.\n\n{END}\n\nAfter.\n")
    for gpu, body in (("A", "old"), ("B", "other"), ("A", "new")):
        write_into(page, section(gpu, ["facts."], body))
    inside = "### B\n\nfacts.\n\nother\n\n### A\n\nfacts.\n\nnew"
    assert page.read_text() == f"# Page\n\n{BEGIN}\n\n{inside}\n\n{END}\n\nAfter.\n"


def test_the_docs_have_a_place_for_the_table(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text((ROOT / "docs" / "benchmarks.md").read_text("utf-8"), "utf-8")
    write_into(page, section("A", ["facts."], "body"))
    assert "### A\n\nfacts.\n\nbody\n\n" in page.read_text("utf-8")
