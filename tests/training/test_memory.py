"""Tests of runs that exceed their memory or disk."""

import json
import math
import re
import shutil
from functools import partial
from pathlib import Path

import pytest

from service.training import CheckpointSaved, Failed, Succeeded
from tests.lazy import Lazy
from tests.small_disk import small_disk

from .conftest import Starter, write_chats
from .forked import loaded_bytes, refuse_parts_above

pytestmark = pytest.mark.slow

checkpoints = Lazy("service.training.loop.checkpoints")
memory_module = Lazy("service.training.loop.memory")

MIB = 2**20


@pytest.mark.parametrize(
    ("changes", "part", "suggested", "says"),
    [
        ({}, (1024, 128), 512, "tokens_at_once to 512 (it is 1536)"),
        ({"tokens_at_once": 300}, (300, 128), 150, "tokens_at_once to 150 (it is 300)"),
        ({"tokens_at_once": 300}, (200, 128), 128, "for 200 tokens at once"),
        ({}, (128, 128), None, "Set gradient_checkpointing. Otherwise: Set max_seq_length to 64"),
        ({"gradient_checkpointing": True}, (128, 128), None, "max_seq_length to 64 (it is 128)"),
        ({"method": "dpo"}, (256, 128), None, "max_seq_length to 64"),
        ({"method": "dpo"}, (512, 128), 256, "tokens_at_once to 256"),
        ({}, (0, 0), None, "smaller base model"),
        ({"max_memory_bytes": 500 * MIB}, (300, 100), 150, "of the 500 MiB allowed"),
    ],
)
def test_the_advice_is_in_numbers(make_spec, tmp_path, changes, part, suggested, says):
    failure = memory_module.out_of_memory_failure(make_spec(tmp_path, **changes), part, "cpu")
    assert failure.code == "out_of_memory"
    assert failure.suggested_tokens_at_once == suggested
    assert says in failure.message
    assert re.search(r"[\d,]+ MiB were in use", failure.message)


def test_on_a_gpu_the_advice_is_at_most_the_usual_part(make_spec, tmp_path, monkeypatch):
    monkeypatch.setattr("service.training.loop.memory.peak_memory_bytes", lambda _: 0)
    spec = make_spec(tmp_path, tokens_at_once=16_384)
    for positions, suggested in ((16_384, 4096), (4096, 2048)):
        failure = memory_module.out_of_memory_failure(spec, (positions, 128), "cuda")
        assert failure.suggested_tokens_at_once == suggested


@pytest.mark.e2e
def test_a_run_out_of_memory_goes_on_with_what_it_suggests(start, make_spec, tmp_path):
    pairs = [(f"Say {n}", f"{n} words, " * 60) for n in range(36)]
    chats = write_chats(tmp_path / "long.jsonl", pairs)
    given = {"training_file": chats, "batch_size": 36, "max_seq_length": 256, "n_epochs": 1}

    def spec(name, **changes):
        return make_spec(tmp_path / name, **(given | {"lora": {"r": 4}} | changes))

    small = start(spec("small", tokens_at_once=1024))
    assert small.wait() == 0, small.log.read_text()
    suggested, tried = 10**6, []
    with Starter(tmp_path, prepare=partial(refuse_parts_above, 2500)) as limited:
        while suggested:
            tried.append(suggested)
            run = limited(spec(f"try-{len(tried)}", tokens_at_once=suggested))
            if run.wait() == 0:
                break
            (failed,) = run.of(Failed)
            assert failed.code == "out_of_memory", failed
            assert f"for {36 * 256} tokens at once" in failed.message or len(tried) > 1
            suggested = failed.suggested_tokens_at_once
    assert 3 <= len(tried) <= 4  # at most a half, then at most a quarter
    assert run.of(Succeeded)
    assert run.losses == pytest.approx(small.losses, rel=0.02)


@pytest.mark.e2e
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_base_model_that_does_not_fit(start, make_spec, tiny_model_path, tmp_path, quantization):
    """Without quantization, its file does not fit; in NF4, what is made of it does not."""
    base = _grown(tiny_model_path, tmp_path / "base")
    file_bytes = (base / "model.safetensors").stat().st_size
    room = -100 * MIB if quantization == "none" else file_bytes // 10
    changes = {
        "base_model_path": base,
        "quantization": quantization,
        "max_memory_bytes": loaded_bytes() + file_bytes + room,
    }
    run = start(make_spec(tmp_path / "out", **changes))
    assert run.wait() == 1, run.log.read_text()
    (failed,) = run.of(Failed)
    assert failed.code == "out_of_memory"
    assert failed.suggested_tokens_at_once is None


def _grown(base: Path, folder: Path) -> Path:
    """Make a model of 0.9 GiB from a tiny one. Its zeros take no space on the disk.

    With a tiny model, the limit would have to be below what loading its tokenizer takes, whose
    native code ends the process if it gets no memory.
    """
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 8192, "intermediate_size": 8192, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    wide = [8192, 8192]
    shapes = {
        "self_attn.q_proj": wide,
        "self_attn.k_proj": [4096, 8192],
        "self_attn.v_proj": [4096, 8192],
        "self_attn.o_proj": wide,
        "mlp.gate_proj": wide,
        "mlp.up_proj": wide,
        "mlp.down_proj": wide,
        "input_layernorm": [8192],
        "post_attention_layernorm": [8192],
    }
    tensors = {"model.embed_tokens.weight": [4096, 8192], "model.norm.weight": [8192]}
    tensors |= {f"model.layers.0.{name}.weight": shape for name, shape in shapes.items()}
    header, end = {}, 0
    for name, shape in tensors.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    written = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(written).to_bytes(8, "little") + written)
        file.truncate(8 + len(written) + end)
    return folder


@pytest.mark.e2e
def test_a_resumed_run_takes_no_more_memory(start, make_spec, tmp_path):
    given = {"lora": {"r": 256}, "n_checkpoints": 2, "n_epochs": 1, "batch_size": 3}
    whole = start(make_spec(tmp_path / "whole", **given))
    assert whole.wait() == 0, whole.log.read_text()
    half = whole.of(CheckpointSaved)[0].path
    resumed = start(make_spec(tmp_path / "resumed", resume_from=half, **given))
    assert resumed.wait() == 0, resumed.log.read_text()
    peaks = [run.of(Succeeded)[0].peak_memory_bytes for run in (whole, resumed)]
    # 12 MiB of adapter and 24 of optimizer state: a second copy would show.
    assert peaks[1] < peaks[0] + 6 * MIB


@pytest.mark.e2e
def test_a_full_disk_is_told_and_the_older_checkpoint_stays_whole(start, make_spec, tmp_path):
    # A checkpoint is some 6 MiB: six do not fit.
    with small_disk(tmp_path / "disk", "24m") as disk:
        spec = make_spec(disk / "out", lora={"r": 256}, n_checkpoints=6)
        run = start(spec)
        assert run.wait() == 1
        (failed,) = run.of(Failed)
        assert failed.code == "disk_full", run.log.read_text()
        saved = run.of(CheckpointSaved)
        assert 1 <= len(saved) < 6
        for message in saved:
            folder = Path(message.path)
            record = checkpoints.Seal.model_validate_json((folder / "run.json").read_bytes())
            assert checkpoints.open_checkpoint(folder, record.run).step == message.step
        folders = {path.name for path in (disk / "out").glob("checkpoint-*")}
        assert folders == {Path(message.path).name for message in saved}
        room = shutil.copytree(saved[-1].path, tmp_path / "room")
    again = start(spec.model_copy(update={"output_dir": tmp_path / "out", "resume_from": room}))
    assert again.wait() == 0, again.log.read_text()
