"""The architectures that `models add` refuses are those on which vLLM takes no adapters.

From the sources of the installed vLLM and transformers: both import too much for that.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import defaultdict
from pathlib import Path

import pytest

from service.models.model_folder import WITHOUT_ADAPTERS

LIBRARIES = Path(sysconfig.get_path("purelib"))
VLLM = LIBRARIES / "vllm"
AUTO = LIBRARIES / "transformers" / "models" / "auto" / "modeling_auto.py"
TRAINED = ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES")


def without_adapters() -> set[str]:
    """The architectures that vLLM registers with a class that does not extend SupportsLoRA."""
    bases: dict[str, set[str]] = defaultdict(set)
    for folder in ("model_executor/models", "models"):
        for file in (VLLM / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.ClassDef):
                    bases[node.name] |= {ast.unparse(base).split(".")[-1] for base in node.bases}

    def takes_adapters(name: str, seen: frozenset[str] = frozenset()) -> bool:
        above = bases[name] - seen
        return name == "SupportsLoRA" or any(takes_adapters(one, seen | {name}) for one in above)

    registry = (VLLM / "model_executor" / "models" / "registry.py").read_text("utf-8")
    registered = re.findall(r'"(\w+)": \(\s*"[\w.]+",\s*"(\w+)",?\s*\)', registry)
    return {name for name, of in registered if not takes_adapters(of)}


def trained() -> set[str]:
    """The architectures that a training can load."""
    found = set()
    for node in ast.walk(ast.parse(AUTO.read_bytes())):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in TRAINED:
            found |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    return {str(name) for name in found}


@pytest.mark.skipif(not VLLM.is_dir(), reason="vLLM is not installed")
def test_architectures_on_which_vllm_takes_no_adapters_are_refused():
    assert sorted(WITHOUT_ADAPTERS) == sorted(without_adapters() & trained())
