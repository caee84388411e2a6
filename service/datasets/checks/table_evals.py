"""Issue codes for the files of evaluation runs."""

from __future__ import annotations

from service.datasets.checks.check import Check

EVALS: dict[str, Check] = {
    "empty_eval_file": Check(
        "error",
        "The file holds no items.",
        'Write one JSON object per line, such as {"item": {…}}.',
    ),
    "no_eval_item": Check(
        "error",
        "The row has no object 'item'.",
        'Write each line as {"item": {…}}, or {"item": {…}, "sample": {…}} to give the answer too.',
    ),
    "eval_sample_not_an_object": Check(
        "error",
        "The row's 'sample' is not an object.",
        'Write the answer to grade as {"sample": {"output_text": "…"}}, or leave it out.',
    ),
    "eval_item_too_long": Check(
        "error",
        "The line has more than {limit} bytes.",
        "Shorten the item.",
    ),
    "too_many_eval_items": Check(
        "error",
        "The file has more than {limit} items, the limit of a run.",
        "Split the file, and create a run for each part.",
    ),
}
