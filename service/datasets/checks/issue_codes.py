"""Lists all issue codes, each with its severity, message, and suggested fix.

Messages are format strings. Their placeholders take field names, limits, and counts, never text
from the data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple


class Check(NamedTuple):
    """An issue code's severity, message, and suggested fix."""

    severity: Literal["error", "warning", "info"]
    message: str
    fix: str


def _error(message: str, fix: str) -> Check:
    return Check("error", message, fix)


def _warning(message: str, fix: str) -> Check:
    return Check("warning", message, fix)


def _info(message: str, fix: str) -> Check:
    return Check("info", message, fix)


_CHECKS: Final[dict[str, Check]] = {
    # Files as a whole
    "empty_file": _error(
        "The file is empty: it has no rows.",
        "Write one JSON object per line, one line per example.",
    ),
    "not_jsonl": _error(
        "The file is not JSON Lines: it looks like {kind}.",
        "Convert it to JSON Lines: one JSON object per line.",
    ),
    "utf8_bom": _info(
        "The file starts with a UTF-8 byte order mark, which was skipped.",
        "Nothing to do; saving as UTF-8 without BOM avoids problems in other tools.",
    ),
    "blank_line": _warning(
        "The line is empty and was skipped.", "Remove empty lines between the rows."
    ),
    "line_too_long": _error(
        "The line has more than {limit} bytes and was not read.",
        "Split the example: no model's context fits a row of this size.",
    ),
    "invalid_utf8": _error(
        "The line is not UTF-8: byte {at} of it is invalid.", "Save the file as UTF-8."
    ),
    "invalid_json": _error(
        "The line is not JSON: {reason}.",
        "Write each example as one complete JSON object on one line.",
    ),
    "lone_surrogate": _error(
        "A \\ud800–\\udfff escape is unpaired, so the text is not valid Unicode.",
        "Write the character itself, or both halves of the surrogate pair.",
    ),
    "nesting_too_deep": _error(
        "The JSON is nested more than {limit} levels deep.",
        "Flatten the row; tool schemas rarely need more than ten levels.",
    ),
    "too_many_values": _error(
        "The row contains more than {limit} objects and arrays.", "Split the row into several."
    ),
    "not_an_object": _error(
        "The line is a JSON {found}, not an object.",
        'Each line must be an object such as {"messages": […]}.',
    ),
    # Formats
    "unknown_format": _error(
        "The format of the file is not recognized.",
        "Use JSON Lines, a JSON array, CSV, TSV, Parquet, XLSX, XLS or ODS, uncompressed, "
        "compressed with gzip, zstd, bzip2 or xz, or as the only data file of a ZIP or TAR "
        "archive. To train on a plain text, give it a name that ends in .txt or .md.",
    ),
    "document": _error(
        "The file is {kind}, and not a file of rows.",
        "Save a table, also one of an SQL database, as CSV or XLSX, and a text as DOCX, PDF, .txt "
        "or .md. Remove a password first. Recognize the text of an image (OCR), and transcribe "
        "sound and video. Pack other archives as ZIP or with gzip. Of an export, upload the part "
        "that has the conversations, as JSON and not as HTML: conversations.json of ChatGPT or "
        "claude.ai, result.json of Telegram, or the requests of a batch joined with their "
        "responses. Export e-mails as a mailbox (mbox).",
    ),
    "damaged_document": _error(
        "The document is damaged, or it needs a password.",
        "Save it again without a password, or save its text as .txt or .md.",
    ),
    "scanned_document": _error(
        "All {count} page(s) of the PDF are pictures without text.",
        "Run text recognition (OCR) on it first, for example with ocrmypdf.",
    ),
    "pages_without_text": _warning(
        "{count} page(s) of the PDF have no text and were not read: {pages}.",
        "If they are scans, run text recognition (OCR) on the PDF, for example with ocrmypdf.",
    ),
    "no_answer": _info(
        "No conversation with a question and an answer was found here.",
        "Nothing to do if nobody answered.",
    ),
    "unreadable_email": _warning(
        "The e-mail cannot be read: {reason}.", "Nothing to do, or export the mailbox again."
    ),
    "unknown_columns": _error(
        "No columns are recognized as prompts and answers: {columns}.",
        'Map them with the format option columns, for example {"columns": {"prompt": "…", '
        '"completion": "…"}}. If another row names the columns, give its number as header_row, or '
        "0 if none does. If each row is a message, name the column with the id of its "
        "conversation as group_by. A preview shows the choices.",
    ),
    "guessed_columns": _warning(
        "By their names, {prompt} was read as the prompts and {completion} as the answers.",
        'Nothing to do if that is right; otherwise map them, as in {"columns": {"prompt": "…", '
        '"completion": "…"}}.',
    ),
    "missing_column": _error(
        "The column mapped to {field} is not in the file.",
        "Name a column of the file; names must match exactly. A preview lists them.",
    ),
    "unused_column": _info(
        "The column {column} is not used.", "Nothing to do, or map the column to a field."
    ),
    "unused_rating": _warning(
        "The column {column} is not used: training treats all rows alike, whatever their rating.",
        "Remove the rows that the model should not learn from.",
    ),
    "unused_preference": _warning(
        "The column {column} is not used: the file is read as conversations, not as preferences.",
        "To learn from preferences, give the columns prompt, chosen and rejected, and the format "
        '{"shape": "preference"}.',
    ),
    "unused_context": _warning(
        "{column} is not used: it is not text, or the rows have messages, so the model never sees "
        "it.",
        "Put its text into the messages that it belongs to.",
    ),
    "joined_context": _info(
        "The column {column} was added to the prompts, after a blank line.",
        "Nothing to do if that is right: write prompts in the same way when you ask the trained "
        "model. Otherwise, remove the column.",
    ),
    "rated_answers": _info(
        "The file has answers that people rated, and is read as {shape}.",
        "Nothing to do if that is right. The format's shape chooses what ratings become: labeled "
        "(each answer with its rating, for the method kto), chat (the liked answers, to imitate), "
        "or preference (a liked and a disliked answer to the same prompt, for the method dpo).",
    ),
    "unused_system": _warning(
        "The field system is not used, because the messages begin with another system message.",
        "Keep one of the two, or put both texts into one.",
    ),
    "split_prompt": _info(
        "The prompt was divided into messages at the markers of its turns.",
        "Nothing to do: send messages without such markers to the trained model.",
    ),
    "late_field": _warning(
        "The field {field} is not used: none of the first rows has it.",
        "Put a row that has the field first.",
    ),
    "several_tables": _error(
        "The JSON document has several arrays of rows: {names}.",
        "Save each array as a file of its own, and give rows to hold out as the validation file.",
    ),
    "other_arrays": _warning(
        "Other arrays of the JSON document were not read: {names}.",
        "If they hold rows, save each as a file of its own.",
    ),
    "no_header_row": _error(
        "Row {number}, given as header_row, is blank or not among the first rows of the table.",
        "Give the number of the row that names the columns as header_row, from 1; 0 if none does. "
        "A preview shows the first rows.",
    ),
    "rows_above_header": _info(
        "The columns are named in this row; {count} row(s) above it were not read.",
        "Nothing to do, or give the number of the row that names the columns as header_row.",
    ),
    "split_conversation": _error(
        "The messages of this conversation are not next to each other.",
        "Sort the table by conversation, or give another column as group_by.",
    ),
    "duplicate_column": _error(
        "Column {place} of the header row has the same name as another column.",
        "Give each column a unique name, or another row as header_row.",
    ),
    "ragged_row": _error(
        "The row has {found} fields where the header has {expected}.",
        "Put fields that hold the delimiter or a line break in double quotes.",
    ),
    "broken_csv": _error(
        "The table cannot be read beyond this point.",
        "Save it again as CSV in UTF-8, with double quotes around text.",
    ),
    "broken_quotes": _error(
        "The double quotes of the row do not match: read as one row, it would extend to line "
        "{last}.",
        "Close the quoted field on this line, and double each double quote inside it.",
    ),
    "unclosed_quote": _error(
        "A quoted field begins on this line and is longer than {limit} bytes.",
        "Close the double quote, or double it where it is part of the text.",
    ),
    "rows_in_field": _warning(
        "A quoted field extends from this line to line {last}, and {count} of its lines look like "
        "separate rows.",
        "If they are rows, close the double quote on this line.",
    ),
    "quote_after_space": _warning(
        "A field begins with a space before its double quote, so the quotes were read as text.",
        "Remove the space between the delimiter and the double quote.",
    ),
    "unmatched_brackets": _error(
        "The brackets of the JSON document do not match.",
        "Save the data as JSON Lines, where one broken row does not spoil the others.",
    ),
    "element_too_long": _error(
        "An element of the JSON document has more than {limit} bytes.",
        "Split the example, or look for a quote or bracket that is not closed.",
    ),
    "damaged_archive": _error(
        "The {kind} data is damaged or cut off.",
        "Pack the file again, without a password, and compare its size with the original.",
    ),
    "several_files": _error(
        "The archive holds {count} data files that do not belong together: {names}.",
        "Pack one data file alone, or files of the same kind with the same columns. Give rows to "
        "hold out as the validation file.",
    ),
    "several_channels": _error(
        "The archive has the days of {count} channels.", "Pack the folder of one channel alone."
    ),
    "other_files": _info(
        "{count} other file(s) of the archive were not read.", "Nothing to do if they hold no rows."
    ),
    "damaged_parquet": _error("The Parquet file is damaged or cut off.", "Write the file again."),
    "damaged_workbook": _error(
        "The workbook is damaged, encrypted, or no XLSX, XLS or ODS file.",
        "Save it as XLSX without a password, or export the sheet as CSV.",
    ),
    "sheet_too_large": _error(
        "A sheet of the workbook extends to cell {cell}, more than {limit} cells.",
        "Delete the rows and columns that do not belong to the table, or export the sheet as CSV.",
    ),
    "unknown_sheet": _error(
        "The workbook has {count} sheet(s), none with the given name.",
        "Name one of the workbook's sheets, which a preview lists, or omit the option to use the "
        "first with a table.",
    ),
    "several_sheets": _error(
        "{count} sheets of the workbook have rows: {names}.",
        'Name the sheet to read, as in {"sheet": "…"}, or put all rows into one sheet.',
    ),
    "other_sheets": _warning(
        "Only one sheet is read; {count} other sheet(s) of the workbook contain data.",
        'Name the sheet to read, as in {"sheet": "…"}, or put all rows into one sheet.',
    ),
    "merged_cells": _info(
        "The sheet has {count} area(s) merged over several rows; each row gets the area's value.",
        "If the rows below should be empty, unmerge the cells.",
    ),
    "formula_without_value": _warning(
        "A formula has no stored value, so its cell is empty.",
        "Open the workbook in a spreadsheet program and save it, or paste values.",
    ),
    "unpacks_too_large": _error(
        "The file unpacks to more than {limit} bytes.", "Split the data into several files."
    ),
    "unpacks_too_far": _error(
        "The file unpacks to more than {limit} times its size, like a decompression bomb.",
        "Upload the data uncompressed.",
    ),
    "rows_too_large": _error(
        "Up to this point, the rows take more than {limit} bytes as JSON Lines, the maximum for a "
        "file of this size.",
        "Shorten text that repeats in many rows, such as a system prompt: it counts in every row. "
        "Or upload "
        "the rows as plain JSON Lines.",
    ),
    "row_group_too_large": _error(
        "A row group of the Parquet file unpacks to more than {limit} bytes.",
        "Write the file with smaller row groups.",
    ),
    "unknown_encoding": _error(
        "The named encoding is unknown.",
        "Use UTF-8, UTF-16, GB18030, Big5, Shift-JIS, EUC-JP, EUC-KR, TIS-620, VISCII, TCVN, or a "
        "Windows code page such as windows-1258.",
    ),
    "wrong_encoding": _error("The file is not {encoding} throughout.", "Save the file as UTF-8."),
    "uncertain_encoding": _warning(
        "The text that is not UTF-8 was read as {encoding}; it could also be {rival}.",
        'Name its encoding, as in {"encoding": "…"}, or save the file as UTF-8. A preview shows '
        "how each encoding reads.",
    ),
    "one_byte_encoding": _warning(
        "The file is not UTF-8. It was read as {encoding}, judging by its letters.",
        'Look at some rows. If letters are wrong, name the encoding, as in {"encoding": "…"}, or '
        "save the file as UTF-8.",
    ),
    "mixed_encoding": _warning(
        "The line is in {encoding}, unlike the rest of the file, and was read as {encoding}.",
        "Save all parts in UTF-8 before joining them.",
    ),
    "mojibake": _warning(
        "The text appears to have been decoded with the wrong encoding.",
        "Export the data again as UTF-8, or let a cleaning repair the letters.",
    ),
    "unknown_speaker": _error(
        "The speaker {role} is unknown.", 'Map it, for example {"roles": {"agent": "assistant"}}.'
    ),
    "no_assistant": _error(
        "The chat has {count} speakers, and nothing says which of them is the assistant.",
        'Name who answers as the file does, by name or ID, for example {"roles": {"Ann": '
        '"assistant"}}; all others are users.',
    ),
    "no_ratings": _error(
        "No answer has a rating that is clearly good or bad.",
        "Export answers with thumbs up or down.",
    ),
    "no_rated_pairs": _error(
        "No prompt has both a liked and a disliked answer, so there are no preferences.",
        "Set the format's shape to labeled, or to chat for the liked answers.",
    ),
    "several_ratings": _error(
        "Several columns may be the users' feedback: {columns}.",
        'Name the one to use, for example {"columns": {"label": "user-feedback"}}.',
    ),
    "ratings_without_answers": _error(
        "The file has ratings, but not the answers that were rated.",
        "From Open WebUI, use the export of an administrator's feedback page, which has a snapshot "
        "of each chat. From Langfuse, export traces or observations: their scores are columns.",
    ),
    "empty_field": _error("The field {field} is empty.", "Fill it in, or remove the row."),
    # Rows
    "missing_field": _error(
        "The field {field} is missing.",
        "Add the field; see the format's example in the documentation.",
    ),
    "wrong_type": _error(
        "The field {field} must be {expected}, not {found}.", "Change the value's type."
    ),
    "unknown_field": _warning(
        "The field {field} is not part of the format and is ignored.",
        "Remove it, or map it to the field that it represents.",
    ),
    "empty_messages": _error(
        "The list {field} is empty.", "Give at least one user message and the assistant's answer."
    ),
    "invalid_role": _error(
        "The role {role} is not one of system, developer, user, assistant, tool.",
        "Use one of the named roles.",
    ),
    "missing_content": _error(
        "The message has no content.",
        "Add content; only an assistant message with tool_calls may omit it.",
    ),
    "unsupported_content": _error(
        "A content part has the type {kind}; only text can be trained on.", "Keep only text parts."
    ),
    "empty_turn": _warning(
        "The message's content is empty or only white space.",
        "Remove the message, or write what it should say.",
    ),
    "no_assistant_message": _error(
        "The row has no assistant message, so there is nothing to learn from it.",
        "Add the answer that the model should give, with the role assistant. To train on "
        "prompts with a grader (the method reinforcement), set the format's shape to "
        "reinforcement.",
    ),
    "no_supervised_message": _error(
        "Every assistant message is empty or has weight 0, so nothing is learned.",
        "Give at least one assistant message text or a tool call, and weight 1.",
    ),
    "no_judged_answer": _error(
        "The row does not end with an assistant message for its label to describe.",
        "End the row with the labeled answer, and remove what follows it.",
    ),
    "nothing_to_answer": _error(
        "The row ends with a message of the role {role}, so the model has nothing to answer.",
        "End the row with a user or tool message. Put a reference answer into a field of its own, "
        "such as reference_answer; a grader reads it as item.reference_answer.",
    ),
    "weight_not_allowed": _error(
        "A message with the role {role} has a weight.", "Only assistant messages can have a weight."
    ),
    "invalid_weight": _error(
        "weight must be 0 or 1.", "Use 1 to learn from the message and 0 to skip it."
    ),
    "negative_example": _error(
        "The field {field} marks this as an example not to learn from, and it would be learned.",
        "Remove the row, set weight 0 on the answer, or pair it with a good answer as a "
        "preference row. To learn from good and bad answers with the method kto, give every row a "
        "label that is true or false.",
    ),
    "unclear_label": _warning(
        "The field {field} may mark this as an example not to learn from; it is not read.",
        "If it does, remove the row, set weight 0 on the answer, or make a preference row.",
    ),
    "control_character": _warning(
        "The text contains control characters.",
        "Remove them; they often come from text copied from a terminal or a PDF.",
    ),
    "nul_character": _error(
        "The text contains a NUL character.", "Remove it; tokenizers and databases cut text at NUL."
    ),
    "turn_marker": _warning(
        "The text contains {marker}, which begins a turn in another format.",
        "Write each turn as a message of its own: the service applies the model's own template.",
    ),
    "special_token": _warning(
        "The text contains {token}, which chat templates use as a special token.",
        "Remove the token: the service applies the model's own template.",
    ),
    # The order of messages
    "system_not_first": _warning(
        "A system message is not the first message.",
        "Put one system message at the start; many templates refuse others.",
    ),
    "starts_with_assistant": _warning(
        "The conversation starts with the assistant.",
        "Start with a user message; some templates refuse this order.",
    ),
    "repeated_role": _warning(
        "Two consecutive messages have the role {role}.",
        "Merge them into one; some templates refuse this order.",
    ),
    "ends_without_assistant": _warning(
        "The conversation does not end with an assistant message.",
        "Remove what follows the last answer: nothing is learned from it. If a grader scores the "
        "answers (the method reinforcement), set the format's shape to reinforcement.",
    ),
    "input_ends_with_assistant": _error(
        "The input ends with an assistant message.",
        "End the input with the user's turn; the answers belong to the outputs.",
    ),
    "output_role": _error(
        "An output contains a message with the role {role}.",
        "Outputs can contain only assistant and tool messages.",
    ),
    "same_outputs": _warning(
        "The preferred and non-preferred outputs are the same.",
        "Remove the row: there is no preference to learn.",
    ),
    # Tools
    "empty_tool_calls": _error(
        "tool_calls is an empty list.", "Leave the field out, or give at least one call."
    ),
    "invalid_tool_type": _error("The tool's type is not function.", 'Set "type": "function".'),
    "invalid_tool_name": _error(
        "A function name must be 1 to 64 letters, digits, _ , - or dots.", "Rename the function."
    ),
    "invalid_arguments": _error(
        "arguments is not a JSON object in a string.",
        'Give a string such as "{\\"city\\": \\"Bangkok\\"}".',
    ),
    "arguments_object": _info(
        "arguments is an object; it is turned into a JSON string.",
        "Nothing to do; the API's own format is a string.",
    ),
    "duplicate_tool_call_id": _error(
        "The id of a tool call is used twice in the row.", "Give each call a unique id."
    ),
    "missing_tool_call_id": _error(
        "The tool message has no tool_call_id.", "Add the id of the call that the message answers."
    ),
    "unknown_tool_call_id": _error(
        "tool_call_id does not match an earlier tool call.",
        "Use the id of a call in an earlier assistant message.",
    ),
    "unanswered_tool_call": _warning(
        "A tool call is followed by other turns but has no tool message.",
        "Add the tool's answer, or end the row with the call.",
    ),
    "undeclared_tool": _warning(
        "A tool call names a function that the row's tools do not declare.",
        "Add the function to tools.",
    ),
    "duplicate_tool": _warning("Two tools have the same name.", "Keep one of them."),
    # Rows compared with each other
    "broken_row": _error(
        "The row is broken ({cause}), and broken rows must be removed.",
        "Fix the row, or let the cleaning drop broken rows.",
    ),
    "invalid_decision": _error(
        "Line {number} of the decisions is not valid: {reason}.",
        'A decision is a line such as {"line": 7, "action": "drop"}; the action is keep, drop or '
        "edit.",
    ),
    "no_row_at_line": _error(
        "A decision is about this line, where the file has no row.",
        "Use the lines that the rows of the file have.",
    ),
    "broken_row_kept": _error(
        "A decision keeps this row, which is broken.", "Edit it, or drop it."
    ),
    "broken_source": _error(
        "The file {file} has broken rows, the first in line {number} ({cause}).",
        "Clean the file, and merge the training file of the cleaning.",
    ),
    "unreadable_source": _error(
        "The file {file} cannot be read: {reason}",
        "Its preview shows how it is read. Correct it, or leave it out.",
    ),
    "merge_too_large": _error(
        "The rows of the files take more than {limit} bytes together.",
        "Merge fewer or smaller files, or raise `FINETUNED_MAX_UNPACKED_BYTES`.",
    ),
    "mixed_row_formats": _error(
        "The file {file} has rows of the format {found}, but {first} has {expected}.",
        "Merge files of one format, such as chats or prompts for graders.",
    ),
    "one_label": _error(
        "Every row has the label {label}; the file needs good and bad answers.",
        "Add rows with the other label, or merge the file with one that has some. To learn from "
        'all answers alike, upload the file with the format {"shape": "chat"}, or '
        '{"shape": "prompt_completion"}, and no label that is false.',
    ),
    "exact_duplicate": _warning(
        "The row is identical to line {other} in everything that is trained on.",
        "Remove it: a duplicate row counts twice.",
    ),
    "near_duplicate": _info(
        "The row means the same as line {other}, in slightly different words.",
        "Drop one of them, unless you want to teach both wordings.",
    ),
    "same_form": _info(
        "The row has the same form as line {other} but other facts, such as a number or a name.",
        "Keep both if the facts matter. Many rows of one form teach the form, not the facts.",
    ),
    "contradiction": _warning(
        "The row asks the same question as line {other}, perhaps in other words, but gives a "
        "different answer.",
        "Keep the answer that the model should give.",
    ),
    "label_contradiction": _warning(
        "The row has the same prompt and answer as line {other} but the other label.",
        "Keep the label that is right.",
    ),
    "overlap": _warning(
        "The row of the validation file also appears in the training file, at line {other}.",
        "Remove it from one of the two files; otherwise validation measures memorization.",
    ),
    "wrong_language": _warning(
        "The row is in {language}, unlike nearly all others.",
        "Check that it belongs to this data set.",
    ),
    "answer_in_other_language": _warning(
        "Question and answer are in different languages, unlike in most rows.",
        "Translate one of them, or remove the row.",
    ),
    "very_long_row": _warning(
        "The row has {chars} characters, far more than the others.",
        "Check it; a long row needs as much memory as many short ones and is cut at the context "
        "length.",
    ),
    "system_prompt_varies": _warning(
        "The file contains {count} different system prompts.",
        "Use one, and send the same one at inference, unless the difference is intended.",
    ),
    "personal_data": _warning(
        "The row contains personal data: {kinds}.",
        "Redact it before training: a model can repeat what it was trained on.",
    ),
    "truncated": _warning(
        "The row has about {tokens} tokens and is cut at {limit}.",
        "Shorten it, or choose a longer context.",
    ),
    "nothing_left_to_learn": _error(
        "The text before the first answer fills the context of {limit} tokens.",
        "Shorten the prompt: no token of the answer is left to learn from.",
    ),
    "tools_not_supported": _error(
        "The chat template of {model} does not render tool calls and results, which {rows} row(s) "
        "contain.",
        "Train a base model whose template does, or remove these rows: a model trained on them "
        "learns to give empty answers.",
    ),
    "unreadable_tokenizer": _error(
        "The tokenizer of the base model cannot be read.",
        "Give the path of a tokenizer.json in the format of the tokenizers library.",
    ),
    # Answers
    "refusal": _warning(
        "The answer declines to answer.",
        "Write the answer that the model should give, or remove the row. A refusal that the "
        "model should learn can stay.",
    ),
    "cut_off_answer": _warning(
        "The answer ends in the middle of a sentence, a list or a block of code.",
        "Complete the answer: the model learns to stop there.",
    ),
    "echo": _warning(
        "The answer repeats the question.", "Replace the answer, or remove the repetition."
    ),
    "placeholder": _warning(
        "The answer contains a placeholder that was not filled in.",
        "Fill it in, or remove the row: the model learns to write placeholders.",
    ),
    "null_text": _warning(
        "The question or the answer is only what a program writes for a missing value.",
        "Write the text, or remove the row. The export of the data probably lost it.",
    ),
    "html": _warning(
        "The answer contains HTML tags or entities that the question does not ask for.",
        "Convert the answer to plain text or Markdown, unless the application shows HTML.",
    ),
    "broken_json": _warning(
        "The answer looks like JSON but cannot be parsed.",
        "Correct the JSON: the model learns its syntax.",
    ),
    "schema_mismatch": _warning(
        "The answer does not match the JSON Schema in the system prompt.",
        "Correct the answer or the schema.",
    ),
    "arguments_mismatch": _warning(
        "The arguments of a tool call do not match the parameters that the tool declares.",
        "Correct the arguments or the tool's parameters.",
    ),
    # Files of eval items
    "empty_eval_file": _error(
        "The file holds no items.", 'Write one JSON object per line, such as {"item": {…}}.'
    ),
    "no_eval_item": _error(
        "The row has no object 'item'.",
        'Write each line as {"item": {…}}, or {"item": {…}, "sample": {…}} to give the answer too.',
    ),
    "eval_sample_not_an_object": _error(
        "The row's 'sample' is not an object.",
        'Write the answer to grade as {"sample": {"output_text": "…"}}, or leave it out.',
    ),
    "eval_item_too_long": _error("The line has more than {limit} bytes.", "Shorten the item."),
    "too_many_eval_items": _error(
        "The file has more than {limit} items, the limit of a run.",
        "Split the file, and create a run for each part.",
    ),
    # Archives of adapters
    "not_an_archive": _error(
        "The file is neither a tar nor a zip archive.",
        "Pack the adapter's folder as .tar, .tar.gz, .tar.zst or .zip.",
    ),
    "archive_entries": _error(
        "The archive has more than {limit} entries.",
        "Pack only the adapter's folder, without checkpoints, data and caches.",
    ),
    "archive_too_large": _error(
        "The archive unpacks to more than {limit} bytes.",
        "Pack only the adapter's folder, without checkpoints and merged weights.",
    ),
    "archive_path": _error(
        "The archive has an entry whose path is absolute, leaves the folder, or is too long or too "
        "deep: {name}.",
        "Pack the folder from its parent: tar -cf adapter.tar FOLDER.",
    ),
    "archive_link": _error(
        "The archive has a link: {name}.",
        "Pack the files themselves: tar --dereference -cf adapter.tar FOLDER, or zip -r.",
    ),
    "archive_special": _error(
        "The archive has an entry that is neither a plain file nor a folder: {name}.",
        "Pack only the adapter's folder.",
    ),
    "archive_twice": _error(
        "The archive has two entries with the path {name}.",
        "Pack the folder again into a new archive.",
    ),
    "archive_compression": _error(
        "The archive has an entry that is encrypted or compressed with an unsupported method: "
        "{name}.",
        "Pack it without a password, with the methods 'store' or 'deflate'.",
    ),
    "adapter_pickle": _error(
        "The archive has a pickle, which can run code when it is loaded: {name}.",
        "Save the adapter as safetensors (model.save_pretrained in PEFT does so), and leave out "
        "optimizer, scheduler and random states.",
    ),
    "no_adapter": _error(
        "The archive has no folder with adapter_config.json.",
        "Pack the folder that PEFT's save_pretrained wrote. Only adapters can be imported: the "
        "operator adds whole models to the catalog.",
    ),
    "several_adapters": _error(
        "The archive has {count} folders with an adapter_config.json.",
        "Pack only one of them, and import each adapter by itself.",
    ),
    "no_adapter_weights": _error(
        "There is no adapter_model.safetensors next to adapter_config.json.",
        "Save the adapter with PEFT's save_pretrained, as one safetensors file.",
    ),
    "adapter_file_too_large": _error(
        "{name} has more than {limit} bytes.", "Save the adapter again with PEFT's save_pretrained."
    ),
    "adapter_config_invalid": _error(
        "adapter_config.json is not a JSON object.",
        "Save the adapter again with PEFT's save_pretrained.",
    ),
    "adapter_weights_invalid": _error(
        "adapter_model.safetensors is not a valid safetensors file: {reason}.",
        "Save the adapter again with PEFT's save_pretrained.",
    ),
    "adapter_weights_cut_off": _error(
        "adapter_model.safetensors has {size} bytes, but its header describes {whole}.",
        "Compare its size with the original, and pack it again.",
    ),
    "adapter_weights_type": _error(
        "adapter_model.safetensors has tensors of the type {dtype}.",
        "Save the adapter in F32, F16 or BF16.",
    ),
    "base_name_differs": _warning(
        "According to its configuration, the adapter was trained on {given}, but it is imported "
        "for {base}.",
        "If these are different models, delete the import and import it for the right one: an "
        "adapter for another model of the same size loads, but answers badly.",
    ),
    "tokenizer_differs": _warning(
        "The adapter's tokenizer differs from the base model's in: {parts}.",
        "The base model's tokenizer is used. If the training added or changed tokens, their "
        "meaning is lost: compare answers before you use the model.",
    ),
    "template_differs": _warning(
        "The adapter's chat template differs from the base model's.",
        "The base model's template is used. Compare answers with those of the software that "
        "trained the adapter; if they differ, train with the base model's template.",
    ),
    "tokenizer_not_compared": _info(
        "The archive has no tokenizer.json, so the tokenizer was not compared.",
        "Add the tokenizer that was used in training to the archive to have it compared.",
    ),
    "template_not_compared": _info(
        "The archive has no chat template, so the template was not compared.",
        "Add the chat template that was used in training to the archive to have it compared.",
    ),
    # Tasks
    "invalid_spec": _error(
        "An option for the data set is not valid: {reason}.", "Correct the option."
    ),
    "out_of_memory": _error(
        "Processing the data set ran out of memory.",
        "Give the process more memory, or split the file.",
    ),
    "file_error": _error(
        "A file could not be read or written: {reason}.",
        "Check the disk space and the permissions.",
    ),
    "worker_died": _error(
        "A process that reads the data set died; it may have run out of memory.",
        "Give it more memory, or use fewer processes.",
    ),
}
CHECKS: Final[Mapping[str, Check]] = MappingProxyType(_CHECKS)
