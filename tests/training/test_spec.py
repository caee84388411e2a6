import subprocess
import sys

import pytest
from pydantic import ValidationError

import service.training
from service.training import LoraSpec, TrainSpec


def test_the_public_names_are_sorted_and_there():
    names = service.training.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    functions = [name for name in names if name.islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(functions)
    assert all(hasattr(service.training, name) for name in names)


@pytest.mark.parametrize(
    "module",
    [
        "service.training.contract.spec",
        "service.training.contract.protocol",
        "service.training.loop.estimate",
    ],
)
def test_the_worker_side_imports_no_torch(module):
    check = f"import sys, {module}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_spec_survives_its_json(tiny_spec):
    assert TrainSpec.model_validate_json(tiny_spec.model_dump_json()) == tiny_spec


@pytest.mark.parametrize(
    "targets", [["lm_head"], ["embed_tokens"], ["model.embed_tokens"], [], [".*"], ["q proj"]]
)
def test_modules_that_cannot_be_served_are_refused(targets):
    with pytest.raises(ValidationError):
        LoraSpec(target_modules=targets)


def test_an_unknown_field_is_refused(tiny_spec):
    with pytest.raises(ValidationError):
        TrainSpec.model_validate(tiny_spec.model_dump() | {"learning_rat": 1})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"beta": 0.1}, "beta requires"),
        ({"method": "dpo", "packing": True}, "cannot be packed"),
        ({"method": "dpo", "beta": 2.5}, "less than or equal to 2"),
        ({"keep_best": True}, "need a validation_file"),
        ({"early_stopping": {"patience": 1}}, "need a validation_file"),
        ({"early_stopping": {"patience": 0}, "validation_share": 0.1}, "greater than"),
        ({"validation_share": 0.6}, "less than or equal to 0.5"),
        ({"packing": "sometimes"}, "packing"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_spec, changes, why):
    with pytest.raises(ValidationError, match=why):
        TrainSpec.model_validate(tiny_spec.model_dump() | changes)
