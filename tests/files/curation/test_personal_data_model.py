"""Tests of an operator's model for names and addresses, beside the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

from service.config import Settings
from service.datasets.contract.tasks import CleanOptions, CleanSpec, ReportSpec
from service.datasets.personal_data.kinds import CustomKinds
from service.datasets.personal_data.model_findings import values_in
from service.files.curation.dataset_process import DatasetProcess
from service.personal_data_model.__main__ import load
from service.worker.main import main as work
from tests.datasets.personal_cases import score
from tests.datasets.personal_cases.cases import Case, Truth
from tests.lazy import Lazy

torch, transformers, tokenizers = Lazy("torch"), Lazy("transformers"), Lazy("tokenizers")

SOUNDS = ("ZVQG", "aeiou", "xkwn", "aeiou", "xkwn")
PEOPLE = ("the parcel of {} is late", "please call {} back", "{} wants a refund")
THINGS = ("the filter of our {} leaks", "please sell {} cheaper", "{} needs new batteries")


def made_up(count: int, *, learned: bool) -> Iterator[Case]:
    """Yield texts about persons and things with names of no language, none on both sides."""
    pick = Random(learned)
    for _ in range(count):
        name = " ".join("".join(map(pick.choice, SOUNDS)) for _ in range(2))
        if (crc32(name.encode()) % 4 > 0) == learned:
            template = pick.choice(PEOPLE + THINGS)
            at = template.index("{")
            truth = (Truth("person_name", 0, at, at + len(name)),) * (template in PEOPLE)
            yield Case("", "", "en", (template.format(name),), truth)


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    """A small openai/privacy-filter, taught to tell persons from things by the words around."""
    folder = tmp_path_factory.mktemp("taught")
    cases = list(made_up(3_000, learned=True))
    bpe = tokenizers.ByteLevelBPETokenizer()
    bpe.train_from_iterator([c.turns[0] for c in cases], vocab_size=400, special_tokens=["[E]"])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, pad_token="[E]")
    torch.manual_seed(0)
    kind = transformers.models.openai_privacy_filter
    sizes = {"vocab_size": 400, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2}
    config = kind.OpenAIPrivacyFilterConfig(num_local_experts=4, pad_token_id=0, **sizes)
    model = kind.OpenAIPrivacyFilterForTokenClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    label = config.label2id["I-private_person"]
    for at in range(0, len(cases), 16):
        texts = [case.turns[0] for case in cases[at : at + 16]]
        given = fast(texts, padding=True, return_offsets_mapping=True, return_tensors="pt")
        labels = [
            [label * any(t.start < end <= t.end for t in case.truth) for _, end in places]
            for case, places in zip(cases[at:], given.pop("offset_mapping").tolist(), strict=False)
        ]
        model(**given, labels=torch.tensor(labels)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    fast.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_it_finds_names_that_the_rules_miss(taught: Path, capsys, monkeypatch):
    cases = list(made_up(3_000, learned=False))
    names = sum(len(case.truth) for case in cases)
    alone = sum(len(score.score(case)[0]) for case in cases)
    monkeypatch.setattr(score, "MODEL", CustomKinds())
    score.search_with_model(taught, cases)
    missed, false = (sum(len(score.score(case)[n]) for case in cases) for n in (0, 1))
    with capsys.disabled():
        print(f"{names} names: rules miss {alone}, with a model {missed}, {false} false")
    assert alone > 0.9 * names
    assert missed + false < 0.1 * names
    text = "please call Zaxik Quwon back\n" * 200  # several windows
    (found,) = load(taught, "cpu")(one for one in [text])
    assert [text[start:end] for _, start, end in values_in(text, found)] == ["Zaxik Quwon"] * 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rows with an email address, and with a name that the model finds in the prompt only."""
    rows = "the filter of our Vexon Gikun leaks,ann@example.com"
    rows += "\nplease call Zaxik Quwon back,Zaxik Quwon needs new batteries"
    (tmp_path / "data.csv").write_text(f"prompt,completion\n{rows}")
    return tmp_path / "data.csv"


@pytest.mark.slow
async def test_a_report_and_a_cleaning_use_what_it_finds(taught, path, settings: Settings):
    process = DatasetProcess(settings.model_copy(update={"personal_data_model": taught}))
    result, html = path.with_name("result"), path.with_name("report.html")
    report = await process.run(ReportSpec(path=path, result=result, html=html))
    places = {one.kind: one.places for one in report.personal_data}
    assert places["person_name"][-2:] == [(3, "/messages/0"), (3, "/messages/1")]
    assert "searched all 2 rows for names and addresses" in html.read_text()
    masked = CleanOptions(personal_data="mask")
    spec = CleanSpec(path=path, result=result, out=path.with_name("out"), options=masked)
    cleaned = await process.run(spec)
    assert "[PERSON_NAME] needs new batteries" in Path(cleaned.train.path).read_text()
    assert cleaned.model_search == report.model_search


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "is_model", "said"),
    [
        (1e-9, True, "searched the first 0 of 2 rows"),
        (600, False, "could not be loaded: ValueError .+ Only the rules searched"),
        (-119.9, True, "failed: it did not stop in time"),
    ],
)
async def test_without_it_the_rules_search(seconds, is_model, said, taught, path, settings):
    folder = taught if is_model else path.parent
    model = {"personal_data_model": folder, "personal_data_model_timeout_s": seconds}
    process = DatasetProcess(settings.model_copy(update=model))
    report = await process.run(ReportSpec(path=path, result=path.with_name("result")))
    assert [one.kind for one in report.personal_data] == ["email"]
    assert re.search(said, report.model_search or "")


@pytest.mark.parametrize(
    ("labels", "weights", "fault"),
    [
        (["O"], "model.bin", "no .*safetensors"),
        (["O", "B-LOC"], "model.safetensors", "no label in"),
        ([], "model.safetensors", "of a token classifier"),
    ],
)
def test_a_worker_refuses_another_folder(labels, weights, fault, tmp_path: Path, monkeypatch):
    names = ["BertForTokenClassification"] * len(labels)
    config = {"architectures": names, "id2label": dict(enumerate(labels))}
    for file in ("tokenizer.json", weights, "config.json"):
        (tmp_path / file).write_text(json.dumps(config))
    monkeypatch.setenv("FINETUNED_PERSONAL_DATA_MODEL", str(tmp_path))
    with pytest.raises(SystemExit, match=f"FINETUNED_PERSONAL_DATA_MODEL: .*{fault}"):
        work(["cpu"])
