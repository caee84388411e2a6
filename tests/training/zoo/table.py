"""The tables of architectures in docs/models.md: `python -m tests.training.zoo.table --write`."""

from __future__ import annotations

import re
import sys
from typing import Final

from service.models.model_folder import UNTRAINABLE, WITHOUT_ADAPTERS
from service.training.model.base_folder import FORMATS, SINCE, is_converted, untrainable
from tests.cached import ROOT
from tests.training.zoo.families import FAMILIES, Family

PAGE: Final = ROOT / "docs" / "models.md"


def families_table() -> str:
    """A row for each family: which layers are adapted, and whether vLLM serves that on a CPU."""
    head = "| family | architecture | an adapter changes | served on a CPU | remarks |"
    return _table(head, [_family(family) for family in FAMILIES])


def formats_table() -> str:
    """A row for each stored form of weights: whether it can be trained."""
    head = "| `quant_method` in config.json | weights in | trained |"
    return _table(head, [[f"`{method}`", name, _trained(method)] for method, name in FORMATS])


def refusals_table() -> str:
    """A row for each reason for which `models add` refuses a family."""
    head = "| family | why `models add` refuses it |"
    unserved = ", ".join(f"`{name}`" for name in sorted(WITHOUT_ADAPTERS))
    unknown = ", ".join(f"`{kind}` ({version})" for kind, version in SINCE.items())
    untrainable: dict[str, list[str]] = {}
    for kind, why in UNTRAINABLE.items():
        untrainable.setdefault(why.partition(":")[0], []).append(f"`{kind}`")
    return _table(
        head,
        [
            *([", ".join(kinds), why] for why, kinds in untrainable.items()),
            [unserved, "vLLM 0.32 takes no adapters on it"],
            [unknown, "the installed transformers lacks it; this version has it"],
            ["any other", "no version of transformers that has it is known here"],
        ],
    )


def _family(family: Family) -> list[str]:
    layers = ", ".join(f"`{layer}`" for layer in family.layers)
    return [family.name, f"`{family.architecture}`", layers, family.serves, family.why]


def _trained(method: str) -> str:
    config = {"model_type": "gpt_oss", "quantization_config": {"quant_method": method}}
    if is_converted(config):
        return 'gpt-oss only, converted to BF16, with `"quantization": "none"`'
    return "no" if untrainable(config) else "yes"


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.count("|") - 1
    lines = [head, "|" + "---|" * columns, *(f"| {' | '.join(row)} |" for row in rows)]
    return "".join(re.sub(r"\|  \|", "| |", line) + "\n" for line in lines)


def written(text: str) -> str:
    """The page with the tables as they are now."""
    for table in (families_table(), refusals_table(), formats_table()):
        head = table.partition("\n")[0]
        text = re.sub(re.escape(head) + r"\n(?:\|.*\n)*", lambda _, new=table: new, text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(f"{families_table()}\n{refusals_table()}\n{formats_table()}")
