"""`python -m tests.training.zoo.serve ORDERS.json`: scores of adapters by vLLM, one after another.

vLLM is imported once. Each model is then loaded in a fork, with the options of our engines and our
operators for CPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.inference.engine.process import MODEL_PATH_VARIABLE, MODEL_VARIABLE
from service.models.adapter_check import BaseLayout
from service.training.contract.protocol import Probe
from tests.inference.engine.conftest import ONE_CORE

Scores = list[list[float]]
# Until the process exits: an engine takes minutes to shut down.
_KEPT: list[Any] = []


@dataclass(frozen=True)
class Answer:
    """Scores by probe and place, with and without the adapter; or why there are none."""

    tuned: Scores
    base: Scores
    error: str = ""


@dataclass(frozen=True)
class Order:
    """A base model and an adapter, the probes to score, and vLLM's options besides ours."""

    base: Path
    adapter: Path
    probes: Sequence[Probe]
    options: Mapping[str, Any] = field(default_factory=dict)


def ask_vllm(folder: Path, models: Mapping[str, Order]) -> dict[str, Answer]:
    """Score the probes of each model."""
    orders: dict[str, dict[str, Any]] = {
        name: {
            "base": str(order.base),
            "adapter": str(order.adapter),
            "probes": [[probe.tokens, probe.places] for probe in order.probes],
            "options": dict(order.options),
            "answer": str(folder / f"{name}.json"),
        }
        for name, order in models.items()
    }
    file, log = folder / "orders.json", folder / "vllm.log"
    file.write_text(json.dumps(orders))
    environment = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_PLUGINS": "bitsandbytes",
        **ONE_CORE,
        "TORCHDYNAMO_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("wb") as sink:
        subprocess.run(
            [sys.executable, "-m", "tests.training.zoo.serve", str(file)],
            env=os.environ | environment,
            stdout=sink,
            stderr=sink,
            check=True,
        )
    return {name: Answer(**json.loads(Path(o["answer"]).read_text())) for name, o in orders.items()}


def _score(order: dict[str, Any]) -> Answer:
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    from service.inference.engine import cpu, rotary

    base = Path(order["base"])
    cpu.install_experts(base)
    rotary.install(base)
    model = LLM(
        model=str(base),
        dtype="bfloat16",
        enforce_eager=True,
        max_model_len=512,
        max_num_seqs=2,
        enable_lora=True,
        max_loras=1,
        **{"max_lora_rank": 8, **order["options"]},
        lora_target_modules=BaseLayout.read(base).served_layers(),
        distributed_executor_backend="uni",
        disable_log_stats=True,
        language_model_only=True,
    )
    _KEPT.append(model)
    options = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
    found = []
    for adapter in (LoRARequest("zoo", 1, order["adapter"]), None):
        prompts: Any = [{"prompt_token_ids": tokens} for tokens, _ in order["probes"]]
        outputs: Any = model.generate(prompts, options, use_tqdm=False, lora_request=adapter)
        found.append(
            [
                [output.prompt_logprobs[at][tokens[at]].logprob for at in places]
                for output, (tokens, places) in zip(outputs, order["probes"], strict=True)
            ]
        )
    return Answer(tuned=found[0], base=found[1])


def _answer(name: str, order: dict[str, Any]) -> None:
    os.environ[MODEL_VARIABLE], os.environ[MODEL_PATH_VARIABLE] = name, order["base"]
    try:
        answer = _score(order)
    except Exception as error:  # noqa: BLE001  # the answer says what vLLM does not serve
        traceback.print_exc()
        answer = Answer([], [], f"{type(error).__name__}: {error}")
    Path(order["answer"]).write_text(json.dumps(vars(answer)))


def main(file: Path) -> None:
    """Score all orders."""
    import vllm.entrypoints.llm
    import vllm.v1.worker.cpu_model_runner  # noqa: F401  # once, before the forks

    from service.inference.engine import cpu_lora

    cpu_lora.install()
    for name, order in json.loads(file.read_text()).items():
        if (pid := os.fork()) == 0:
            _answer(name, order)
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
