"""Gates: conditions on the figures of an evaluation: `{"chrf_gain": ">=5", "memorized": "==0"}`.

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
`==`) and a number, and "checked" for `parity`. Conditions apply to the measured figure, not to its
interval. A figure that was not measured fails its condition.

`figures` returns all figures of a comparison. They are stored, so that a gate can be applied later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import eq, ge, gt, le, lt
from typing import Final

from service.evaluation.comparison import BASE, PROMPT, TUNED, Comparison, Metric
from service.evaluation.results import ConditionResult, GateResult
from service.evaluation.statistics.pairs import paired, scores_of

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


def parse_gate(gate: Mapping[str, str], *, metrics: Iterable[str] = ()) -> list[Condition]:
    """Read a gate. `metrics` are names of metrics allowed besides the built-in ones.

    Raises:
        GateInvalid: A key is unknown, or a condition is malformed.
    """
    if len(gate) > MAX_CONDITIONS:
        raise GateInvalid(None, f"A gate has at most {MAX_CONDITIONS} conditions.")
    names = [*METRICS, *metrics]
    return [_parse(key, text, names) for key, text in gate.items()]


def apply_gate(gate: Iterable[Condition], figures: Mapping[str, float | str]) -> GateResult:
    """Check each condition of a gate against the figures of an evaluation."""
    results = [_apply(condition, figures) for condition in gate]
    return GateResult(passed=all(result.passed for result in results), conditions=results)


def fault(key: str, condition: str, measured: float | str | None, reason: str | None) -> str:
    """Return a clause about a failed condition, such as "chrf_gain is 2.1, not >=5"."""
    if measured is None:
        return (reason or f"{key} was not measured").removesuffix(".")
    shown = measured if isinstance(measured, str) else f"{measured:.6g}"
    return f"{key} is {shown}, not {condition}"


def _parse(key: str, text: str, metrics: list[str]) -> Condition:
    _require_known(key, metrics)
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


def _require_known(key: str, metrics: list[str]) -> None:
    gains = [f"{name}{suffix}" for name in metrics for suffix in (_GAIN, _GAIN_OVER_PROMPT)]
    known = [PARITY, *COUNTED, *metrics, *gains]
    if key in known:
        return
    close = get_close_matches(key[:_SHOWN_CHARS], known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise GateInvalid(
        key,
        f"{_cut(key)} is not a condition of a gate.{hint} Use {', '.join([PARITY, *COUNTED])}, or "
        f"a metric ({', '.join(metrics)}), which may end in '{_GAIN}' or '{_GAIN_OVER_PROMPT}'.",
    )


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")


def _apply(condition: Condition, figures: Mapping[str, float | str]) -> ConditionResult:
    measured = figures.get(condition.key)
    return ConditionResult(
        key=condition.key,
        condition=condition.text,
        measured=measured,
        passed=measured is not None and condition.holds(measured),
        reason=_not_measured(condition.key, figures) if measured is None else None,
    )


def _not_measured(key: str, figures: Mapping[str, float | str]) -> str:
    measured = ", ".join(sorted(figures))
    return f"The evaluation did not measure {key!r}; it measured {measured or 'nothing'}."


def figures(comparison: Comparison) -> dict[str, float | str]:
    """Return all figures that a gate can check and that the comparison measured, by key."""
    names = [metric.name for metric in comparison.metrics]
    gains = [f"{name}{suffix}" for name in names for suffix in (_GAIN, _GAIN_OVER_PROMPT)]
    found = {key: measure(key, comparison) for key in (PARITY, *COUNTED, *names, *gains)}
    return {
        key: value if isinstance(value, str) else float(value)
        for key, value in found.items()
        if value is not None
    }


def measure(key: str, comparison: Comparison) -> float | str | None:
    """Return the figure of a key of a gate. None if the comparison did not measure it."""
    if key == PARITY:
        return comparison.parity
    if key == GAIN:
        return measure(f"{comparison.primary.name}{_GAIN}", comparison)
    if key == "memorized":
        return comparison.memorization.returned if comparison.memorization else None
    if key == "forgetting":
        return -comparison.forgetting.change * 100 if comparison.forgetting else None
    if key == "wrong_language":
        right = _metric(comparison, "language")
        mean = scores_of(comparison, right, TUNED).mean if right else None
        return None if mean is None else 1 - mean
    name, rival = _split(key, comparison)
    metric = _metric(comparison, name)
    if metric is None:
        return None
    if rival is None:
        mean = scores_of(comparison, metric, TUNED).mean
    else:
        mean = paired(comparison, metric, TUNED, rival).mean
    return None if mean is None or not math.isfinite(mean) else mean * 100


def _split(key: str, comparison: Comparison) -> tuple[str, str | None]:
    """Return the metric of a key, and the column that the tuned model is compared with."""
    if _metric(comparison, key) is not None:
        return key, None
    if key.endswith(_GAIN_OVER_PROMPT):
        return key.removesuffix(_GAIN_OVER_PROMPT), PROMPT
    return key.removesuffix(_GAIN), BASE if key.endswith(_GAIN) else None


def _metric(comparison: Comparison, name: str) -> Metric | None:
    return next((metric for metric in comparison.metrics if metric.name == name), None)
