"""The verdict of an evaluation: one sentence with its numbers, and what to do.

Rules are tried in this order, and the first that applies decides:

1. **cannot_tell**: no row was answered by both the base and the tuned model.
2. **retrieval**: the answers are facts, and the tuned model gets unseen ones wrong. This comes
   before all other findings since it explains a bad score, and no other training would help.
3. **overfit**: a checkpoint is better than the final model.
4. **solved_already**: the base is at the ceiling, and the tuned model gains nothing on it.
5. **worse**: the tuned model is worse than the base, overall or in a language.
6. **solved_already**: the best prompt is at the ceiling, and the tuned model gains nothing on it.
7. If the tuned model beats both base and prompt: **memorized** if it returns canaries or personal
   data, else **forgot** if it lost general abilities, else **serve**.
8. **overfit**: the held-out loss rose, and the tuned model did not beat base and prompt.
9. **prompt**: any gain over the best prompt is too small to matter.
10. **no_gain**: any gain over the base is too small to matter.
11. **cannot_tell**: everything else, with the number of rows to collect, unless an evaluation has
    not that many.

A finding that does not decide becomes a warning. `evidence.py` defines "better", "worse" and "too
small to matter"; `thresholds.py` contains all thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from service.evaluation.cautions import cautions
from service.evaluation.comparison import Comparison
from service.evaluation.evidence import Evidence
from service.evaluation.results import Verdict
from service.evaluation.rules.facts import use_retrieval
from service.evaluation.rules.gain import serve, solved_by_base, solved_by_prompt
from service.evaluation.rules.no_gain import (
    cannot_tell,
    needs_too_many_rows,
    no_gain,
    nothing_to_compare,
    use_prompt,
)
from service.evaluation.rules.overfit import checkpoint_is_better, loss_rose
from service.evaluation.rules.worse import worse

_RULES: Final[tuple[Callable[[Evidence], Verdict | None], ...]] = (
    nothing_to_compare,
    use_retrieval,
    checkpoint_is_better,
    solved_by_base,
    worse,
    solved_by_prompt,
    serve,
    loss_rose,
    use_prompt,
    no_gain,
    needs_too_many_rows,
    cannot_tell,
)


def judge(comparison: Comparison) -> Verdict:
    """Return the verdict of a comparison. The same comparison always gets the same verdict."""
    evidence = Evidence.of(comparison)
    found = next(verdict for rule in _RULES if (verdict := rule(evidence)) is not None)
    return msgspec.structs.replace(
        found, warnings=cautions(evidence, found.kind), differences=evidence.differences
    )
