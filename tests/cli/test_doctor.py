"""Tests of single checks of the doctor."""

from __future__ import annotations

import pytest

from service.cli import doctor
from service.config import GIB
from service.fleet.capacity import Gpu


@pytest.mark.parametrize(
    ("capability", "level", "words"),
    [
        ((7, 5), "note", "Tesla T4: training and engines compute in float16"),
        ((8, 9), "ok", "on the GPU"),
        (None, "ok", "on GPUs since Ampere"),
    ],
)
def test_the_doctor_says_what_a_gpu_computes_in(capability, level, words):
    found = doctor._bf16([Gpu("GPU-1", "Tesla T4", 16 * GIB, capability)])
    assert found.level == level
    assert words in found.found
