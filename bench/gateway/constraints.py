"""Time and memory of an engine's compiler for schemas and grammars, and the gateway's verdict.

    python -m bench.gateway.constraints [--limit-s 60]

Each one is compiled with xgrammar as vLLM does, in a process of its own whose CPU time and memory
are limited. The vocabulary is that of SmolLM2 (49,152 tokens).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

from service.core.errors import BadRequest
from service.inference.gateway.checks import RequestRules

_MEMORY_BYTES = 6 * 2**30


def texts(*limits: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object of required texts."""
    properties = {f"p{n}": {"type": "string", **limit} for n, limit in enumerate(limits)}
    return {"type": "object", "properties": properties, "required": list(properties)}


def optional(count: int) -> dict[str, Any]:
    """The schema of an object of optional texts."""
    return {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(count)}}


def rules(count: int) -> str:
    """A grammar whose rules refer to each other."""
    first = " | ".join(f"r{n}" for n in range(count - 1))
    each = (
        f'r{n} ::= "a" r{(7 * n + 1) % (count - 1)} | [a-z]+ r{(3 * n + 2) % (count - 1)}'
        for n in range(count - 1)
    )
    return "\n".join([f"root ::= {first}", *each])


CASES: dict[str, dict[str, Any]] = {
    "ten texts with different `maxLength`": {
        "json": texts(*({"maxLength": 1000 + n} for n in range(10)))
    },
    "five of them": {"json": texts(*({"maxLength": 1000 + n} for n in range(5)))},
    "300 texts with one `maxLength`": {"json": texts(*({"maxLength": 1000} for _ in range(300)))},
    "regex, `.?` 100 times": {"regex": ".?" * 100},
    "regex, `.?` 44 times": {"regex": ".?" * 44},
    "2,000 optional properties": {"json": optional(2000)},
    "400 of them": {"json": optional(400)},
    "20,000 values": {"json": {"enum": [f"value-{n:06}" for n in range(20_000)]}},
    "4,000 of them": {"json": {"enum": [f"value-{n:06}" for n in range(4_000)]}},
    "grammar of 501 rules": {"grammar": rules(501)},
    "grammar of 200 rules": {"grammar": rules(200)},
}


def compile_case(name: str, model: str) -> None:
    """Compile one case and print its CPU seconds and the memory that it took, in MB."""
    import xgrammar
    from transformers import AutoTokenizer

    info = xgrammar.TokenizerInfo.from_huggingface(AutoTokenizer.from_pretrained(model))
    compiler = xgrammar.GrammarCompiler(info, max_threads=8)
    before = resource.getrusage(resource.RUSAGE_SELF)
    match CASES[name]:
        case {"json": schema}:
            compiler.compile_json_schema(json.dumps(schema))
        case {"regex": pattern}:
            compiler.compile_regex(pattern)
        case {"grammar": grammar}:
            compiler.compile_grammar(grammar)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([seconds, (after.ru_maxrss - before.ru_maxrss) / 1024]))


def verdict(constraint: dict[str, Any]) -> str:
    """Return the gateway's answer to a request with this constraint."""
    body = {
        "model": "a",
        "messages": [{"role": "user", "content": "hi"}],
        "structured_outputs": constraint,
    }
    try:
        RequestRules().checked("/v1/chat/completions", json.dumps(body).encode())
    except BadRequest:
        return "refused"
    return "passes"


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit-s", type=int, default=60, help="CPU time limit of each case")
    options.add_argument("--case", help=argparse.SUPPRESS)
    options.add_argument("--model", help="folder with the tokenizer; by default, the demo model's")
    asked = options.parse_args()
    if asked.case:
        compile_case(asked.case, asked.model)
        return
    if asked.model is None:
        from bench.engine.base_model import base_model

        asked.model = str(base_model())

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (asked.limit_s + 20, asked.limit_s + 25))

    print("| | bytes | CPU s | MB | the gateway |\n|---|---|---|---|---|")
    for name, constraint in CASES.items():
        command = [sys.executable, "-m", "bench.gateway.constraints", "--case", name]
        done = subprocess.run(
            [*command, "--model", asked.model],
            stdout=subprocess.PIPE,
            preexec_fn=limited,
            check=False,
        )
        seconds, megabytes = json.loads(done.stdout) if done.stdout else (asked.limit_s, None)
        size = len(json.dumps(constraint)) if "json" in constraint else len(*constraint.values())
        used = f"{seconds:.1f}" if megabytes is not None else f"over {asked.limit_s}"
        memory = "–" if megabytes is None else f"{megabytes:.0f}"
        print(f"| {name} | {size:,} | {used} | {memory} | {verdict(constraint)} |", flush=True)


if __name__ == "__main__":
    main()
