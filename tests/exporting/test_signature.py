"""Signed exports, verified as their owner verifies them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from service.exporting.contract import ExportFailure
from tests.exporting.conftest import Tuned, spec_of
from tests.exporting.exports import export, isolation
from tests.lazy import Lazy

exporter = Lazy("service.exporting.export")

pytestmark = [
    pytest.mark.slow,  # imports torch
    pytest.mark.skipif(
        importlib.util.find_spec("model_signing") is None, reason="model-signing is not installed"
    ),
]


@pytest.fixture
def signed(tuned: Tuned, tmp_path: Path) -> Path:
    """The folder of a signed export. The public key is next to it."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(_pem(key))
    (tmp_path / "public.pem").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    export(spec_of(tuned, tmp_path, format="adapter", signing_key=tmp_path / "key.pem"))
    return tmp_path / "out"


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def verify(folder: Path) -> tuple[bool, str]:
    """Run the command of docs/exports.md, without a network where the machine allows it."""
    command = [*isolation(), sys.executable, "-m", "model_signing", "verify", "key"]
    keys = ["--public_key", "../public.pem", "--signature", "model.sig", "."]
    done = subprocess.run(
        [*command, *keys], cwd=folder, check=False, capture_output=True, text=True
    )
    return done.returncode == 0, done.stdout + done.stderr


def test_a_signature_is_verified_until_a_byte_changes(signed: Path) -> None:
    assert verify(signed) == (True, "Verification succeeded\n")
    file = signed / "adapter_model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    succeeded, output = verify(signed)
    assert not succeeded
    assert "Hash mismatch" in output
    assert "adapter_model.safetensors" in output


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "ed25519.pem"
    other.write_bytes(_pem(ed25519.Ed25519PrivateKey.generate()))
    for key in (other, tmp_path / "missing.pem"):
        with pytest.raises(ExportFailure, match="EC key") as caught:
            exporter.sign(tmp_path, key)
        assert caught.value.failure.code == "signing_failed"
