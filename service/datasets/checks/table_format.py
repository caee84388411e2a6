"""Issue codes for a file as a whole: its format, and whether its rows can be read."""

from __future__ import annotations

from service.datasets.checks.check import Check

FILE: dict[str, Check] = {
    "empty_file": Check(
        "error",
        "The file holds no rows.",
        "Write one JSON object per line, one line per example.",
    ),
    "not_jsonl": Check(
        "error",
        "The file is not JSON Lines: it looks like {kind}.",
        "Convert it to JSON Lines: one JSON object per line.",
    ),
    "utf8_bom": Check(
        "info",
        "The file starts with a UTF-8 byte order mark, which was skipped.",
        "Nothing to do; saving as UTF-8 without BOM avoids problems in other tools.",
    ),
    "blank_line": Check(
        "warning",
        "The line is empty and was skipped.",
        "Remove empty lines between the rows.",
    ),
    "line_too_long": Check(
        "error",
        "The line has more than {limit} bytes and was not read.",
        "Split the example: no model's context fits a row of this size.",
    ),
    "invalid_utf8": Check(
        "error",
        "The line is not UTF-8: byte {at} of it is invalid.",
        "Save the file as UTF-8.",
    ),
    "invalid_json": Check(
        "error",
        "The line is not JSON: {reason}.",
        "Write each example as one complete JSON object on one line.",
    ),
    "lone_surrogate": Check(
        "error",
        "A \\ud800–\\udfff escape is unpaired, so the text is not valid Unicode.",
        "Write the character itself, or both halves of the surrogate pair.",
    ),
    "nesting_too_deep": Check(
        "error",
        "The JSON is nested more than {limit} levels deep.",
        "Flatten the row; tool schemas rarely need more than ten levels.",
    ),
    "too_many_values": Check(
        "error",
        "The row contains more than {limit} objects and arrays.",
        "Split the row into several.",
    ),
    "not_an_object": Check(
        "error",
        "The line is a JSON {found}, not an object.",
        'Each line must be an object such as {"messages": […]}.',
    ),
}

FORMAT: dict[str, Check] = {
    "unknown_format": Check(
        "error",
        "The format of the file is not recognized.",
        "Use JSON Lines, a JSON array, CSV, TSV, Parquet or XLSX, uncompressed, compressed with "
        "gzip, zstd, bzip2 or xz, or as the only data file of a ZIP or TAR archive. To train on a "
        "plain text, give it a name that ends in .txt or .md.",
    ),
    "unknown_columns": Check(
        "error",
        "No columns are recognized as prompts and answers: {columns}.",
        'Map them with the format option columns, for example {"columns": {"prompt": "…", '
        '"completion": "…"}}. If another row names the columns, give its number as header_row, or '
        "0 if none does. If each row is a message, name the column with the id of its "
        "conversation as group_by. A preview shows the choices.",
    ),
    "guessed_columns": Check(
        "warning",
        "By their names, {prompt} was read as the prompts and {completion} as the answers.",
        'Nothing to do if that is right; otherwise map them, as in {"columns": {"prompt": "…", '
        '"completion": "…"}}.',
    ),
    "missing_column": Check(
        "error",
        "The column mapped to {field} is not in the file.",
        "Name a column of the file; names must match exactly. A preview lists them.",
    ),
    "unused_column": Check(
        "info",
        "The column {column} is not used.",
        "Nothing to do, or map the column to a field.",
    ),
    "unused_rating": Check(
        "warning",
        "The column {column} is not used: training treats all rows alike, whatever their rating.",
        "Remove the rows that the model should not learn from.",
    ),
    "unused_preference": Check(
        "warning",
        "The column {column} is not used: the file is read as conversations, not as preferences.",
        "To learn from preferences, give the columns prompt, chosen and rejected, and the format "
        '{"shape": "preference"}.',
    ),
    "unused_context": Check(
        "warning",
        "{column} is not used: it is not text, or the rows have messages, so the model never sees "
        "it.",
        "Put its text into the messages that it belongs to.",
    ),
    "joined_context": Check(
        "warning",
        "The column {column} was added to the prompts, after a blank line.",
        "Nothing to do if that is right: write prompts in the same way when you ask the trained "
        "model. Otherwise, remove the column.",
    ),
    "unused_system": Check(
        "warning",
        "The field system is not used, because the messages begin with another system message.",
        "Keep one of the two, or put both texts into one.",
    ),
    "split_prompt": Check(
        "info",
        "The prompt was divided into messages at the markers of its turns.",
        "Nothing to do: send messages without such markers to the trained model.",
    ),
    "late_field": Check(
        "warning",
        "The field {field} is not used: none of the first rows has it.",
        "Put a row that has the field first.",
    ),
    "several_tables": Check(
        "error",
        "The JSON document has several arrays of rows: {names}.",
        "Save each array as a file of its own, and give rows to hold out as the validation file.",
    ),
    "other_arrays": Check(
        "warning",
        "Other arrays of the JSON document were not read: {names}.",
        "If they hold rows, save each as a file of its own.",
    ),
    "no_header_row": Check(
        "error",
        "Row {number}, given as header_row, is blank or not among the first rows of the table.",
        "Give the number of the row that names the columns as header_row, from 1; 0 if none does. "
        "A preview shows the first rows.",
    ),
    "rows_above_header": Check(
        "warning",
        "The columns are named in this row; {count} row(s) above it were not read.",
        "Nothing to do, or give the number of the row that names the columns as header_row.",
    ),
    "split_conversation": Check(
        "error",
        "The messages of this conversation are not next to each other.",
        "Sort the table by conversation, or give another column as group_by.",
    ),
    "duplicate_column": Check(
        "error",
        "Column {place} of the header row has the same name as another column.",
        "Give each column a unique name, or another row as header_row.",
    ),
    "ragged_row": Check(
        "error",
        "The row has {found} fields where the header has {expected}.",
        "Put fields that hold the delimiter or a line break in double quotes.",
    ),
    "broken_csv": Check(
        "error",
        "The table cannot be read beyond this point.",
        "Save it again as CSV in UTF-8, with double quotes around text.",
    ),
    "broken_quotes": Check(
        "error",
        "The double quotes of the row do not match: read as one row, it would extend to line "
        "{last}.",
        "Close the quoted field on this line, and double each double quote inside it.",
    ),
    "unclosed_quote": Check(
        "error",
        "A quoted field begins on this line and is longer than {limit} bytes.",
        "Close the double quote, or double it where it is part of the text.",
    ),
    "rows_in_field": Check(
        "warning",
        "A quoted field extends from this line to line {last}, and {count} of its lines look like "
        "separate rows.",
        "If they are rows, close the double quote on this line.",
    ),
    "quote_after_space": Check(
        "warning",
        "A field begins with a space before its double quote, so the quotes were read as text.",
        "Remove the space between the delimiter and the double quote.",
    ),
    "unmatched_brackets": Check(
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
        "Pack the file again, without a password, and compare its size with the original.",
    ),
    "several_files": Check(
        "error",
        "The archive holds {count} data files.",
        "Pack one data file alone, or join the rows in one file.",
    ),
    "other_files": Check(
        "info",
        "{count} other file(s) of the archive were not read.",
        "Nothing to do if they hold no rows.",
    ),
    "damaged_parquet": Check(
        "error",
        "The Parquet file is damaged or cut off.",
        "Write the file again.",
    ),
    "damaged_workbook": Check(
        "error",
        "The workbook is damaged, encrypted or not an XLSX file.",
        "Save it as XLSX without a password, or export the sheet as CSV.",
    ),
    "unknown_sheet": Check(
        "error",
        "The workbook has {count} sheet(s), none with the given name.",
        "Name one of the workbook's sheets, which a preview lists, or omit the option to use the "
        "first with a table.",
    ),
    "other_sheets": Check(
        "warning",
        "Only one sheet is read; {count} other sheet(s) of the workbook contain data.",
        'Name the sheet to read, as in {"sheet": "…"}, or put all rows into one sheet.',
    ),
    "merged_cells": Check(
        "warning",
        "The sheet has {count} merged area(s); only the first cell of each holds the value.",
        "Unmerge the cells and fill in each one.",
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
        "The file unpacks to more than {limit} times its size, like a decompression bomb.",
        "Upload the data uncompressed.",
    ),
    "rows_too_large": Check(
        "error",
        "Up to this point, the rows take more than {limit} bytes as JSON Lines, the maximum for a "
        "file of this size.",
        "Shorten text that repeats in many rows, such as a system prompt: it counts in every row. "
        "Or upload "
        "the rows as plain JSON Lines.",
    ),
    "row_group_too_large": Check(
        "error",
        "A row group of the Parquet file unpacks to more than {limit} bytes.",
        "Write the file with smaller row groups.",
    ),
    "unknown_encoding": Check(
        "error",
        "The named encoding is unknown.",
        "Use UTF-8, UTF-16, GB18030, Big5, Shift-JIS, EUC-JP, EUC-KR, TIS-620, VISCII, TCVN, or a "
        "Windows code page such as windows-1258.",
    ),
    "wrong_encoding": Check(
        "error",
        "The file is not {encoding} throughout.",
        "Save the file as UTF-8.",
    ),
    "uncertain_encoding": Check(
        "warning",
        "The text that is not UTF-8 was read as {encoding}; it could also be {rival}.",
        'Name its encoding, as in {"encoding": "…"}, or save the file as UTF-8. A preview shows '
        "how each encoding reads.",
    ),
    "one_byte_encoding": Check(
        "warning",
        "The file is not UTF-8. It was read as {encoding}, judging by its letters.",
        'Look at some rows. If letters are wrong, name the encoding, as in {"encoding": "…"}, or '
        "save the file as UTF-8.",
    ),
    "mixed_encoding": Check(
        "warning",
        "The line is in {encoding}, unlike the rest of the file, and was read as {encoding}.",
        "Save all parts in UTF-8 before joining them.",
    ),
    "mojibake": Check(
        "warning",
        "The text appears to have been decoded with the wrong encoding.",
        "Export the data again as UTF-8, or repair it with mend_mojibake in a cleaning.",
    ),
    "unknown_speaker": Check(
        "error",
        "The speaker {role} is unknown.",
        'Map it, for example {"roles": {"agent": "assistant"}}.',
    ),
    "empty_field": Check(
        "error",
        "The field {field} is empty.",
        "Fill it in, or remove the row.",
    ),
}
