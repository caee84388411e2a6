"""Archives of adapters: what is kept, what is refused, and what differs from the base model."""

from __future__ import annotations

import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from service.datasets.adapter_archive import MAX_ENTRIES, unpack_adapter
from service.datasets.checks.issues import DatasetError
from service.datasets.contract.tasks import UnpackedAdapter
from tests.adapters import PAIR, adapter, base_folder, safetensors, tar_of, zip_of

MAX_BYTES = 1024 * 1024
Unpack = Callable[[bytes], UnpackedAdapter]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "adapter"


@pytest.fixture
def unpack(tmp_path: Path, out: Path) -> Unpack:
    base = base_folder(tmp_path / "base")

    def unpack(data: bytes) -> UnpackedAdapter:
        archive = tmp_path / "archive"
        archive.write_bytes(data)
        return unpack_adapter(archive, out, base=base, base_name="tiny-base", max_bytes=MAX_BYTES)

    return unpack


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, **more: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    for key, value in more.items():
        setattr(info, key, value)
    return info


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def sized(start: bytes) -> bytes:
    """A tar whose first header claims gigabytes of extensions, which tarfile reads at once."""
    info = tarfile.TarInfo("voice/x")
    info.type, info.size = tarfile.XHDTYPE, 4 * 1024**3
    return info.tobuf(tarfile.PAX_FORMAT)[:512] + start


def unended() -> bytes:
    """A tar without the zeros at its end."""
    files = adapter()
    whole = sum(512 + -(-len(content) // 512) * 512 for content in files.values())
    return tar_of(files)[:whole]


def encrypted() -> bytes:
    """A zip whose entries have the flag of a password."""
    data = bytearray(zip_of(adapter()))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + place] |= 1
            start = data.find(mark, start + 1)
    return bytes(data)


@pytest.mark.parametrize("pack", [tar_of, zip_of, lambda f: tar_of(f, mode="w:gz")])
def test_an_adapter_is_unpacked_from_its_folder(unpack: Unpack, out: Path, pack) -> None:
    files = {**adapter(), "README.md": b"# Voice", "training_args.bin": b"\x80", "log.txt": b""}
    found = unpack(pack(files))
    assert found.files == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert found.files == sorted(path.name for path in out.iterdir())
    assert found.skipped == 2
    assert found.base_model_name == "elsewhere/Tiny-Base"
    assert (out / "README.md").read_bytes() == b"# Voice"
    codes = [issue.code for issue in found.findings]
    assert codes == ["tokenizer_not_compared", "template_not_compared"]


def test_an_adapter_at_the_top_of_the_archive_is_found(unpack: Unpack, out: Path) -> None:
    unpack(tar_of(adapter(), folder="."))
    assert (out / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"rows of text", "not_an_archive", "neither a tar nor a zip"),
        (tar_of(adapter())[:700], "damaged_archive", "tar"),
        (tar_of(adapter(), mode="w:gz")[:-20], "damaged_archive", "gzip"),
        (zip_of(adapter())[:-30], "damaged_archive", "zip"),
        (sized(b"\0" * 1024), "not_an_archive", ""),
        (unended() + sized(b""), "damaged_archive", "tar"),
        (tar_of(adapter(), entry("voice/../../x")), "archive_path", "voice/../../x"),
        (tar_of(adapter(), entry("/etc/passwd")), "archive_path", "/etc/passwd"),
        (tar_of(adapter(), entry("C:\\x")), "archive_path", "absolute"),
        (tar_of(adapter(), entry("/".join("abcdefghi"))), "archive_path", "deep"),
        (tar_of(adapter(), entry("voice/x\nLine")), "archive_path", "voice/x"),
        (
            tar_of(adapter(), entry("voice/x", tarfile.SYMTYPE, linkname="/etc/passwd")),
            "archive_link",
            "tar --dereference",
        ),
        (
            tar_of(adapter(), entry("voice/x", tarfile.LNKTYPE, linkname="voice/y")),
            "archive_link",
            "voice/x",
        ),
        (tar_of(adapter(), entry("voice/x", tarfile.CHRTYPE)), "archive_special", "voice/x"),
        (tar_of(adapter(), entry("voice/x", tarfile.FIFOTYPE)), "archive_special", "voice/x"),
        (
            tar_of(adapter(), entry("voice/adapter_config.json", size=3)),
            "archive_twice",
            "adapter_config.json",
        ),
        (
            tar_of({str(i): b"" for i in range(MAX_ENTRIES + 1)}),
            "archive_entries",
            f"{MAX_ENTRIES} entries",
        ),
        (tar_of({**adapter(), "x": b"\0" * MAX_BYTES}), "archive_too_large", "1048576 bytes"),
        (zip_of({**adapter(), "x": b"\0" * MAX_BYTES}), "archive_too_large", "1048576 bytes"),
        (tar_of({"x": b"\0" * 9 * MAX_BYTES}, mode="w:gz"), "unpacks_too_large", "1048576"),
        (zip_of(adapter(), linked("voice/x")), "archive_link", "voice/x"),
        (zip_of(adapter(), zipfile.ZipInfo("../x")), "archive_path", "../x"),
        (encrypted(), "archive_compression", "password"),
        (
            tar_of({"adapter_config.json": b"{}", "adapter_model.bin": b"\x80\x04"}),
            "adapter_pickle",
            "adapter_model.bin",
        ),
        (tar_of({**adapter(), "optimizer.pt": b""}), "adapter_pickle", "leave out optimizer"),
        (tar_of({"model.safetensors": safetensors(PAIR)}), "no_adapter", "adapter_config.json"),
        (
            tar_of({**adapter(), "checkpoint-2/adapter_config.json": b"{}"}),
            "several_adapters",
            "2 folders",
        ),
        (tar_of({"adapter_config.json": b"{}"}), "no_adapter_weights", "safetensors"),
        (
            tar_of({**adapter(), "README.md": b" " * (MAX_BYTES + 1)}, mode="w"),
            "archive_too_large",
            "",
        ),
        (
            tar_of({**adapter(), "adapter_config.json": b"[" * 10_000}),
            "adapter_config_invalid",
            "JSON object",
        ),
        (
            tar_of({**adapter(), "adapter_model.safetensors": b"\x80\x04" * 9}),
            "adapter_weights_invalid",
            "header",
        ),
        (
            tar_of({**adapter(), "adapter_model.safetensors": safetensors(PAIR)[:-1]}),
            "adapter_weights_cut_off",
            "describes",
        ),
        (
            tar_of({**adapter(), "adapter_model.safetensors": safetensors(PAIR, "I8")}),
            "adapter_weights_type",
            "I8",
        ),
    ],
)  # fmt: skip
def test_invalid_archives_are_refused(
    unpack: Unpack, out: Path, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        unpack(data)
    assert caught.value.issue.code == code
    assert words in str(caught.value)
    assert not (out.parent / "x").exists()
    assert not (out.parent.parent / "x").exists()


def test_a_zip_entry_that_is_larger_than_stated_is_refused(unpack: Unpack) -> None:
    weights = safetensors(PAIR)
    data = bytearray(zip_of({**adapter(), "adapter_model.safetensors": weights}))
    while (place := data.find(struct.pack("<L", len(weights)))) >= 0:
        data[place : place + 4] = struct.pack("<L", len(weights) - 64)
    with pytest.raises(DatasetError, match="damaged"):
        unpack(bytes(data))


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 99]},
        {"data_offsets": [4, 516]},
        {"shape": [-1, 128]},
        {"data_offsets": [512, 0]},
    ],
)
def test_tensors_must_lie_where_their_shapes_say(unpack: Unpack, change: dict[str, object]) -> None:
    entry = {"dtype": "F32", "shape": [8, 16], "data_offsets": [0, 512], **change}
    raw = json.dumps({"x": entry}).encode()
    weights = struct.pack("<Q", len(raw)) + raw + b"\0" * 512
    with pytest.raises(DatasetError) as caught:
        unpack(tar_of({**adapter(), "adapter_model.safetensors": weights}))
    assert caught.value.issue.code == "adapter_weights_invalid"


@pytest.mark.parametrize(
    ("files", "codes"),
    [
        (
            {
                "tokenizer.json": b'{"model": {"vocab": {"a": 0}, "merges": [["a", "b"]]}, '
                b'"padding": {}}',
                "chat_template.jinja": b"{{ messages }}",
            },
            [],
        ),
        (
            {
                "tokenizer.json": b'{"model": {"vocab": {"a": 0}, "merges": ["a b"]}, '
                b'"added_tokens": [{"id": 1, "content": "<x>"}]}',
                "tokenizer_config.json": b'{"chat_template": "{{ messages }}"}',
            },
            ["tokenizer_differs"],
        ),
        (
            {"tokenizer.json": b"[", "chat_template.jinja": b"{{ messages }}!"},
            ["tokenizer_not_compared", "template_differs"],
        ),
    ],
)
def test_tokenizer_and_template_are_compared(
    unpack: Unpack, files: dict[str, bytes], codes: list[str]
) -> None:
    found = unpack(tar_of({**adapter(), **files}))
    assert [issue.code for issue in found.findings] == codes


def test_another_base_model_is_reported_by_its_name_only(unpack: Unpack) -> None:
    found = unpack(zip_of(adapter(base_model_name_or_path="/home/ann/models/Other-7B/")))
    message = found.findings[0].message
    assert found.findings[0].code == "base_name_differs"
    assert "trained on Other-7B, but it is imported for tiny-base" in message


def test_many_headers_before_a_file_do_not_recurse_forever(unpack: Unpack) -> None:
    header = entry("x", tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)[:512]
    with pytest.raises(DatasetError) as caught:
        unpack(unended() + header * 5000)
    assert caught.value.issue.code == "damaged_archive"
