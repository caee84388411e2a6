import subprocess
import sys

import pytest
from pydantic import ValidationError

import service.training
from service.training import TrainSpec


def test_the_public_names_are_sorted_and_there():
    names = service.training.__all__
    constants = [name for name in names if name.isupper()]
    classes = [name for name in names if name[0].isupper() and not name.isupper()]
    functions = [name for name in names if name.islower()]
    assert names == sorted(constants) + sorted(classes) + sorted(functions)
    assert all(hasattr(service.training, name) for name in names)


def test_the_worker_side_imports_no_torch():
    modules = "contract.spec", "contract.protocol", "contract.samples", "loop.estimate"
    names = ", ".join(f"service.training.{name}" for name in modules)
    check = f"import sys, {names}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_spec_survives_its_json(tiny_spec):
    assert TrainSpec.model_validate_json(tiny_spec.model_dump_json()) == tiny_spec


@pytest.mark.parametrize(
    "targets", [["lm_head"], ["embed_tokens"], ["model.embed_tokens"], [], [".*"], ["q proj"]]
)
def test_modules_that_cannot_be_served_are_refused(make_spec, tmp_path, targets):
    with pytest.raises(ValidationError):
        make_spec(tmp_path, lora={"target_modules": targets})


@pytest.mark.parametrize("place", [{}, {"hyperparameters": {}}, {"hyperparameters": {"lora": {}}}])
def test_an_unknown_field_is_refused(tiny_spec, place):
    fields = tiny_spec.model_dump()
    inner = fields
    while place:
        ((name, place),) = place.items()
        inner = inner[name]
    inner["learning_rat"] = 1
    with pytest.raises(ValidationError, match="learning_rat"):
        TrainSpec.model_validate(fields)


def test_a_spec_needs_a_value_of_whatever_the_service_chooses(tiny_spec):
    fields = tiny_spec.model_dump()
    for name in ("n_epochs", "learning_rate"):
        for change in ({name: "auto"}, {}):
            chosen = {k: v for k, v in fields["hyperparameters"].items() if k != name} | change
            with pytest.raises(ValidationError, match=f"{name}: Input should be a valid"):
                TrainSpec.model_validate(fields | {"hyperparameters": chosen})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"beta": 0.1}, "beta: Extra inputs"),
        ({"method": "dpo", "packing": True}, "cannot be packed"),
        ({"method": "dpo", "beta": 2.5}, "less than or equal to 2"),
        ({"keep_best": True}, "need a validation_file"),
        ({"early_stopping": {"patience": 1}}, "need a validation_file"),
        ({"early_stopping": {"patience": 0}, "validation_share": 0.1}, "greater than"),
        ({"warm_start": "ft:tiny"}, "warm_start_path"),
        ({"validation_share": 0.6}, "less than or equal to 0.5"),
        ({"packing": "sometimes"}, "packing"),
        ({"method": "reinforcement", "max_completion_tokens": 128}, "no room for a prompt"),
        (
            {
                "method": "reinforcement",
                "max_completion_tokens": 9,
                "sampling": "trainer",
                "gpus": 2,
            },
            "on one GPU",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(make_spec, tmp_path, changes, why):
    with pytest.raises(ValidationError, match=why):
        make_spec(tmp_path, **changes)
