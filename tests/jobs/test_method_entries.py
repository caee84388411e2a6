"""Tests that every part of the service supports each training method in the registry."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from service.datasets.formats.options import RowFormat
from service.jobs.schemas.methods import HYPERPARAMETERS, Method
from service.training.contract.hyperparameters import REQUESTED, RESOLVED
from service.training.contract.methods import BY_SPEC_NAME, METHODS, MethodName, SpecMethod
from tests.cached import ROOT
from tests.jobs.test_hyperparameter_forms import GIVEN
from tests.lazy import Lazy
from tests.training.specs import spec_of

run = Lazy("service.training.loop.run")


def test_every_name_has_an_entry():
    assert tuple(METHODS) == get_args(MethodName)
    assert tuple(BY_SPEC_NAME) == get_args(SpecMethod)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_an_entry_has_a_schema_a_row_format_and_a_place_in_the_docs(name):
    entry = METHODS[name]
    given = GIVEN.get(name, {})
    body = {"type": name, name: {**given, "hyperparameters": {"n_epochs": 7}}}
    asked = Method.model_validate(body).asked
    assert type(asked) is HYPERPARAMETERS[name]
    assert asked.n_epochs == 7
    least = {"type": name, **({name: given} if given else {})}
    assert type(Method.model_validate(least).asked) is HYPERPARAMETERS[name]
    assert ("beta" in HYPERPARAMETERS[name].model_fields) == (entry.beta is not None)
    # All forms are of one declaration.
    offered = [n for n, f in HYPERPARAMETERS[name].model_fields.items() if not f.exclude]
    for form in (REQUESTED[name], RESOLVED[name]):
        assert list(form.model_fields) == offered
    assert entry.row_format in get_args(RowFormat)
    assert f"| `{name}` |" in (ROOT / "docs/training.md").read_text("utf-8")
    assert entry.description.endswith(".")
    command = ROOT / "clients/cli/src/finetuned_cli/train.py"
    assert f'"{name}"' in command.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [METHODS[name].spec_name for name in HYPERPARAMETERS])
def test_an_entry_has_a_trainer(name):
    from service.training.methods.trainer import AdapterTrainer

    assert issubclass(run.TRAINERS[name], AdapterTrainer)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_options_of_another_method_are_refused(name):
    others: dict[str, Any] = {
        other: GIVEN.get(other, {}) for other in HYPERPARAMETERS if other != name
    }
    with pytest.raises(ValueError, match=f"the type is '{name}'"):
        Method.model_validate({"type": name, **others})


def test_a_spec_knows_what_its_method_takes(tmp_path):
    spec = {
        "job_id": "j",
        "base_model": "m",
        "base_model_path": tmp_path,
        "training_file": tmp_path,
        "output_dir": tmp_path,
        "n_epochs": 1,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "max_seq_length": 1024,
    }
    for name, entry in BY_SPEC_NAME.items():
        for change, is_taken in (
            ({"beta": 0.2}, entry.beta is not None),
            ({"packing": True}, entry.packs),
        ):
            if is_taken:
                assert spec_of(**spec, **change, method=name).training_method is entry
            else:
                with pytest.raises(ValueError, match=f'"{name}"|beta: Extra'):
                    spec_of(**spec, **change, method=name)
