"""Issue codes for a single row: its fields, texts, message order, and tools."""

from __future__ import annotations

from service.datasets.checks.check import Check

ROW: dict[str, Check] = {
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
        "Remove it, or map it to the field that it represents.",
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
        "Add content; only an assistant message with tool_calls may omit it.",
    ),
    "unsupported_content": Check(
        "error",
        "A content part has the type {kind}; only text can be trained on.",
        "Keep only text parts.",
    ),
    "empty_turn": Check(
        "warning",
        "The message's content is empty or only white space.",
        "Remove the message, or write what it should say.",
    ),
    "no_assistant_message": Check(
        "error",
        "The row has no assistant message, so there is nothing to learn from it.",
        "Add the answer that the model should give, with the role assistant. To train on "
        "prompts with a grader (the method reinforcement), set the format's shape to "
        "reinforcement.",
    ),
    "no_supervised_message": Check(
        "error",
        "Every assistant message is empty or has weight 0, so nothing is learned.",
        "Give at least one assistant message text or a tool call, and weight 1.",
    ),
    "no_judged_answer": Check(
        "error",
        "The row does not end with an assistant message for its label to describe.",
        "End the row with the labeled answer, and remove what follows it.",
    ),
    "nothing_to_answer": Check(
        "error",
        "The row ends with a message of the role {role}, so the model has nothing to answer.",
        "End the row with a user or tool message. Put a reference answer into a field of its own, "
        "such as reference_answer; a grader reads it as item.reference_answer.",
    ),
    "weight_not_allowed": Check(
        "error",
        "A message with the role {role} has a weight.",
        "Only assistant messages can have a weight.",
    ),
    "invalid_weight": Check(
        "error",
        "weight must be 0 or 1.",
        "Use 1 to learn from the message and 0 to skip it.",
    ),
    "negative_example": Check(
        "error",
        "The field {field} marks this as an example not to learn from, and it would be learned.",
        "Remove the row, set weight 0 on the answer, or pair it with a good answer as a "
        "preference row. To learn from good and bad answers with the method kto, give every row a "
        "label that is true or false.",
    ),
    "unclear_label": Check(
        "warning",
        "The field {field} may mark this as an example not to learn from; it is not read.",
        "If it does, remove the row, set weight 0 on the answer, or make a preference row.",
    ),
    "control_character": Check(
        "warning",
        "The text contains control characters.",
        "Remove them; they often come from text copied from a terminal or a PDF.",
    ),
    "nul_character": Check(
        "error",
        "The text contains a NUL character.",
        "Remove it; tokenizers and databases cut text at NUL.",
    ),
    "turn_marker": Check(
        "warning",
        "The text contains {marker}, which begins a turn in another format.",
        "Write each turn as a message of its own: the service applies the model's own template.",
    ),
    "special_token": Check(
        "warning",
        "The text contains {token}, which chat templates use as a special token.",
        "Remove the token: the service applies the model's own template.",
    ),
}

ORDER: dict[str, Check] = {
    "system_not_first": Check(
        "warning",
        "A system message is not the first message.",
        "Put one system message at the start; many templates refuse others.",
    ),
    "starts_with_assistant": Check(
        "warning",
        "The conversation starts with the assistant.",
        "Start with a user message; some templates refuse this order.",
    ),
    "repeated_role": Check(
        "warning",
        "Two consecutive messages have the role {role}.",
        "Merge them into one; some templates refuse this order.",
    ),
    "ends_without_assistant": Check(
        "warning",
        "The conversation does not end with an assistant message.",
        "Remove what follows the last answer: nothing is learned from it. If a grader scores the "
        "answers (the method reinforcement), set the format's shape to reinforcement.",
    ),
    "input_ends_with_assistant": Check(
        "error",
        "The input ends with an assistant message.",
        "End the input with the user's turn; the answers belong to the outputs.",
    ),
    "output_role": Check(
        "error",
        "An output contains a message with the role {role}.",
        "Outputs can contain only assistant and tool messages.",
    ),
    "same_outputs": Check(
        "warning",
        "The preferred and non-preferred outputs are the same.",
        "Remove the row: there is no preference to learn.",
    ),
}

TOOLS: dict[str, Check] = {
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
        'Give a string such as "{\\"city\\": \\"Bangkok\\"}".',
    ),
    "arguments_object": Check(
        "info",
        "arguments is an object; it is turned into a JSON string.",
        "Nothing to do; the API's own format is a string.",
    ),
    "duplicate_tool_call_id": Check(
        "error",
        "The id of a tool call is used twice in the row.",
        "Give each call a unique id.",
    ),
    "missing_tool_call_id": Check(
        "error",
        "The tool message has no tool_call_id.",
        "Add the id of the call that the message answers.",
    ),
    "unknown_tool_call_id": Check(
        "error",
        "tool_call_id does not match an earlier tool call.",
        "Use the id of a call in an earlier assistant message.",
    ),
    "unanswered_tool_call": Check(
        "warning",
        "A tool call is followed by other turns but has no tool message.",
        "Add the tool's answer, or end the row with the call.",
    ),
    "undeclared_tool": Check(
        "warning",
        "A tool call names a function that the row's tools do not declare.",
        "Add the function to tools.",
    ),
    "duplicate_tool": Check(
        "warning",
        "Two tools have the same name.",
        "Keep one of them.",
    ),
}
