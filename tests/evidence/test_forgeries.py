"""Forged evidence is refused, with the name of what is wrong.

A forger without the key cannot sign. Cases that are signed again show that the statements of
workers, such as checkpoints, do not depend on the signature of the archive, which an API process
that was taken over could get.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from finetuned.errors import ConfigurationError
from finetuned.evidence import Findings, verify

from service.config import Settings
from service.core.encryption.signing import InstallationKey, SigningKey
from service.core.redis import connect
from service.evidence.archive import signed_members
from service.evidence.signing import sign_manifest
from service.exports.archive import pack
from tests.conftest import Api, checked
from tests.evidence.conftest import opened, register_model
from tests.evidence.test_evidence import members
from tests.jobs.test_jobs import upload

Members = dict[str, bytes]
_PARTS: Final = (
    "model",
    "lineage",
    "training",
    "evaluation",
    "approvals",
    "access",
    "exports",
    "erasures",
)
_MEMBERS: Final = (
    *(f"{name}.json" for name in (*_PARTS, "audit", "passport")),
    *("index.html", "manifest.json", "manifest.sig"),
)
_MADE: dict[str, Any] = {}
_OTHER: Final = SigningKey.generate()


@dataclass
class Archives:
    """Evidence of two models with rows, of the same installation, and its newest checkpoint."""

    first: Members
    second: Members
    key: SigningKey
    checkpoint: str
    adapter: dict[str, bytes]
    folder: Path

    def part(self, name: str) -> Any:
        """A part of the first model, to change."""
        return json.loads(self.first[f"{name}.json"])

    def with_part(self, name: str, value: Any) -> Members:
        """The first archive with another part, which the manifest lists."""
        return listed({**self.first, f"{name}.json": json.dumps(value).encode()})

    def signed(self, files: Members, key: SigningKey | None = None) -> Members:
        """Members with a new signature."""
        digest = hashlib.sha256(files["manifest.json"]).hexdigest()
        return signed_members(files, sign_manifest(digest, key or self.key))

    def check(self, files: Members, **more: Any) -> Findings:
        """What the verification of an archive with these members finds."""
        return self.check_bytes(pack(files, "evidence-x", 0), **more)

    def check_with(self, files: Members, key: SigningKey) -> Findings:
        """What the verification with another key finds."""
        path = self.folder / "forged.tar"
        path.write_bytes(pack(files, "evidence-x", 0))
        return verify(path, [key.public.pem.encode()])

    def check_bytes(self, data: bytes, **more: Any) -> Findings:
        """What the verification of an archive finds."""
        path = self.folder / "forged.tar"
        path.write_bytes(data)
        return verify(path, [self.key.public.pem.encode()], **more)


async def _completed(http: httpx.AsyncClient, receipt_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            receipt = (await http.get(f"/v1/erasure_receipts/{receipt_id}")).json()
            if receipt["status"] == "completed":
                return
            await asyncio.sleep(0.1)


def listed(files: Members) -> Members:
    """Members with a manifest that lists them."""
    manifest = json.loads(files["manifest.json"])
    manifest["members"] = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
        if not path.startswith("manifest.")
    ]
    return {**files, "manifest.json": json.dumps(manifest).encode()}


@pytest.fixture
async def archives(tiny: str, settings: Settings, work: Any, chats: Callable[[int], bytes],
                   tmp_path: Path) -> Archives:  # fmt: skip
    """Made once, because all cases start from the same archives."""
    if not _MADE:
        redis = connect(settings.redis_url.get_secret_value())
        await redis.flushdb()
        api = await Api.start(settings)
        async with await api.client() as http:
            file_id = await upload(http, chats(30))
            async with work("cpu"):
                await checked(http, file_id)
                jobs = [await register_model(api, http, file_id, tmp_path / name) for name in "ab"]
                body = {"model": jobs[0]["fine_tuned_model"], "format": "adapter"}
                export = (await http.post("/v1/model_exports", json=body)).json()["id"]
                gone = (await http.delete(f"/v1/model_exports/{export}")).json()["receipt"]
                await _completed(http, gone)
            async with opened(api, http, jobs[0], file_id) as site:
                await http.put("/v1/aliases/support", json={"model": jobs[1]["fine_tuned_model"]})
                approvals = f"/v1/models/{site.model}/approvals"
                assert (await http.post(approvals, json={"note": "read"})).status_code == 200
                await site.seal()
                names = [job["fine_tuned_model"] for job in jobs]
                first, second = [await site.evidence(name, include_text="true") for name in names]
        _MADE["checkpoint"] = (await redis.get("finetuned:audit-head")).decode()
        _MADE["key"] = InstallationKey(settings.signing_key).get()
        _MADE["first"], _MADE["second"] = members(first), members(second)
        _MADE["adapter"] = {f.name: f.read_bytes() for f in (tmp_path / "a").iterdir()}
        await api.serving.aclose()
        await redis.aclose(close_connection_pool=True)
    key = _MADE["key"]
    others = {name: value for name, value in _MADE.items() if name != "key"}
    return Archives(folder=tmp_path, key=key, **copy.deepcopy(others))


def test_the_archives_are_valid_until_they_are_forged(archives: Archives):
    found = archives.check(archives.first, checkpoints=[archives.checkpoint])
    assert found.problems == []
    assert (found.members, found.receipts) == (len(archives.first) - 2, 1)
    assert found.entries == len(archives.part("audit")["entries"]) > 5
    assert len(archives.part("audit")["checkpoints"]) == 2
    assert archives.first.keys() >= set(_MEMBERS)
    assert archives.check(archives.second).problems == []
    assert archives.check(archives.signed(listed(archives.first))).problems == []


@pytest.mark.parametrize("name", _MEMBERS)
def test_a_changed_byte(archives: Archives, name: str):
    data = bytearray(archives.first[name])
    place = data.rindex(b"0" if b"0" in data and name != "manifest.sig" else b"a")
    data[place] ^= 1
    problems = archives.check({**archives.first, name: bytes(data)}).problems
    named = "manifest" if name == "manifest.sig" else name
    assert any(named in problem or "signed with the key" in problem for problem in problems)


@pytest.mark.parametrize("name", _MEMBERS)
def test_a_removed_member(archives: Archives, name: str):
    del archives.first[name]
    assert f"{name} is missing" in archives.check(archives.first).problems


def test_a_removed_member_that_is_not_listed_either(archives: Archives):
    del archives.first["audit.json"]
    problems = archives.check(archives.signed(listed(archives.first))).problems
    assert problems == ["audit.json is missing"]


def test_an_added_member(archives: Archives):
    problems = archives.check({**archives.first, "approval.pdf": b"yes"}).problems
    assert problems == ["approval.pdf was added"]


def test_a_swapped_model_id(archives: Archives):
    manifest = json.loads(archives.first["manifest.json"])
    manifest["model"] += "x"
    files = {**archives.first, "manifest.json": json.dumps(manifest).encode()}
    assert archives.check(files).problems == ["manifest.json was changed after it was signed"]
    problems = archives.check(archives.signed(files)).problems
    assert any("model.json is about another model" in problem for problem in problems)


def test_another_keys_signature(archives: Archives):
    (problem,) = archives.check(archives.signed(archives.first, _OTHER)).problems
    assert _OTHER.public.id in problem
    assert archives.key.public.id in problem


def test_a_replaced_public_key(archives: Archives):
    """The signature names the installation's key, and was made with another one."""
    files = archives.signed(archives.first, _OTHER)
    signature = json.loads(files["manifest.sig"])
    signature["key_id"] = archives.key.public.id
    files["manifest.sig"] = json.dumps(signature).encode()
    assert archives.check(files).problems == ["manifest.json was changed after it was signed"]


def test_no_signature(archives: Archives):
    del archives.first["manifest.sig"]
    assert archives.check(archives.first).problems == ["manifest.sig is missing"]


def test_an_edited_loss(archives: Archives):
    part = archives.part("training")
    part["losses"][-1]["train_loss"] = 0.1
    files = {**archives.first, "training.json": json.dumps(part).encode()}
    assert archives.check(files).problems == ["training.json was changed"]
    problems = archives.check(archives.with_part("training", part)).problems
    assert problems == ["manifest.json was changed after it was signed"]


def test_a_removed_audit_entry(archives: Archives):
    part = archives.part("audit")
    del part["entries"][2]
    problems = archives.check(archives.with_part("audit", part)).problems
    assert problems == ["manifest.json was changed after it was signed"]


def _edit_line(entries: list[Any]) -> None:
    entries[1]["line"] = entries[1]["line"].replace("applied", "refused")


def _reorder(entries: list[Any]) -> None:
    entries[0], entries[1] = entries[1], entries[0]


def _renumber(entries: list[Any]) -> None:
    entries[0]["number"] += 1


def _repeat(entries: list[Any]) -> None:
    entries.insert(1, entries[0])


def _invent(entries: list[Any]) -> None:
    entries[-1] = {**entries[-1], "line": entries[0]["line"]}


def _cut_path(entries: list[Any]) -> None:
    entries[0]["path"] = entries[0]["path"][:-1]


def _lengthen_path(entries: list[Any]) -> None:
    entries[0]["path"] = [*entries[0]["path"], entries[0]["path"][0]]


def _break_path(entries: list[Any]) -> None:
    entries[0]["path"][0] = "no hexadecimal digits"


def _of_other_project(entries: list[Any]) -> None:
    entries[0]["line"] = entries[0]["line"].replace("proj_", "proj_x")


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (_edit_line, "is not in the sealed log"),
        (_reorder, "out of order"),
        (_renumber, "is not in the sealed log"),
        (_repeat, "out of order"),
        (_invent, "is not in the sealed log"),
        (_cut_path, "is not in the sealed log"),
        (_lengthen_path, "is not in the sealed log"),
        (_break_path, "has no valid proof"),
        (_of_other_project, "is about another project"),
    ],
)
def test_forged_audit_entries_in_a_signed_archive(archives: Archives, forge, expected: str):
    part = archives.part("audit")
    forge(part["entries"])
    problems = archives.check(archives.signed(archives.with_part("audit", part))).problems
    assert any(expected in problem for problem in problems)


def test_an_older_checkpoint(archives: Archives):
    """A log that was rolled back is recognized by a checkpoint that a witness kept."""
    part = archives.part("audit")
    part["checkpoints"] = part["checkpoints"][:1]
    size = part["entries"][0]["checkpoint_size"]
    part["entries"] = [one for one in part["entries"] if one["checkpoint_size"] == size]
    files = archives.with_part("audit", part)
    (problem,) = archives.check(archives.signed(files)).problems
    assert "has no entry in the audit log" in problem  # the approval came later
    approvals = archives.part("approvals") | {"approvals": []}
    files = archives.signed(listed({**files, "approvals.json": json.dumps(approvals).encode()}))
    assert archives.check(files).problems == []
    (problem,) = archives.check(files, checkpoints=[archives.checkpoint]).problems
    assert "from before the archive was made" in problem


def test_a_checkpoint_of_another_key_or_of_another_log(archives: Archives):
    part = archives.part("audit")
    note = part["checkpoints"][-1]
    text, _, signature = note.partition("\n\n")
    name, _, value = signature.rstrip().rpartition(" ")
    raw = base64.b64decode(value)
    forged = raw[:4] + _OTHER.sign_bytes(f"{text}\n".encode())
    part["checkpoints"][-1] = f"{text}\n\n{name} {base64.b64encode(forged).decode()}\n"
    problems = archives.check(archives.signed(archives.with_part("audit", part))).problems
    assert any("has a checkpoint that is not valid" in problem for problem in problems)
    elsewhere = note.replace("finetuned-audit-", "finetuned-audit-x")
    (problem,) = archives.check(archives.first, checkpoints=[elsewhere]).problems
    assert "it is not signed with a given key" in problem


def test_a_wrong_digest_of_the_adapter(archives: Archives):
    part = archives.part("model")
    part["files"][0]["sha256"] = "0" * 64
    problems = archives.check(archives.signed(archives.with_part("model", part))).problems
    assert problems == ["model.json: the digest is not that of the adapter's files"]
    listing = "\n".join(f"{f['sha256']} {f['size']} {f['path']}" for f in part["files"])
    part["digest"] = hashlib.sha256(listing.encode()).hexdigest()
    problems = archives.check(archives.signed(archives.with_part("model", part))).problems
    assert problems[0] == "model.json: the signature of the adapter's registration is wrong"
    assert "is of other weights" in problems[1]


def test_another_adapter(archives: Archives):
    folder = archives.folder / "weights"
    folder.mkdir()
    for name, data in archives.adapter.items():
        (folder / name).write_bytes(data)
    assert archives.check(archives.first, adapter=folder).problems == []
    (folder / "adapter_model.safetensors").write_bytes(b"other weights")
    (folder / "passport.json").unlink()
    problems = archives.check(archives.first, adapter=folder).problems
    assert len(problems) == 2
    assert any("is not the adapter_model.safetensors" in problem for problem in problems)


def test_another_models_archive_with_its_ids_replaced(archives: Archives):
    """An API that was taken over signs it, but workers signed the registration and the log."""
    first, second = (archive["model.json"] for archive in (archives.first, archives.second))
    names = [json.loads(part)["model"].encode() for part in (second, first)]
    jobs = [json.loads(part)["job_id"].encode() for part in (second, first)]
    files = {path: data.replace(*names).replace(*jobs) for path, data in archives.second.items()}
    problems = archives.check(archives.signed(listed(files))).problems
    assert any("signature of the adapter's registration is wrong" in one for one in problems)
    assert any("is not in the sealed log" in one for one in problems)


def test_a_registration_without_its_signature(archives: Archives):
    part = archives.part("model") | {"signature": None}
    found = archives.check(archives.signed(archives.with_part("model", part)))
    assert found.problems == []
    assert "no worker signed the registration of the adapter" in found.notes[0]


def test_approvals_and_results_that_were_invented(archives: Archives):
    """The log has no such act, so an API that was taken over cannot state it."""
    part = archives.part("approvals")
    (approval,) = part["approvals"]
    others: list[tuple[str, dict[str, Any], str]] = [
        ("approvals", approval | {"api_key_id": "key_of_another"}, "has no entry"),
        ("approvals", approval, "has no entry"),  # one act is one approval
        ("approvals", approval | {"digest": "1" * 64}, "is of other weights"),
        ("replays", {"model": part["model"], "digest": archives.part("model")["digest"],
                     "outcome": "equal", "windows": [{}, {}], "findings": []}, "has no entry"),
        ("replays", {"model": "x", "digest": "x", "windows": [], "findings": []}, "another model"),
    ]  # fmt: skip
    for name, one, expected in others:
        forged = {**part, name: [*part[name], one]}
        problems = archives.check(archives.signed(archives.with_part("approvals", forged))).problems
        assert any(expected in problem for problem in problems), one
    part = archives.part("evaluation")
    check = {"id": "aliascheck-x", "alias": "support", "result": {"passed": True}, "runs": []}
    forged = {**part, "suites": [check]}
    (problem,) = archives.check(archives.signed(archives.with_part("evaluation", forged))).problems
    assert problem == "evaluation.json: aliascheck-x has no entry in the audit log"


def test_a_key_that_comes_with_the_archive(archives: Archives, tmp_path: Path):
    """The folder of a forger has a public key, and everything is signed with it."""
    files = archives.signed(archives.first, _OTHER)
    files["finetuned.pem"] = _OTHER.public.pem.encode()
    for path, data in files.items():
        (tmp_path / "own" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / path).write_bytes(data)
    problems = verify(tmp_path / "own", [archives.key.public.pem.encode()]).problems
    assert "finetuned.pem was added" in problems
    assert any("signed with the key" in problem for problem in problems)
    problems = verify(tmp_path / "own", [files["finetuned.pem"]]).problems
    assert "finetuned.pem was added" in problems
    del files["finetuned.pem"]  # and the auditor takes the forger's key for the installation's
    problems = archives.check_with(files, _OTHER).problems
    assert any("registration is wrong" in problem for problem in problems)


def test_mixed_archives_of_two_models(archives: Archives):
    files = {**archives.first, "training.json": archives.second["training.json"]}
    assert archives.check(files).problems == ["training.json was changed"]
    (problem,) = archives.check(archives.signed(listed(files))).problems
    assert "training.json is about another model" in problem
    files = {**archives.first, "passport.json": archives.second["passport.json"] + b" "}
    problems = archives.check(archives.signed(listed(files))).problems
    assert problems == ["passport.json is not that of the adapter"]
    files = {**archives.first, "manifest.json": archives.second["manifest.json"]}
    files["manifest.sig"] = archives.second["manifest.sig"]
    assert len(archives.check(files).problems) > 3


def test_a_changed_receipt_in_a_signed_archive(archives: Archives):
    part = archives.part("erasures")
    part["receipts"][0]["requested_by"] = "key_of_another"
    (problem,) = archives.check(archives.signed(archives.with_part("erasures", part))).problems
    assert problem.endswith("was changed")


def test_changed_rows_in_a_signed_archive(archives: Archives):
    (name,) = (name for name in archives.first if name.startswith("text/file-"))
    archives.first[name] = archives.first[name].replace(b"Answer", b"Forged")
    (problem,) = archives.check(archives.signed(listed(archives.first))).problems
    assert problem == f"{name} is not what lineage.json says"
    part = archives.part("lineage")
    part["files"][0]["rows_sha256"] = hashlib.sha256(archives.first[name]).hexdigest()
    problems = archives.check(archives.signed(archives.with_part("lineage", part))).problems
    assert any("are not the passport's" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"model": "a", "model": "b"}', "has a key twice"),
        ('{"a": [{"b": 1, "b": 2}]}', "has a key twice"),
        ("[]", "is not a JSON object"),
        ("nothing", "is not JSON"),
        ('{"a": NaN}', "has the number NaN"),
        ('{"a": -Infinity}', "has the number -Infinity"),
        ("\ufeff{}", "is not JSON"),
        ('{"receipts": ["x"]}', "is about another model"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"model": {}, "receipts": 3}', "is about another model"),
    ],
)
def test_json_that_programs_read_differently(archives: Archives, text: str, expected: str):
    files = listed({**archives.first, "erasures.json": text.encode()})
    problems = archives.check(archives.signed(files)).problems
    assert any(expected in problem for problem in problems)
    if "twice" in expected:
        files = {**archives.first, "manifest.json": text.encode()}
        assert archives.check(files).problems == ["manifest.json has a key twice"]


def test_json_in_another_encoding(archives: Archives):
    text = archives.first["erasures.json"].decode()
    for encoding in ("utf-16", "utf-32-le"):
        files = listed({**archives.first, "erasures.json": text.encode(encoding)})
        problems = archives.check(archives.signed(files)).problems
        assert problems == ["erasures.json is not JSON"]


@pytest.mark.parametrize("field", ["checkpoints", "entries"])
@pytest.mark.parametrize("value", [3, [3], [[]], {"a": 1}, [{}]])
def test_parts_of_another_form(archives: Archives, field: str, value: Any):
    part = {**archives.part("audit"), field: value}
    found = archives.check(archives.signed(archives.with_part("audit", part)))
    assert found.problems or found.entries == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_truncated_archive(archives: Archives, share: float):
    data = pack(archives.first, "evidence-x", 0)
    assert archives.check_bytes(data[: int(len(data) * share)]).problems
    (problem,) = archives.check_bytes(data[:-512]).problems
    assert "the end of the archive is missing" in problem


def test_bytes_after_the_end(archives: Archives):
    data = pack(archives.first, "evidence-x", 0)
    for more in (b"x", data, bytes(512)):
        (problem,) = archives.check_bytes(data + more).problems
        assert "more follows it" in problem


def tar_with(files: Members, name: str, **fields: Any) -> bytes:
    """An archive with one more member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(f"evidence-x/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(b"x" * min(info.size, 100)) if info.isreg() else None)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("evidence-x/a", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "not a plain file"),
        ("evidence-x/a", {"type": tarfile.LNKTYPE, "linkname": "x"}, "not a plain file"),
        ("evidence-x/a", {"type": tarfile.FIFOTYPE}, "not a plain file"),
        ("evidence-x/a", {"type": tarfile.DIRTYPE}, "not a plain file"),
        ("evidence-x/../../a", {}, "no name of a member"),
        ("evidence-x/..\\a", {}, "no name of a member"),
        ("evidence-x//model.json", {}, "no name of a member"),
        ("evidence-x/./model.json", {}, "no name of a member"),
        ("evidence-x/text/.", {}, "no name of a member"),
        ("evidence-x/model.json.", {}, "no name of a member"),
        ("evidence-x/model.json ", {}, "no name of a member"),
        ("evidence-x/model.json:x", {}, "no name of a member"),
        ("evidence-x/mod\u0065\u0301l.json", {}, "no name of a member"),
        ("evidence-x/\uff4dodel.json", {}, "no name of a member"),
        ("evidence-x/MODEL.json", {}, "is in the archive twice"),
        ("../a", {}, "not in one folder"),
        ("other/a", {}, "not in one folder"),
        ("/etc/a", {}, "not in one folder"),
        ("evidence-x/model.json", {}, "is in the archive twice"),
    ],
)
def test_members_that_are_no_plain_files(archives: Archives, name: str, fields, expected: str):
    (problem,) = archives.check_bytes(tar_with(archives.first, name, **fields)).problems
    assert expected in problem


def test_archives_that_grow_when_they_are_read(archives: Archives, monkeypatch):
    """A sparse member, one whose size is a lie, too many members, and a compressed archive."""
    name = "evidence-x/a"
    sparse = tar_with(archives.first, name, type=tarfile.GNUTYPE_SPARSE, size=0)
    (problem,) = archives.check_bytes(sparse).problems
    assert "not a plain file" in problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", lambda *_, **__: None)  # which needs all bytes
        huge = tar_with(archives.first, name, size=1 << 40)
    assert archives.check_bytes(huge + bytes(1024)).problems
    many = pack({**archives.first, **{f"m{n}": b"" for n in range(1000)}}, "evidence-x", 0)
    (problem,) = archives.check_bytes(many).problems
    assert "more than 1000 members" in problem
    (problem,) = archives.check_bytes(gzip.compress(pack(archives.first, "e", 0))).problems
    assert "not a whole tar archive" in problem
    monkeypatch.setattr("finetuned.evidence._MAX_BYTES", 10_000)
    (problem,) = archives.check(archives.first).problems
    assert "larger than" in problem


def test_a_folder_with_a_link(archives: Archives, tmp_path: Path):
    folder = tmp_path / "evidence"
    for path, data in archives.first.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    keys = [archives.key.public.pem.encode()]
    assert verify(folder, keys).problems == []
    (folder / "model.json").rename(tmp_path / "model.json")
    (folder / "model.json").symlink_to(tmp_path / "model.json")
    assert "not a plain file" in verify(folder, keys).problems[0]


def test_a_key_that_is_no_public_key(archives: Archives, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="not an Ed25519 public key"):
        verify(tmp_path, [archives.key.pem])


def test_another_format(archives: Archives):
    manifest = json.loads(archives.first["manifest.json"]) | {"format": "finetuned evidence 2"}
    files = {**archives.first, "manifest.json": json.dumps(manifest).encode()}
    (problem,) = archives.check(archives.signed(files)).problems
    assert "unknown format" in problem
