"""Tests of runs that start from an adapter, and of adapters of other shapes."""

import json
import math
import shutil
from pathlib import Path

import pytest

from service.training import Failed, LoraOptions, Started, StepDone, Succeeded, Warned
from service.training.contract.failures import TrainingFailure
from tests.lazy import Lazy

torch = Lazy("torch")
adapters = Lazy("service.training.model.adapters")
safetensors = Lazy("safetensors.torch")

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def result(run):
    (done,) = run.of(Succeeded)
    return Path(done.adapter_path)


@pytest.fixture
def adapter(whole_run, tmp_path):
    """A copy of a trained adapter that tests can damage."""
    return Path(shutil.copytree(result(whole_run), tmp_path / "adapter"))


def change_config(folder, **changes):
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(spec):
    with pytest.raises(TrainingFailure) as caught:
        adapters.lora_shape(spec)
    return caught.value


pytestmark = [pytest.mark.slow, pytest.mark.e2e]  # for the run that the adapter comes from


def test_the_shape_is_the_adapters(adapter, make_spec, tmp_path):
    shape = adapters.lora_shape(make_spec(tmp_path, warm_start_path=adapter, lora={"dropout": 0.2}))
    assert (shape.r, shape.alpha, shape.dropout) == (4, 8, 0.2)
    assert len(shape.target_modules) == 2 * 7
    assert shape == adapters.lora_shape(
        make_spec(tmp_path, warm_start_path=adapter, lora={"r": 4, "dropout": 0.2})
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("r", 8),
        ("alpha", 16),
        ("use_rslora", True),
    ],
)
def test_another_shape_is_refused(adapter, make_spec, tmp_path, field, value):
    failure = refusal(make_spec(tmp_path, warm_start_path=adapter, lora={field: value}))
    assert (failure.code, failure.param) == ("invalid_spec", f"lora.{field}")
    assert f"Leave lora.{field} out" in failure.message


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
        ({"r": "four"}, "not a LoRA configuration"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"bias": "all"}, "biases"),
        ({"target_modules": ".*_proj"}, "not names of modules"),
        ({"target_modules": ["lm_head"]}, "not names of modules"),
    ],
)
def test_what_is_no_plain_lora_adapter_is_refused(adapter, make_spec, tmp_path, changes, why):
    change_config(adapter, **changes)
    failure = refusal(make_spec(tmp_path, warm_start_path=adapter, lora={}))
    assert (failure.code, failure.param) == ("invalid_warm_start", "warm_start")
    assert why in failure.message


def test_pickled_weights_are_not_read(adapter, make_spec, tmp_path):
    (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
    assert (
        "no adapter_model.safetensors"
        in refusal(make_spec(tmp_path, warm_start_path=adapter)).message
    )


def spoil_shape(tensors):
    return {name: tensor[:, :3].contiguous() for name, tensor in tensors.items()}


def spoil_name(tensors):
    return {name.replace("q_proj", "x_proj"): tensor for name, tensor in tensors.items()}


def spoil_value(tensors):
    next(iter(tensors.values()))[0, 0] = torch.nan
    return tensors


@pytest.mark.parametrize(
    ("spoil", "why"),
    [(spoil_shape, "do not fit"), (spoil_name, "do not fit"), (spoil_value, "not finite")],
)
def test_weights_of_another_model_or_none_end_the_run(
    adapter, start, make_spec, tmp_path, spoil, why
):
    safetensors.save_file(spoil(safetensors.load_file(adapter / WEIGHTS)), adapter / WEIGHTS)
    run = start(make_spec(tmp_path / "out", warm_start_path=adapter))
    assert run.wait() == 1
    (failed,) = run.of(Failed)
    assert failed.code == "invalid_warm_start"
    assert why in failed.message


def test_a_run_begins_with_the_very_weights(adapter, start, make_spec, tmp_path):
    change_config(adapter, base_model_name_or_path="elsewhere")
    run = start(
        make_spec(
            tmp_path / "out", warm_start_path=adapter, learning_rate=1e-30, n_epochs=1, lora={}
        )
    )
    assert run.wait() == 0, run.log.read_text()
    assert [warned.code for warned in run.of(Warned)] == ["warm_start_base_differs"]
    before, after = (
        safetensors.load_file(adapter / WEIGHTS),
        safetensors.load_file(result(run) / WEIGHTS),
    )
    assert before.keys() == after.keys()
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_other_layers_than_the_adapters_are_refused(start, make_spec, tmp_path):
    def spec(name, **changes):
        return make_spec(tmp_path / name, n_epochs=1, **changes)

    names = ["v_proj", "q_proj"]
    first = start(spec("first", lora={"r": 2, "target_modules": names}))
    assert first.wait() == 0, first.log.read_text()
    full_names = [f"model.layers.{n}.self_attn.{name}" for n in range(2) for name in names]
    for asked in ("all-linear", ["q_proj"]):
        run = start(spec("out", warm_start_path=result(first), lora={"target_modules": asked}))
        assert run.wait() == 1
        (failed,) = run.of(Failed)
        assert (failed.code, failed.param) == ("invalid_spec", "lora.target_modules")
    same = start(spec("same", warm_start_path=result(first), lora={"target_modules": full_names}))
    assert same.wait() == 0, same.log.read_text()
    assert same.of(Started)[0].trainable_parameters == first.of(Started)[0].trainable_parameters


def test_dpo_after_sft_is_held_to_what_sft_gave(
    whole_run, start, make_spec, few_preferences, tmp_path
):
    def spec(folder, **changes):
        given = {
            "method": "dpo",
            "training_file": few_preferences,
            "learning_rate": 3e-3,
            "warm_start_path": result(whole_run),
        }
        return make_spec(tmp_path / folder, **(given | changes))

    whole = start(spec("whole"))
    assert whole.wait() == 0, whole.log.read_text()
    steps = whole.of(StepDone)
    # The adapter is not fresh, yet the run starts at its reference.
    assert steps[0].train_loss == pytest.approx(math.log(2), abs=1e-6)
    assert steps[-1].train_loss < steps[0].train_loss - 0.05
    assert sorted(path.name for path in result(whole).iterdir()) == [
        *(CONFIG, WEIGHTS, "steps.csv")
    ]

    first = start(spec("first"))
    stopped = first.stop_after(5)
    second = start(spec("second", resume_from=stopped.path))
    assert second.wait() == 0, second.log.read_text()
    # If the checkpoint or the base model were the reference, these would differ.
    assert first.losses | second.losses == whole.losses
    assert (
        safetensors.load_file(result(second) / WEIGHTS).keys()
        == safetensors.load_file(result(whole) / WEIGHTS).keys()
    )

    fresh = start(spec("fresh", resume_from=stopped.path, warm_start_path=None))
    assert fresh.wait() == 1
    assert "warm_start" in fresh.of(Failed)[0].message


def test_defaults_of_a_fresh_adapter():
    shape = LoraOptions().to_shape()
    assert (shape.r, shape.alpha, shape.target_modules) == (16, 32, "all-linear")
    assert LoraOptions(r=64).to_shape().alpha == 128
    assert not shape.use_rslora


@pytest.fixture(scope="module")
def peft_helper():
    return pytest.importorskip("vllm.lora.peft_helper").PEFTHelper


@pytest.mark.filterwarnings("ignore")  # vLLM's own, at its import
def test_rslora_scales_alike_in_training_and_in_vllm(start, make_spec, tmp_path, peft_helper):
    lora = {"r": 16, "alpha": 8, "use_rslora": True}
    run = start(make_spec(tmp_path / "out", lora=lora, n_epochs=1))
    assert run.wait() == 0, run.log.read_text()
    config = json.loads((result(run) / CONFIG).read_text())
    assert peft_helper.from_dict(config).vllm_lora_scaling_factor == 8 / math.sqrt(16)

    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    from service.training.model.models import ComputeDevice, load_base

    spec = make_spec(tmp_path, quantization="none")
    base = load_base(spec, ComputeDevice("cpu", torch.float32))
    model = get_peft_model(
        base,
        LoraConfig(
            **{
                name: config[name]
                for name in ("r", "lora_alpha", "use_rslora", "target_modules", "task_type")
            }
        ),
    )
    scales = {m.scaling["default"] for m in model.modules() if isinstance(m, BaseTunerLayer)}
    assert scales == {8 / math.sqrt(16)}
