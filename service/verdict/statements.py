"""Statements of verdicts and advice: a code and figures, from which the English sentence is made.

`SENTENCES` has the sentence of each code. A sentence is made from the figures alone, so a program
can show the same statement in another language. `docs/codes.md` is written from these tables.

Scores and differences are in points (0 to 100, or -100 to 100), with the limits of their 95%
intervals. A figure that does not apply is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from service.datasets.text.languages import language_name
from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Column,
    Comparison,
    Forgetting,
    Memorization,
    Retrieval,
    cost,
)
from service.verdict.results import Difference, Figures, Score, Statement, Verdict, VerdictKind
from service.verdict.thresholds import LEAST_SAVED_SHARE, SEEN_GAP
from service.verdict.wording import (
    column_name,
    effect,
    join_names,
    memorized_text,
    metric_name,
    number,
    points_interval,
    prompt_name,
    quantity,
    unit,
)

VERDICTS: Final = {
    "base_is_at_ceiling": "Solved already: the base scores {score}.",
    "base_is_at_ceiling_tuned_is_worse": (
        "Solved already: the base scores {score}, and the tuned model is worse by {tuned_effect}."
    ),
    "prompt_is_at_ceiling": "Solved already: {prompt} scores {score}.",
    "tuned_is_better": "Serve it: {gain}.",
    "tuned_returns_training_text": "Don't serve it yet: {gain}, but it returns {memorized}.",
    "tuned_lost_general_abilities": (
        "Serve it for this task only: {gain}, but it lost {lost} on the general set{most_lost}."
    ),
    "no_common_rows": (
        "Cannot tell; collect {rows_needed} rows: none was answered by both the base and the tuned "
        "model."
    ),
    "prompt_is_better": (
        "Don't pay for an adapter: {prompt} does better (tuned minus prompt: {effect})."
    ),
    "prompt_is_almost_as_good": (
        "Don't pay for an adapter: {prompt} does almost as well (tuned minus prompt: {effect})."
    ),
    "prompt_is_as_good": (
        "Don't pay for an adapter: {prompt} does as well (tuned minus prompt: {effect})."
    ),
    "no_gain": "No gain that matters: tuned minus base is {effect}.",
    "too_few_prompts": (
        "Too few rows to say; collect {more_rows}: tuned minus {rival} is {effect}, and a verdict "
        "to serve needs at least {prompts_needed} different prompts."
    ),
    "undecided": (
        "Cannot tell; collect {more_rows}: tuned minus {rival} is {effect}{worse_answers}{power}."
    ),
    "needs_too_many_rows": (
        "Cannot tell: tuned minus {rival} is {effect}. About {rows_in_all:,} rows would decide, "
        "and an evaluation has at most {most_rows:,}."
    ),
    "checkpoint_is_better": "Overfit: {checkpoint} beats the final model by {effect}.",
    "held_out_loss_rose_without_gain": "Overfit: {loss_rise}, and no gain was shown.",
    "tuned_is_worse": "Worse than the base: {effect}.",
    "tuned_is_worse_in_languages": "Worse than the base in {languages}: {language_effects}.",
    "facts_not_learned": (
        "Use retrieval: the answers are facts, and it gets unseen ones wrong ({right})."
    ),
    "people_disagree_with_measure": (
        "People disagree with the measure: tuned minus {rival} is {effect}, but {preferred}."
    ),
}
"""Sentences of verdicts, by code."""

NEXT_STEPS: Final = {
    "use_base": "Use the base model as it is. Training can gain nothing.",
    "use_base_with_prompt": "Use the base model with {prompt}. Training can gain nothing more.",
    "serve_tuned": "Serve the tuned model.{read_worse_answers}{savings}",
    "remove_personal_data": (
        "Remove personal data and duplicates from the training file, and train fewer epochs."
    ),
    "train_without_forgetting": (
        "For other uses, train with a lower learning rate or fewer epochs, or mix general rows "
        "into the training file."
    ),
    "hold_out_rows": "Train again with at least {rows_needed} held-out rows.",
    "use_prompt_of_report": "Use the base model with {prompt}, which the report shows.",
    "use_base_and_check_rows": (
        "Use the base model. Check that the training rows show what the held-out rows ask for, and "
        "do not contradict each other."
    ),
    "hold_out_more_rows": "Train again with {more_held_out_rows}. Until then, keep what you serve.",
    "keep_or_train_on_other_rows": (
        "Keep what you serve, or train on other rows. To evaluate on more rows, the operator can "
        "raise FINETUNED_EVALUATION_ROWS up to 1000."
    ),
    "serve_checkpoint": "Serve {checkpoint} instead, and train fewer steps next time.",
    "train_fewer_steps": (
        "Train fewer steps, or on more rows. {checkpoint} is not better than base and prompt."
    ),
    "train_less": ("Train fewer epochs or with a lower learning rate, or collect more rows."),
    "check_rows": (
        "Don't serve it. Check the training rows for contradictions and wrong answers, then try a "
        "lower learning rate or fewer epochs."
    ),
    "add_rows_in_languages": (
        "Add training rows in {languages}, or keep the base for users who write in it."
    ),
    "use_retrieval": (
        "Search for the facts and put them into the prompt instead of training on them. A keyword "
        "search over the training rows alone finds the answer to {found} of {rows} held-out rows."
    ),
    "settle_with_people": (
        "Keep what you serve. Read the rows on which people and {metric_name} differ, and evaluate "
        "again with a measure that agrees with people, such as a judge."
    ),
}
"""Recommendations of verdicts, by code."""

WARNINGS: Final = {
    "base_not_verified": "The base column was not verified to be the untrained base model.",
    "no_prompt_compared": (
        "No prompt was compared: a good prompt might do as well as the tuned model."
    ),
    "overlap_not_checked": (
        "The held-out rows were not compared with the training rows, and may be among them."
    ),
    "overlapping_rows": (
        "{overlapping} that the training data contains, exactly or nearly, {were} left out."
    ),
    "chosen_on_rows": (
        "The checkpoint was chosen by its loss on these rows, so the gain is "
        "overstated. Train again: new jobs keep half of the held-out rows apart."
    ),
    "answers_failed": "{failed_answers} of {column_name} failed and were left out.",
    "worse_on_metric": "Worse than {rival} on {metric_name}: {plain_effect}.",
    "too_few_rows_in_languages": (
        "Too few rows to detect a loss in {languages} (fewer than {rows_needed})."
    ),
    "lost_general_abilities": "The tuned model lost {lost} on the general set.",
    "returns_training_text": "The tuned model returns {memorized}.",
    "held_out_loss_rose": "{loss_rise_capitalized}: it may be trained too long.",
    "people_may_disagree": (
        "People preferred {column_name} to {rival} in {percent_of_labels}, which does not change "
        "the verdict until reviewers agree{known_agreement}."
    ),
}
"""Warnings of verdicts, by code."""

REASONS: Final = {
    "people_prefer": (
        "People preferred {column_name} to {rival} in {percent_of_labels}, and agree with each "
        "other ({agreement})."
    ),
}
"""Reasons of verdicts that people's labels give, by code."""

ADVICE: Final = {
    "fix_data": "Fix the data first: {finding_title}.",
    "too_few_rows_for_a_job": (
        "Collect more rows: {rows} are too few for a job, which needs {rows_needed}."
    ),
    "few_rows": ("Collect more rows: {rows} are few, and a clear effect starts at {rows_needed}."),
    "base_solves_it": (
        "Use a prompt: the base model already has {rounded_points} of 100 points on {rows} rows, "
        "so a training can gain next to nothing."
    ),
    "prompt_solves_it": (
        "Use a prompt: the base model with a prompt already has {rounded_points} of 100 points on "
        "{rows} rows, so a training can gain next to nothing."
    ),
    "answers_are_facts": (
        "Use retrieval: {facts} of {rows} answers are facts, which a training does not teach; a "
        "keyword search over the other rows alone finds {found} of them."
    ),
    "prompt_for_now": (
        "Use a prompt for now: it gains {rounded_points} points over the base model, and "
        "{training_rows} rows are few for a training."
    ),
    "train_without_scores": (
        "Train, and hold rows out: the rows use tools or have no text answer, so the base model "
        "was not asked."
    ),
    "train_without_answers": "Train, and hold rows out: the base model gave no answers.",
    "train": "Train: {known_scores} of 100 {metric_name} points on {rows} rows.",
}
"""Sentences of advice before a training, by code."""

REPORT_NOTES: Final = {
    "rows_skipped": (
        "{rows} held-out rows have no prompt or answer, or use tools that they do not declare, and "
        "were left out."
    ),
    "rows_with_tools_left_out": (
        "{rows} held-out rows use tools and were left out: the engine of {model} returns no tool "
        "calls. Set `tool_call_parser` of the base model in the catalog."
    ),
    "training_file_deleted": (
        "The training file was deleted, so no prompt was chosen and memorization was not measured."
    ),
    "rows_chose_model": (
        "{rows} more held-out rows chose the checkpoint, so they were not evaluated."
    ),
    "rows_sampled": (
        "{rows} of {held_out_rows} held-out rows were evaluated, chosen by seed {seed}."
    ),
    "judgments_unusable": (
        "The judge gave no usable answer on {pairs} pairs of answers, which were left out."
    ),
    "column_left_out": "{column} could not answer, and was left out.",
    "own_prompt_not_compared": (
        "Your prompt was not compared: there are too few training rows to choose one."
    ),
    "own_prompt_scored_lower": "On {rows} training rows, another prompt scored higher than yours.",
    "training_lost_as_served": (
        "As served, the model lacks about {share:.0%} of what the training improved: the engine "
        "has the weights in a different form from the training. All answers and losses here are "
        "those of the engine."
    ),
    "rewards_scaled": "Rewards from {low:g} to {high:g} are shown as 0 to 100 points.",
    "judge_not_served": "chrF decided: no engine serves the judge {judge}.",
    "judge_not_usable": (
        "chrF decided: the judge {judge} is hardly better than chance, since {calibration}."
    ),
    "judge_decided": "The judge {judge} decided, asked in both orders: {calibration}.",
}
"""Notes of the report on an evaluation, by code."""

HUMAN_REVIEW: Final = {
    "people_compared": (
        "People preferred {column_name} to {rival} in {percent_of_labels} (a tie counts as half)."
    ),
    "reviewers_agree_well": ("Reviewers agree well about {column_name} and {rival} ({agreement})."),
    "reviewers_agree_tentatively": (
        "Reviewers agree about {column_name} and {rival} enough for tentative conclusions "
        "({agreement}; 0.8 is good)."
    ),
    "reviewers_disagree": (
        "Reviewers disagree about {column_name} and {rival} too often for conclusions "
        "({agreement}; at least 0.667 is needed): read the rows on which they differ, and agree on "
        "what makes an answer better."
    ),
    "agreement_may_be_chance": (
        "The agreement of reviewers about {column_name} and {rival} may be chance ({agreement}): "
        "label more of the same rows."
    ),
    "reviewers_not_compared": (
        "It is not known whether reviewers agree about {column_name} and {rival}: let two people "
        "label the same rows."
    ),
    "people_agree_with_metric": (
        "The measure that decided ({metric_name}) agreed with people on {agreed}."
    ),
    "people_may_disagree_with_metric": (
        "The measure that decided ({metric_name}) agreed with people on {agreed}, which may be "
        "chance: compare more answers, and read those where both differ."
    ),
    "people_contradict_metric": (
        "The measure that decided ({metric_name}) agreed with people on only {agreed}: do not "
        "judge answers by it."
    ),
    "people_favor_position": (
        "People chose the answer shown {position} in {favored}: show answers in random order."
    ),
}
"""Statements on what people said about the answers of an evaluation, by code."""

NOTES: Final = {
    "job_refused": "A job would be refused: {message}",
    "rows_without_text_answer": "{rows} rows use tools or have no text answer, and were left out.",
}
"""Notes of advice before a training, by code."""

SENTENCES: Final[Mapping[str, str]] = {
    **VERDICTS,
    **NEXT_STEPS,
    **WARNINGS,
    **REASONS,
    **REPORT_NOTES,
    **HUMAN_REVIEW,
    **ADVICE,
    **NOTES,
}


def write(statement: Statement) -> str:
    """Return the sentence of a statement."""
    return SENTENCES[statement.code].format_map(_Parts(statement.figures))


class _Parts(dict[str, Any]):
    """Parts of a sentence by name: a figure as it is, or one or several figures in words."""

    def __init__(self, figures: Figures) -> None:
        super().__init__(figures)
        self._figures = figures

    def __getitem__(self, name: str) -> Any:
        part = PARTS.get(name)
        return self._figures[name] if part is None else part(self._figures)


def _gain(f: Figures) -> str:
    return f"tuned beats {column_name(f['rival'])} by {effect(f)} ({_worse_count(f)})"


def _worse_count(f: Figures) -> str:
    return (
        f"{f['much_worse']} of {quantity(f['rows'], 'answer')} got much worse, at most "
        f"{f['much_worse_at_most']:.0%}"
    )


def _lost(f: Figures) -> str:
    mean, limits = points_interval(f["lost_points"], f["lost_low"], f["lost_high"])
    return f"{mean} points {limits}"


def _most_lost(f: Figures) -> str:
    if "worst_language" not in f:
        return ""
    lost = number(f["worst_language_points"])
    return f", most in {language_name(f['worst_language'])} ({lost})"


def _score(f: Figures) -> str:
    mean, limits = points_interval(f["points"], f["low"], f["high"])
    return f"{mean} {unit(f['metric'])} {limits} on {quantity(f['rows'], 'row')}"


def _power(f: Figures) -> str:
    if "detectable_points" not in f:
        return ", which detects no difference"
    if f["detectable_points"] <= abs(f["points"]):
        return ""
    return f", which cannot detect less than {number(f['detectable_points'])}"


def _loss_rise(f: Figures) -> str:
    return (
        f"the held-out loss rose from {f['lowest_loss']:.2f} ({f['lowest_loss_of']}) to "
        f"{f['final_loss']:.2f}"
    )


def _right(f: Figures) -> str:
    right = f"{f['unseen_right']} of {f['unseen_rows']} right"
    if f["seen_rows"]:
        gap = f["seen_right"] / f["seen_rows"] - f["unseen_right"] / f["unseen_rows"]
        but = "but" if gap >= SEEN_GAP else "and"
        right += f", {but} {f['seen_right']} of {f['seen_rows']} trained ones"
    return right


def _savings(f: Figures) -> str:
    if "prompt_tokens" not in f:
        return ""
    return (
        f" It reads {f['tuned_tokens']:,.0f} tokens per answer, where the best prompt needs "
        f"{f['prompt_tokens']:,.0f}."
    )


def _known_scores(f: Figures) -> str:
    named = (("base_points", "the base model"), ("prompt_points", "its best prompt"))
    return " and ".join(f"{name} has {number(f[key])}" for key, name in named if key in f)


def _finding_title(f: Figures) -> str:
    title = str(f["title"]).rstrip(".")
    return title[:1].lower() + title[1:]


def _tuned_effect(f: Figures) -> str:
    own = ("points", "low", "high", "rows", "prompts")
    return effect({"metric": f["metric"], **{name: f[f"tuned_{name}"] for name in own}})


def _calibration(f: Figures) -> str:
    right = f"{f['right']:g} of {f['pairs']}"
    if f["is_human"]:
        return f"it agreed with people on {right} pairs of answers"
    return (
        f"it preferred the answer to the question over that to another one in {right} pairs; "
        "the rows have no preferences of people to compare it with"
    )


def _percent_of_labels(f: Figures) -> str:
    text = f"{_percent(f)} of {quantity(f['labels'], 'comparison')}"
    return text if f["labels"] == f["rows"] else f"{text} on {quantity(f['rows'], 'row')}"


def _agreed(f: Figures) -> str:
    return f"{f['right']:g} of {quantity(f['pairs'], 'pair')} of answers, {_percent(f)}"


def _preferred(f: Figures) -> str:
    people = f["people"]
    return (
        f"they preferred {column_name(people['column'])} in {_percent_of_labels(people)}, and "
        f"agree with each other ({_agreement(people)})"
    )


def _agreement(f: Figures) -> str:
    interval = ", ".join(number(f[name], 2) for name in ("alpha_low", "alpha_high"))
    rows = quantity(f["shared_rows"], "row")
    return f"alpha {number(f['alpha'], 2)} [{interval}] on {rows}"


def _percent(f: Figures) -> str:
    return f"{number(f['percent'])}% [{number(f['low'])}, {number(f['high'])}]"


PARTS: Final[Mapping[str, Callable[[Figures], str]]] = {
    "agreed": _agreed,
    "agreement": _agreement,
    "calibration": _calibration,
    "column_name": lambda f: column_name(f["column"]),
    "effect": effect,
    "failed_answers": lambda f: quantity(f["answers"], "answer"),
    "favored": lambda f: f"{f['right']} of {quantity(f['pairs'], 'pair')}",
    "finding_title": _finding_title,
    "gain": _gain,
    "overlapping": lambda f: quantity(f["rows"], "held-out row"),
    "known_agreement": lambda f: f" ({_agreement(f)})" if "alpha" in f else "",
    "known_scores": _known_scores,
    "language_effects": lambda f: "; ".join(map(effect, f["differences"])),
    "languages": lambda f: join_names([language_name(name) for name in f["languages"]]),
    "loss_rise": _loss_rise,
    "loss_rise_capitalized": lambda f: f"T{_loss_rise(f)[1:]}",
    "lost": _lost,
    "memorized": memorized_text,
    "metric_name": lambda f: metric_name(f["metric"]),
    "more_held_out_rows": lambda f: quantity(f["rows_needed"], "more held-out row"),
    "more_rows": lambda f: quantity(f["rows_needed"], "more row"),
    "most_lost": _most_lost,
    "percent_of_labels": _percent_of_labels,
    "plain_effect": lambda f: effect(f, named=False),
    "power": _power,
    "preferred": _preferred,
    "prompt": prompt_name,
    "read_worse_answers": lambda f: (
        " First read the answers that got much worse, in the report." if f["much_worse"] else ""
    ),
    "right": _right,
    "rival": lambda f: column_name(f["rival"]),
    "rounded_points": lambda f: number(f["points"]),
    "savings": _savings,
    "score": _score,
    "tuned_effect": _tuned_effect,
    "were": lambda f: "was" if f["rows"] == 1 else "were",
    "worse_answers": lambda f: f" ({_worse_count(f)})" if f["much_worse"] else "",
}
"""Parts of sentences that are more than a figure, by the name of their placeholder."""


def build_verdict(
    kind: VerdictKind,
    sentence: Statement,
    recommendation: Statement,
    *,
    rows_needed: int | None = None,
) -> Verdict:
    """Return a verdict with its statements as sentences, and as codes with figures."""
    return Verdict(
        kind=kind,
        sentence=write(sentence),
        code=sentence.code,
        figures=sentence.figures,
        recommendation=write(recommendation),
        recommendation_details=recommendation,
        rows_needed=rows_needed,
    )


def state(code: str, *parts: Mapping[str, Any], **figures: Any) -> Statement:
    """Return a statement with the figures of all parts."""
    merged: dict[str, Any] = {}
    for part in (*parts, figures):
        merged |= part
    return Statement(code=code, figures=merged)


def effect_figures(found: Difference) -> Figures:
    """Return the figures of a difference."""
    return {
        "metric": found.metric,
        "rival": found.b,
        **_points(found.mean, found.low, found.high),
        "rows": found.n,
        "prompts": found.clusters,
    }


def worse_figures(found: Difference) -> Figures:
    """Return the number of answers that got much worse, and the upper limit of their share.

    The limit counts answers to the same prompt as one.
    """
    from service.verdict.intervals import share_limit  # the API does without numpy

    count = math.ceil(found.much_worse * found.clusters / found.n)
    limit = share_limit(count, found.clusters)
    return {"much_worse": found.much_worse, "much_worse_at_most": round(limit, 6)}


def score_figures(found: Score) -> Figures:
    """Return the figures of a score."""
    points = _points(found.mean, found.low, found.high)
    return {"metric": found.metric, **points, "rows": found.n}


def tuned_figures(found: Difference) -> Figures:
    """Return the figures of a difference of the tuned model, beside those of a score."""
    shown = _points(found.mean, found.low, found.high) | {
        "rows": found.n,
        "prompts": found.clusters,
    }
    return {f"tuned_{name}": value for name, value in shown.items()}


def language_figures(found: Iterable[Difference]) -> Figures:
    """Return the languages of differences, and the figures of each."""
    chosen = list(found)
    return {
        "languages": [one.language or "" for one in chosen],
        "differences": [{"language": one.language, **effect_figures(one)} for one in chosen],
    }


def prompt_figures(column: Column | None) -> Figures:
    """Return what the best prompt consists of."""
    return {
        "is_baseline": bool(column and column.is_baseline),
        "examples": len(column.example_lines) if column else 0,
        "nearest_examples": column.nearest_examples if column else 0,
    }


def lost_figures(found: Forgetting) -> Figures:
    """Return the points that the tuned model lost on the general set."""
    points = _points(-found.change, -found.high, -found.low)
    return {f"lost_{name}": value for name, value in points.items()}


def worst_language_figures(found: Forgetting) -> Figures:
    """Return the language in which the tuned model lost most. Empty if none is known."""
    worst = min(found.languages, key=lambda one: one.tuned - one.base, default=None)
    if worst is None:
        return {}
    lost = _round((worst.base - worst.tuned) * 100)
    return {"worst_language": worst.language, "worst_language_points": lost}


def memorized_figures(found: Memorization) -> Figures:
    """Return the numbers of canaries and training rows that the model returned."""
    return {
        "canaries_returned": found.canaries_returned,
        "canaries_planted": found.canaries_planted,
        "verbatim": found.verbatim,
        "near": found.near,
        "rows_probed": found.rows_probed,
        "rows_with_personal_data": len(found.personal),
    }


def retrieval_figures(found: Retrieval) -> Figures:
    """Return the right answers among trained and unseen rows."""
    return {
        "unseen_right": found.unseen_right,
        "unseen_rows": found.unseen_rows,
        "seen_right": found.seen_right,
        "seen_rows": found.seen_rows,
    }


def loss_figures(lowest: Column, final: Column | None) -> Figures:
    """Return the lowest held-out loss with its column, and the final loss."""
    if final is None or final.loss is None or lowest.loss is None:
        raise ValueError("both losses must be known")
    return {
        "lowest_loss": _round(lowest.loss),
        "lowest_loss_of": lowest.name,
        "final_loss": _round(final.loss),
    }


def savings_figures(comparison: Comparison) -> Figures:
    """Return the prompt tokens per answer that the tuned model saves. Empty if it saves few."""
    tuned, prompt = cost(comparison, TUNED), cost(comparison, PROMPT)
    if tuned is None or prompt is None:
        return {}
    if tuned.prompt_tokens > prompt.prompt_tokens * (1 - LEAST_SAVED_SHARE):
        return {}
    return {
        "tuned_tokens": _round(tuned.prompt_tokens),
        "prompt_tokens": _round(prompt.prompt_tokens),
    }


def known_score_figures(base: Score | None, prompt: Score | None) -> Figures:
    """Return the points of the base model and of its best prompt, as far as they are known."""
    named = ((BASE, base), (PROMPT, prompt))
    return {f"{name}_points": _round(one.mean * 100) for name, one in named if one is not None}


def power_figures(found: Difference) -> Figures:
    """Return the smallest difference that would be detected. Empty if none would."""
    if found.detectable is None:
        return {}
    return {"detectable_points": _round(found.detectable * 100)}


def rounded_points(score: float) -> float:
    """Return a score in points."""
    return _round(score * 100)


def _points(mean: float, low: float, high: float) -> Figures:
    return {"points": _round(mean * 100), "low": _round(low * 100), "high": _round(high * 100)}


def _round(value: float) -> float:
    return round(value, 6)  # without the errors of binary fractions


def statements() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield each table of sentences with its title."""
    yield "Verdicts", VERDICTS
    yield "Recommendations of verdicts", NEXT_STEPS
    yield "Reasons of verdicts", REASONS
    yield "Warnings of verdicts", WARNINGS
    yield "Notes of evaluation reports", REPORT_NOTES
    yield "Human review of evaluations", HUMAN_REVIEW
    yield "Advice before a training", ADVICE
    yield "Notes of advice", NOTES
