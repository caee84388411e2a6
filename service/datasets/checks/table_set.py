"""Issue codes for rows compared with each other, and for tasks on a data set."""

from __future__ import annotations

from service.datasets.checks.check import Check

SET: dict[str, Check] = {
    "broken_row": Check(
        "error",
        "The row is broken ({cause}), and broken rows must be removed.",
        "Fix the row, or let the cleaning drop broken rows.",
    ),
    "invalid_decision": Check(
        "error",
        "Line {number} of the decisions is not valid: {reason}.",
        'A decision is a line such as {"line": 7, "action": "drop"}; the action is keep, drop or '
        "edit.",
    ),
    "no_row_at_line": Check(
        "error",
        "A decision is about this line, where the file has no row.",
        "Use the lines that the rows of the file have.",
    ),
    "broken_row_kept": Check(
        "error",
        "A decision keeps this row, which is broken.",
        "Edit it, or drop it.",
    ),
    "broken_source": Check(
        "error",
        "The file {file} has broken rows, the first in line {number} ({cause}).",
        "Clean the file, and merge the training file of the cleaning.",
    ),
    "unreadable_source": Check(
        "error",
        "The file {file} cannot be read: {reason}",
        "Its preview shows how it is read. Correct it, or leave it out.",
    ),
    "merge_too_large": Check(
        "error",
        "The rows of the files take more than {limit} bytes together.",
        "Merge fewer or smaller files, or raise `FINETUNED_MAX_UNPACKED_BYTES`.",
    ),
    "mixed_row_formats": Check(
        "error",
        "The file {file} has rows of the format {found}, but {first} has {expected}.",
        "Merge files of one format, such as chats or prompts for graders.",
    ),
    "one_label": Check(
        "error",
        "Every row has the label {label}; the file needs good and bad answers.",
        "Add rows with the other label, or merge the file with one that has some. To learn from "
        'all answers alike, upload the file with the format {"shape": "chat"}, or '
        '{"shape": "prompt_completion"}, and no label that is false.',
    ),
    "exact_duplicate": Check(
        "warning",
        "The row is identical to line {other} in everything that is trained on.",
        "Remove it: a duplicate row counts twice.",
    ),
    "near_duplicate": Check(
        "info",
        "The row means the same as line {other}, in slightly different words.",
        "Drop one of them, unless you want to teach both wordings.",
    ),
    "same_form": Check(
        "info",
        "The row has the same form as line {other} but other facts, such as a number or a name.",
        "Keep both if the facts matter. Many rows of one form teach the form, not the facts.",
    ),
    "contradiction": Check(
        "warning",
        "The row asks the same question as line {other}, perhaps in other words, but gives a "
        "different answer.",
        "Keep the answer that the model should give.",
    ),
    "label_contradiction": Check(
        "warning",
        "The row has the same prompt and answer as line {other} but the other label.",
        "Keep the label that is right.",
    ),
    "overlap": Check(
        "warning",
        "The row of the validation file also appears in the training file, at line {other}.",
        "Remove it from one of the two files; otherwise validation measures memorization.",
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
        "Check it; a long row needs as much memory as many short ones and is cut at the context "
        "length.",
    ),
    "very_short_answer": Check(
        "warning",
        "The answer has {chars} characters, far fewer than the others.",
        "Check that the answer is complete.",
    ),
    "system_prompt_varies": Check(
        "warning",
        "The file contains {count} different system prompts.",
        "Use one, and send the same one at inference, unless the difference is intended.",
    ),
    "personal_data": Check(
        "warning",
        "The row contains personal data: {kinds}.",
        "Redact it before training: a model can repeat what it was trained on.",
    ),
    "truncated": Check(
        "warning",
        "The row has about {tokens} tokens and is cut at {limit}.",
        "Shorten it, or choose a longer context.",
    ),
    "nothing_left_to_learn": Check(
        "error",
        "The text before the first answer fills the context of {limit} tokens.",
        "Shorten the prompt: no token of the answer is left to learn from.",
    ),
    "tools_not_supported": Check(
        "error",
        "The chat template of {model} does not render tool calls and results, which {rows} row(s) "
        "contain.",
        "Train a base model whose template does, or remove these rows: a model trained on them "
        "learns to give empty answers.",
    ),
    "unreadable_tokenizer": Check(
        "error",
        "The tokenizer of the base model cannot be read.",
        "Give the path of a tokenizer.json in the format of the tokenizers library.",
    ),
}

QUALITY: dict[str, Check] = {
    "refusal": Check(
        "warning",
        "The answer declines to answer.",
        "Write the answer that the model should give, or remove the row. A refusal that the "
        "model should learn can stay.",
    ),
    "cut_off_answer": Check(
        "warning",
        "The answer ends in the middle of a sentence, a list or a block of code.",
        "Complete the answer: the model learns to stop there.",
    ),
    "echo": Check(
        "warning",
        "The answer repeats the question.",
        "Replace the answer, or remove the repetition.",
    ),
    "placeholder": Check(
        "warning",
        "The answer contains a placeholder that was not filled in.",
        "Fill it in, or remove the row: the model learns to write placeholders.",
    ),
    "null_text": Check(
        "warning",
        "The question or the answer is only what a program writes for a missing value.",
        "Write the text, or remove the row. The export of the data probably lost it.",
    ),
    "html": Check(
        "warning",
        "The answer contains HTML tags or entities that the question does not ask for.",
        "Convert the answer to plain text or Markdown, unless the application shows HTML.",
    ),
    "broken_json": Check(
        "warning",
        "The answer looks like JSON but cannot be parsed.",
        "Correct the JSON: the model learns its syntax.",
    ),
    "schema_mismatch": Check(
        "warning",
        "The answer does not match the JSON Schema in the system prompt.",
        "Correct the answer or the schema.",
    ),
    "arguments_mismatch": Check(
        "warning",
        "The arguments of a tool call do not match the parameters that the tool declares.",
        "Correct the arguments or the tool's parameters.",
    ),
}

TASK: dict[str, Check] = {
    "invalid_spec": Check(
        "error",
        "An option for the data set is not valid: {reason}.",
        "Correct the option.",
    ),
    "out_of_memory": Check(
        "error",
        "Processing the data set ran out of memory.",
        "Give the process more memory, or split the file.",
    ),
    "file_error": Check(
        "error",
        "A file could not be read or written: {reason}.",
        "Check the disk space and the permissions.",
    ),
    "worker_died": Check(
        "error",
        "A process that reads the data set died; it may have run out of memory.",
        "Give it more memory, or use fewer processes.",
    ),
}
