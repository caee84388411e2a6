"""Gates of the command line: conditions on the figures of an evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from operator import eq, ge, gt, le, lt

from finetuned_cli.failures import WrongUsage

_OPERATORS = {">=": ge, "<=": le, "==": eq, ">": gt, "<": lt}
_LIMITS = {">=": "_low", ">": "_low", "<=": "_high", "<": "_high"}
_CONDITION = re.compile(
    r"\s*(?P<key>\w+)\s*"
    r"(?:=\s*(?P<word>checked)|=?\s*(?P<operator>>=|<=|==|>|<)\s*(?P<limit>[+-]?\d+(?:\.\d+)?))\s*"
)
# Means of decimal fractions carry rounding errors; ">=5" accepts a gain of 4.9999999999.
_ROUNDING = 1e-9


def parse_gate(given: Iterable[str]) -> dict[str, str]:
    """Return conditions by key. `key=">=5"` and `key>=5` are the same. Raises WrongUsage."""
    gate = {}
    for text in given:
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise WrongUsage(
                f"--gate takes a condition, not '{text}'.",
                next_step="Examples, quoted for the shell: 'chrf_gain>=5', 'parity=checked'.",
            )
        gate[found["key"]] = found["word"] or found["operator"] + found["limit"]
    return gate


def failed_conditions(gate: Mapping[str, str], figures: Mapping[str, float | str]) -> list[str]:
    """Return one sentence for each condition that the figures do not meet."""
    failed = []
    for asked, condition in gate.items():
        # A figure with an interval meets a condition with its whole interval.
        limit = asked + _LIMITS.get(condition.rstrip("+-.0123456789 ").strip(), "")
        key = limit if limit in figures else asked
        measured = figures.get(key)
        if measured is None:
            known = ", ".join(sorted(figures))
            failed.append(f"{key} was not measured; the figures are {known}.")
        elif not _holds(condition, measured):
            shown = measured if isinstance(measured, str) else f"{measured:.6g}"
            failed.append(f"{key} is {shown}, not {condition}.")
    return failed


def _holds(condition: str, measured: float | str) -> bool:
    found = re.match(r"[<>=]+", condition)
    if found is None or isinstance(measured, str):
        return condition == measured
    limit = float(condition[found.end() :])
    if abs(measured - limit) <= _ROUNDING:
        return "=" in found[0]
    return bool(_OPERATORS[found[0]](measured, limit))
