"""Declares the codes of the errors that the API returns, by status, for docs/api/errors.md.

A test compares them with what the code raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SIZE: Final = "Send a value within the limit that the message names."
_NUMBER: Final = "Send a number within the bounds that the message names."
_AGAIN: Final = "Try again after `retry-after` seconds."
CODES: Final[Mapping[int, Mapping[str, tuple[str, str]]]] = {
    400: {
        "array_above_max_length": ("An array has too many elements.", _SIZE),
        "constraint_too_complex": (
            "The engine would take too long to prepare a schema or grammar, or to follow it.",
            "Use fewer optional properties, lengths and nested repetitions.",
        ),
        "context_length_exceeded": (
            "The prompt and the requested output exceed the model's context length.",
            "Shorten the messages, or lower the limit of output tokens.",
        ),
        "decimal_above_max_value": ("A decimal number is too large.", _NUMBER),
        "decimal_below_min_value": ("A decimal number is too small.", _NUMBER),
        "does_not_fit": (
            "No online worker has enough GPU memory for the job.",
            "Choose a smaller base model or a shorter `max_seq_length`.",
        ),
        "empty_array": ("An array is empty.", "Send at least one element."),
        "empty_file": ("The file has no bytes.", "Send the file's content."),
        "empty_string": ("A string is empty.", "Send at least one character."),
        "feature_disabled": (
            "The operator has not enabled the feature, or not installed its packages.",
            "Ask the operator; the message names the setting.",
        ),
        "host_not_allowed": (
            "The operator does not allow connections to the host.",
            "Use an allowed host, or ask the operator to allow it.",
        ),
        "input_too_large": (
            "The files or the data source that the request names are too large for the operation.",
            "Divide them, or use fewer.",
        ),
        "integer_above_max_value": ("An integer is too large.", _NUMBER),
        "integer_below_min_value": ("An integer is too small.", _NUMBER),
        "invalid_cursor": (
            "`after`, `before` or `page` is not from an earlier page, or its object was deleted.",
            "List again from the first page.",
        ),
        "invalid_file": ("The check of the file found errors.", "Fix what `status_details` names."),
        "invalid_file_purpose": (
            "The operation needs a file with another purpose.",
            "Upload the file with the purpose that the message names.",
        ),
        "invalid_function_parameters": (
            "The schema of a tool's parameters is invalid.",
            "Correct the JSON schema.",
        ),
        "invalid_grader": (
            "A grader is invalid, or the rows lack its fields.",
            "Correct what `param` names.",
        ),
        "invalid_item": (
            "An item does not match the eval's schema.",
            "Correct the item that `param` names.",
        ),
        "invalid_json": (
            "The body is not a JSON object in UTF-8.",
            "Look at the position in the message.",
        ),
        "invalid_json_schema": ("A JSON schema is invalid.", "Correct the JSON schema."),
        "invalid_multipart": (
            "The multipart form is malformed.",
            "Send it with an HTTP library or an SDK.",
        ),
        "invalid_n_examples": (
            "The training file has too few examples.",
            "Add examples; the message says how many are needed.",
        ),
        "invalid_parameter_combination": (
            "Two parameters exclude each other.",
            "Send one of them.",
        ),
        "invalid_request": (
            "The request line or the headers are malformed.",
            "Send them as HTTP requires.",
        ),
        "invalid_template": (
            "A message template is invalid.",
            "Correct the variable that the message names.",
        ),
        "invalid_training_file": (
            "The training file has errors, or rows that the operation cannot use.",
            "Read the file's report, or clean the file.",
        ),
        "invalid_type": ("A value has the wrong JSON type.", "Send the expected type."),
        "invalid_validation_file": (
            "The validation file has errors, or does not fit the training file.",
            "Correct it as the message says.",
        ),
        "invalid_value": (
            "A value is not allowed.",
            "Send a value that the message allows for `param`.",
        ),
        "missing_required_parameter": (
            "A required parameter is missing.",
            "Send the parameter that `param` names.",
        ),
        "model_is_alias": (
            "The name is that of an alias.",
            "Delete it with `DELETE /v1/aliases/{name}`.",
        ),
        "model_not_trainable": ("The base model cannot be trained.", "Choose another base model."),
        "model_not_trained": (
            "The operation needs a trained model.",
            "Send the name of a trained model.",
        ),
        "name_reserved": ("The service itself uses the name or its form.", "Choose another name."),
        "no_stored_chats": (
            "No stored chat completion matches.",
            "Widen the filters, or switch on the project's `capture`.",
        ),
        "object_above_max_properties": ("An object has too many properties.", _SIZE),
        "previous_response_not_found": (
            "No earlier response is stored.",
            "Send the earlier messages in `input`.",
        ),
        "string_above_max_length": ("A string is too long.", _SIZE),
        "tools_not_supported": (
            "Rows of the file call tools, which the base model's chat template does not write.",
            "Choose a base model with the capability `tools`.",
        ),
        "unknown_parameter": (
            "The operation has no such parameter.",
            "Correct its name, or leave it out.",
        ),
        "unsupported_document": (
            "The document is not of a kind that can be read.",
            "Convert it to a format that the message lists.",
        ),
        "unsupported_model": (
            "The model does not serve this endpoint.",
            "Use another endpoint or model.",
        ),
        "unsupported_parameter": ("The service does not support the parameter.", "Leave it out."),
        "unsupported_tools": (
            "The model does not support tools.",
            "Choose a model with the capability `tools`.",
        ),
        "webhook_test_failed": (
            "The webhook endpoint did not respond.",
            "Check its address and its server.",
        ),
        "wrong_md5": (
            "The MD5 digest of the joined parts differs.",
            "Compare the parts and their order.",
        ),
        "wrong_size": (
            "The parts have more or fewer bytes than the upload declared.",
            "Send what is missing, or create a new upload.",
        ),
    },
    401: {
        "api_key_expired": (
            "The API key or its old secret has expired.",
            "Use the new secret or another key.",
        ),
        "invalid_api_key": ("The API key is missing, unknown or revoked.", "Send a valid key."),
        "invalid_token": (
            "The token of the identity provider is invalid.",
            "Request another token.",
        ),
        "ip_not_authorized": (
            "The key may not be used from this address.",
            "Send the request from another address.",
        ),
        "no_project": ("The token grants access to no project.", "Ask the operator for a grant."),
        "project_archived": (
            "The project of the API key is archived.",
            "Use a key of another project.",
        ),
        "session_expired": (
            "The session has expired or was ended, or its key was revoked.",
            "Sign in again.",
        ),
        "token_expired": (
            "The token of the identity provider has expired.",
            "Request another token.",
        ),
    },
    403: {
        "cross_origin_session": (
            "A page of another origin sent the cookie of a session.",
            "Send an API key, or the request from a page of the API's origin.",
        ),
        "insufficient_permissions": (
            "The key's role does not allow the operation.",
            "Use a key with another role.",
        ),
        "invalid_csrf_token": (
            "The session's CSRF token is missing or wrong.",
            "Send the `csrf_token` of `GET /v1/session` in the header `X-CSRF-Token`.",
        ),
        "own_model": (
            "Who trained or imported a model cannot approve it.",
            "Have another person approve it, with a login or a service account of their own.",
        ),
        "not_the_owner": ("The model belongs to another project.", "Use a key of that project."),
    },
    404: {
        "evaluation_not_found": (
            "The job exists, but has no evaluation.",
            "Train with held-out rows.",
        ),
        "file_not_found": (
            "A file that the request refers to does not exist.",
            "Check the ID in `param`.",
        ),
        "model_not_found": (
            "The model does not exist, or the project has no access to it.",
            "List the models with `GET /v1/models`.",
        ),
        "not_found": (
            "The object does not exist in the project.",
            "Check the ID and the key's project.",
        ),
        "unknown_url": (
            "No operation has this path.",
            "Check the path; the base URL ends in `/v1`.",
        ),
    },
    405: {
        "method_not_allowed": (
            "The path does not support the method.",
            "Use a method of the header `allow`.",
        ),
    },
    408: {
        "request_timeout": ("The request did not arrive completely in time.", "Send it again."),
    },
    409: {
        "approval_required": (
            "The project requires that a second person approves the model.",
            "Have someone who did not train it approve it.",
        ),
        "gate_failed": (
            "The model does not meet the alias's gate.",
            "Train a better model, or send `force`, which the history records.",
        ),
        "idempotency_in_progress": (
            "Other requests with the same `Idempotency-Key` have not finished.",
            "Try again in a minute.",
        ),
        "idempotency_key_reused": (
            "The `Idempotency-Key` was used with another body, or its object was deleted.",
            "Send a new key.",
        ),
        "invalid_state": (
            "The object's current status or setting does not allow the operation.",
            "Retrieve the object, and decide again.",
        ),
        "limit_reached": (
            "The project or the object has as many objects as allowed.",
            "Delete some that are not needed.",
        ),
        "model_in_use": (
            "An alias points at the model.",
            "Point the alias elsewhere, or delete it first.",
        ),
        "name_taken": ("The name is already in use.", "Choose another name."),
        "not_ready": ("A file is still being checked or measured.", _AGAIN),
        "not_verifiable": (
            "A key is missing that verifies or decrypts the audit log.",
            "Send its public key in `public_keys`, or give the API the master key.",
        ),
        "own_project": (
            "A key cannot do this to its own project.",
            "Use a key with the role `admin` of another project.",
        ),
    },
    412: {
        "precondition_failed": (
            "Another request changed the object since the `ETag` in `If-Match`.",
            "Retrieve the object, and decide again.",
        ),
    },
    413: {
        "object_too_large": (
            "The object with all its fields would be too large.",
            "Shorten its fields.",
        ),
        "quota_exceeded": (
            "The project's storage quota is used up.",
            "Delete files, or ask for a higher quota.",
        ),
        "request_too_large": ("The body or the file is too large.", "Send less, or in parts."),
    },
    415: {
        "unsupported_media_type": (
            "The operation does not read this content type.",
            "Send the documented one.",
        ),
    },
    416: {
        "range_not_satisfiable": (
            "The range is outside the content.",
            "Request bytes below the size.",
        ),
    },
    429: {
        "engine_overloaded": ("The engine has too many requests.", _AGAIN),
        "limit_reached": (
            "The project or the address has as much work in progress as allowed.",
            _AGAIN,
        ),
        "rate_limit_exceeded": (
            "A rate limit of the key, the project or the address is exceeded.",
            _AGAIN,
        ),
    },
    431: {
        "headers_too_large": (
            "The request line and the headers are too large.",
            "Send shorter headers.",
        ),
    },
    500: {
        "engine_error": ("The engine failed on the request.", "Give the operator the request ID."),
        "internal_error": (
            "The service failed on the request.",
            "Give the operator the request ID.",
        ),
        "model_not_loadable": (
            "The model's files are damaged or do not fit.",
            "Ask the operator, or train it again.",
        ),
    },
    502: {
        "bad_gateway": ("The engine returned an invalid response.", "Try again."),
    },
    503: {
        "adapter_unavailable": ("The engine cannot fetch the model's files now.", _AGAIN),
        "audit_log_unavailable": ("The audit log cannot record the request.", _AGAIN),
        "engine_lost": ("The connection to the engine was lost.", _AGAIN),
        "engine_sleeping": ("A training uses the engine's GPU.", _AGAIN),
        "engine_unavailable": ("The engine is starting or down.", _AGAIN),
        "identity_provider_unavailable": (
            "The identity provider's keys cannot be read.",
            "Try again, or use an API key.",
        ),
        "model_not_served": ("No engine serves the base model.", "Ask the operator to start one."),
        "redis_full": ("The memory of Redis is full, so nothing was changed.", "Ask the operator."),
        "service_unavailable": ("A component is temporarily unavailable.", _AGAIN),
        "write_unconfirmed": (
            "Too few replicas of Redis confirmed a change, which may have been made.",
            "Try again with the same `Idempotency-Key`.",
        ),
    },
    504: {
        "engine_timeout": ("The engine did not respond in time.", "Try again."),
        "gateway_timeout": ("A component did not respond in time.", "Try again."),
    },
    507: {
        "insufficient_storage": (
            "The service's storage is full.",
            "Ask the operator to free space.",
        ),
    },
}
"""What each code means, and what the client should do."""
