"""The job here that repeats a training at OpenAI, and what cannot be repeated."""

from __future__ import annotations

from typing import Any

from finetuned_migrate.openai.source import OldModel, Profile, Source

METHODS = ("supervised", "dpo")
_UNAVAILABLE = "Its method, {method}, is not repeated here: there are {methods}."
_GRADED = (
    "Its method, reinforcement, is not repeated here, because the models that its grader asks may "
    "have other names. Create a job with `finetuned train --method reinforcement --grader`."
)
_IMAGES = (
    "{count} of {rows} rows have images, but this service trains on text only. Train on the other "
    "rows yourself with `finetuned train`."
)
_MOST_EPOCHS = 50
_MOST_SEED = 2**31 - 1
_MOST_BETA = 2.0


def obstacles(model: OldModel, source: Source) -> list[str]:
    """Return why a model cannot be trained again here; empty if it can."""
    if model.is_checkpoint:
        return ["It is an intermediate checkpoint: train its job's model, which has checkpoints."]
    if model.job is None:
        return ["The archive has no job that trained it, so its data is unknown."]
    if model.method == "reinforcement":
        return [_GRADED]
    if model.method not in METHODS:
        return [_UNAVAILABLE.format(method=model.method, methods=", ".join(METHODS))]
    training = model.file("training_file") or ""
    if source.path(training) is None:
        reason = source.files.get(training, {}).get("content", "it was deleted before")
        return [f"The archive does not have its training file {training}: {reason}."]
    profile = source.profile(training)
    if profile.with_images:
        return [_IMAGES.format(count=profile.with_images, rows=profile.rows)]
    return []


def method_of(model: OldModel) -> Any:
    """Return the method of the new job, with the epochs and the beta of the old one."""
    options: dict[str, Any] = {}
    epochs, beta = model.hyperparameters.get("n_epochs"), model.hyperparameters.get("beta")
    if isinstance(epochs, int):
        options["n_epochs"] = min(epochs, _MOST_EPOCHS)
    if model.method == "dpo" and isinstance(beta, int | float) and 0 < beta <= _MOST_BETA:
        options["beta"] = beta
    return {"type": model.method, model.method: {"hyperparameters": options}}


def seed_of(model: OldModel) -> int | None:
    """Return the seed of the old job, if it is one here too."""
    seed = (model.job or {}).get("seed")
    return seed if isinstance(seed, int) and 0 <= seed <= _MOST_SEED else None


def differences(model: OldModel, source: Source, profile: Profile) -> list[str]:
    """Return what differs between the old training and the new one."""
    given = model.hyperparameters
    found = ["The base model: the new one has fewer parameters and a context of its own."]
    found += [
        f"{name}: {given[name]} there; chosen here from the data and the base model."
        for name in ("batch_size", "learning_rate_multiplier")
        if given.get(name) not in (None, "auto")
    ]
    epochs = given.get("n_epochs")
    if isinstance(epochs, int) and epochs > _MOST_EPOCHS:
        found.append(f"n_epochs: {epochs} there, {_MOST_EPOCHS} at most here.")
    if profile.with_tools:
        found.append(
            f"{profile.with_tools} of {profile.rows} rows use tools: the base model's chat "
            "template must render them."
        )
    validation = model.file("validation_file")
    if validation and source.path(validation) is None:
        found.append(f"The archive does not have its validation file {validation}.")
    if "gpt-4o" in model.base or "gpt-4.1" in model.base:
        found.append("Images in prompts: the old base model accepts them; models here may not.")
    return found
