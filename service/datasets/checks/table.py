"""Every code that a check can give, with its severity, its message and how to mend it.

A message is a format string; its braces take field names, limits and counts, never text
of the data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

_Severity = Literal["error", "warning", "info"]


class Check(NamedTuple):
    """One kind of finding."""

    severity: _Severity
    message: str
    fix: str


_FILE: dict[str, Check] = {
    "empty_file": Check(
        "error",
        "The file holds no rows.",
        "Write one JSON object a line, one line for each example.",
    ),
    "not_jsonl": Check(
        "error",
        "The file is not JSON Lines: it looks like {kind}.",
        "Convert it to JSON Lines: one JSON object a line.",
    ),
    "utf8_bom": Check(
        "info",
        "The file starts with a UTF-8 byte order mark, which was skipped.",
        "Nothing to do; saving as UTF-8 without BOM avoids surprises elsewhere.",
    ),
    "blank_line": Check(
        "warning",
        "The line is empty and was skipped.",
        "Remove empty lines between the rows.",
    ),
    "line_too_long": Check(
        "error",
        "The line has more than {limit} bytes and was not read.",
        "Split the example: no model's context holds a row of this size.",
    ),
    "invalid_utf8": Check(
        "error",
        "The line is not UTF-8: byte {at} of it does not belong there.",
        "Save the file as UTF-8.",
    ),
    "invalid_json": Check(
        "error",
        "The line is not JSON: {reason}.",
        "Write each example as one whole JSON object on one line.",
    ),
    "lone_surrogate": Check(
        "error",
        "A \\ud800–\\udfff escape stands alone, so the text is not Unicode.",
        "Write the character itself, or both halves of the surrogate pair.",
    ),
    "nesting_too_deep": Check(
        "error",
        "The JSON is nested more than {limit} deep.",
        "Flatten the row; tool schemas rarely need more than ten levels.",
    ),
    "too_many_values": Check(
        "error",
        "The row holds more than {limit} objects and arrays.",
        "Split the row into several.",
    ),
    "not_an_object": Check(
        "error",
        "The line is a JSON {found}, not an object.",
        'Each line must be an object such as {{"messages": […]}}.',
    ),
}

_FORMAT: dict[str, Check] = {
    "unknown_format": Check(
        "error",
        "The file is in no format that is known here.",
        "Use JSON Lines, a JSON array, CSV, TSV, Parquet or XLSX, plain or in gzip or zstd.",
    ),
    "unknown_columns": Check(
        "error",
        "The columns say nothing of prompts and answers: {columns}.",
        'Map them, for example {{"columns": {{"prompt": "…", "completion": "…"}}}}.',
    ),
    "missing_column": Check(
        "error",
        "The column mapped to {field} is not in the file.",
        "Name a column of the file; names are compared letter by letter.",
    ),
    "unused_column": Check(
        "info",
        "The column {column} is not used.",
        "Nothing to do, or map the column to a field.",
    ),
    "unnamed_column": Check(
        "error",
        "Column {place} of the header row has no name.",
        "Put a header row with one name for each column first.",
    ),
    "duplicate_column": Check(
        "error",
        "Column {place} of the header row has the name of another.",
        "Give each column a name of its own.",
    ),
    "ragged_row": Check(
        "error",
        "The row has {found} fields where the header has {expected}.",
        "Put fields that hold the delimiter or a line break in double quotes.",
    ),
    "broken_csv": Check(
        "error",
        "The table cannot be read on from here.",
        "Save it again as CSV in UTF-8, with double quotes around text.",
    ),
    "unclosed_quote": Check(
        "error",
        "A quoted field goes on for more than {limit} bytes.",
        "Look for a double quote that is not closed, some rows before this line.",
    ),
    "broken_json": Check(
        "error",
        "The brackets of the JSON document do not match.",
        "Save the data as JSON Lines, where one broken row does not spoil the others.",
    ),
    "element_too_long": Check(
        "error",
        "An element of the JSON document has more than {limit} bytes.",
        "Split the example, or look for a quote or bracket that is not closed.",
    ),
    "damaged_archive": Check(
        "error",
        "The {kind} data is damaged or cut off.",
        "Pack the file again and compare its size with the original.",
    ),
    "damaged_parquet": Check(
        "error",
        "The Parquet file is damaged or cut off.",
        "Write the file again.",
    ),
    "damaged_workbook": Check(
        "error",
        "The workbook is damaged, encrypted or no XLSX file.",
        "Save it as XLSX without a password, or export the sheet as CSV.",
    ),
    "unknown_sheet": Check(
        "error",
        "The workbook has {count} sheet(s), none with the given name.",
        "Name one of the workbook's sheets, or leave the option out for the first.",
    ),
    "merged_cells": Check(
        "warning",
        "The sheet has {count} merged area(s); only the first cell of each holds the value.",
        "Unmerge the cells and fill in each.",
    ),
    "formula_without_value": Check(
        "warning",
        "A formula has no stored value, so its cell is empty.",
        "Open the workbook in a spreadsheet program and save it, or paste values.",
    ),
    "unpacks_too_large": Check(
        "error",
        "The file unpacks to more than {limit} bytes.",
        "Split the data into several files.",
    ),
    "unpacks_too_far": Check(
        "error",
        "The file unpacks to more than {limit} times its size, as a decompression bomb does.",
        "Upload the data unpacked.",
    ),
    "row_group_too_large": Check(
        "error",
        "A row group of the Parquet file unpacks to more than {limit} bytes.",
        "Write the file with smaller row groups.",
    ),
    "unknown_encoding": Check(
        "error",
        "The named encoding is not known.",
        "Use UTF-8, UTF-16, GB18030, Big5, Shift-JIS, EUC-JP, EUC-KR or TIS-620.",
    ),
    "wrong_encoding": Check(
        "error",
        "The file is not {encoding} throughout.",
        "Save the file as UTF-8.",
    ),
    "mixed_encoding": Check(
        "warning",
        "The line is in {encoding}, unlike the rest of the file; it was read so.",
        "Save all parts in UTF-8 before joining them.",
    ),
    "mojibake": Check(
        "warning",
        "The text looks as if it had been read in a wrong encoding once.",
        "Export the data again as UTF-8, or let the clean call mend it.",
    ),
    "unknown_speaker": Check(
        "error",
        "The speaker {role} is not known.",
        'Map it, for example {{"roles": {{"agent": "assistant"}}}}.',
    ),
    "empty_field": Check(
        "error",
        "The field {field} is empty.",
        "Fill it in, or remove the row.",
    ),
}

_ROW: dict[str, Check] = {
    "missing_field": Check(
        "error",
        "The field {field} is missing.",
        "Add the field; see the format's example in the documentation.",
    ),
    "wrong_type": Check(
        "error",
        "The field {field} must be {expected}, not {found}.",
        "Change the value's type.",
    ),
    "unknown_field": Check(
        "warning",
        "The field {field} is not part of the format and is ignored.",
        "Remove it, or map it to the field that it stands for.",
    ),
    "empty_messages": Check(
        "error",
        "The list {field} is empty.",
        "Give at least one user message and the assistant's answer.",
    ),
    "invalid_role": Check(
        "error",
        "The role {role} is not one of system, developer, user, assistant, tool.",
        "Use one of the named roles.",
    ),
    "missing_content": Check(
        "error",
        "The message has no content.",
        "Give content; only an assistant message with tool_calls may go without.",
    ),
    "unsupported_content": Check(
        "error",
        "A content part has the type {kind}; only text can be trained on.",
        "Leave text parts only.",
    ),
    "empty_turn": Check(
        "warning",
        "The message's content is empty or only white space.",
        "Remove the message, or write what it should say.",
    ),
    "no_assistant_message": Check(
        "error",
        "The row has no assistant message, so there is nothing to learn from it.",
        "Add the answer that the model should give, with the role assistant.",
    ),
    "no_supervised_message": Check(
        "error",
        "Every assistant message is empty or has weight 0, so nothing is learnt.",
        "Give at least one assistant message text or a tool call, and weight 1.",
    ),
    "weight_not_allowed": Check(
        "error",
        "weight stands on a message with the role {role}.",
        "Only assistant messages take a weight.",
    ),
    "invalid_weight": Check(
        "error",
        "weight must be 0 or 1.",
        "Use 1 to learn from the message and 0 to skip it.",
    ),
    "control_character": Check(
        "warning",
        "The text holds control characters.",
        "Remove them; they are often left by a copy from a terminal or a PDF.",
    ),
    "nul_character": Check(
        "error",
        "The text holds a NUL character.",
        "Remove it; tokenizers and databases cut text at NUL.",
    ),
    "special_token": Check(
        "warning",
        "The text holds {token}, which chat templates use as a mark.",
        "Remove the mark: the service adds the model's own template.",
    ),
}

_ORDER: dict[str, Check] = {
    "system_not_first": Check(
        "warning",
        "A system message stands after the first place.",
        "Put one system message at the start; many templates refuse others.",
    ),
    "starts_with_assistant": Check(
        "warning",
        "The conversation starts with the assistant.",
        "Start with what the user says; some templates refuse this order.",
    ),
    "repeated_role": Check(
        "warning",
        "Two {role} messages follow each other.",
        "Join them into one; some templates refuse this order.",
    ),
    "ends_without_assistant": Check(
        "warning",
        "The conversation does not end with an assistant message.",
        "Remove what follows the last answer: nothing is learnt from it.",
    ),
    "input_ends_with_assistant": Check(
        "error",
        "The input ends with an assistant message.",
        "End the input with the user's turn; the answers belong to the outputs.",
    ),
    "output_role": Check(
        "error",
        "An output holds a message with the role {role}.",
        "Outputs hold assistant and tool messages only.",
    ),
    "same_outputs": Check(
        "warning",
        "The preferred and the other output are the same.",
        "Remove the row: there is no preference to learn.",
    ),
}

_TOOLS: dict[str, Check] = {
    "empty_tool_calls": Check(
        "error",
        "tool_calls is an empty list.",
        "Leave the field out, or give at least one call.",
    ),
    "invalid_tool_type": Check(
        "error",
        "The tool's type is not function.",
        'Set "type": "function".',
    ),
    "invalid_tool_name": Check(
        "error",
        "A function name must be 1 to 64 letters, digits, _ , - or dots.",
        "Rename the function.",
    ),
    "invalid_arguments": Check(
        "error",
        "arguments is not a JSON object in a string.",
        'Give a string such as "{{\\"city\\": \\"Bangkok\\"}}".',
    ),
    "arguments_object": Check(
        "info",
        "arguments is an object; it is turned into a JSON string.",
        "Nothing to do; the API's own format is a string.",
    ),
    "duplicate_tool_call_id": Check(
        "error",
        "The id of a tool call is used twice in the row.",
        "Give each call an id of its own.",
    ),
    "missing_tool_call_id": Check(
        "error",
        "The tool message has no tool_call_id.",
        "Name the id of the call that the message answers.",
    ),
    "unknown_tool_call_id": Check(
        "error",
        "tool_call_id names no earlier tool call.",
        "Use the id of a call of an assistant message before it.",
    ),
    "unanswered_tool_call": Check(
        "warning",
        "A tool call is followed by other turns but has no tool message.",
        "Add the tool's answer, or end the row with the call.",
    ),
    "undeclared_tool": Check(
        "warning",
        "A tool is called that the row's tools do not declare.",
        "Add the function to tools.",
    ),
    "duplicate_tool": Check(
        "warning",
        "Two tools have the same name.",
        "Keep one of them.",
    ),
}

_SET: dict[str, Check] = {
    "broken_row": Check(
        "error",
        "The row is broken ({cause}), and broken rows are to be kept out.",
        "Mend the row, or let the cleaning drop broken rows.",
    ),
    "exact_duplicate": Check(
        "warning",
        "The row says the same as line {other}.",
        "Remove it: a row that stands twice counts twice.",
    ),
    "near_duplicate": Check(
        "info",
        "The row is nearly the same as line {other}.",
        "Keep one of them, or make the other differ in more than a word.",
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
    "unreadable_tokenizer": Check(
        "error",
        "The tokenizer of the base model cannot be read.",
        "Give the path of a tokenizer.json as the tokenizers library writes it.",
    ),
}

_TASK: dict[str, Check] = {
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

CHECKS: Mapping[str, Check] = MappingProxyType(
    {**_FILE, **_FORMAT, **_ROW, **_ORDER, **_TOOLS, **_SET, **_TASK}
)
