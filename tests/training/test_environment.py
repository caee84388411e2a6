"""Tests of the environment of trainers, and that engines do not have it."""

from __future__ import annotations

import os

import pytest

from service.training import __main__ as trainer
from service.training.contract.environment import allocator


def test_memory_of_a_gpu_grows_in_segments(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {})
    trainer._settle_environment(tmp_path)
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_the_operators_allocator_stays(name):
    assert allocator({name: "max_split_size_mb:512"}) == {}
