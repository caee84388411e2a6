"""Objects of the API, made from openapi.json by `make clients`. Do not edit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from finetuned._model import Model


class AliasDeleted(Model):
    """
    What deleting an alias answers.
    """

    id: str
    """
    Of the alias that is gone.
    """
    object: Literal["alias"] = "alias"
    deleted: Literal[True] = True


class Alive(Model):
    """
    This process answers.
    """

    status: Literal["ok"] = "ok"


class CheckpointMetrics(Model):
    """
    What was measured when the checkpoint was made.
    """

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None


class CheckpointObject(Model):
    """
    A model saved on the way; it can be chatted with by its name.
    """

    id: str
    """
    `ftckpt_` and letters.
    """
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    fine_tuned_model_checkpoint: str
    """
    The name to chat with.
    """
    fine_tuning_job_id: str
    """
    Whose checkpoint it is.
    """
    step_number: int
    """
    Steps that were trained.
    """
    metrics: CheckpointMetrics
    """
    What was measured there.
    """


class Deleted(Model):
    """
    What a delete answers.
    """

    id: str
    """
    Of what is gone.
    """
    object: str
    """
    What it was.
    """
    deleted: Literal[True] = True


class DurationObject(Model):
    """
    Seconds from the start of the training to its end.
    """

    expected: int
    low: int
    high: int
    basis: Literal["past_jobs", "model_size"]
    """
    Measured on that many past jobs like it, or reckoned to an order of magnitude.
    """
    jobs: int


class EarlyStopping(Model):
    """
    End when the validation loss has not fallen for a while.
    """

    patience: int = 2
    """
    Evaluations without a fall.
    """
    min_delta: float = 0.0
    """
    What counts as a fall.
    """


class EventObject(Model):
    """
    One line of a job's story.
    """

    id: str
    """
    `ftevent-` and numbers; for `after` and `Last-Event-ID`.
    """
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    level: Literal["info", "warn", "error"]
    """
    How grave it is.
    """
    message: str
    """
    For people.
    """
    type: Literal["message", "metrics"]
    """
    `metrics`: `data` has figures of a step.
    """
    data: dict[str, Any]
    """
    For programs.
    """


class ExpiresAfter(Model):
    """
    When the file of the upload goes, counted from when it is made.
    """

    anchor: Literal["created_at"]
    """
    From when it is counted.
    """
    seconds: int
    """
    From an hour to 30 days.
    """


class Failure(Model):
    """
    Why a task failed.
    """

    code: str
    message: str


class FileDeleted(Model):
    """
    What deleting a file answers.
    """

    id: str
    """
    Of the file that is gone.
    """
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FormatFields(Model):
    """
    How to read a file whose format cannot be found out, or is not to be.
    """

    container: Literal["jsonl", "json", "csv", "parquet", "xlsx"] | None = None
    """
    What the bytes are.
    """
    shape: Literal["chat", "preference", "prompt_completion", "alpaca", "sharegpt"] | None = None
    """
    What a row is.
    """
    encoding: str | None = None
    """
    Of text, as Python names it.
    """
    columns: dict[str, str] | None = None
    """
    A field of the shape → the column that holds it.
    """
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] | None = None
    """
    A role in the data → one of ours.
    """
    system: str | None = None
    """
    A system message for rows that have none.
    """
    delimiter: str | None = None
    """
    Of CSV; found out where it is not given.
    """
    sheet: str | None = None
    """
    Of a workbook; else the first.
    """


class JobError(Model):
    """
    Why a job failed.
    """

    code: str
    """
    The fault, for programs.
    """
    message: str
    """
    What is wrong, where, and how to mend it.
    """
    param: str | None = None
    """
    The parameter at fault.
    """


class Limits(Model):
    """
    Limits of one key or project. `null`: the default holds; `unlimited`: none does.
    """

    requests_per_minute: int | Literal["unlimited"] | None = None
    """
    A request for several answers (`n`) counts once for each.
    """
    tokens_per_minute: int | Literal["unlimited"] | None = None
    """
    Prompt and completion together.
    """
    concurrent_requests: int | Literal["unlimited"] | None = None
    """
    Requests being answered at one time, streams among them. One for several answers (`n`) counts once for each.
    """
    concurrent_streams: int | Literal["unlimited"] | None = None
    """
    Streams at one time.
    """


class LoraOptions(Model):
    """
    Shape of the adapter. What is left out is chosen by the service.
    """

    r: int | Literal["auto"] = "auto"
    """
    Rank.
    """
    alpha: int | Literal["auto"] = "auto"
    """
    Scale: alpha / r.
    """
    dropout: float = 0.0
    """
    Of the adapter.
    """
    target_modules: Literal["all-linear"] | list[str] | None = None
    """
    Names of modules; left out: "all-linear".
    """
    use_dora: bool | None = None
    """
    Refused here: the serving engine loads no DoRA adapter.
    """
    use_rslora: bool | None = None
    """
    Scale by alpha / sqrt(r), which suits high ranks.
    """


class MemoryObject(Model):
    """
    Bytes at the peak of a step.
    """

    weights: int
    adapter: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    overhead: int
    total: int
    """
    All of these, and the trainer's process itself.
    """
    available: int | None
    """
    What the worker has to give, if it tells.
    """


class ModelDeleted(Model):
    """
    What deleting a model answers.
    """

    id: str
    """
    Of the model that is gone.
    """
    object: Literal["model"] = "model"
    deleted: Literal[True] = True


class ProjectObject(Model):
    """
    A tenant.
    """

    id: str
    """
    `proj_` and letters.
    """
    object: Literal["organization.project"] = "organization.project"
    name: str
    """
    As it stands in the names of its models.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    status: Literal["active"] = "active"
    limits: Limits
    """
    That were set for it.
    """


class Ready(Model):
    """
    Whether all needed parts answer, and which do not.
    """

    status: Literal["ok", "away"]
    parts: dict[str, Literal["ok", "away", "refused"]]
    """
    By name: redis, storage, worker, inference.
    """


class ReportPending(Model):
    """
    A report that is being made; ask again after `retry-after` seconds.
    """

    id: str
    """
    Of the report.
    """
    object: Literal["file.report"] = "file.report"
    file_id: str
    """
    What it is on.
    """
    status: Literal["in_progress"] = "in_progress"


class RotateWebhookEndpointSecret(Model):
    """
    Request body to rotate a signing secret.
    """

    keep_old_secret_active_for_24_hours: bool = False
    """
    Wish to keep the old secret valid for a day. Only `false` is supported.
    """


class StandardHyperparameters(Model):
    """
    What OpenAI's job object shows at its top.
    """

    batch_size: int | Literal["auto"]
    """
    Rows of a step.
    """
    learning_rate_multiplier: float | Literal["auto"]
    """
    Times the rate that suits the model.
    """
    n_epochs: int | Literal["auto"]
    """
    Rounds through the data.
    """


class TargetShare(Model):
    """
    A model and its share of the requests.
    """

    model: str
    """
    A base model or a trained one.
    """
    weight: int
    """
    Whole percent of the requests that go to this model.
    """


class TestWebhookEndpoint(Model):
    """
    Request body to test a webhook endpoint.
    """

    event_type: Literal[
        "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"
    ]
    """
    Type of the sample event.
    """


class UpdateLimits(Model):
    """
    Body of an update of a project or key: limits that are not named stay as they are.
    """

    limits: Limits


class UpdateWebhookEndpoint(Model):
    """
    Request body to update a webhook endpoint. Fields that are left out stay as they are.
    """

    name: str | None = None
    """
    New name.
    """
    url: str | None = None
    """
    New URL. The operator must have allowed its host. Any value, even the old one, enables a disabled endpoint.
    """
    event_types: (
        list[
            Literal[
                "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"
            ]
        ]
        | None
    ) = None
    """
    Complete list of event types to deliver from now on.
    """


class UploadComplete(Model):
    """
    Which parts make the file, in which order.
    """

    part_ids: list[str]
    """
    In the order of the file.
    """
    md5: str | None = None
    """
    Of the whole file, as hex.
    """


class UploadCreate(Model):
    """
    What a client says of a file before it sends it. `format` is ours.
    """

    filename: str
    """
    What the file will be called.
    """
    purpose: Literal["fine-tune", "user_data"]
    """
    What it is for; `fine-tune` has it checked.
    """
    bytes: int
    """
    Of the whole file.
    """
    mime_type: str
    """
    As OpenAI asks for it; what counts is the content.
    """
    expires_after: ExpiresAfter | None = None
    """
    When the file goes; for good where nothing is said.
    """
    format: FormatFields | None = None
    """
    How to read it.
    """


class UploadPartObject(Model):
    """
    OpenAI's part object. `bytes` and `md5` are ours: a client that resumes compares them.
    """

    id: str
    """
    `part_` and letters, for `part_ids`.
    """
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    upload_id: str
    """
    Whose part it is.
    """
    bytes: int
    """
    That have come.
    """
    md5: str
    """
    Of these bytes, as hex.
    """


class UsageResult(Model):
    """
    Usage of one group in one bucket. A field that was not grouped by is null.
    """

    object: Literal["organization.usage.completions.result"] = (
        "organization.usage.completions.result"
    )
    input_tokens: int
    """
    Prompt tokens, the cached ones among them.
    """
    output_tokens: int
    """
    Tokens of the answers.
    """
    input_cached_tokens: int
    """
    Prompt tokens that the engine had computed before.
    """
    num_model_requests: int
    """
    Requests that an engine answered, those whose client left among them.
    """
    input_audio_tokens: int = 0
    """
    Always 0.
    """
    output_audio_tokens: int = 0
    """
    Always 0.
    """
    project_id: str | None = None
    """
    Whose requests, where grouped by it.
    """
    user_id: str | None = None
    """
    Always null: there are no users.
    """
    api_key_id: str | None = None
    """
    Whose requests, where grouped by it.
    """
    model: str | None = None
    """
    That answered, where grouped by it.
    """
    batch: bool | None = None
    """
    Always null.
    """
    service_tier: str | None = None
    """
    Always null.
    """
    num_failed_requests: int
    """
    Requests that ended in an error.
    """
    mean_time_to_first_token_ms: float | None
    """
    Of streams; null without any.
    """
    mean_time_per_output_token_ms: float | None
    """
    Of streams, after the first.
    """


class WebhookDeliveryObject(Model):
    """
    Attempt to deliver an event to a webhook endpoint.
    """

    id: str
    """
    Identifier: `whdelivery-` and numbers.
    """
    object: Literal["webhook_endpoint.delivery"] = "webhook_endpoint.delivery"
    created_at: int
    """
    Unix timestamp in seconds at the end of the attempt.
    """
    event_id: str
    """
    Identifier of the event, the `webhook-id` of the request.
    """
    event_type: str
    """
    Type of the event.
    """
    attempt: int
    """
    Number of the attempt, starting at 1.
    """
    outcome: str
    """
    `delivered`; `retrying`: failed, with another attempt to come; `failed`: the last attempt; `disabled`: the endpoint answered 410.
    """
    response_status: int | None
    """
    HTTP status of the endpoint's response.
    """
    error: str | None
    """
    Class of the error if there was no response.
    """
    next_attempt_at: int | None
    """
    Unix timestamp in seconds of the next attempt.
    """


class WebhookEndpointDeleted(Model):
    """
    Confirmation that a webhook endpoint was deleted.
    """

    id: str
    """
    Identifier of the deleted endpoint.
    """
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookEndpointObject(Model):
    """
    Webhook endpoint without its signing secret.
    """

    id: str
    """
    Identifier: `webhook_` and letters.
    """
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    """
    Unix timestamp in seconds.
    """
    updated_at: int
    """
    Unix timestamp in seconds of the last change of the endpoint or its secret.
    """
    name: str
    """
    Name for the people who manage the endpoint.
    """
    url: str
    """
    URL that receives the events.
    """
    event_types: list[str]
    """
    Event types that are delivered.
    """
    signing_secret_hint: str
    """
    Last four characters of the signing secret.
    """
    status: Literal["enabled", "disabled"]
    """
    State of the endpoint. `disabled` means that it answered 410 and receives no more events. OpenAI's API has no such field.
    """


class WebhookEndpointTestObject(Model):
    """
    Result of a test that the endpoint responded to.
    """

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    """
    Identifier of the endpoint.
    """
    event_type: str
    """
    Type of the sample event.
    """
    status_code: int
    """
    HTTP status of the endpoint's response.
    """
    success: Literal[True] = True
    """
    Completion of the request, whatever its status.
    """


class WebhookEndpointWithSecretObject(Model):
    """
    Webhook endpoint with its new signing secret. No later response contains this secret.
    """

    id: str
    """
    Identifier: `webhook_` and letters.
    """
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    """
    Unix timestamp in seconds.
    """
    updated_at: int
    """
    Unix timestamp in seconds of the last change of the endpoint or its secret.
    """
    name: str
    """
    Name for the people who manage the endpoint.
    """
    url: str
    """
    URL that receives the events.
    """
    event_types: list[str]
    """
    Event types that are delivered.
    """
    signing_secret_hint: str
    """
    Last four characters of the signing secret.
    """
    status: Literal["enabled", "disabled"]
    """
    State of the endpoint. `disabled` means that it answered 410 and receives no more events. OpenAI's API has no such field.
    """
    signing_secret: str
    """
    Signing secret: `whsec_` and base64.
    """


class WebhookEventTypesObject(Model):
    """
    List of the event types that an endpoint can subscribe to.
    """

    object: Literal["list"] = "list"
    data: list[str]
    """
    Event types.
    """


class SourceFacts(Model):
    """
    What a file was found to be. `columns` maps the shape's fields to its columns.
    """

    bytes: int
    container: str
    compression: str | None
    encoding: str | None
    delimiter: str | None
    shape: str
    row_format: str
    columns: dict[str, str]
    unused_columns: list[str]


class Histogram(Model):
    """
    `counts[i]` values lie in [edges[i], edges[i + 1]), the last bin closed.
    """

    edges: list[float]
    counts: list[int]


class TokenizerFit(Model):
    """
    How well a model's tokenizer knows a language; 0.25 tokens a character is English.
    """

    model: str
    language: str
    rows: int
    tokens_per_character: float
    byte_fallback_share: float


class Share(Model):
    """
    How many rows a language or a script has.
    """

    name: str
    rows: int
    share: float


class GroupStats(Model):
    """
    Groups of rows that are alike. `extra_rows` could go; `examples` are their lines.
    """

    groups: int
    rows: int
    extra_rows: int
    examples: list[list[int]]


class OverlapStats(Model):
    """
    Rows of the validation file that stand in the training file.
    """

    rows: int
    exact: int
    near: int
    same_prompt: int
    examples: list[list[int]]


class PersonalData(Model):
    """
    One kind of personal data: how often, in how many rows, and where, never what.
    """

    kind: str
    count: int
    places: list[list[int | str]]


class SystemPrompts(Model):
    """
    System prompts; `top_share` is the share of all rows with the commonest.
    """

    distinct: int
    rows_without: int
    top_share: float


class Advice(Model):
    """
    What to do, why, and on which evidence; the first is the first to do.
    """

    code: str
    title: str
    text: str
    evidence: dict[str, float]
    lines: list[int] = []


class StreamOptions(Model):
    """
    Of a stream.
    """

    include_usage: bool | None = None
    """
    A last event with the token counts.
    """


class ChatMessage(Model):
    """
    One turn of a conversation.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """
    Who speaks.
    """
    content: str | list[dict[str, Any]] | None = None
    """
    A text, or parts of one; null where a turn only calls tools.
    """
    tool_calls: list[dict[str, Any]] | None = None
    """
    Of an assistant.
    """
    tool_call_id: str | None = None
    """
    Of a tool: the call that this answers.
    """


class Choice(Model):
    """
    One answer.
    """

    index: int
    message: ChatMessage
    finish_reason: str | None
    """
    `stop`: the model ended. `length`: it was cut. `tool_calls`: it calls tools.
    """


class Usage(Model):
    """
    Tokens of the request.
    """

    prompt_tokens: int
    completion_tokens: int | None = None
    total_tokens: int


class ChatCompletion(Model):
    """
    OpenAI's chat completion.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    """
    Seconds since 1970, UTC.
    """
    model: str
    """
    The model that answered.
    """
    choices: list[Choice]
    usage: Usage | None = None


class CreateCompletion(Model):
    """
    OpenAI's body of a completion.
    """

    model: str
    """
    A base model, a trained model or an alias of the project.
    """
    stream: bool = False
    """
    Answer by events.
    """
    temperature: float | None = None
    """
    0 is the likeliest answer.
    """
    top_p: float | None = None
    stream_options: StreamOptions | None = None
    """
    Of a stream.
    """
    max_tokens: int | None = None
    """
    Most tokens of the answer.
    """
    n: int | None = None
    """
    How many answers, 16 at most unless the operator sets another number. With many prompts each of them has so many.
    """
    stop: str | list[str] | None = None
    """
    Texts at which the answer ends.
    """
    seed: int | None = None
    """
    The same seed draws the same answer.
    """
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    prompt: str | list[str] | list[int] | list[list[int]]
    """
    Texts, or tokens.
    """
    echo: bool | None = None
    """
    The prompt before the answer.
    """
    logprobs: int | None = None
    """
    Likelihoods of so many tokens.
    """


class Choice1(Model):
    """
    One answer.
    """

    index: int
    text: str
    finish_reason: str | None
    """
    `stop`: the model ended. `length`: it was cut. `tool_calls`: it calls tools.
    """


class Completion(Model):
    """
    OpenAI's completion.
    """

    id: str
    object: Literal["text_completion"]
    created: int
    """
    Seconds since 1970, UTC.
    """
    model: str
    """
    The model that answered.
    """
    choices: list[Choice1]
    usage: Usage | None = None


class CreateResponse(Model):
    """
    OpenAI's body of a response.
    """

    model: str
    """
    A base model, a trained model or an alias of the project.
    """
    stream: bool = False
    """
    Answer by events.
    """
    temperature: float | None = None
    """
    0 is the likeliest answer.
    """
    top_p: float | None = None
    input: str | list[dict[str, Any]]
    """
    A text, or turns.
    """
    instructions: str | None = None
    """
    The system message.
    """
    max_output_tokens: int | None = None
    """
    Most tokens of the answer.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call.
    """


class Response(Model):
    """
    OpenAI's response.
    """

    id: str
    object: Literal["response"]
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    model: str
    status: str
    """
    `completed`, or why not.
    """
    output: list[dict[str, Any]]
    """
    Messages, and calls of tools.
    """
    usage: dict[str, Any] | None = None


class CreateEmbeddings(Model):
    """
    OpenAI's body of embeddings.
    """

    model: str
    """
    A base model, a trained model or an alias of the project.
    """
    input: str | list[str] | list[int] | list[list[int]]
    """
    Texts, or tokens.
    """
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    """
    Shorter vectors.
    """


class Datum(Model):
    """
    One vector.
    """

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    """
    Numbers, or base64 of 32-bit floats.
    """


class Embeddings(Model):
    """
    OpenAI's list of embeddings.
    """

    object: Literal["list"]
    data: list[Datum]
    model: str
    usage: Usage | None = None


class Error1(Model):
    message: str
    """
    What is wrong, where, and how to mend it. For people.
    """
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
        "server_error",
    ]
    """
    The kind of failure.
    """
    param: str | None
    """
    The parameter or field at fault.
    """
    code: str | None
    """
    The fault, for programs.
    """


class Error(Model):
    """
    Every failure's body, as OpenAI's SDKs read it.
    """

    error: Error1


class AliasChange(Model):
    """
    One change of an alias.
    """

    id: str
    """
    The `etag` of the alias after this change.
    """
    object: Literal["alias.change"] = "alias.change"
    generation: int
    """
    Of the alias after this change.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    action: Literal["set", "rollback"]
    """
    What was done.
    """
    api_key_id: str
    """
    The key that made the change.
    """
    previous_targets: list[TargetShare]
    """
    Empty where the alias was new.
    """
    targets: list[TargetShare]
    """
    Where requests went after it.
    """


class AliasObject(Model):
    """
    A name of the project's own for one model, or for a split between two.
    """

    id: str
    """
    The name to ask for.
    """
    object: Literal["alias"] = "alias"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    updated_at: int
    """
    Of the last change.
    """
    generation: int
    """
    1, and 1 more with each change.
    """
    etag: str
    """
    To be sent as `If-Match` with a change.
    """
    targets: list[TargetShare]
    """
    Where requests go.
    """


class CleanRequest(Model):
    """
    What to clean. Of duplicates the first row stays.

    By default a row is dropped only if it is broken, or equal to an earlier one in everything that
    is trained on.
    """

    drop_broken: bool = True
    """
    Otherwise a broken row fails the cleaning.
    """
    exact_duplicates: bool = True
    """
    Drop rows that equal an earlier row, to the letter, in everything that is trained on: system prompt, tools, all messages, and the rejected answer.
    """
    near_duplicates: bool = False
    """
    Also drop rows that are nearly the same as an earlier row with the same system prompt, tools and rejected answer. Such rows may differ in a number, a date, or yes and no; the report lists them.
    """
    near_threshold: float = 0.8
    """
    Jaccard likeness from which two rows are nearly the same. At 1 they differ in case and spacing alone.
    """
    contradictions: Literal["keep", "first", "last", "most_common", "longest", "drop"] = "keep"
    """
    Which answer stays where a question has several.
    """
    personal_data: Literal["keep", "mask", "pseudonym"] = "keep"
    """
    `mask` writes [EMAIL]; `pseudonym` [EMAIL_1], the same for the same value. A value found anywhere in the file is replaced everywhere in it, in every spelling.
    """
    unicode: Literal["keep", "NFC", "NFKC"] = "NFC"
    """
    NFKC also folds full-width letters and the like.
    """
    mend_mojibake: bool = True
    """
    Text that was decoded wrongly once.
    """
    drop_control_characters: bool = True
    """
    But tabs and line ends.
    """
    validation_share: float = 0.0
    """
    Share of the rows that goes to a validation file.
    """
    seed: int = 0
    """
    Of the split.
    """
    format: FormatFields | None = None
    """
    How to read the file; else as its upload said.
    """


class CleaningObject(Model):
    """
    A cleaning of a file. Its outputs are files of their own.
    """

    id: str
    """
    `fileclean-` and letters.
    """
    object: Literal["file.cleaning"] = "file.cleaning"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    finished_at: int | None
    """
    Null while it runs.
    """
    file_id: str
    """
    What is cleaned.
    """
    status: Literal["in_progress", "completed", "failed"]
    """
    `in_progress`, then `completed` or `failed`.
    """
    options: dict[str, Any]
    """
    As they were chosen.
    """
    error: Failure | None
    """
    Why it failed.
    """
    training_file: str | None = None
    """
    The rows to train on.
    """
    validation_file: str | None = None
    """
    The rows that are held out.
    """
    diff_file: str | None = None
    """
    JSON Lines: what became of each row that was touched.
    """
    source_rows: int | None = None
    """
    Of the file.
    """
    training_rows: int | None = None
    """
    Of `training_file`.
    """
    validation_rows: int | None = None
    """
    Of `validation_file`.
    """
    dropped: dict[str, int] | None = None
    """
    Rows, by reason.
    """
    changed: dict[str, int] | None = None
    """
    Changes, by kind.
    """
    changed_rows: int | None = None
    """
    Rows with a change.
    """


class CreateKey(Model):
    """
    Body of a key's creation.
    """

    name: str
    role: Literal["admin", "member"] = "member"
    """
    `admin` may manage all projects.
    """
    limits: Limits | None = None


class CreateProject(Model):
    """
    Body of a project's creation.
    """

    name: str
    limits: Limits | None = None


class CreateWebhookEndpoint(Model):
    """
    Request body to create a webhook endpoint.
    """

    name: str
    """
    Name for the people who manage the endpoint.
    """
    url: str
    """
    Absolute http or https URL. The operator must have allowed its host.
    """
    event_types: list[
        Literal["fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled"]
    ]
    """
    Event types to deliver.
    """


class DpoHyperparameters(Model):
    """
    Those of supervised training, and beta.
    """

    batch_size: int | Literal["auto"] = "auto"
    """
    Rows of a step.
    """
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    """
    Times the rate that suits the model.
    """
    n_epochs: int | Literal["auto"] = "auto"
    """
    Rounds through the data.
    """
    learning_rate: float | Literal["auto"] = "auto"
    """
    Absolute; overrides learning_rate_multiplier.
    """
    lora: LoraOptions | None = None
    quantization: Literal["nf4", "none"] = "nf4"
    """
    `nf4` is QLoRA: the base model in 4 bits. `none` is LoRA.
    """
    max_seq_length: int | Literal["auto"] = "auto"
    """
    Tokens at which a row is cut.
    """
    packing: bool | Literal["auto"] = "auto"
    """
    Several rows in one sequence.
    """
    warm_start: str | None = None
    """
    A trained model of the same base: the new adapter starts from its weights.
    """
    validation_share: float | None = None
    """
    Of the training rows, where no validation file is given. With early_stopping or keep_best it is 0.1.
    """
    early_stopping: EarlyStopping | None = None
    """
    End when it learns no more.
    """
    keep_best: bool = False
    """
    The result is the checkpoint of the lowest validation loss.
    """
    beta: float | Literal["auto"] = "auto"
    """
    How hard the model is held to its reference.
    """


class DpoMethod(Model):
    """
    Options of direct preference optimisation.
    """

    hyperparameters: DpoHyperparameters | None = None


class EstimateObject(Model):
    """
    What a job would take.
    """

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    model: str
    method: str
    hyperparameters: dict[str, Any]
    """
    With every `auto` resolved.
    """
    reasons: list[str]
    rows: int
    steps: int
    trained_tokens: int
    device: str | None
    """
    Of the roomiest worker that is online.
    """
    memory: MemoryObject | None
    """
    Null where no worker is online.
    """
    fits: bool | None
    advice: str | None
    """
    The change that would make it fit.
    """
    duration: DurationObject | None


class FileObject(Model):
    """
    OpenAI's file object. Ours: `rows` and `warnings` that the check counted, the `format`
    that was said at the upload, and what was `found`.
    """

    id: str
    """
    `file-` and letters.
    """
    object: Literal["file"] = "file"
    bytes: int
    """
    Its size.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    filename: str
    """
    As the client named it.
    """
    purpose: Literal["fine-tune", "fine-tune-results", "user_data"]
    """
    What a file is for.
    """
    status: Literal["uploaded", "processed", "error"]
    """
    `uploaded` until it was checked, then `processed` or `error`.
    """
    status_details: str | None = None
    """
    Why it cannot be used: the line, and the fault.
    """
    expires_at: int | None = None
    """
    When it goes; null: never.
    """
    rows: int | None = None
    """
    That the check counted.
    """
    warnings: int | None = None
    """
    That the check counted; see the report.
    """
    format: dict[str, Any] | None = None
    """
    What the uploader said of the format.
    """
    found: dict[str, Any] | None = None
    """
    Container, encoding, shape and columns, as the check found them.
    """


class Hyperparameters(Model):
    """
    The standard three, and what we add.
    """

    batch_size: int | Literal["auto"] = "auto"
    """
    Rows of a step.
    """
    learning_rate_multiplier: float | Literal["auto"] = "auto"
    """
    Times the rate that suits the model.
    """
    n_epochs: int | Literal["auto"] = "auto"
    """
    Rounds through the data.
    """
    learning_rate: float | Literal["auto"] = "auto"
    """
    Absolute; overrides learning_rate_multiplier.
    """
    lora: LoraOptions | None = None
    quantization: Literal["nf4", "none"] = "nf4"
    """
    `nf4` is QLoRA: the base model in 4 bits. `none` is LoRA.
    """
    max_seq_length: int | Literal["auto"] = "auto"
    """
    Tokens at which a row is cut.
    """
    packing: bool | Literal["auto"] = "auto"
    """
    Several rows in one sequence.
    """
    warm_start: str | None = None
    """
    A trained model of the same base: the new adapter starts from its weights.
    """
    validation_share: float | None = None
    """
    Of the training rows, where no validation file is given. With early_stopping or keep_best it is 0.1.
    """
    early_stopping: EarlyStopping | None = None
    """
    End when it learns no more.
    """
    keep_best: bool = False
    """
    The result is the checkpoint of the lowest validation loss.
    """


class JobObject(Model):
    """
    OpenAI's fine_tuning.job. `attempt` is ours: more than 1 after a recovery.
    """

    id: str
    """
    `ftjob-` and letters.
    """
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    error: JobError | None
    """
    Why it failed.
    """
    fine_tuned_model: str | None
    """
    The name to chat with, when it has succeeded.
    """
    finished_at: int | None
    """
    When it ended, however it did.
    """
    hyperparameters: StandardHyperparameters
    """
    The standard ones; all of them are in `method`.
    """
    model: str
    """
    The base model.
    """
    organization_id: str
    """
    The project.
    """
    result_files: list[str]
    """
    A CSV of losses, when it has ended.
    """
    seed: int
    """
    Of all chance in the training.
    """
    status: Literal[
        "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
    ]
    """
    How far it is.
    """
    pausing: bool = False
    """
    Whether a running job was asked to pause and its checkpoint is not stored yet. Its status becomes `paused` when it is.
    """
    trained_tokens: int | None
    """
    When it has succeeded.
    """
    training_file: str
    """
    What it learns from.
    """
    validation_file: str | None
    """
    What it is measured on.
    """
    estimated_finish: int | None
    """
    When it should end, where that can be told.
    """
    integrations: list[Any] | None = None
    """
    Always null.
    """
    metadata: dict[str, str] | None
    """
    Yours.
    """
    method: dict[str, Any]
    """
    How it trains, with every hyperparameter.
    """
    suffix: str | None
    """
    Part of the model's name.
    """
    attempt: int
    """
    More than 1 after a recovery.
    """
    priority: int = 0
    """
    Higher runs first.
    """
    queue_position: int | None = None
    """
    1 for the job that a GPU worker takes next; null unless the job is queued.
    """


class KeyObject(Model):
    """
    A key without its secret.
    """

    id: str
    """
    `key_` and letters.
    """
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str
    """
    What it is for, in your words.
    """
    role: Literal["admin", "member"]
    """
    What a key may do: `admin` also manages projects and keys.
    """
    redacted_value: str
    """
    The last characters of the secret.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    limits: Limits
    """
    That were set for it, within its project's.
    """


class ModelObject(Model):
    """
    A model that can be asked for by its id. `base_model` and what follows is ours.
    """

    id: str
    """
    The name to ask for.
    """
    object: Literal["model"] = "model"
    created: int
    """
    Seconds since 1970, UTC.
    """
    owned_by: str
    """
    `system`, or the project.
    """
    base_model: str | None = None
    """
    Of a trained model: what it was trained on.
    """
    license: str | None = None
    """
    Of a base model.
    """
    context_length: int | None = None
    """
    Of a base model: tokens of prompt and answer together.
    """
    languages: list[str] | None = None
    """
    Of a base model, as the operator named them.
    """
    available: bool | None = None
    """
    Of a base model: whether an engine serves it, and its trained models, now.
    """
    fine_tuning_job: str | None = None
    """
    Of a trained model: the job that made it.
    """
    alias_of: list[TargetShare] | None = None
    """
    Of an alias: the models that it stands for.
    """


class NewKeyObject(Model):
    """
    A key just made: the only answer that ever holds the secret.
    """

    id: str
    """
    `key_` and letters.
    """
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str
    """
    What it is for, in your words.
    """
    role: Literal["admin", "member"]
    """
    What a key may do: `admin` also manages projects and keys.
    """
    redacted_value: str
    """
    The last characters of the secret.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    limits: Limits
    """
    That were set for it, within its project's.
    """
    value: str
    """
    The secret, shown this once.
    """


class SetAlias(Model):
    """
    Body of an alias: `model`, or `targets` for a split between two.
    """

    model: str | None = None
    """
    All requests go there.
    """
    targets: list[TargetShare] | None = None
    """
    Or between these two, by weight; the weights sum to 100.
    """


class SupervisedMethod(Model):
    """
    Options of supervised fine-tuning.
    """

    hyperparameters: Hyperparameters | None = None


class UploadObject(Model):
    """
    OpenAI's upload object.
    """

    id: str
    """
    `upload_` and letters.
    """
    object: Literal["upload"] = "upload"
    bytes: int
    """
    Of the whole file, as declared.
    """
    created_at: int
    """
    Seconds since 1970, UTC.
    """
    filename: str
    """
    What the file will be called.
    """
    purpose: Literal["fine-tune", "fine-tune-results", "user_data"]
    """
    What a file is for.
    """
    status: Literal["pending", "completed", "cancelled", "expired"]
    """
    Where an upload is on its way; all but `pending` are final.
    """
    expires_at: int
    """
    Until when it takes parts.
    """
    file: FileObject | None = None
    """
    What it became; null until it is completed.
    """


class UsageBucket(Model):
    """
    A span of time, its end exclusive. Without usage it has no results.
    """

    object: Literal["bucket"] = "bucket"
    start_time: int
    """
    Its first second.
    """
    end_time: int
    """
    The first second after it.
    """
    results: list[UsageResult]
    """
    One a group.
    """


class UsagePage(Model):
    """
    Buckets in the order of time.
    """

    object: Literal["page"] = "page"
    data: list[UsageBucket]
    """
    Oldest first.
    """
    has_more: bool
    """
    Whether another page follows.
    """
    next_page: str | None
    """
    For `page`, to go on.
    """


class Issue(Model):
    """
    One finding. `line` counts from 1 (None: the whole file); `pointer` is RFC 6901.
    """

    severity: Literal["error", "info", "warning"]
    """
    `error`: the row cannot be trained on. `warning`: it can, but look at it.
    """
    code: str
    line: int | None
    pointer: str
    message: str
    fix: str


class Distribution(Model):
    """
    How a number of each row is spread.
    """

    min: int
    p50: int
    p95: int
    max: int
    mean: float
    total: int
    histogram: Histogram


class TokenStats(Model):
    """
    One tokenizer's view. Counts are of `rows`, a sample where the file is large.

        Tokens of texts, and five a message for what a chat template adds. `truncated_rows` and
        `unlearnable_rows` are by context length.
    """

    model: str
    rows: int
    sampled: bool
    tokens: Distribution
    supervised_tokens: Distribution
    truncated_rows: dict[str, int]
    unlearnable_rows: dict[str, int]


class CreateChatCompletion(Model):
    """
    OpenAI's body of a chat completion.
    """

    model: str
    """
    A base model, a trained model or an alias of the project.
    """
    stream: bool = False
    """
    Answer by events.
    """
    temperature: float | None = None
    """
    0 is the likeliest answer.
    """
    top_p: float | None = None
    stream_options: StreamOptions | None = None
    """
    Of a stream.
    """
    max_tokens: int | None = None
    """
    Most tokens of the answer.
    """
    n: int | None = None
    """
    How many answers, 16 at most unless the operator sets another number. With many prompts each of them has so many.
    """
    stop: str | list[str] | None = None
    """
    Texts at which the answer ends.
    """
    seed: int | None = None
    """
    The same seed draws the same answer.
    """
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    """
    As `max_tokens`, which it overrides.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call.
    """
    tool_choice: Any | None = None
    """
    `auto`, `none`, `required`, or the one tool to call.
    """
    response_format: dict[str, Any] | None = None
    """
    JSON, or JSON of a schema.
    """
    logprobs: bool | None = None
    """
    Tell each token's likelihood.
    """


class Method(Model):
    """
    How to train: on chats, or on pairs of a preferred and another answer.
    """

    type: Literal["supervised", "dpo"]
    """
    On chats, or on preferences.
    """
    supervised: SupervisedMethod | None = None
    """
    For `supervised`.
    """
    dpo: DpoMethod | None = None
    """
    For `dpo`.
    """


class ValidationReport(Model):
    """
    What a validation found. `counts` are true even where `issues` was capped.
    """

    format: str
    bytes: int
    rows: int
    valid_rows: int
    errors: int
    warnings: int
    counts: dict[str, int]
    issues: list[Issue]


class FileReport(Model):
    """
    All that is told of a data set. Line numbers are of the file as uploaded.
    """

    id: str
    object: Literal["file.report"]
    file_id: str
    status: Literal["completed"]
    version: int
    source: SourceFacts
    validation: ValidationReport
    rows: int
    turns: Distribution | None
    characters: Distribution | None
    answer_characters: Distribution | None
    tokens: list[TokenStats]
    tokenizer_fit: list[TokenizerFit]
    languages: list[Share]
    scripts: list[Share]
    exact_duplicates: GroupStats
    near_duplicates: GroupStats
    contradictions: GroupStats
    overlap: OverlapStats | None
    personal_data: list[PersonalData]
    system_prompts: SystemPrompts
    findings: list[Issue]
    finding_counts: dict[str, int]
    advice: list[Advice]


class CreateJob(Model):
    """
    Body of a job's creation.
    """

    model: str
    """
    A base model of the catalogue.
    """
    training_file: str
    """
    Checked, or still being checked.
    """
    validation_file: str | None = None
    """
    Rows to measure on.
    """
    suffix: str | None = None
    """
    Part of the new model's name.
    """
    seed: int | None = None
    """
    Of all chance in the training; drawn where none is given.
    """
    metadata: dict[str, str] | None = None
    """
    Yours, to find the job by.
    """
    method: Method | None = None
    """
    How to train, and with what; supervised where nothing is said.
    """
    hyperparameters: Hyperparameters | None = None
    """
    Deprecated by OpenAI in favour of `method`; still read.
    """
    priority: int = 0
    """
    Higher runs first; ours, not OpenAI's.
    """
    integrations: Annotated[None, Field(None)] = None
    """
    Always null: nothing leaves the server.
    """
