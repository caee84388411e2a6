"""Tests of how a batch is divided among ranks."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from service.training.data.tokenization import IGNORED
from service.training.parallel.launcher import environment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gpus": 4}, "a batch of 3 cannot be shared by 4 GPUs"),
        ({"sharding": "fsdp"}, "set gpus to 2 or more"),
        ({"gpus": 65, "batch_size": 65}, "less than or equal to 64"),
    ],
)
def test_what_cannot_be_shared_is_refused(make_spec, tmp_path, changes, why):
    with pytest.raises(ValidationError, match=why):
        make_spec(tmp_path, **changes)


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [(None, ["0", "1", "2"]), ("4,GPU-7f", ["4", "GPU-7f", ""]), ("", ["", "", ""])],
)
def test_each_rank_sees_one_device_of_those_that_the_run_may_use(monkeypatch, visible, wanted):
    monkeypatch.setenv("WORLD_SIZE", "8")  # set by a cluster
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [environment(index, 3) for index in range(3)]
    assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == wanted
    assert not any("WORLD_SIZE" in env for env in found)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("samples", [1, 2, 7])
@pytest.mark.parametrize("size", [2, 4])
def test_the_shares_of_a_batch_are_the_batch(packed, samples, size):
    import torch

    from service.training.data.batches import PackedCollator, PaddedCollator, RankCollator

    whole = (PackedCollator if packed else PaddedCollator)(budget=12)
    batch = [
        {
            "input_ids": torch.arange(100 * n + 1, 100 * n + 9 - n),
            "labels": torch.tensor([IGNORED] + [100 * n + t for t in range(2, 9 - n)]),
        }
        for n in range(samples)
    ]
    shares = [RankCollator(whole, index, size)(batch) for index in range(size)]
    wanted = whole(batch)

    def tokens(parts):
        found = [int(t) for part in parts for t in part["input_ids"].flatten() if t]
        assert len(found) == sum(int(part["token_count"]) for part in parts)
        return sorted(found)

    assert tokens([part for share in shares for part in share["parts"]]) == tokens(wanted["parts"])
    assert {share["units"] for share in shares} == {wanted["units"]}
    # Collectives run at each part, so all ranks must have the same number.
    assert len({len(share["parts"]) + len(share["fillers"]) for share in shares}) == 1


def test_fsdp_leaves_each_rank_half_of_the_base_and_the_whole_adapter(make_spec, tmp_path):
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    from service.training.model.adapters import add_adapter
    from service.training.model.models import ComputeDevice, load_base
    from service.training.parallel.ranks import shard

    spec = make_spec(tmp_path, gpus=2, batch_size=2, sharding="fsdp")
    place = ComputeDevice("cpu", torch.bfloat16)
    model = add_adapter(load_base(spec, place), spec, spec.hyperparameters.lora.to_shape())
    before = {name: p.numel() for name, p in model.named_parameters()}
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        shard(model, place, init_device_mesh("cpu", (2,)))
        for name, parameter in model.named_parameters():
            assert isinstance(parameter.data, DTensor) is not parameter.requires_grad, name
            held = parameter.to_local() if isinstance(parameter, DTensor) else parameter
            share = 1 if parameter.requires_grad else 2
            assert held.numel() * share == before[name], name
    finally:
        dist.destroy_process_group()


def test_the_ranks_of_a_machine_load_one_after_another():
    import torch.distributed as dist

    from service.training.parallel.ranks import Ranks

    store = dist.HashStore()  # type: ignore[attr-defined]
    for index, host in enumerate(("a", "a", "b")):
        store.set(f"host/{index}", host)
    seen = []

    def load(index: int) -> None:
        with Ranks(index, 3, "cpu", store).load_in_turn():
            seen.append(("begins", index))
            seen.append(("ends", index))

    second = threading.Thread(target=load, args=(1,))
    second.start()
    for index in (2, 0):  # the first on another machine
        load(index)
    second.join(60)
    assert seen == [(what, index) for index in (2, 0, 1) for what in ("begins", "ends")]


def test_the_scales_of_4_bit_weights_move_to_the_device():
    """FSDP moves the weights only. The device of this test has no memory."""
    import bitsandbytes
    import torch

    from service.training.parallel.ranks import move_scales

    layer = bitsandbytes.nn.Linear4bit(64, 64, quant_type="nf4", compress_statistics=True)
    model = torch.nn.Sequential(layer.to("cpu"))
    move_scales(model, "meta")
    state = layer.weight.quant_state
    for tensor in (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code):
        assert tensor.device.type == "meta"
    assert layer.weight.device.type == "cpu"
