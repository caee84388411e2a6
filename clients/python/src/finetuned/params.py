"""Request fields, generated from openapi.json by `make clients`. Do not edit."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from typing_extensions import NotRequired


class AliasSuite(TypedDict):
    """
    An eval that a new model must pass before the alias points at it.
    """

    eval_id: str
    run_id: str
    metric: NotRequired[str]
    min_difference: NotRequired[float | None]
    min_score: NotRequired[float | None]


class BatchOutputExpiresAfter(TypedDict):
    """
    Lifetime of the files of a batch.
    """

    anchor: Literal["created_at"]
    seconds: int


class CaptureSettings(TypedDict):
    """
    Settings for storing the chats of a project, with personal data replaced, to train on them
    later.

    A request with `"store": false` is never stored, and one with `"store": true` always is.
    """

    sampling: NotRequired[float]
    expires_after_days: NotRequired[int]
    redaction: NotRequired[Literal["mask", "pseudonym"]]
    possible_personal_data: NotRequired[bool]
    models: NotRequired[list[str] | None]


class ChatMessage(TypedDict):
    """
    A message in a conversation.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: NotRequired[str | list[dict[str, Any]] | None]
    tool_calls: NotRequired[list[dict[str, Any]]]
    reasoning: NotRequired[str | None]
    tool_call_id: NotRequired[str]


class ChrfGrader(TypedDict):
    """
    Grader that measures chrF: the overlap of character n-grams, from 0 to 1.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    type: Literal["chrf"]
    input: NotRequired[str]
    reference: str


class CompletionsSamplingParams(TypedDict):
    """
    Sampling parameters of chat completions.
    """

    max_completion_tokens: NotRequired[int | None]
    reasoning_effort: NotRequired[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    ]
    seed: NotRequired[int | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    response_format: NotRequired[dict[str, Any] | None]
    tools: NotRequired[list[dict[str, Any]] | None]


class CreateServiceAccountApiKey(TypedDict):
    """
    Request to create a key of a service account.
    """

    name: NotRequired[str | None]
    expires_in_seconds: NotRequired[int | None]


class CreateAdminApiKey(TypedDict):
    """
    Request to create an admin key.
    """

    name: str
    expires_in_seconds: NotRequired[int | None]


class CreateAdvice(TypedDict):
    """
    Request for advice before a training.
    """

    training_file_id: str
    model: str
    metadata: NotRequired[dict[str, str] | None]


class CreateAliasCheck(TypedDict):
    """
    Request to run the suites of an alias.
    """

    alias: str
    model: NotRequired[str | None]
    move: NotRequired[bool]
    metadata: NotRequired[dict[str, str] | None]


class CreateApproval(TypedDict):
    """
    Request to approve a trained model.
    """

    note: NotRequired[str | None]


class CreateBatch(TypedDict):
    """
    Request body to create a batch.
    """

    input_file_id: str
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
    completion_window: Literal["24h"]
    metadata: NotRequired[dict[str, str] | None]
    output_expires_after: NotRequired[BatchOutputExpiresAfter | None]


class CreateDatasetDiff(TypedDict):
    """
    Request to compare a training file with a later one.
    """

    file_id: str
    other_file_id: str
    metadata: NotRequired[dict[str, str] | None]


class CreateDatasetReport(TypedDict):
    """
    Request for a report on a training file.
    """

    file_id: str
    models: NotRequired[list[str] | None]
    validation_file_id: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]


class CreateEmbeddings(TypedDict):
    """
    Embeddings request, as in the OpenAI API.
    """

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: NotRequired[Literal["float", "base64"]]
    dimensions: NotRequired[int | None]


class CreateModelExport(TypedDict):
    """
    Request to export a trained model.
    """

    model: str
    format: Literal["adapter", "merged", "gguf", "gguf-adapter", "ollama"]
    quantization: NotRequired[Literal["f16", "q8_0", "q5_k_m", "q4_k_m"] | None]
    metadata: NotRequired[dict[str, str] | None]


class CreateModelImport(TypedDict):
    """
    Request to import an adapter that was trained elsewhere.
    """

    file_id: str
    base_model: str
    suffix: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]


class CreateCheckpointPermissions(TypedDict):
    """
    Request to let other projects use a trained model.
    """

    project_ids: list[str]


class CreateServiceAccount(TypedDict):
    """
    Request to create a service account.
    """

    name: str
    create_service_account_only: NotRequired[bool | None]
    expires_in_seconds: NotRequired[int | None]


class CreateEvalDataSourceConfig(TypedDict):
    """
    Schema of the items.
    """

    type: Literal["custom"]
    item_schema: dict[str, Any]
    include_sample_schema: NotRequired[bool]


class EarlyStopping(TypedDict):
    """
    Early-stopping rule: training ends when the validation loss stops falling.
    """

    patience: NotRequired[int]
    min_delta: NotRequired[float]


class EvalItem(TypedDict):
    """
    Item of a run, and the answer to grade if it is given rather than sampled.
    """

    item: dict[str, Any]
    sample: NotRequired[dict[str, Any] | None]


class UploadExpiresAfter(TypedDict):
    """
    Lifetime of the uploaded file, counted from its creation.
    """

    anchor: Literal["created_at"]
    seconds: int


class FileContentSource(TypedDict):
    """
    Items given in the request.
    """

    type: Literal["file_content"]
    content: list[EvalItem]


class FileExpiresAfter(TypedDict):
    """
    Time after which a file expires.
    """

    anchor: Literal["created_at"]
    seconds: int


class FileIdSource(TypedDict):
    """
    Items in a file.
    """

    type: Literal["file_id"]
    id: str


class FileToMerge(TypedDict):
    """
    A file to merge, and how many of its rows to take.
    """

    file_id: str
    max_rows: NotRequired[int | None]
    weight: NotRequired[float | None]


class FileFormat(TypedDict):
    """
    Format options of a file. They override automatic detection.
    """

    container: NotRequired[
        Literal["jsonl", "json", "csv", "parquet", "xlsx", "xls", "ods", "document", "text"] | None
    ]
    shape: NotRequired[
        Literal[
            "chat",
            "preference",
            "labeled",
            "prompt_completion",
            "alpaca",
            "sharegpt",
            "text",
            "reinforcement",
        ]
        | None
    ]
    encoding: NotRequired[str | None]
    columns: NotRequired[dict[str, str]]
    roles: NotRequired[dict[str, Literal["system", "user", "assistant", "tool"]]]
    system: NotRequired[str | None]
    delimiter: NotRequired[str | None]
    sheet: NotRequired[str | None]
    header_row: NotRequired[int | None]
    group_by: NotRequired[str | None]


class GraderTextPart(TypedDict):
    """
    Text part of a message.
    """

    type: Literal["input_text", "output_text", "text"]
    text: str


class ItemReferenceMessages(TypedDict):
    """
    Prompt that each item contains.
    """

    type: Literal["item_reference"]
    item_reference: str


class JsonSchemaGrader(TypedDict):
    """
    Grader that checks JSON against a schema. Scores 1 if the text is valid, else 0.
    """

    name: str
    type: Literal["json_schema"]
    input: NotRequired[str]
    schema: dict[str, Any]


class JsonlDataSource(TypedDict):
    """
    Items that include the answers to grade.
    """

    type: Literal["jsonl"]
    source: FileContentSource | FileIdSource


class JudgeSamplingParams(TypedDict):
    """
    Sampling parameters of a judge.
    """

    max_completions_tokens: NotRequired[int | None]
    reasoning_effort: NotRequired[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    ]
    seed: NotRequired[int | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]


class LabelGrader(TypedDict):
    """
    Grader that compares labels regardless of case and punctuation. Scores 1 if equal, else 0.
    """

    name: str
    type: Literal["label"]
    input: NotRequired[str]
    reference: str
    labels: NotRequired[list[str] | None]


class LanguageGrader(TypedDict):
    """
    Grader that detects the language of a text. Scores 1 for the expected one, else 0.
    """

    name: str
    type: Literal["language"]
    input: NotRequired[str]
    reference: str


class ApiKeyLimits(TypedDict):
    """
    Limits of an API key.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    requests_per_minute: NotRequired[int | Literal["unlimited"] | None]
    tokens_per_minute: NotRequired[int | Literal["unlimited"] | None]
    concurrent_requests: NotRequired[int | Literal["unlimited"] | None]
    concurrent_streams: NotRequired[int | Literal["unlimited"] | None]


class CreateEvalLogsDataSourceConfig(TypedDict):
    """
    Stored chats as items. `stored_completions` is an older name of `logs`.
    """

    type: Literal["logs", "stored_completions"]
    metadata: NotRequired[dict[str, str] | None]


class LoraOptions(TypedDict):
    """
    LoRA adapter options. The service chooses a value for each omitted option.
    """

    r: NotRequired[int | Literal["auto"]]
    alpha: NotRequired[int | Literal["auto"]]
    dropout: NotRequired[float]
    target_modules: NotRequired[Literal["all-linear"] | list[str] | None]
    use_rslora: NotRequired[bool | None]


class SweepLoraValues(TypedDict):
    """
    Lists of LoRA options to try.
    """

    r: NotRequired[list[int] | None]
    alpha: NotRequired[list[int] | None]
    dropout: NotRequired[list[float] | None]


class CreateMixedFile(TypedDict):
    """
    A file whose rows are mixed with those of the training file. Not part of OpenAI's API.
    """

    file: str
    weight: NotRequired[float]


class MlflowSettings(TypedDict):
    """
    Settings of the MLflow run that receives the metrics of a job.
    """

    experiment_name: str
    run_name: NotRequired[str | None]
    tags: NotRequired[dict[str, str] | None]
    tracking_uri: NotRequired[str | None]


class PretrainingHyperparameters(TypedDict):
    """
    Hyperparameters of continued pre-training: those of supervised fine-tuning.
    """

    batch_size: NotRequired[int | Literal["auto"]]
    learning_rate_multiplier: NotRequired[float | Literal["auto"]]
    n_epochs: NotRequired[int | Literal["auto"]]
    learning_rate: NotRequired[float | Literal["auto"]]
    lora: NotRequired[LoraOptions]
    quantization: NotRequired[Literal["nf4", "none"]]
    max_seq_length: NotRequired[int | Literal["auto"]]
    packing: NotRequired[bool | Literal["auto"]]
    warm_start: NotRequired[str | None]
    validation_share: NotRequired[float | None]
    early_stopping: NotRequired[EarlyStopping | None]
    keep_best: NotRequired[bool]


class PretrainingMethod(TypedDict):
    """
    Options of continued pre-training.
    """

    hyperparameters: NotRequired[PretrainingHyperparameters]


class ProjectLimits(TypedDict):
    """
    Limits of a project.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    requests_per_minute: NotRequired[int | Literal["unlimited"] | None]
    tokens_per_minute: NotRequired[int | Literal["unlimited"] | None]
    concurrent_requests: NotRequired[int | Literal["unlimited"] | None]
    concurrent_streams: NotRequired[int | Literal["unlimited"] | None]
    storage_bytes: NotRequired[int | Literal["unlimited"] | None]
    record_bytes: NotRequired[int | Literal["unlimited"] | None]


class PutEvaluationLabel(TypedDict):
    """
    Request to say which of two answers to a row is better.
    """

    compared: list[str]
    winner: str
    shown: NotRequired[str | None]
    note: NotRequired[str | None]
    took_ms: NotRequired[int | None]


class PythonGrader(TypedDict):
    """
    Grader that runs `grade(sample, item) -> float` of a Python source in a sandbox.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    type: Literal["python"]
    source: str
    image_tag: NotRequired[str | None]


class ReinforcementHyperparameters(TypedDict):
    """
    Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling.
    """

    batch_size: NotRequired[int | Literal["auto"]]
    learning_rate_multiplier: NotRequired[float | Literal["auto"]]
    n_epochs: NotRequired[int | Literal["auto"]]
    learning_rate: NotRequired[float | Literal["auto"]]
    lora: NotRequired[LoraOptions]
    quantization: NotRequired[Literal["nf4", "none"]]
    max_seq_length: NotRequired[int | Literal["auto"]]
    packing: NotRequired[bool | Literal["auto"]]
    warm_start: NotRequired[str | None]
    validation_share: NotRequired[float | None]
    early_stopping: NotRequired[EarlyStopping | None]
    keep_best: NotRequired[bool]
    eval_interval: NotRequired[int | Literal["auto"]]
    eval_samples: NotRequired[int | Literal["auto"]]
    group_size: NotRequired[int]
    temperature: NotRequired[float]
    max_completion_tokens: NotRequired[int]
    beta: NotRequired[float | Literal["auto"]]
    compute_multiplier: NotRequired[float | Literal["auto"] | None]
    reasoning_effort: NotRequired[Literal["default", "low", "medium", "high"] | None]


class ResponsesSamplingParams(TypedDict):
    """
    Sampling parameters of responses.
    """

    max_completion_tokens: NotRequired[int | None]
    reasoning_effort: NotRequired[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    ]
    seed: NotRequired[int | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    text: NotRequired[dict[str, Any] | None]
    tools: NotRequired[list[dict[str, Any]] | None]


class RestartFineTuningJobEvaluation(TypedDict):
    """
    Request to run the evaluation of a job again.
    """

    baseline_prompt: NotRequired[str | None]


class RotateApiKey(TypedDict):
    """
    Request to replace the secret of an API key.
    """

    overlap_seconds: NotRequired[int]


class RotateWebhookEndpointSecret(TypedDict):
    """
    Request to rotate a signing secret.
    """

    keep_old_secret_active_for_24_hours: NotRequired[bool]


class ErasureRowMatch(TypedDict):
    """
    Rows to find.
    """

    type: Literal["text", "substring", "row_sha256"]
    value: str


class PutRecognizer(TypedDict):
    """
    Request to set a recognizer: `pattern`, `terms`, or both.
    """

    pattern: NotRequired[str | None]
    terms: NotRequired[list[str]]


class StoredCompletionsSource(TypedDict):
    """
    Stored chat completions.
    """

    model: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    created_after: NotRequired[int | None]
    created_before: NotRequired[int | None]
    limit: NotRequired[int | None]
    personal_data: NotRequired[Literal["keep", "mask"] | None]
    type: Literal["stored_completions"]


class StoredResponsesSource(TypedDict):
    """
    Stored responses. `limit` and `personal_data` are extensions of OpenAI's schema.
    """

    model: NotRequired[str | None]
    metadata: NotRequired[dict[str, str] | None]
    created_after: NotRequired[int | None]
    created_before: NotRequired[int | None]
    limit: NotRequired[int | None]
    personal_data: NotRequired[Literal["keep", "mask"] | None]
    type: Literal["responses"]
    instructions_search: NotRequired[str | None]
    reasoning_effort: NotRequired[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None
    ]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    tools: NotRequired[list[str] | None]
    users: NotRequired[list[str] | None]


class StreamOptions(TypedDict):
    """
    Options for streaming responses.
    """

    include_usage: NotRequired[bool | None]


class StringCheckGrader(TypedDict):
    """
    Grader that compares two texts. Scores 1 if the comparison holds, else 0.
    """

    name: str
    type: Literal["string_check"]
    input: str
    operation: Literal["eq", "ne", "like", "ilike"]
    reference: str


class SweepValues(TypedDict):
    """
    Lists of hyperparameter values to try. Each combination is a trial.
    """

    n_epochs: NotRequired[list[int] | None]
    batch_size: NotRequired[list[int] | None]
    learning_rate: NotRequired[list[float] | None]
    learning_rate_multiplier: NotRequired[list[float] | None]
    lora: NotRequired[SweepLoraValues]


class AliasTarget(TypedDict):
    """
    A target model and its share of the requests.
    """

    model: str
    weight: int


class TestWebhookEndpoint(TypedDict):
    """
    Request to test a webhook endpoint.
    """

    event_type: Literal[
        "fine_tuning.job.succeeded",
        "fine_tuning.job.failed",
        "fine_tuning.job.cancelled",
        "eval.run.succeeded",
        "eval.run.failed",
        "eval.run.canceled",
        "batch.completed",
        "batch.failed",
        "batch.expired",
        "batch.cancelled",
        "alias.worsened",
        "sweep.completed",
        "sweep.failed",
        "sweep.cancelled",
        "advice.completed",
        "advice.failed",
        "advice.cancelled",
        "dataset.report.completed",
        "dataset.report.failed",
        "dataset.report.cancelled",
        "dataset.preview.completed",
        "dataset.preview.failed",
        "dataset.preview.cancelled",
        "dataset.cleaning.completed",
        "dataset.cleaning.failed",
        "dataset.cleaning.cancelled",
        "dataset.diff.completed",
        "dataset.diff.failed",
        "dataset.diff.cancelled",
        "dataset.merge.completed",
        "dataset.merge.failed",
        "dataset.merge.cancelled",
        "dataset.generation.completed",
        "dataset.generation.failed",
        "dataset.generation.cancelled",
        "model.import.completed",
        "model.import.failed",
        "model.import.cancelled",
        "model.export.completed",
        "model.export.failed",
        "model.export.cancelled",
        "alias.check.completed",
        "alias.check.failed",
        "alias.check.cancelled",
        "organization.erasure.completed",
        "organization.erasure.failed",
        "organization.erasure.cancelled",
        "fine_tuning.sweep.succeeded",
        "fine_tuning.sweep.failed",
        "fine_tuning.sweep.cancelled",
        "export.succeeded",
        "export.failed",
        "export.cancelled",
    ]


class TextSimilarityGrader(TypedDict):
    """
    Grader that measures the similarity of two texts, from 0 to 1.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    type: Literal["text_similarity"]
    input: str
    reference: str
    evaluation_metric: Literal[
        "cosine",
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ]
    model: NotRequired[str | None]


class ReasoningOptions(TypedDict):
    """
    Reasoning options, named as in the chat templates of the base models.
    """

    enable_thinking: NotRequired[bool]
    thinking: NotRequired[bool]
    preserve_thinking: NotRequired[bool]
    truncate_history_thinking: NotRequired[bool]


class ToolCallGrader(TypedDict):
    """
    Grader that compares tool calls. Scores the share of equal names and arguments.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    type: Literal["tool_call"]
    input: NotRequired[str]
    reference: str


class UpdateEval(TypedDict):
    """
    Request body to update an eval. Omitted fields stay unchanged.
    """

    metadata: NotRequired[dict[str, str] | None]
    name: NotRequired[str | None]


class UpdateApiKey(TypedDict):
    """
    Request to update an API key. Omitted fields stay unchanged.
    """

    name: NotRequired[str | None]
    role: NotRequired[
        Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
        | None
    ]
    models: NotRequired[list[str] | None]
    expires_in_seconds: NotRequired[int | None]
    allowed_ips: NotRequired[list[str] | None]
    limits: NotRequired[ApiKeyLimits]


class UpdateProject(TypedDict):
    """
    Request to update a project. Omitted fields and limits stay unchanged.
    """

    limits: NotRequired[ProjectLimits]
    capture: NotRequired[CaptureSettings | None]
    capture_managed_by: NotRequired[Literal["organization", "project"] | None]
    four_eyes: NotRequired[bool | None]
    name: NotRequired[str | None]


class UpdateServiceAccount(TypedDict):
    """
    Request to change a service account. Omitted fields stay unchanged.
    """

    name: NotRequired[str | None]
    role: NotRequired[Literal["owner", "member"] | None]


class UpdateStoredChat(TypedDict):
    """
    Request to replace the metadata of a stored chat completion.
    """

    metadata: dict[str, str] | None


class UpdateWebhookEndpoint(TypedDict):
    """
    Request to update a webhook endpoint. Omitted fields remain unchanged.
    """

    name: NotRequired[str | None]
    url: NotRequired[str | None]
    event_types: NotRequired[
        list[
            Literal[
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "eval.run.succeeded",
                "eval.run.failed",
                "eval.run.canceled",
                "batch.completed",
                "batch.failed",
                "batch.expired",
                "batch.cancelled",
                "alias.worsened",
                "sweep.completed",
                "sweep.failed",
                "sweep.cancelled",
                "advice.completed",
                "advice.failed",
                "advice.cancelled",
                "dataset.report.completed",
                "dataset.report.failed",
                "dataset.report.cancelled",
                "dataset.preview.completed",
                "dataset.preview.failed",
                "dataset.preview.cancelled",
                "dataset.cleaning.completed",
                "dataset.cleaning.failed",
                "dataset.cleaning.cancelled",
                "dataset.diff.completed",
                "dataset.diff.failed",
                "dataset.diff.cancelled",
                "dataset.merge.completed",
                "dataset.merge.failed",
                "dataset.merge.cancelled",
                "dataset.generation.completed",
                "dataset.generation.failed",
                "dataset.generation.cancelled",
                "model.import.completed",
                "model.import.failed",
                "model.import.cancelled",
                "model.export.completed",
                "model.export.failed",
                "model.export.cancelled",
                "alias.check.completed",
                "alias.check.failed",
                "alias.check.cancelled",
                "organization.erasure.completed",
                "organization.erasure.failed",
                "organization.erasure.cancelled",
                "fine_tuning.sweep.succeeded",
                "fine_tuning.sweep.failed",
                "fine_tuning.sweep.cancelled",
                "export.succeeded",
                "export.failed",
                "export.cancelled",
            ]
        ]
        | None
    ]


class CompleteUpload(TypedDict):
    """
    Request to complete an upload: the parts of the file, in order.
    """

    part_ids: list[str]
    md5: NotRequired[str | None]


class CreateUpload(TypedDict):
    """
    Request to create an upload. `format` is an extension of OpenAI's schema.
    """

    filename: str
    purpose: Literal["fine-tune", "evals", "batch", "user_data", "model-import"]
    bytes: int
    mime_type: str
    expires_after: NotRequired[UploadExpiresAfter | None]
    format: NotRequired[FileFormat | None]


class VerifyAuditLogs(TypedDict):
    """
    Request to verify the audit log. All fields are optional.
    """

    public_keys: NotRequired[list[str]]
    checkpoints: NotRequired[list[str]]
    kept_days: NotRequired[int | None]


class WandbSettings(TypedDict):
    """
    Settings of a Weights & Biases run, as in OpenAI's API.
    """

    project: str
    entity: NotRequired[str | None]
    name: NotRequired[str | None]
    tags: NotRequired[list[str] | None]


class CreateChatCompletion(TypedDict):
    """
    Chat completion request, as in the OpenAI API.
    """

    model: str
    stream: NotRequired[bool | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    stream_options: NotRequired[StreamOptions | None]
    max_tokens: NotRequired[int | None]
    n: NotRequired[int | None]
    stop: NotRequired[str | list[str] | None]
    seed: NotRequired[int | None]
    frequency_penalty: NotRequired[float | None]
    presence_penalty: NotRequired[float | None]
    messages: list[ChatMessage]
    max_completion_tokens: NotRequired[int | None]
    tools: NotRequired[list[dict[str, Any]] | None]
    tool_choice: NotRequired[Any]
    chat_template_kwargs: NotRequired[ReasoningOptions | None]
    response_format: NotRequired[dict[str, Any] | None]
    logprobs: NotRequired[bool | None]


class CreateCompletion(TypedDict):
    """
    Text completion request, as in the OpenAI API.
    """

    model: str
    stream: NotRequired[bool | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    stream_options: NotRequired[StreamOptions | None]
    max_tokens: NotRequired[int | None]
    n: NotRequired[int | None]
    stop: NotRequired[str | list[str] | None]
    seed: NotRequired[int | None]
    frequency_penalty: NotRequired[float | None]
    presence_penalty: NotRequired[float | None]
    prompt: str | list[str] | list[int] | list[list[int]]
    echo: NotRequired[bool | None]
    logprobs: NotRequired[int | None]


class CreateDatasetCleaning(TypedDict):
    """
    Request to clean a file. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

    drop_broken: NotRequired[bool]
    exact_duplicates: NotRequired[bool]
    near_duplicates: NotRequired[bool]
    near_threshold: NotRequired[float]
    contradictions: NotRequired[Literal["keep", "first", "last", "most_common", "longest", "drop"]]
    personal_data: NotRequired[Literal["keep", "mask", "pseudonym"]]
    possible_personal_data: NotRequired[bool]
    unicode: NotRequired[Literal["keep", "NFC", "NFKC"]]
    mend_mojibake: NotRequired[bool]
    drop_control_characters: NotRequired[bool]
    validation_share: NotRequired[float]
    seed: NotRequired[int]
    file_id: str
    decisions_file_id: NotRequired[str | None]
    use_reviews: NotRequired[bool]
    format: NotRequired[FileFormat | None]
    metadata: NotRequired[dict[str, str] | None]


class CreateDatasetGeneration(TypedDict):
    """
    Request to generate training rows from documents.
    """

    document_ids: list[str]
    model: str
    kinds: NotRequired[list[Literal["questions", "rewrites", "refusals"]]]
    language: NotRequired[str | None]
    n: NotRequired[int]
    max_tokens_total: NotRequired[int | None]
    seed: NotRequired[int]
    metadata: NotRequired[dict[str, str] | None]


class CreateDatasetMerge(TypedDict):
    """
    Request to merge training files.
    """

    files: list[FileToMerge]
    filename: NotRequired[str]
    exact_duplicates: NotRequired[bool]
    balance: NotRequired[Literal["none", "files", "languages"]]
    seed: NotRequired[int]
    metadata: NotRequired[dict[str, str] | None]


class CreateDatasetPreview(TypedDict):
    """
    Request for a preview of a training file.
    """

    file_id: str
    format: NotRequired[FileFormat | None]
    limit: NotRequired[int]
    personal_data: NotRequired[Literal["mask", "show"]]
    metadata: NotRequired[dict[str, str] | None]


class CreateErasure(TypedDict):
    """
    Request to find rows in all files and stored chats of the project, and to erase them.
    """

    match: ErasureRowMatch
    apply: NotRequired[bool]
    cascade: NotRequired[bool]
    metadata: NotRequired[dict[str, str] | None]


class CreateApiKey(TypedDict):
    """
    Request to create an API key.
    """

    name: str
    role: NotRequired[
        Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    ]
    models: NotRequired[list[str] | None]
    expires_in_seconds: NotRequired[int | None]
    allowed_ips: NotRequired[list[str] | None]
    limits: NotRequired[ApiKeyLimits]


class CreateProject(TypedDict):
    """
    Request to create a project.
    """

    name: str
    limits: NotRequired[ProjectLimits]


class CreateResponse(TypedDict):
    """
    Response request, as in the OpenAI Responses API.
    """

    model: str
    stream: NotRequired[bool | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    input: str | list[dict[str, Any]]
    instructions: NotRequired[str | None]
    max_output_tokens: NotRequired[int | None]
    tools: NotRequired[list[dict[str, Any]] | None]
    chat_template_kwargs: NotRequired[ReasoningOptions | None]


class CreateStoredChatFile(TypedDict):
    """
    Request to create a training file from stored chat completions.
    """

    model: NotRequired[str | None]
    created_after: NotRequired[int | None]
    created_before: NotRequired[int | None]
    metadata: NotRequired[dict[str, str] | None]
    limit: NotRequired[int]
    filename: NotRequired[str]
    expires_after: NotRequired[FileExpiresAfter | None]


class CreateWebhookEndpoint(TypedDict):
    """
    Request to create a webhook endpoint.
    """

    name: str
    url: str
    event_types: list[
        Literal[
            "fine_tuning.job.succeeded",
            "fine_tuning.job.failed",
            "fine_tuning.job.cancelled",
            "eval.run.succeeded",
            "eval.run.failed",
            "eval.run.canceled",
            "batch.completed",
            "batch.failed",
            "batch.expired",
            "batch.cancelled",
            "alias.worsened",
            "sweep.completed",
            "sweep.failed",
            "sweep.cancelled",
            "advice.completed",
            "advice.failed",
            "advice.cancelled",
            "dataset.report.completed",
            "dataset.report.failed",
            "dataset.report.cancelled",
            "dataset.preview.completed",
            "dataset.preview.failed",
            "dataset.preview.cancelled",
            "dataset.cleaning.completed",
            "dataset.cleaning.failed",
            "dataset.cleaning.cancelled",
            "dataset.diff.completed",
            "dataset.diff.failed",
            "dataset.diff.cancelled",
            "dataset.merge.completed",
            "dataset.merge.failed",
            "dataset.merge.cancelled",
            "dataset.generation.completed",
            "dataset.generation.failed",
            "dataset.generation.cancelled",
            "model.import.completed",
            "model.import.failed",
            "model.import.cancelled",
            "model.export.completed",
            "model.export.failed",
            "model.export.cancelled",
            "alias.check.completed",
            "alias.check.failed",
            "alias.check.cancelled",
            "organization.erasure.completed",
            "organization.erasure.failed",
            "organization.erasure.cancelled",
            "fine_tuning.sweep.succeeded",
            "fine_tuning.sweep.failed",
            "fine_tuning.sweep.cancelled",
            "export.succeeded",
            "export.failed",
            "export.cancelled",
        ]
    ]


class DpoHyperparameters(TypedDict):
    """
    DPO hyperparameters: the supervised ones plus `beta`.
    """

    batch_size: NotRequired[int | Literal["auto"]]
    learning_rate_multiplier: NotRequired[float | Literal["auto"]]
    n_epochs: NotRequired[int | Literal["auto"]]
    learning_rate: NotRequired[float | Literal["auto"]]
    lora: NotRequired[LoraOptions]
    quantization: NotRequired[Literal["nf4", "none"]]
    max_seq_length: NotRequired[int | Literal["auto"]]
    packing: NotRequired[bool | Literal["auto"]]
    warm_start: NotRequired[str | None]
    validation_share: NotRequired[float | None]
    early_stopping: NotRequired[EarlyStopping | None]
    keep_best: NotRequired[bool]
    beta: NotRequired[float | Literal["auto"]]


class DpoMethod(TypedDict):
    """
    Options of direct preference optimization.
    """

    hyperparameters: NotRequired[DpoHyperparameters]


class GraderMessage(TypedDict):
    """
    Message of a grader's prompt.
    """

    role: Literal["user", "assistant", "system", "developer"]
    content: str | GraderTextPart | list[str | GraderTextPart]
    type: NotRequired[Literal["message"] | None]


class SupervisedHyperparameters(TypedDict):
    """
    Training hyperparameters: OpenAI's three standard ones and this service's additions.
    """

    batch_size: NotRequired[int | Literal["auto"]]
    learning_rate_multiplier: NotRequired[float | Literal["auto"]]
    n_epochs: NotRequired[int | Literal["auto"]]
    learning_rate: NotRequired[float | Literal["auto"]]
    lora: NotRequired[LoraOptions]
    quantization: NotRequired[Literal["nf4", "none"]]
    max_seq_length: NotRequired[int | Literal["auto"]]
    packing: NotRequired[bool | Literal["auto"]]
    warm_start: NotRequired[str | None]
    validation_share: NotRequired[float | None]
    early_stopping: NotRequired[EarlyStopping | None]
    keep_best: NotRequired[bool]


class KtoHyperparameters(TypedDict):
    """
    KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels.
    """

    batch_size: NotRequired[int | Literal["auto"]]
    learning_rate_multiplier: NotRequired[float | Literal["auto"]]
    n_epochs: NotRequired[int | Literal["auto"]]
    learning_rate: NotRequired[float | Literal["auto"]]
    lora: NotRequired[LoraOptions]
    quantization: NotRequired[Literal["nf4", "none"]]
    max_seq_length: NotRequired[int | Literal["auto"]]
    packing: NotRequired[bool | Literal["auto"]]
    warm_start: NotRequired[str | None]
    validation_share: NotRequired[float | None]
    early_stopping: NotRequired[EarlyStopping | None]
    keep_best: NotRequired[bool]
    beta: NotRequired[float | Literal["auto"]]
    desirable_weight: NotRequired[float | Literal["auto"]]
    undesirable_weight: NotRequired[float | Literal["auto"]]


class KtoMethod(TypedDict):
    """
    Options of Kahneman-Tversky optimization.
    """

    hyperparameters: NotRequired[KtoHyperparameters]


class LabelModelGrader(TypedDict):
    """
    Grader that asks a model for a label. Scores 1 if the label passes, else 0.
    """

    name: str
    human_label: NotRequired[str | None]
    type: Literal["label_model"]
    model: str
    input: list[GraderMessage]
    labels: list[str]
    passing_labels: list[str]


class CreateMlflowIntegration(TypedDict):
    """
    MLflow integration of a job. Not part of OpenAI's API.
    """

    type: Literal["mlflow"]
    mlflow: MlflowSettings


class PutRowReview(TypedDict):
    """
    Request to review a row.
    """

    label: Literal["approved", "rejected", "edited", "unsure"]
    row: NotRequired[dict[str, Any] | None]
    note: NotRequired[str | None]


class ScoreModelGrader(TypedDict):
    """
    Grader that asks a model for a number.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    human_label: NotRequired[str | None]
    type: Literal["score_model"]
    model: str
    input: list[GraderMessage]
    range: NotRequired[list[float] | None]
    sampling_params: NotRequired[JudgeSamplingParams | None]


class PutAlias(TypedDict):
    """
    Request to set an alias: either `model`, or `targets` to split traffic between two models.
    """

    model: NotRequired[str | None]
    targets: NotRequired[list[AliasTarget] | None]
    gate: NotRequired[dict[str, str] | None]
    force: NotRequired[bool]
    suites: NotRequired[list[AliasSuite] | None]
    schedule: NotRequired[str | None]
    reason: NotRequired[str | None]


class SupervisedMethod(TypedDict):
    """
    Options of supervised fine-tuning.
    """

    hyperparameters: NotRequired[SupervisedHyperparameters]


class TemplateMessages(TypedDict):
    """
    Prompt made of messages that contain template variables such as `{{item.question}}`.
    """

    type: Literal["template"]
    template: list[GraderMessage]


class WandbIntegration(TypedDict):
    """
    Weights & Biases integration, which is rejected with the code `invalid_value`.
    """

    type: Literal["wandb"]
    wandb: WandbSettings


class CompletionsDataSource(TypedDict):
    """
    Items whose answers are sampled with chat completions, or stored chat completions.
    """

    type: Literal["completions"]
    source: FileContentSource | FileIdSource | StoredCompletionsSource
    model: NotRequired[str | None]
    input_messages: NotRequired[TemplateMessages | ItemReferenceMessages | None]
    sampling_params: NotRequired[CompletionsSamplingParams | None]


class MultiGrader(TypedDict):
    """
    Grader that combines the scores of other graders with a formula.
    """

    name: str
    pass_threshold: NotRequired[float | None]
    type: Literal["multi"]
    graders: (
        StringCheckGrader
        | TextSimilarityGrader
        | LabelModelGrader
        | ScoreModelGrader
        | PythonGrader
        | ChrfGrader
        | JsonSchemaGrader
        | ToolCallGrader
        | LanguageGrader
        | LabelGrader
        | dict[
            str,
            StringCheckGrader
            | TextSimilarityGrader
            | LabelModelGrader
            | ScoreModelGrader
            | PythonGrader
            | ChrfGrader
            | JsonSchemaGrader
            | ToolCallGrader
            | LanguageGrader
            | LabelGrader,
        ]
    )
    calculate_output: str


class ReinforcementMethod(TypedDict):
    """
    Options of reinforcement fine-tuning.
    """

    grader: (
        StringCheckGrader
        | TextSimilarityGrader
        | LabelModelGrader
        | ScoreModelGrader
        | PythonGrader
        | MultiGrader
        | ChrfGrader
        | JsonSchemaGrader
        | ToolCallGrader
        | LanguageGrader
        | LabelGrader
    )
    hyperparameters: NotRequired[ReinforcementHyperparameters]


class ResponsesDataSource(TypedDict):
    """
    Items whose answers are sampled with responses, or stored responses.
    """

    type: Literal["responses"]
    source: FileContentSource | FileIdSource | StoredResponsesSource
    model: NotRequired[str | None]
    input_messages: NotRequired[TemplateMessages | ItemReferenceMessages | None]
    sampling_params: NotRequired[ResponsesSamplingParams | None]


class RunGrader(TypedDict):
    """
    Request body to run a grader.
    """

    grader: (
        StringCheckGrader
        | TextSimilarityGrader
        | LabelModelGrader
        | ScoreModelGrader
        | PythonGrader
        | MultiGrader
        | ChrfGrader
        | JsonSchemaGrader
        | ToolCallGrader
        | LanguageGrader
        | LabelGrader
    )
    model_sample: str
    item: NotRequired[dict[str, Any] | None]


class ValidateGrader(TypedDict):
    """
    Request body to validate a grader.
    """

    grader: (
        StringCheckGrader
        | TextSimilarityGrader
        | LabelModelGrader
        | ScoreModelGrader
        | PythonGrader
        | MultiGrader
        | ChrfGrader
        | JsonSchemaGrader
        | ToolCallGrader
        | LanguageGrader
        | LabelGrader
    )


class CreateEval(TypedDict):
    """
    Request body to create an eval.
    """

    data_source_config: CreateEvalDataSourceConfig | CreateEvalLogsDataSourceConfig
    testing_criteria: list[
        StringCheckGrader
        | TextSimilarityGrader
        | LabelModelGrader
        | ScoreModelGrader
        | PythonGrader
        | MultiGrader
        | ChrfGrader
        | JsonSchemaGrader
        | ToolCallGrader
        | LanguageGrader
        | LabelGrader
    ]
    metadata: NotRequired[dict[str, str] | None]
    name: NotRequired[str | None]


class CreateEvalRun(TypedDict):
    """
    Request body to create a run.
    """

    data_source: JsonlDataSource | CompletionsDataSource | ResponsesDataSource
    metadata: NotRequired[dict[str, str] | None]
    name: NotRequired[str | None]


class FineTuningMethod(TypedDict):
    """
    Training method: supervised on chats, DPO on pairs of answers, KTO on labeled answers,
    continued pre-training on texts, or reinforcement on prompts, by a grader.
    """

    type: Literal["supervised", "dpo", "kto", "pretraining", "reinforcement"]
    supervised: NotRequired[SupervisedMethod | None]
    dpo: NotRequired[DpoMethod | None]
    kto: NotRequired[KtoMethod | None]
    pretraining: NotRequired[PretrainingMethod | None]
    reinforcement: NotRequired[ReinforcementMethod | None]


class CreateFineTuningJob(TypedDict):
    """
    Request body for creating a fine-tuning job.
    """

    model: str
    training_file: str
    validation_file: NotRequired[str | None]
    mixed_files: NotRequired[list[CreateMixedFile] | None]
    suffix: NotRequired[str | None]
    seed: NotRequired[int | None]
    metadata: NotRequired[dict[str, str] | None]
    method: NotRequired[FineTuningMethod | None]
    hyperparameters: NotRequired[SupervisedHyperparameters | None]
    priority: NotRequired[int]
    gate: NotRequired[dict[str, str] | None]
    baseline_prompt: NotRequired[str | None]
    integrations: NotRequired[list[CreateMlflowIntegration | WandbIntegration] | None]


class CreateSweep(TypedDict):
    """
    Request body for creating a sweep: that of a job, with lists of values to try.
    """

    model: str
    training_file: str
    validation_file: NotRequired[str | None]
    mixed_files: NotRequired[list[CreateMixedFile] | None]
    suffix: NotRequired[str | None]
    seed: NotRequired[int | None]
    metadata: NotRequired[dict[str, str] | None]
    method: NotRequired[FineTuningMethod | None]
    hyperparameters: NotRequired[SupervisedHyperparameters | None]
    priority: NotRequired[int]
    gate: NotRequired[dict[str, str] | None]
    baseline_prompt: NotRequired[str | None]
    integrations: NotRequired[list[CreateMlflowIntegration | WandbIntegration] | None]
    values: SweepValues
    stop_losers: NotRequired[bool]
