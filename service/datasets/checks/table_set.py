"""Issue codes for rows compared with each other, and for tasks on a data set."""

from __future__ import annotations

from service.datasets.checks.check import Check

SET: dict[str, Check] = {
    "broken_row": Check(
        "error",
        "The row is broken ({cause}), and broken rows are to be kept out.",
        "Mend the row, or let the cleaning drop broken rows.",
    ),
    "exact_duplicate": Check(
        "warning",
        "The row is equal to line {other} in everything that is trained on.",
        "Remove it: a row that stands twice counts twice.",
    ),
    "near_duplicate": Check(
        "info",
        "The row is nearly the same as line {other}.",
        "Keep both if the difference matters (a number, a date, yes or no); otherwise drop one.",
    ),
    "contradiction": Check(
        "warning",
        "The row asks the same as line {other} and answers otherwise.",
        "Keep the answer that the model should give.",
    ),
    "overlap": Check(
        "warning",
        "The row of the validation file stands in the training file, at line {other}.",
        "Remove it from one of the two, or the validation measures memory.",
    ),
    "wrong_language": Check(
        "warning",
        "The row is in {language}, unlike nearly all others.",
        "Check that it belongs to this data set.",
    ),
    "answer_in_other_language": Check(
        "warning",
        "Question and answer are in different languages, unlike in most rows.",
        "Translate one of them, or remove the row.",
    ),
    "very_long_row": Check(
        "warning",
        "The row has {chars} characters, far more than the others.",
        "Check it; a long row takes the memory of many and is cut at the context.",
    ),
    "very_short_answer": Check(
        "warning",
        "The answer has {chars} characters, far fewer than the others.",
        "Check that the answer is whole.",
    ),
    "system_prompt_varies": Check(
        "warning",
        "{count} different system prompts stand in the file.",
        "Use one, and the same when the model is asked, unless the difference is meant.",
    ),
    "personal_data": Check(
        "warning",
        "The row holds personal data: {kinds}.",
        "Redact it before training: a model can repeat what it was trained on.",
    ),
    "truncated": Check(
        "warning",
        "The row has about {tokens} tokens and is cut at {limit}.",
        "Shorten it, or choose a longer context.",
    ),
    "nothing_left_to_learn": Check(
        "error",
        "What comes before the first answer fills the context of {limit} tokens.",
        "Shorten the prompt: no token of the answer is left to learn from.",
    ),
    "tools_not_supported": Check(
        "error",
        "The chat template of {model} writes no tool calls and results, which {rows} row(s) hold.",
        "Train a base model whose template does, or leave these rows out: a model that is trained "
        "on them learns to answer with nothing.",
    ),
    "unreadable_tokenizer": Check(
        "error",
        "The tokenizer of the base model cannot be read.",
        "Give the path of a tokenizer.json as the tokenizers library writes it.",
    ),
}

TASK: dict[str, Check] = {
    "invalid_spec": Check(
        "error",
        "What was asked of the data set is not valid: {reason}.",
        "Correct the option.",
    ),
    "out_of_memory": Check(
        "error",
        "The work on the data set ran out of memory.",
        "Give the process more memory, or split the file.",
    ),
    "file_error": Check(
        "error",
        "A file could not be read or written: {reason}.",
        "Check the disk's space and the permissions.",
    ),
    "worker_died": Check(
        "error",
        "A process that reads the data set died; it may have run out of memory.",
        "Give it more memory, or use fewer processes.",
    ),
}
