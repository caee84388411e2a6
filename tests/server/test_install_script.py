"""Tests of what install.sh checks before it changes anything, and of the script itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bundle import SERVER, SUITES, Bundle, write_sums
from service.core.encryption.signing import SigningKey

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A signed bundle without wheels, beside its keys `right.pub` and `wrong.pub`."""
    output = tmp_path / "bundle"
    for folder in ("wheels", "debs", "models", "server"):
        (output / folder).mkdir(parents=True)
        (output / folder / "file").write_text(folder, "utf-8")
    (output / "install.sh").write_bytes((SERVER / "install.sh").read_bytes())
    facts = Bundle(output, "bookworm", gpu=False).facts
    (output / "bundle.env").write_text("".join(f"{k}='{v}'\n" for k, v in facts.items()), "utf-8")
    for name in ("wrong", "right"):
        key = SigningKey.generate()
        (tmp_path / f"{name}.pem").write_bytes(key.pem)
        (tmp_path / f"{name}.pub").write_text(key.public.pem, "ascii")
    write_sums(output, tmp_path / "right.pem")
    return output


def verify(bundle: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", bundle / "install.sh", "verify", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=bundle.parent,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_bundle_with_a_valid_signature_is_accepted(bundle: Path):
    code, said = verify(bundle, "--key", "right.pub")
    assert code == 0, said
    assert "signature: valid" in said
    assert "Debian 12" in said


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--key", "wrong.pub"], "the signature is not of the key"),
        ([], "the bundle is signed, and no key was given"),
        (["--key", "missing.pub"], "is not a file"),
        (["--sign"], "there is no option --sign"),
    ],
)
def test_other_keys_are_refused_with_what_to_do(bundle: Path, options, wrong):
    code, said = verify(bundle, *options)
    assert code == 1
    assert wrong in said
    assert len(said.splitlines()) > 1, "how to fix it"


def test_changed_and_added_files_are_refused(bundle: Path):
    (bundle / "wheels" / "file").write_text("changed", "utf-8")
    assert "wheels/file: FAILED" in verify(bundle, "--unsigned")[1]
    (bundle / "wheels" / "file").write_text("wheels", "utf-8")
    (bundle / "wheels" / "more").touch()
    code, said = verify(bundle, "--unsigned")
    assert code == 1
    assert "files that its checksums do not name" in said


def test_a_changed_list_of_checksums_is_refused(bundle: Path):
    write_sums(bundle, bundle.parent / "wrong.pem")
    assert "the signature is not of the key" in verify(bundle, "--key", "right.pub")[1]


def test_the_help_names_all_commands(bundle: Path):
    done = subprocess.run(
        ["bash", bundle / "install.sh", "--help"], capture_output=True, text=True, check=True
    )
    for word in ("install", "verify", "rollback", "restore", "uninstall", "--purge", "--tls-cert"):
        assert word in done.stdout


def test_shellcheck_finds_nothing():
    scripts = [SERVER / "install.sh", SERVER / "finetuned-server"]
    done = subprocess.run([SHELLCHECK, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_pythons_of_all_releases_are_supported():
    assert {suite.python for suite in SUITES.values()} <= {"3.11", "3.12", "3.13"}
