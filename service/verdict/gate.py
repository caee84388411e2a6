"""Applies gates, conditions on figures such as `{"chrf_gain": ">=5", "memorized": "==0"}`.

| key | measured figure |
|---|---|
| `gain` | `METRIC_gain` of the evaluation's primary metric |
| `METRIC` | mean score of the tuned model, in points (0 to 100) |
| `METRIC_gain` | tuned minus base, in points, on the rows that both answered |
| `METRIC_gain_over_prompt` | tuned minus the best prompt, in points |
| `forgetting` | points lost on the general set; negative if the model gained |
| `memorized` | number of canaries and training rows returned, verbatim or nearly |
| `wrong_language` | share (0 to 1) of the tuned model's answers in the wrong language |
| `parity` | "checked" if the engine's scores were compared with the trainer's, else "unchecked" |

`METRIC` is the name of a metric, such as `chrf` or `exact`. A gain is positive if the tuned model
is better, also where a lower score is better. A condition is an operator (`>=`, `>`, `<=`, `<` or
`==`) and a number, and "checked" for `parity`. A figure that was not measured fails its condition.

Metrics and gains have the limits of their 95% intervals as further figures, with `_low` and `_high`
at the end. A condition on a metric or gain must hold for the whole interval, so `>=` and `>` apply
to `_low`, and `<=` and `<` to `_high`: a measured gain of 6 points may be chance.

`figures` returns all figures of a comparison. They are stored, so that a gate can be applied later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import eq, ge, gt, le, lt
from statistics import fmean
from typing import Final

from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Comparison,
    pair_scores,
    scores_of,
)
from service.verdict.results import ConditionResult, GateResult

METRICS: Final = (
    "chrf",
    "exact",
    "label",
    "json",
    "json_schema",
    "tool_call",
    "language",
    "judge",
    "reward",
)
GAIN: Final = "gain"
PARITY: Final = "parity"
COUNTED: Final = (GAIN, "forgetting", "memorized", "wrong_language")
MAX_CONDITIONS: Final = 32

_GAIN, _GAIN_OVER_PROMPT = "_gain", "_gain_over_prompt"
_LOW, _HIGH = "_low", "_high"
_OPERATORS: Final = {">=": ge, "<=": le, "==": eq, ">": gt, "<": lt}
_CONDITION: Final = re.compile(r"\s*(>=|<=|==|>|<)\s*([+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*")
_SHOWN_CHARS = 64
# Means of decimal fractions carry rounding errors; ">=5" accepts a gain of 4.9999999999.
_ROUNDING = 1e-9


class GateInvalid(ValueError):
    """A gate that cannot be read. `key` is the key at fault; None if the whole gate is."""

    def __init__(self, key: str | None, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


@dataclass(frozen=True)
class Condition:
    """A condition of a gate. `operator` and `limit` are None for `parity`."""

    key: str
    text: str
    operator: str | None = None
    limit: float | None = None

    def holds(self, measured: float | str) -> bool:
        """Return whether the measured figure meets the condition."""
        if isinstance(measured, str) or self.operator is None or self.limit is None:
            return measured == "checked"
        if abs(measured - self.limit) <= _ROUNDING:
            return "=" in self.operator
        return bool(_OPERATORS[self.operator](measured, self.limit))


def parse_gate(gate: Mapping[str, str]) -> list[Condition]:
    """Read a gate. Raises GateInvalid if a key is unknown, or a condition malformed."""
    if len(gate) > MAX_CONDITIONS:
        raise GateInvalid(None, f"A gate has at most {MAX_CONDITIONS} conditions.")
    return [_parse(key, text) for key, text in gate.items()]


def apply_gate(gate: Iterable[Condition], figures: Mapping[str, float | str]) -> GateResult:
    """Check each condition of a gate against the figures of an evaluation."""
    results = [_apply(condition, figures) for condition in gate]
    return GateResult(passed=all(result.passed for result in results), conditions=results)


def describe_fault(
    key: str, condition: str, measured: float | str | None, reason: str | None
) -> str:
    """Return a clause about a failed condition, such as "chrf_gain is 2.1, not >=5"."""
    if measured is None:
        return (reason or f"{key} was not measured").removesuffix(".")
    shown = measured if isinstance(measured, str) else f"{measured:.6g}"
    return f"{key} is {shown}, not {condition}"


def _parse(key: str, text: str) -> Condition:
    _require_known(key)
    if key == PARITY:
        if text != "checked":
            raise GateInvalid(key, f"The condition of 'parity' is 'checked', not {_cut(text)}.")
        return Condition(key, text)
    found = _CONDITION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise GateInvalid(
            key,
            f"The condition {_cut(text)} of {key!r} must be a string of >=, >, <=, < or ==, and a "
            "number, such as '>=5'.",
        )
    return Condition(key, text, found[1], float(found[2]))


def _require_known(key: str) -> None:
    gains = [f"{name}{suffix}" for name in METRICS for suffix in (_GAIN, _GAIN_OVER_PROMPT)]
    limits = [f"{name}{end}" for name in (GAIN, *METRICS, *gains) for end in (_LOW, _HIGH)]
    known = [PARITY, *COUNTED, *METRICS, *gains, *limits]
    if key in known:
        return
    close = get_close_matches(key[:_SHOWN_CHARS], known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise GateInvalid(
        key,
        f"{_cut(key)} is not a condition of a gate.{hint} Use {', '.join([PARITY, *COUNTED])}, or "
        f"a metric ({', '.join(METRICS)}), which may end in '{_GAIN}' or '{_GAIN_OVER_PROMPT}'. "
        f"'{GAIN}' and these may end in '{_LOW}' or '{_HIGH}'.",
    )


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")


def _apply(condition: Condition, figures: Mapping[str, float | str]) -> ConditionResult:
    key = _compared(condition, figures)
    measured = figures.get(key)
    return ConditionResult(
        key=key,
        condition=condition.text,
        measured=measured,
        passed=measured is not None and condition.holds(measured),
        reason=_not_measured(key, figures) if measured is None else None,
    )


def _compared(condition: Condition, figures: Mapping[str, float | str]) -> str:
    """Return the key of the figure that a condition applies to: the limit of an interval, if any.

    Figures that version 0.2 or earlier stored have no limits.
    """
    ends = {">=": _LOW, ">": _LOW, "<=": _HIGH, "<": _HIGH}
    limit = condition.key + ends.get(condition.operator or "", "")
    return limit if limit in figures else condition.key


def _not_measured(key: str, figures: Mapping[str, float | str]) -> str:
    measured = ", ".join(sorted(figures))
    return f"The evaluation did not measure {key!r}; it measured {measured or 'nothing'}."


def figures(comparison: Comparison) -> dict[str, float | str]:
    """Return all figures that a gate can check and that the comparison measured, by key."""
    found: dict[str, float | str] = {PARITY: comparison.parity}
    for metric in comparison.metrics:
        own = scores_of(comparison, metric, TUNED)
        found |= _with_limits(metric.name, own.scores, own.clusters, None)
        for suffix, rival in ((_GAIN, BASE), (_GAIN_OVER_PROMPT, PROMPT)):
            pairs = pair_scores(comparison, metric, TUNED, rival)
            key = f"{metric.name}{suffix}"
            found |= _with_limits(key, pairs.differences, pairs.clusters, pairs.rival)
    for end in ("", _LOW, _HIGH):
        if (key := f"{comparison.primary.name}{_GAIN}{end}") in found:
            found[f"{GAIN}{end}"] = found[key]
    if comparison.memorization is not None:
        found["memorized"] = float(comparison.memorization.returned)
    if comparison.forgetting is not None:
        found["forgetting"] = -comparison.forgetting.change * 100
    right = next((metric for metric in comparison.metrics if metric.name == "language"), None)
    if right is not None and (scores := scores_of(comparison, right, TUNED).scores):
        found["wrong_language"] = 1 - fmean(scores)
    return found


def _with_limits(
    key: str, values: list[float], clusters: list[str], rival: float | None
) -> dict[str, float | str]:
    """Return the mean and the limits of scores, or of differences to a rival's, in points."""
    if not values:
        return {}
    # Imported here: the api reads gates, and does without numpy.
    from service.verdict.intervals import Clusters, difference_interval, mean_interval

    grouped = Clusters.group(values, clusters)
    low, high = mean_interval(grouped) if rival is None else difference_interval(grouped, rival)
    return {key: fmean(values) * 100, f"{key}{_LOW}": low * 100, f"{key}{_HIGH}": high * 100}
