"""Data set benchmark: validation and reports against baselines, side by side in one run.

    python bench/datasets/run.py [--megabytes 300] [--rounds 3] [--work FOLDER] [--validation-only]

Each figure comes from a separate process, so that its peak memory is measured separately.
Contestants take turns and the best round counts, since the machine may have other work. CPU seconds
include child processes, and other work affects them less than wall-clock seconds. Times exclude
imports.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

NEAR_ROWS, REPORT_ROWS, TINY_ROWS = 500_000, 100_000, 10_000_000


def plain(files: dict[str, Path]) -> str:
    import plain as validator

    rows, found = validator.check_file(files["mixed"])
    return f"{rows} rows, {len({line for line, _ in found})} bad"


def parsed(files: dict[str, Path]) -> str:
    import plain as validator

    return f"{validator.parse_file(files['mixed'])} rows"


def ours(files: dict[str, Path], processes: int = 1, name: str = "mixed") -> str:
    from service.datasets.checks.validate import validate_file

    report = validate_file(files[name], processes=processes)
    return f"{report.rows} rows, {report.rows - report.valid_rows} bad"


def with_pyarrow(files: dict[str, Path]) -> str:
    import pyarrow as pa
    from pyarrow import json as reader

    pa.set_cpu_count(1)
    table = reader.read_json(files["clean"], reader.ReadOptions(use_threads=False))
    return f"{table.num_rows} rows, stops at the first bad one"


def with_datasets(files: dict[str, Path]) -> str:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=files["mixed"].parent) as cache:
        loaded = datasets.load_dataset(
            "json", data_files=str(files["clean"]), split="train", cache_dir=cache
        )
    return f"{loaded.num_rows} rows, stops at the first bad one"


def near_duplicates(files: dict[str, Path]) -> str:
    from service.datasets.duplicates.similar_rows import find_similar_rows
    from service.datasets.file_features import collect
    from service.datasets.limits import NEAR_THRESHOLD
    from service.datasets.row_features import FeatureOptions

    options = FeatureOptions(languages=False, personal_data=False, mojibake=False, quality=False)
    with tempfile.TemporaryDirectory(dir=files["mixed"].parent) as work:
        collected = collect(files["near"], NEAR_ROWS, Path(work), options, processes=2)
        likeness = find_similar_rows(collected, near_threshold=NEAR_THRESHOLD, processes=2)
    extra = sum(len(group) - 1 for group in likeness.near)
    return f"{len(likeness.near)} groups, {extra} rows could go"


def report(files: dict[str, Path]) -> str:
    from service.datasets.contract.tasks import ReportSpec
    from service.datasets.report.analysis import analyze

    tokenizers = {"base": files["tokenizer"]} if "tokenizer" in files else {}
    spec = ReportSpec(
        path=files["report"],
        result=files["mixed"].parent / "report.json",
        processes=2,
        tokenizers=tokenizers,
        context_lengths=(512,),
    )
    made = analyze(spec)
    return f"{made.rows} rows, {len(made.languages)} languages, {len(tokenizers)} tokenizer(s)"


CONTESTANTS: dict[str, tuple[str, Callable[[dict[str, Path]], str], int]] = {
    # name: (file that the speed refers to, what runs, cores)
    "json.loads + the same checks": ("mixed", plain, 1),
    "json.loads and no checks": ("mixed", parsed, 1),
    "pyarrow": ("clean", with_pyarrow, 1),
    "datasets": ("clean", with_datasets, 1),
    "ours, 1 core": ("mixed", ours, 1),
    "ours, 2 cores": ("mixed", lambda files: ours(files, processes=2), 2),
}
ONCE: dict[str, tuple[str, Callable[[dict[str, Path]], str], int]] = {
    "10,000,000 tiny rows": ("tiny", lambda files: ours(files, 2, "tiny"), 2),
    "a line of 1 GB": ("line", lambda files: ours(files, 1, "line"), 1),
    "near-duplicates of 500,000": ("near", near_duplicates, 2),
    "report of 100,000 rows": ("report", report, 2),
}


_OURS = ("service.datasets",)
_IMPORTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*CONTESTANTS, *ONCE), _OURS),
    "json.loads + the same checks": ("plain",),
    "json.loads and no checks": ("plain",),
    "pyarrow": ("pyarrow.json",),
    "datasets": ("datasets",),
    "near-duplicates of 500,000": ("service.datasets.duplicates.similar_rows",),
    "report of 100,000 rows": ("service.datasets.report.analysis",),
}


def measure(name: str, files: dict[str, Path]) -> None:
    """Run one contestant in this process and print its figures as JSON."""
    _, function, cores = (CONTESTANTS | ONCE)[name]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    for module in _IMPORTS[name]:
        importlib.import_module(module)  # not part of the measurement
    started = time.perf_counter()
    said = function(files)
    seconds = time.perf_counter() - started
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    peak = max(own.ru_maxrss, children.ru_maxrss) / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "said": said}))


def run_one(name: str, files: dict[str, Path]) -> dict[str, Any]:
    """Return the figures of one contestant, from a new process."""
    listed = json.dumps({key: str(path) for key, path in files.items()})
    done = subprocess.run(
        [sys.executable, __file__, "--measure", name, "--files", listed],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def make_files(work: Path, megabytes: int, tokenizer: Path | None) -> dict[str, Path]:
    """Write the data files that do not exist yet."""
    import corpus

    names = ("mixed", "clean", "near", "report", "tiny", "line")
    files = {name: work / f"{name}-{megabytes}.jsonl" for name in names}
    if not files["mixed"].exists():
        corpus.write(files["mixed"], megabytes=megabytes)
    for name, count in (("clean", None), ("near", NEAR_ROWS), ("report", REPORT_ROWS)):
        if not files[name].exists():
            with files[name].open("w") as out:
                size = 0
                for row in corpus.rows(count or 10**9, broken_per_mille=0, seed=11):
                    size += out.write(row + "\n")
                    if count is None and out.tell() >= megabytes * 10**6:
                        break
    if not files["tiny"].exists():
        row = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'
        with files["tiny"].open("wb") as tiny:
            for _ in range(TINY_ROWS // 10_000):
                tiny.write(row * 10_000)
    if not files["line"].exists():
        with files["line"].open("wb") as line:
            line.write(b'{"messages": "')
            line.truncate(10**9)  # a hole, read as NUL bytes
    return files if tokenizer is None else files | {"tokenizer": tokenizer}


def main() -> None:
    """Create the data, run the contestants and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bench-datasets")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json for the report")
    parser.add_argument("--validation-only", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, {name: Path(path) for name, path in given.files.items()})
        return
    given.work.mkdir(parents=True, exist_ok=True)
    files = make_files(given.work, given.megabytes, given.tokenizer)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(given.rounds):
        for name in CONTESTANTS:
            figures = run_one(name, files)
            if name not in best or figures["seconds"] < best[name]["seconds"]:
                best[name] = figures
    base = best["json.loads + the same checks"]
    print(f"Validation of {given.megabytes} MB, best of {given.rounds}\n")
    print("| | s | MB/s | times | CPU s | times by CPU | peak MB | found |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, figures in best.items():
        size = files[CONTESTANTS[name][0]].stat().st_size / 1e6
        print(
            f"| {name} | {figures['seconds']:.2f} | {size / figures['seconds']:.0f} "
            f"| {base['seconds'] / figures['seconds']:.2f} | {figures['cpu']:.2f} "
            f"| {base['cpu'] / figures['cpu']:.2f} | {figures['peak']:.0f} | {figures['said']} |"
        )
    if given.validation_only:
        return
    print("\n| | s | CPU s | peak MB | found |\n| --- | --- | --- | --- | --- |")
    for name in ONCE:
        figures = run_one(name, files)
        print(
            f"| {name} | {figures['seconds']:.1f} | {figures['cpu']:.1f} "
            f"| {figures['peak']:.0f} | {figures['said']} |"
        )


if __name__ == "__main__":
    main()
