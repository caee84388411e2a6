"""Tests of templates that print the date: every attempt uses the date of the job's creation."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from service.jobs.records import JobRecord
from service.training.contract.child_process import Channel
from service.training.contract.protocol import CheckpointSaved
from service.training.data.load import load_data
from service.training.data.tokenization import ChatEncoder, Sample
from tests.lazy import Lazy

checkpoints = Lazy("service.training.loop.checkpoints")
models = Lazy("service.training.model.models")

# With the real clock, its text differs between microseconds.
DATED = """\
{{- '<|im_start|>system\nToday: ' + strftime_now('%d %b %Y %H:%M:%S.%f') + '<|im_end|>\n' }}\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
DAY = date(2024, 2, 29)


@pytest.fixture
def dated_model(tiny_model_path: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "dated-model"
    shutil.copytree(tiny_model_path, folder)
    (folder / "chat_template.jinja").write_text(DATED)
    return folder


@pytest.mark.slow
def test_a_later_attempt_renders_the_text_that_the_checkpoint_was_trained_on(
    start, make_spec, dated_model, tmp_path
):
    spec = make_spec(
        tmp_path / "out",
        base_model_path=dated_model,
        template_date=DAY,
        n_epochs=1,
        n_checkpoints=1,
    )
    trainer = start(spec)
    assert trainer.wait() == 0, trainer.log.read_text()
    (saved,) = trainer.of(CheckpointSaved)
    seal = checkpoints.Seal.model_validate_json(
        (Path(saved.path) / checkpoints.SEAL_NAME).read_bytes()
    )

    tokenizer = models.load_tokenizer(spec)
    encoder = ChatEncoder(tokenizer, spec.hyperparameters.max_seq_length, spec.template_date)
    with Path(os.devnull).open("wb") as nowhere:
        again = load_data(spec, encoder, Channel(nowhere.fileno())).training
    assert again.digest() == seal.run.data
    sample = again.samples[0]
    assert isinstance(sample, Sample)
    assert "Today: 29 Feb 2024" in tokenizer.decode(sample.input_ids)


def test_the_date_of_a_job_is_that_of_its_creation():
    job = JobRecord(
        id="ftjob-1",
        project_id="proj-1",
        created_at=1709251199,  # 2024-02-29 23:59:59 UTC
        project_name="p",
        model="m",
        training_file="file-1",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        hyperparameters={},
        model_tag="ft:m:p::1",
    )
    assert job.template_date == DAY
