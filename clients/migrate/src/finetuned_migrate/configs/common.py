"""Fields that the configurations of all trainers have, under different names."""

from __future__ import annotations

import math
from typing import Any

from finetuned_migrate.configs.mapping import FILE, Mapper, Method

_MOST_EPOCHS, _MOST_ROWS, _LARGEST_SHARE = 50, 256, 0.5


def adapter_of(mapper: Mapper, name: str, model: str) -> None:
    """Set the base model."""
    mapper.top(name, "model", model, "The ID in this service's catalog may be another one.")
    mapper.to_do.append(f"Check that the catalog has the base model: finetuned models show {model}")


def training_data(mapper: Mapper, name: str, data: Any, *, validation: bool = False) -> None:
    """Leave a placeholder for the ID of the file with a data set."""
    if data is None and validation:
        return
    to = "validation_file" if validation else "training_file"
    mapper.top(name, to, FILE, "Upload the rows, and write the ID of the file here.")
    what = f" ({data})" if data else ""
    mapper.to_do.append(f"Upload the data set{what}, and write its ID as {to}.")


def seed(mapper: Mapper, name: str) -> None:
    """Set the seed."""
    mapper.top(name, "seed", int(mapper.peek(name)))


def epochs(mapper: Mapper, name: str) -> None:
    """Set the number of passes over the data."""
    given = float(mapper.peek(name))
    whole = min(max(1, math.ceil(given)), _MOST_EPOCHS)
    note = None if whole == given else f"Jobs have 1 to {_MOST_EPOCHS} whole epochs."
    mapper.put([name], "n_epochs", whole, note)


def batch_size(mapper: Mapper, name: str, accumulation: str, method: Method) -> None:
    """Set the rows of a step, which the other trainer divides into parts."""
    rows = int(mapper.peek(name)) * int(mapper.peek(accumulation))
    least = 2 if method == "kto" else 1
    allowed = min(max(rows, least), _MOST_ROWS)
    note = "Rows per step: their product, for one GPU."
    if rows != allowed:
        note += f" It would be {rows}, and a job may have {least} to {_MOST_ROWS}."
    mapper.put([name, accumulation], "batch_size", allowed, note)


def packing(mapper: Mapper, name: str, method: Method) -> None:
    """Set whether rows are packed, which only one method can do."""
    if method in ("supervised", "pretraining"):
        mapper.set(name, "packing", bool)
    else:
        mapper.ignore(name, f"Rows of the method {method} cannot be packed.")


def quantization(mapper: Mapper, names: list[str], bits: int) -> None:
    """Set the quantization of the base model from the bits of a weight."""
    note = "Jobs quantize to 4 bits (NF4) or not at all." if bits not in (4, 16) else None
    mapper.put(names, "quantization", "none" if bits == 16 else "nf4", note)


def beta(mapper: Mapper, name: str, method: Method) -> None:
    """Set the beta of a method that compares answers."""
    if method in ("supervised", "pretraining"):
        mapper.ignore(name, f"The method {method} has no beta.")
    else:
        mapper.set(name, "beta", float)


def dora(mapper: Mapper, name: str) -> None:
    """Name DoRA as ignored."""
    mapper.ignore(name, "The serving engine cannot load DoRA adapters; a plain LoRA is trained.")


def validation_share(mapper: Mapper, name: str) -> None:
    """Set the share of the rows to hold out, if it is one."""
    share = mapper.peek(name)
    if share is None:
        return
    if mapper.has("validation_file"):
        mapper.ignore(name, "There is a validation file.")
    elif 0 < float(share) <= _LARGEST_SHARE:
        mapper.set(name, "validation_share", float)
    else:
        mapper.ignore(name, f"A share from 0 to {_LARGEST_SHARE} of the rows can be held out.")
