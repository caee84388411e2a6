"""Tests of the extracted reason of a process's death, with output of real programs."""

from __future__ import annotations

import pytest

from service.standalone.supervisor import crash_reason

VLLM = """INFO [utils.py:9] no more than `OSError: too many open files`: see ulimit
(EngineCore_0 pid=9) ERROR [core.py:700] Traceback (most recent call last):
(EngineCore_0 pid=9) ERROR [core.py:700]   File "weights.py", line 1, in load
(EngineCore_0 pid=9) ERROR [core.py:700] safetensors_rust.SafetensorError: header too large
(EngineCore_0 pid=9) Process EngineCore_0:
(APIServer pid=8) RuntimeError: Engine core initialization failed. See root cause above.
"""
PYDANTIC = """Traceback (most recent call last):
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Model architectures ['X'] are not supported for now. [type=value_error]
"""


LOGGED = """{"level": "ERROR", "message": "an engine is away"}
{"level": "ERROR", "message": "Traceback (most recent calls)\\na.PortTaken: 9101 is taken.\\n"}
{"level": "ERROR", "message": "Application startup failed. Exiting."}
{"level": "INFO", "message": "the end"}
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n\n", "two"),
        ("finetuned-server: the base model 'x' is broken\n", "the base model 'x' is broken"),
        ("ModuleNotFoundError: No module named 'vllm'\n", "No module named 'vllm'"),
        (VLLM, "header too large"),
        (PYDANTIC, "Value error, Model architectures ['X'] are not supported for now."),
        (LOGGED, "9101 is taken."),
        ('{"level": "ERROR", "message": "no more"}\n{}\n[1]\n', "no more"),
        ("ValueError: " + "x" * 1000, "x" * 300),
    ],
)
def test_the_first_error_counts_else_the_last_line(tmp_path, log, said):
    file = tmp_path / "s.log"
    file.write_text(log, "utf-8")
    assert crash_reason(file, 0).startswith(said)
    assert len(crash_reason(file, 0)) <= 300


def test_what_an_earlier_process_said_is_passed_over(tmp_path):
    file = tmp_path / "s.log"
    file.write_text("ValueError: old\nValueError: new\n", "utf-8")
    assert crash_reason(file, len("ValueError: old\n")) == "new"
    assert crash_reason(tmp_path / "none.log", 0) == ""
