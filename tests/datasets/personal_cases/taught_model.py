"""Teaches small models names and addresses, and measures one beside the rules.

    PYTHONPATH=.cache/faker python -m tests.datasets.personal_cases.taught_model MODEL

It learns on cases of some topics with names that Faker makes up, and is measured on other topics
with other names: no part of a name is in both. It goes to the new folder MODEL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from service.datasets.personal_data.model_findings import Span
from tests.datasets.personal_cases.cases import Case, Truth, all_cases
from tests.datasets.personal_cases.score import KIND_COLUMNS, by_kind, model_findings, print_table
from tests.lazy import Lazy

torch, transformers, tokenizers = Lazy("torch"), Lazy("transformers"), Lazy("tokenizers")

LABELS = ("O", "B-PER", "I-PER", "B-ADDRESS", "I-ADDRESS")
_FIRST_LABEL = {"person_name": 1, "address": 3}
_LOCALES = ("en_IN", "hi_IN", "id_ID", "ja_JP", "ko_KR", "th_TH", "vi_VN", "zh_CN")
_LANGUAGES = {locale[:2]: locale for locale in _LOCALES}
_LEARNED = ("bare_names", "names_and_addresses", "second_set", "clean")
_MEASURED = ("third_set", "fourth_set", "words_like_names")
_TIMES = 8
_BATCH = 32


def teach(folder: Path, texts: Sequence[tuple[str, Sequence[Span]]], *, epochs: int) -> None:
    """Train a BERT of two million parameters on texts with their values, and save it."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]", dropout=0.1))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=6000, special_tokens=["[PAD]", "[UNK]"])
    bpe.train_from_iterator((text for text, _ in texts), trainer)
    config = transformers.BertConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=320,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    torch.manual_seed(0)
    model = transformers.BertForTokenClassification(config)
    steps = epochs * -(-len(texts) // _BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    order = [*texts] * epochs
    Random(0).shuffle(order)
    for at in range(0, steps * _BATCH, _BATCH):
        if not (part := order[at : at + _BATCH]):
            break
        encoded = [bpe.encode(text) for text, _ in part]
        labels = [_labels(one, spans) for one, (_, spans) in zip(encoded, part, strict=True)]
        loss = model(
            input_ids=_padded([one.ids for one in encoded], 0),
            attention_mask=_padded([one.attention_mask for one in encoded], 0),
            labels=_padded(labels, -100),
        ).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    bpe.model.dropout = None
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="[UNK]", pad_token="[PAD]", model_max_length=512
    ).save_pretrained(folder)
    model.save_pretrained(folder)


def _padded(rows: Sequence[Sequence[int]], value: int) -> Any:
    tensors = [torch.tensor(row[:512]) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


def _labels(encoding: Any, spans: Sequence[Span]) -> list[int]:
    labels = [0] * len(encoding.ids)
    for kind, first, last in spans:
        for number, (start, end) in enumerate(encoding.offsets):
            if start < last and end > first:
                labels[number] = _FIRST_LABEL[kind] + (start > first)
    return labels


def values_of(*, learned: bool) -> Callable[[str, str], str]:
    """Return a function that makes up a value of a kind in a language, for one of both sides."""
    from faker import Faker  # type: ignore[import-not-found]

    fakers = {language: Faker(locale) for language, locale in _LANGUAGES.items()}
    Faker.seed(int(learned))

    def make(kind: str, language: str) -> str:
        fake = fakers[language]
        if kind == "address":
            return str(fake.address().replace("\n", ", "))
        while True:
            first, last = fake.first_name(), fake.last_name()
            sides = {crc32(part.encode()) % 4 > 0 for part in (first, last)}
            if sides == {learned}:
                break
        if language in ("ja", "ko", "zh"):
            return f"{last}{first}"
        return f"{last} {first}" if language == "vi" else f"{first} {last}"

    return make


def refill(case: Case, make: Callable[[str, str], str]) -> Case:
    """Return a case with other names and addresses."""
    turns = list(case.turns)
    truth: list[Truth] = []
    for one in sorted(case.truth, key=lambda one: -one.start):
        if one.kind in _FIRST_LABEL:
            value, text = make(one.kind, case.language.partition("-")[0]), turns[one.turn]
            turns[one.turn] = text[: one.start] + value + text[one.end :]
            grown = len(value) - (one.end - one.start)
            truth = [
                t._replace(start=t.start + grown, end=t.end + grown) if t.turn == one.turn else t
                for t in truth
            ]
            truth.append(Truth(one.kind, one.turn, one.start, one.start + len(value)))
    return case._replace(turns=tuple(turns), truth=tuple(truth))


def refilled(topics: Sequence[str], times: int, *, learned: bool) -> Iterator[Case]:
    """Yield the cases of topics in languages that Faker knows, with made-up names."""
    make = values_of(learned=learned)
    for case in all_cases():
        if case.topic in topics and case.language.partition("-")[0] in _LANGUAGES:
            has_names = any(one.kind in _FIRST_LABEL for one in case.truth)
            yield from (refill(case, make) for _ in range(times if has_names else 1))


def main() -> None:
    """Teach a model, and print what the rules find on other texts with and without it."""
    folder = Path(sys.argv[1])
    texts = [
        (text, [(t.kind, t.start, t.end) for t in case.truth if t.turn == turn])
        for case in refilled(_LEARNED, _TIMES, learned=True)
        for turn, text in enumerate(case.turns)
    ]
    teach(folder, texts, epochs=2)
    cases = list(refilled(_MEASURED, 2, learned=False))
    print_table("rules", by_kind(cases), KIND_COLUMNS)
    print_table("with the model", by_kind(cases, model_findings(folder, cases)), KIND_COLUMNS)


if __name__ == "__main__":
    main()
