"""API objects, generated from openapi.json by `make clients`. Do not edit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, StringConstraints

from finetuned._model import ApiObject


class ChatCompletionDelta(ApiObject):
    """
    Part of a chat message that an event adds.
    """

    role: Literal["assistant"]
    """
    Role of the message's author, in the first event of a choice.
    """
    content: str | None = None
    """
    Text to append to the content of the message.
    """
    reasoning: str | None = None
    """
    Text to append to the reasoning of the message.
    """
    tool_calls: list[dict[str, Any]] | None = None
    """
    Parts of tool calls, each with the `index` of its call.
    """


class CompletionUsage(ApiObject):
    """
    Token counts of a request.
    """

    prompt_tokens: int
    """
    Number of tokens in the prompt.
    """
    completion_tokens: int | None = None
    """
    Number of generated tokens.
    """
    total_tokens: int
    """
    Number of tokens in the prompt and the output.
    """


class ErrorDetail(ApiObject):
    """
    What went wrong. All four keys are always present.
    """

    message: str
    """
    Human-readable message: what is wrong, where, how to fix it.
    """
    type: Literal[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "rate_limit_error",
        "server_error",
    ]
    """
    Category of the failure.
    """
    param: str | None
    """
    Parameter or field that caused the failure.
    """
    code: str | None
    """
    Machine-readable error code.
    """


class ModelResponseEvent(ApiObject):
    """
    Event of a streamed response, as in the OpenAI Responses API.

    Further fields depend on the type. Events about the response as a whole have it as `response`.
    """

    type: str
    """
    Type of the event.
    """
    sequence_number: int | None = None
    """
    Position of the event in the stream, starting at 0.
    """


class ServiceAccountApiKey(ApiObject):
    """
    A new key of a service account. This is the only response that contains the secret.
    """

    object: Literal["organization.project.service_account.api_key"]
    """
    Type of the object. Always `organization.project.service_account.api_key`.
    """
    id: str
    """
    ID of the key, prefixed with `key_`.
    """
    name: str
    """
    Name of the key.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    expires_at: int | None
    """
    Time at which the key expires, as a Unix timestamp in seconds, or null.
    """
    value: str
    """
    Secret of the key, shown only once.
    """


class AuditLogActorApiKey(ApiObject):
    """
    API key that was used.
    """

    id: str
    """
    ID of the key.
    """
    project_id: str
    """
    ID of the key's project.
    """
    role: str
    """
    Role that the key had.
    """


class AuditLogActorUser(ApiObject):
    """
    Actor without an API key: `operator` for commands on the server, or `finetuned` for the
    service itself.
    """

    id: str | None
    """
    Name of the actor; null for an unknown one.
    """


class AdminApiKeyOwner(ApiObject):
    """
    Program that uses an admin key, under the name of the key.
    """

    type: Literal["service_account"]
    """
    Always `service_account`.
    """
    object: Literal["organization.service_account"]
    """
    Type of the object. Always `organization.service_account`.
    """
    id: str
    """
    ID of the key.
    """
    name: str
    """
    Name of the key.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    role: Literal["owner"]
    """
    Role of the owner. Always `owner`.
    """


class AdviceScore(ApiObject):
    """
    Mean score of a model in points (0 to 100), with its 95% confidence interval.
    """

    points: float
    """
    Mean score.
    """
    low: float
    """
    Lower limit of the interval.
    """
    high: float
    """
    Upper limit of the interval.
    """
    rows: int
    """
    Number of rows with a score.
    """


class AliasCheckResult(ApiObject):
    """
    Outcome of a completed check.
    """

    passed: bool
    """
    Whether no lower limit is below its bound.
    """
    moved: bool
    """
    Whether the alias points at the model because of the check.
    """


class AliasCheckRun(ApiObject):
    """
    Run of a suite with a model.
    """

    model: str
    """
    Model that was checked.
    """
    eval_id: str
    """
    ID of the suite's eval.
    """
    baseline_run_id: str
    """
    ID of the run that the suite compares with.
    """
    run_id: str
    """
    ID of the run. It is created when there is room for it.
    """
    metric: str
    """
    `passed`, or the name of a grader.
    """
    min_difference: float | None
    """
    Bound of `difference_low`, or null.
    """
    min_score: float | None
    """
    Bound of `score_low`, or null.
    """
    difference_low: float | None
    """
    Lower limit of the 95% interval of the difference to the baseline; null until it is known, and if an item could not be answered or graded.
    """
    difference_mean: float | None = None
    """
    Mean difference to the baseline; null like its lower limit.
    """
    difference_high: float | None = None
    """
    Upper limit of the interval; null like the lower one.
    """
    score_low: float | None
    """
    Lower limit of the 95% interval of the mean score; null like the other.
    """
    score_mean: float | None = None
    """
    Mean score; null like its lower limit.
    """
    score_high: float | None = None
    """
    Upper limit of the interval; null like the lower one.
    """
    passed: bool
    """
    Whether no limit is below its bound.
    """


class AliasSuite(ApiObject):
    """
    An eval that a new model must pass before the alias points at it.
    """

    eval_id: str
    """
    ID of the eval.
    """
    run_id: str
    """
    ID of a completed run of the eval, the baseline. Its items, prompt and parameters are used again with the new model.
    """
    metric: str = "passed"
    """
    `passed`, the share of items that all graders pass, or the name of a grader whose scores are from 0 to 1.
    """
    min_difference: float | None = None
    """
    Bound for the lower limit of the 95% interval of the mean difference to the baseline.
    """
    min_score: float | None = None
    """
    Bound for the lower limit of the 95% interval of the mean score.
    """


class Liveness(ApiObject):
    """
    Liveness of the API process.
    """

    status: Literal["ok"]
    """
    Always `ok`.
    """


class AnswerToLabel(ApiObject):
    """
    An answer without the column that gave it.
    """

    text: str
    """
    Text of the answer.
    """
    tool_calls: list[dict[str, Any]]
    """
    Tool calls of the answer.
    """


class Approval(ApiObject):
    """
    A person's approval of a trained model.
    """

    object: Literal["model.approval"]
    """
    Type of the object. Always `model.approval`.
    """
    id: str
    """
    ID of the approval, prefixed with `approval_`.
    """
    created_at: int
    """
    Time of the approval, as a Unix timestamp in seconds.
    """
    approved_by: str
    """
    ID of the service account that approved the model; otherwise of the bearer of a token of the identity provider, or of the API key.
    """
    api_key_id: str
    """
    ID of the API key that approved the model.
    """
    note: str | None
    """
    What was checked; null if nothing was said.
    """
    digest: str
    """
    SHA-256 digest of the manifest of the approved weights, in hexadecimal digits.
    """


class AuditLogProject(ApiObject):
    """
    Project that the entry is about.
    """

    id: str
    """
    ID of the project.
    """


class AuditLogRequest(ApiObject):
    """
    Request that the entry is about.
    """

    id: str | None
    """
    ID of the request, which is also in the service's logs.
    """
    ip_address: str | None
    """
    Address that the request came from.
    """
    user_agent: str | None
    """
    First 200 characters of the `User-Agent` header.
    """
    operation: str | None
    """
    Operation in this API description, or path of the request.
    """


class AuditLogResult(ApiObject):
    """
    Result of the request.

    `applied`: the change was made, and this entry was written in the same transaction. `accepted`:
    the request was passed on to an engine, and this entry was written before. `succeeded`,
    `refused` (a status of 400 to 499) or `failed` (500 or more): how the request was answered.
    """

    outcome: Literal["applied", "accepted", "succeeded", "refused", "failed"]
    """
    Outcome of the request.
    """
    status: int | None
    """
    HTTP status of the answer; null if `applied` or `accepted`.
    """
    code: str | None
    """
    Error code of the answer, if known.
    """


class BatchError(ApiObject):
    """
    Reason why a batch failed.
    """

    code: str
    """
    Machine-readable error code.
    """
    message: str
    """
    Human-readable message.
    """
    param: str | None
    """
    Parameter or field that caused the failure.
    """
    line: int | None
    """
    Line of the input file, from 1; null for other reasons.
    """


class BatchErrors(ApiObject):
    """
    Reasons why a batch failed.
    """

    object: Literal["list"]
    """
    Type of the object. Always `list`.
    """
    data: list[BatchError]
    """
    The first 50 reasons.
    """


class BatchInputTokensDetails(ApiObject):
    """
    Breakdown of the input tokens.
    """

    cached_tokens: int
    """
    Number of input tokens from the prefix cache.
    """


class BatchOutputExpiresAfter(ApiObject):
    """
    Lifetime of the files of a batch.
    """

    anchor: Literal["created_at"]
    """
    Event at which the lifetime begins: the creation of the file.
    """
    seconds: int
    """
    Lifetime of the files in seconds.
    """


class BatchOutputTokensDetails(ApiObject):
    """
    Breakdown of the output tokens.
    """

    reasoning_tokens: int
    """
    Number of output tokens of reasoning.
    """


class BatchRequestCounts(ApiObject):
    """
    Request counts of a batch.
    """

    total: int
    """
    Number of requests; 0 until the file is checked.
    """
    completed: int
    """
    Number of requests that were answered.
    """
    failed: int
    """
    Number of requests that were refused or failed.
    """


class BatchUsage(ApiObject):
    """
    Tokens of the answered requests of a batch.
    """

    input_tokens: int
    """
    Number of input tokens.
    """
    input_tokens_details: BatchInputTokensDetails
    """
    Breakdown of the input tokens.
    """
    output_tokens: int
    """
    Number of output tokens.
    """
    output_tokens_details: BatchOutputTokensDetails
    """
    Breakdown of the output tokens.
    """
    total_tokens: int
    """
    Number of input and output tokens.
    """


class CaptureSettings(ApiObject):
    """
    Settings for storing the chats of a project, with personal data replaced, to train on them
    later.

    A request with `"store": false` is never stored, and one with `"store": true` always is.
    """

    sampling: float = 1.0
    """
    Share of the chats without `store` that are stored. With 0, only requests with `"store": true` are stored.
    """
    expires_after_days: int = 30
    """
    Days after which a stored chat is deleted.
    """
    redaction: Literal["mask", "pseudonym"] = "mask"
    """
    Replacement for personal data. `mask` writes `[EMAIL]`; `pseudonym` writes `[EMAIL_1]`, with one number per value in a chat.
    """
    possible_personal_data: bool = False
    """
    Whether to also replace numbers that look like personal data but have no confirming word before them.
    """
    models: list[str] | None = None
    """
    The only models whose chats are stored: names of base models, trained models or aliases. `null` for all.
    """


class ChatMessage(ApiObject):
    """
    A message in a conversation.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """
    Role of the message's author.
    """
    content: str | list[dict[str, Any]] | None = None
    """
    Message content as text or content parts; null if the message only calls tools.
    """
    tool_calls: list[dict[str, Any]] | None = None
    """
    Tool calls made by an assistant message.
    """
    reasoning: str | None = None
    """
    The model's reasoning before its answer, in an assistant message.
    """
    tool_call_id: str | None = None
    """
    ID of the tool call that a tool message answers.
    """


class Check(ApiObject):
    """
    A check of the installation.
    """

    name: str
    """
    Subject of the check.
    """
    code: str = ""
    """
    Code of the subject.
    """
    subject: str | None = None
    """
    Name of what is checked, such as a base model. Null if none.
    """
    status: Literal["ok", "warning", "failed"]
    """
    Status of the check. `warning`: it works, but something should be changed. `failed`: a part of the service does not work.
    """
    message: str
    """
    Result of the check, in words.
    """
    fix: str | None
    """
    Suggested fix. Null if there is nothing to do.
    """


class FineTuningJobCheckpointMetrics(ApiObject):
    """
    Metrics of a checkpoint, measured when it was saved.
    """

    step: float | None = None
    """
    Training step at which the checkpoint was saved.
    """
    train_loss: float | None = None
    """
    Training loss of the step.
    """
    train_mean_token_accuracy: float | None = None
    """
    Share of the training tokens that the model predicts correctly.
    """
    valid_loss: float | None = None
    """
    Loss on a sample of the validation rows.
    """
    valid_mean_token_accuracy: float | None = None
    """
    Token accuracy on a sample of the validation rows.
    """
    full_valid_loss: float | None = None
    """
    Loss on all validation rows.
    """
    full_valid_mean_token_accuracy: float | None = None
    """
    Token accuracy on all validation rows.
    """
    train_reward_mean: float | None = None
    """
    Mean reward of the answers to training prompts. Only for reinforcement.
    """
    valid_reward_mean: float | None = None
    """
    Mean reward of the answers to validation prompts. Only for reinforcement.
    """
    train_reward_accuracy: float | None = None
    """
    Share of the training pairs in which the preferred answer has the higher reward. Only for DPO and KTO.
    """
    train_reward_margin: float | None = None
    """
    Mean difference of the rewards of preferred and other answers, in nats times `beta`. Only for DPO and KTO.
    """
    valid_reward_accuracy: float | None = None
    """
    Reward accuracy on a sample of the validation rows. Only for DPO and KTO.
    """
    valid_reward_margin: float | None = None
    """
    Reward margin on a sample of the validation rows. Only for DPO and KTO.
    """
    full_valid_reward_accuracy: float | None = None
    """
    Reward accuracy on all validation rows. Only for DPO and KTO.
    """
    full_valid_reward_margin: float | None = None
    """
    Reward margin on all validation rows. Only for DPO and KTO.
    """


class FineTuningJobCheckpoint(ApiObject):
    """
    A checkpoint: a model saved during training, which can serve inference requests.
    """

    id: str
    """
    ID of the checkpoint. Starts with `ftckpt_`.
    """
    object: Literal["fine_tuning.job.checkpoint"]
    """
    Type of the object. Always `fine_tuning.job.checkpoint`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    fine_tuned_model_checkpoint: str
    """
    Name of the model to use in inference requests.
    """
    fine_tuning_job_id: str
    """
    ID of the job that created the checkpoint.
    """
    step_number: int
    """
    Number of training steps before the checkpoint.
    """
    metrics: FineTuningJobCheckpointMetrics
    """
    Metrics measured at the checkpoint.
    """


class ChrfGrader(ApiObject):
    """
    Grader that measures chrF: the overlap of character n-grams, from 0 to 1.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to the middle of the range of scores.
    """
    type: Literal["chrf"]
    """
    Always `chrf`.
    """
    input: str = "{{sample.output_text}}"
    """
    Text to grade. May contain template variables.
    """
    reference: str
    """
    Text to compare with. May contain template variables.
    """


class CompletionChoice(ApiObject):
    """
    A generated text.
    """

    index: int
    """
    Position of the choice in the list of choices, starting at 0.
    """
    finish_reason: str | None
    """
    Reason generation ended. `stop`: the model finished. `length`: the token limit was reached. `tool_calls`: the model called tools.
    """
    text: str
    """
    Generated text.
    """


class CompletionsSamplingParams(ApiObject):
    """
    Sampling parameters of chat completions.
    """

    max_completion_tokens: int | None = None
    """
    Maximum number of tokens of an answer. Defaults to the rest of the model's context.
    """
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """
    Reasoning effort, for models that support it.
    """
    seed: int | None = None
    """
    Sampling seed. Defaults to 42.
    """
    temperature: float | None = None
    """
    Sampling temperature. Defaults to 1.
    """
    top_p: float | None = None
    """
    Probability mass of the tokens to sample from. Defaults to 1.
    """
    response_format: dict[str, Any] | None = None
    """
    Format of the answers, as in chat completions.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call, as in chat completions.
    """


class CreateServiceAccountApiKey(ApiObject):
    """
    Request to create a key of a service account.
    """

    name: str | None = None
    """
    Name of the key. By default, that of the account.
    """
    expires_in_seconds: int | None = None
    """
    Seconds until the key expires, up to ten years. `null`: never.
    """


class CreateAdminApiKey(ApiObject):
    """
    Request to create an admin key.
    """

    name: str
    """
    Name of the key.
    """
    expires_in_seconds: int | None = None
    """
    Seconds until the key expires, up to ten years. `null`: never.
    """


class CreateAdvice(ApiObject):
    """
    Request for advice before a training.
    """

    training_file_id: str
    """
    ID of the file.
    """
    model: str
    """
    ID of the base model. An engine must serve it.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the advice; up to 16.
    """


class CreateAliasCheck(ApiObject):
    """
    Request to run the suites of an alias.
    """

    alias: str
    """
    Name of the alias.
    """
    model: str | None = None
    """
    Model to check: a base model or a trained model. Defaults to the models that the alias points at.
    """
    move: bool = False
    """
    Whether to point the alias at `model` if it passes. The alias must not change in the meantime.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the check; up to 16.
    """


class CreateApproval(ApiObject):
    """
    Request to approve a trained model.
    """

    note: str | None = None
    """
    What was checked, and how.
    """


class CreateBatch(ApiObject):
    """
    Request body to create a batch.
    """

    input_file_id: str
    """
    ID of a file with the purpose `batch`: JSON Lines with one request per line, up to 50,000 requests and 200 MiB.
    """
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]
    """
    Endpoint to which every request of the batch is sent.
    """
    completion_window: Literal["24h"]
    """
    Time after which the batch expires. Only `24h` is supported.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the batch; up to 16.
    """
    output_expires_after: BatchOutputExpiresAfter | None = None
    """
    Lifetime of the output file and the error file.
    """


class CreateDatasetDiff(ApiObject):
    """
    Request to compare a training file with a later one.
    """

    file_id: str
    """
    ID of the earlier file.
    """
    other_file_id: str
    """
    ID of the later file, which has passed its check.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the diff; up to 16.
    """


class CreateDatasetReport(ApiObject):
    """
    Request for a report on a training file.
    """

    file_id: str
    """
    ID of the file.
    """
    models: list[str] | None = None
    """
    Base models whose tokenizers count tokens; all base models if omitted.
    """
    validation_file_id: str | None = None
    """
    ID of a validation file to check for shared rows.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the report; up to 16.
    """


class CreateEmbeddings(ApiObject):
    """
    Embeddings request, as in the OpenAI API.
    """

    model: str
    """
    ID of a base model, a trained model or an alias in the project.
    """
    input: str | list[str] | list[int] | list[list[int]]
    """
    Input or inputs to embed, as text or token IDs.
    """
    encoding_format: Literal["float", "base64"] = "float"
    """
    Format of the vectors: numbers, or base64-encoded 32-bit floats.
    """
    dimensions: int | None = None
    """
    Number of dimensions of each vector, if shorter than the model's.
    """


class CreateModelExport(ApiObject):
    """
    Request to export a trained model.
    """

    model: str
    """
    Name of a trained model, or an alias of one.
    """
    format: Literal["adapter", "merged", "gguf", "gguf-adapter", "ollama"]
    """
    Format of the export: `adapter` (PEFT, for use with the base model), `merged` (a complete model in safetensors), `gguf` (a complete model for llama.cpp), `gguf-adapter`, or `ollama` (`gguf` with a Modelfile).
    """
    quantization: Literal["f16", "q8_0", "q5_k_m", "q4_k_m"] | None = None
    """
    Quantization of the weights of the formats `gguf` and `ollama`: `f16` (none), `q8_0` (the default), `q5_k_m` or `q4_k_m`.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the export; up to 16.
    """


class CreateModelImport(ApiObject):
    """
    Request to import an adapter that was trained elsewhere.
    """

    file_id: str
    """
    ID of a file with the purpose `model-import`: the folder that PEFT's `save_pretrained` wrote, packed as .tar, .tar.gz, .tar.zst or .zip.
    """
    base_model: str
    """
    Base model of the catalog that the adapter was trained on.
    """
    suffix: str | None = None
    """
    Suffix to include in the name of the model.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the import; up to 16.
    """


class CreateCheckpointPermissions(ApiObject):
    """
    Request to let other projects use a trained model.
    """

    project_ids: list[str]
    """
    IDs of the projects that may use the model.
    """


class CreateServiceAccount(ApiObject):
    """
    Request to create a service account.
    """

    name: str
    """
    Name of the service account.
    """
    create_service_account_only: bool | None = None
    """
    Whether to create the account without a key and without a role.
    """
    expires_in_seconds: int | None = None
    """
    Seconds until the key expires, up to ten years. `null`: never.
    """


class CreateEvalDataSourceConfig(ApiObject):
    """
    Schema of the items.
    """

    type: Literal["custom"]
    """
    Always `custom`.
    """
    item_schema: dict[str, Any]
    """
    JSON Schema of an item. References may point only into the same schema, which must not be recursive.
    """
    include_sample_schema: bool = False
    """
    Whether graders may use the answer (`sample`), sampled or given.
    """


class EvalDataSourceConfig(ApiObject):
    """
    Schema of a row of a run's data source.
    """

    type: Literal["custom"]
    """
    Always `custom`.
    """
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """
    JSON Schema of a row: `item`, and `sample` if it is included.
    """


class DatasetCleaningResult(ApiObject):
    """
    Files that a cleaning made, and what it did.
    """

    training_file_id: str
    """
    ID of the file with the rows to train on.
    """
    validation_file_id: str | None = None
    """
    ID of the file with the held-out rows; null if there are none.
    """
    diff_file_id: str
    """
    ID of a JSON Lines file that describes what happened to each affected row.
    """
    source_rows: int
    """
    Number of rows in the source file.
    """
    training_rows: int
    """
    Number of rows in the training file.
    """
    validation_rows: int
    """
    Number of rows in the validation file.
    """
    dropped: dict[str, int]
    """
    Number of dropped rows, by reason.
    """
    changed: dict[str, int]
    """
    Number of changes, by kind.
    """
    changed_rows: int
    """
    Number of rows with changes.
    """
    model_search: str | None = None
    """
    What the operator's model searched; null without one.
    """


class DatasetDiffResult(ApiObject):
    """
    Numbers of rows that differ. The whole comparison is the content of the diff.
    """

    unchanged: int
    """
    Number of rows that both files have.
    """
    changed: int
    """
    Number of rows that both files have with different texts.
    """
    removed: int
    """
    Number of rows that only the earlier file has.
    """
    added: int
    """
    Number of rows that only the later file has.
    """


class DatasetPreviewResult(ApiObject):
    """
    Detected format and main figures of a preview. The preview itself is its content.
    """

    container: str | None
    """
    Container format; null if it is unknown.
    """
    compression: str | None
    """
    Compression; null if there is none.
    """
    encoding: str | None
    """
    Text encoding; null if the file is not a text.
    """
    shape: str | None
    """
    Structure of a row; null if the columns form none.
    """
    rows: int
    """
    Number of rows in the preview.
    """
    findings: int
    """
    Number of findings about the file and these rows.
    """
    error_code: str | None
    """
    Code of the reason why the file cannot be read, if there is one.
    """


class DatasetReportResult(ApiObject):
    """
    Main figures of a report. The report itself is its content.
    """

    rows: int
    """
    Number of valid rows.
    """
    invalid_rows: int
    """
    Number of rows that jobs cannot train on.
    """
    mean_score: float | None
    """
    Mean quality score of the rows, from 0 to 1; null without rows.
    """
    finding_counts: dict[str, int]
    """
    Number of findings, by their code.
    """
    advice: list[str]
    """
    Codes of the recommendations, the most urgent first. Empty if there are none.
    """


class ProjectObjectDeleted(ApiObject):
    """
    Response to deleting an object.
    """

    id: str
    """
    ID or name of the deleted object.
    """
    object: str
    """
    Type of the response: that of the deleted object, and `.deleted`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """


class Diagnostics(ApiObject):
    """
    Checks of the installation, as `finetuned-server doctor` makes them on a machine.
    """

    object: Literal["organization.diagnostics"]
    """
    Type of the object. Always `organization.diagnostics`.
    """
    status: Literal["ok", "warning", "failed"]
    """
    The worst status of the checks.
    """
    checked_at: int
    """
    Time of the checks, in Unix seconds.
    """
    version: str
    """
    Version of the API process.
    """
    checks: list[Check]
    """
    Result of each check.
    """


class FileDiffRow(ApiObject):
    """
    A row that differs between two files.
    """

    id: str
    """
    Position among the rows that differ, as a string.
    """
    object: Literal["file.diff.row"]
    """
    Type of the object. Always `file.diff.row`.
    """
    change: Literal["changed", "removed", "added"]
    """
    `changed`: both files have the row, with different texts; `removed`: only the earlier file has it; `added`: only the later one.
    """
    line: int | None
    """
    Line of the row in the earlier file; null if added.
    """
    other_line: int | None
    """
    Line of the row in the later file; null if removed.
    """
    row: dict[str, Any] | None
    """
    Row of the earlier file, as jobs train on it; null if added.
    """
    other_row: dict[str, Any] | None
    """
    Row of the later file, as jobs train on it; null if removed.
    """


class FineTuningDurationEstimate(ApiObject):
    """
    Estimated duration of the training from start to end, in seconds.
    """

    expected: int
    """
    Expected duration.
    """
    low: int
    """
    Lower bound of the expected range.
    """
    high: int
    """
    Upper bound of the expected range.
    """
    basis: Literal["past_jobs", "model_size"]
    """
    Basis of the estimate: `past_jobs` (measured on `jobs` similar past jobs) or `model_size` (accurate only to an order of magnitude).
    """
    jobs: int
    """
    Number of past jobs that the estimate is based on.
    """


class EarlyStopping(ApiObject):
    """
    Early-stopping rule: training ends when the validation loss stops falling.
    """

    patience: int = 2
    """
    Number of consecutive evaluations without improvement before training stops.
    """
    min_delta: float = 0.0
    """
    Minimum decrease of the validation loss that counts as an improvement.
    """


class Embedding(ApiObject):
    """
    An embedding vector.
    """

    object: Literal["embedding"]
    """
    Type of the object. Always `embedding`.
    """
    index: int
    """
    Position of the embedding in the list of inputs, starting at 0.
    """
    embedding: list[float] | str
    """
    Vector as numbers, or as base64-encoded 32-bit floats.
    """


class Embeddings(ApiObject):
    """
    List of embeddings, as in the OpenAI API.
    """

    object: Literal["list"]
    """
    Type of the object. Always `list`.
    """
    data: list[Embedding]
    """
    Embeddings, in the order of the inputs.
    """
    model: str
    """
    Model that generated the embeddings.
    """
    usage: CompletionUsage | None = None
    """
    Token counts of the request.
    """


class ErasedObjectEntry(ApiObject):
    """
    An object in storage that was removed.
    """

    key: str
    """
    Name of the object in storage.
    """
    bytes: int
    """
    Size of the object.
    """
    sha256: str
    """
    SHA-256 digest of the object's bytes, in hexadecimal.
    """


class ErasureFile(ApiObject):
    """
    A file with rows that match.
    """

    file_id: str
    """
    ID of the file.
    """
    filename: str
    """
    Name of the file; its ID if the name has the text, or if the file was deleted.
    """
    purpose: str
    """
    Purpose of the file.
    """
    rows: int | None
    """
    Number of rows; null for files that are searched as raw text. Such files are not changed: delete them if they must be erased.
    """
    matches: int | None
    """
    Number of rows that match.
    """
    lines: list[int]
    """
    Lines of the first 1,000 rows that match, from 1.
    """
    models: list[str]
    """
    Names of the existing models that were trained on the file.
    """
    deleted_models: list[str]
    """
    Names of the models that were deleted.
    """
    new_file: str | None
    """
    ID of the file without the rows; null if none was made, or if no row is left.
    """
    is_erased: bool
    """
    Whether the file was deleted.
    """
    receipts: list[str]
    """
    IDs of the receipts of the deletions.
    """
    error: str | None
    """
    Reason why the file was not deleted.
    """


class ErasureMatch(ApiObject):
    """
    Digest of what an erasure searched for.
    """

    type: Literal["text", "substring", "row_sha256"]
    """
    What was searched for: a text, part of a text, or the SHA-256 of a row.
    """
    hmac_sha256: str
    """
    HMAC-SHA-256 of the text under a key of the installation, in hexadecimal. The text itself is not stored.
    """


class ErasurePlace(ApiObject):
    """
    Object of the project that has the text outside of the rows of files.
    """

    object: str
    """
    Kind of the object, such as `batch`, `eval.run` or `fine_tuning.job`.
    """
    id: str
    """
    ID or name of the object; empty if the name itself has the text.
    """
    is_in_records: bool
    """
    Whether its record contains the text: its name, metadata, events or other fields.
    """
    is_in_storage: bool
    """
    Whether its stored data contains the text: requests, answers, reports.
    """


class ErasureStoredChats(ApiObject):
    """
    Stored chats that match.
    """

    matches: int
    """
    Number of chats that match.
    """
    ids: list[str]
    """
    IDs of the first 1,000 chats that match.
    """
    is_erased: bool
    """
    Whether the chats were deleted.
    """
    error: str | None
    """
    Reason why the chats could not be searched.
    """


class EvalComparisonDifference(ApiObject):
    """
    Mean difference between a run and the baseline, with its 95% confidence interval. It is
    positive if the run is better.
    """

    metric: str
    """
    `passed`, the share of items that all graders passed, or the name of a grader.
    """
    mean: float | None
    """
    Mean score; null if there are no scores.
    """
    low: float | None
    """
    Lower limit of the interval; null if scores are not from 0 to 1.
    """
    high: float | None
    """
    Upper limit of the interval; null if scores are not from 0 to 1.
    """
    n: int
    """
    Number of items with a score in both runs.
    """
    missing: int
    """
    Number of items without a score in both runs.
    """
    better: int
    """
    Number of items that got better.
    """
    equal: int
    """
    Number of items with equal scores.
    """
    worse: int
    """
    Number of items that got worse.
    """


class EvalComparisonOutput(ApiObject):
    """
    Outcome of an item in one run.
    """

    run_id: str
    """
    ID of the run.
    """
    output_item_id: str
    """
    ID of the output item.
    """
    status: Literal["pass", "fail", "error"]
    """
    Status of the output item.
    """
    answer: str
    """
    Text of the answer.
    """
    scores: dict[str, float]
    """
    Scores by grader.
    """
    masked_values: int | None = None
    """
    Number of labels in place of personal data; null if it is not masked.
    """


class EvalComparisonScore(ApiObject):
    """
    Mean score of a run, with its 95% confidence interval.
    """

    metric: str
    """
    `passed`, the share of items that all graders passed, or the name of a grader.
    """
    mean: float | None
    """
    Mean score; null if there are no scores.
    """
    low: float | None
    """
    Lower limit of the interval; null if scores are not from 0 to 1.
    """
    high: float | None
    """
    Upper limit of the interval; null if scores are not from 0 to 1.
    """
    n: int
    """
    Number of items with a score.
    """


class EvalDeleted(ApiObject):
    """
    Confirmation that an eval was deleted.
    """

    object: Literal["eval.deleted"]
    """
    Type of the object. Always `eval.deleted`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    eval_id: str
    """
    Identifier of the deleted eval.
    """
    receipt: str | None = None
    """
    ID of the receipt of the erasure, which says what was erased.
    """


class EvalItem(ApiObject):
    """
    Item of a run, and the answer to grade if it is given rather than sampled.
    """

    item: dict[str, Any]
    """
    Item, which matches the item schema of the eval.
    """
    sample: dict[str, Any] | None = None
    """
    Answer to grade, such as `output_text`. Used by the data source `jsonl`.
    """


class EvalRunDeleted(ApiObject):
    """
    Confirmation that a run was deleted.
    """

    object: Literal["eval.run.deleted"]
    """
    Type of the object. Always `eval.run.deleted`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    run_id: str
    """
    Identifier of the deleted run.
    """
    receipt: str | None = None
    """
    ID of the receipt of the erasure, which says what was erased.
    """


class EvalRunError(ApiObject):
    """
    Error of a run or of a sample.
    """

    code: str
    """
    Machine-readable error code.
    """
    message: str
    """
    Human-readable message.
    """


class EvalRunModelUsage(ApiObject):
    """
    Tokens of a run's requests to one model.
    """

    model_name: str
    """
    Name of the model that answered or judged.
    """
    invocation_count: int
    """
    Number of requests.
    """
    prompt_tokens: int
    """
    Number of prompt tokens, including cached tokens.
    """
    completion_tokens: int
    """
    Number of generated tokens.
    """
    total_tokens: int
    """
    Number of all tokens.
    """
    cached_tokens: int
    """
    Number of prompt tokens from the engine's cache.
    """


class EvalRunResultCounts(ApiObject):
    """
    Counters of the items that have an outcome.
    """

    total: int
    """
    Number of items with an outcome.
    """
    passed: int
    """
    Number of items that all graders passed.
    """
    failed: int
    """
    Number of items that failed at least one grader.
    """
    errored: int
    """
    Number of items that could not be sampled or graded.
    """


class FineTuningJobEvaluationError(ApiObject):
    """
    Reason why an evaluation failed or was skipped.
    """

    code: str
    """
    Error code.
    """
    message: str
    """
    Explanation of the error and its remedy.
    """


class EvaluationLabel(ApiObject):
    """
    A person's label: which of two answers to a row is better.
    """

    id: str
    """
    ID of the label, unique in the evaluation.
    """
    object: Literal["fine_tuning.job.evaluation.label"]
    """
    Type of the object. Always `fine_tuning.job.evaluation.label`.
    """
    row: int
    """
    `line` of the row in the report.
    """
    compared: list[str]
    """
    The two columns of the report that were compared, in the order shown.
    """
    winner: str
    """
    Column of the better answer, or `tie`.
    """
    note: str | None
    """
    Note for other reviewers, or null.
    """
    took_ms: int | None
    """
    Milliseconds that the decision took; null if unknown.
    """
    reviewer: str
    """
    ID of the API key, or subject of the token, that wrote the label.
    """
    is_own: bool
    """
    Whether the caller wrote the label.
    """
    is_current: bool
    """
    Whether the report still has these answers. Other labels do not count.
    """
    created_at: int
    """
    Time of the first label, in Unix seconds.
    """
    labeled_at: int
    """
    Time of the last change, in Unix seconds.
    """


class EvaluationLabelTask(ApiObject):
    """
    Two answers to a row for the caller to compare, without the columns that gave them.
    """

    row: int
    """
    `line` of the row in the report.
    """
    language: str | None
    """
    Language of the row; null if unknown.
    """
    prompt: list[dict[str, Any]]
    """
    Messages that were answered.
    """
    answers: list[AnswerToLabel]
    """
    The two answers. Their order is random for each reviewer and row, and stays.
    """
    shown: str
    """
    Digest of what is shown. Send it with the label.
    """
    labels: int
    """
    Number of labels that the pair of answers has.
    """
    masked_values: int | None = None
    """
    Number of values replaced by labels such as `[EMAIL]`. Only with `personal_data=mask`.
    """


class FineTuningJobEvent(ApiObject):
    """
    An event of a fine-tuning job.
    """

    id: str
    """
    ID of the event, for use in `after` and `Last-Event-ID`. Starts with `ftevent-`.
    """
    object: Literal["fine_tuning.job.event"]
    """
    Type of the object. Always `fine_tuning.job.event`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    level: Literal["info", "warn", "error"]
    """
    Severity of the event.
    """
    message: str
    """
    Human-readable message.
    """
    type: Literal["message", "metrics"]
    """
    Type of the event. In a `metrics` event, `data` has the metrics of a step.
    """
    data: dict[str, Any]
    """
    Machine-readable details of the event.
    """


class ExpectedGain(ApiObject):
    """
    Gain of earlier models of the project over the best prompt, on the same base model.
    """

    points: float
    """
    Median gain in points.
    """
    low: float
    """
    Smallest gain in points.
    """
    high: float
    """
    Largest gain in points.
    """
    models: int
    """
    Number of models that were evaluated.
    """


class UploadExpiresAfter(ApiObject):
    """
    Lifetime of the uploaded file, counted from its creation.
    """

    anchor: Literal["created_at"]
    """
    Event from which the lifetime is counted.
    """
    seconds: int
    """
    Lifetime in seconds, from one hour to 30 days.
    """


class ExportMergedOnto(ApiObject):
    """
    Base weights that the adapter was merged into.
    """

    base: Literal["bf16", "nf4"]
    """
    `bf16`: the weights in the base model's files; `nf4`: those rounded to NF4, as in training. The one closer to the engine is used.
    """
    bf16_difference: float | None = None
    """
    Mean absolute difference of the log-probabilities from the engine's with `bf16`, in nats per token; null if the training was not quantized.
    """
    nf4_difference: float | None = None
    """
    The same with `nf4`.
    """


class ExportProof(ApiObject):
    """
    Comparison of the loaded artifact's answers with those of the serving engine.
    """

    answers: int
    """
    Number of prompts.
    """
    same_answers: int
    """
    Number of answers with the same text.
    """
    chrf: float
    """
    Mean chrF of the answers (0 to 1).
    """
    logprob_difference: float
    """
    Mean absolute difference of the log-probabilities, in nats per token.
    """
    largest_logprob_difference: float
    """
    Difference of the token where it is largest, in nats.
    """
    loss_rise: float | None = None
    """
    Rise of the loss on the held-out rows' own answers over the engine's, in nats per token. Null if there are no such rows.
    """
    merged_onto: ExportMergedOnto | None = None
    """
    Base weights that the adapter was merged into; null if it was not merged.
    """


class FailedCondition(ApiObject):
    """
    A condition of a gate that a model did not meet.
    """

    model: str
    """
    Name of the model.
    """
    key: str
    """
    Key of the condition.
    """
    condition: str
    """
    Condition on the figure.
    """
    measured: float | str | None
    """
    Figure of the model's evaluation; null if it was not measured.
    """
    reason: str | None
    """
    Reason why the figure was not measured; otherwise null.
    """
    gate: Literal["alias", "job", "suite"] = "alias"
    """
    Owner of the gate: the alias, the job that trained the model, or a suite.
    """


class FileContentSource(ApiObject):
    """
    Items given in the request.
    """

    type: Literal["file_content"]
    """
    Always `file_content`.
    """
    content: list[EvalItem]
    """
    Items of the run.
    """


class FileDeleted(ApiObject):
    """
    Response to deleting a file.
    """

    id: str
    """
    ID of the deleted file.
    """
    object: Literal["file"]
    """
    Type of the object. Always `file`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    unfinished_jobs: list[str] = []
    """
    IDs of unfinished jobs, batches and generations that read the file, and may fail without it.
    """
    models: list[str] = []
    """
    Names of the trained models and checkpoints whose jobs read the file. They are kept.
    """
    deleted_models: list[str] = []
    """
    Names of the trained models and checkpoints that `cascade` deleted.
    """
    derived_files: list[str] = []
    """
    IDs of the files that cleanings, merges and generations made from the file. They are kept.
    """
    receipts: list[str] = []
    """
    IDs of the receipts of the erasure: of the file, then of each deleted model.
    """


class FileExpiresAfter(ApiObject):
    """
    Time after which a file expires.
    """

    anchor: Literal["created_at"]
    """
    Time from which the seconds count.
    """
    seconds: int
    """
    Seconds until the file expires.
    """


class FileIdSource(ApiObject):
    """
    Items in a file.
    """

    type: Literal["file_id"]
    """
    Always `file_id`.
    """
    id: str
    """
    ID of a file with the purpose `evals`.
    """


class FileToMerge(ApiObject):
    """
    A file to merge, and how many of its rows to take.
    """

    file_id: str
    """
    ID of the file, which has the purpose `fine-tune`.
    """
    max_rows: int | None = None
    """
    Maximum number of rows to take, chosen with the seed.
    """
    weight: float | None = None
    """
    Share of the file in the merged rows, relative to the other files. If any file has a weight, the others have 1 by default. As many rows are taken as the weights allow.
    """


class Finding(ApiObject):
    """
    A finding of the report of the training file.
    """

    code: str
    """
    Machine-readable code.
    """
    title: str
    """
    Finding in one line.
    """
    variant: str = ""
    """
    Code of the wording of the title, of which a finding may have several. Empty if an earlier version wrote it.
    """
    figures: dict[str, Any] | None = None
    """
    Figures of the title by name.
    """


class FittingSettings(ApiObject):
    """
    Settings with which a job would fit. Null: the setting remains unchanged.
    """

    quantization: str | None = None
    """
    Value of `quantization`.
    """
    batch_size: int | None = None
    """
    Value of `batch_size`.
    """
    max_seq_length: int | None = None
    """
    Value of `max_seq_length`.
    """


class FileFormat(ApiObject):
    """
    Format options of a file. They override automatic detection.
    """

    container: (
        Literal["jsonl", "json", "csv", "parquet", "xlsx", "xls", "ods", "document", "text"] | None
    ) = None
    """
    Container format of the file. With `text`, plain text or Markdown is cut to rows of texts.
    """
    shape: (
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
    ) = None
    """
    Structure of a row.
    """
    encoding: str | None = None
    """
    Text encoding, by its Python name.
    """
    columns: dict[str, str] | None = None
    """
    Mapping from a field of the shape to the column that holds it.
    """
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] | None = None
    """
    Mapping from a role in the data to a supported role.
    """
    system: str | None = None
    """
    System message for rows that have none.
    """
    delimiter: str | None = None
    """
    CSV delimiter. Detected if omitted.
    """
    sheet: str | None = None
    """
    Sheet of a workbook. Defaults to the first whose columns can be read.
    """
    header_row: int | None = None
    """
    Number of the row or line that names the columns of a table, from 1. With 0, no row does, and the columns are named `column 1`, `column 2` and so on. Detected if omitted.
    """
    group_by: str | None = None
    """
    Column with the ID of the conversation, if each row is one message. Its columns can be mapped as `role`, `content` and `order`.
    """


class FineTuningJobGateFault(ApiObject):
    """
    A condition of a job's gate that its evaluation does not meet.
    """

    key: str
    """
    Figure that the condition applies to. A condition on a metric or gain applies to the whole 95% interval, and thus to its limit `_low` or `_high`.
    """
    condition: str
    """
    Condition on the figure.
    """
    measured: float | str | None
    """
    Measured figure; null if it was not measured.
    """
    reason: str | None
    """
    Reason why the figure was not measured; otherwise null.
    """


class FineTuningJobGateOutcome(ApiObject):
    """
    Outcome of a job's gate.
    """

    passed: bool
    """
    Whether the evaluation meets all conditions.
    """
    conditions: dict[str, str]
    """
    Conditions of the gate.
    """
    failed_conditions: list[FineTuningJobGateFault]
    """
    Conditions that the evaluation does not meet.
    """


class GenerationCounts(ApiObject):
    """
    Progress of a generation.
    """

    passages: int
    """
    Number of passages in the documents; 0 until they are read.
    """
    asked: int
    """
    Number of passages that the model was asked about.
    """
    kept: int
    """
    Number of rows kept.
    """
    dropped: dict[str, int]
    """
    Number of rows and answers dropped, by reason: `malformed` (not in the requested form), `engine_error`, `echo` (repeats the question or the passage), `wrong_language`, `unsupported_fact` (a number, date or name that the passage does not have), `unsupported` (the model finds that the passage does not state it), `answered` (a refused question that the documents answer), `duplicate`, and `surplus` (more than `n`).
    """


class GenerationUsage(ApiObject):
    """
    Tokens of the requests of a generation, including the checks.
    """

    input_tokens: int
    """
    Number of input tokens.
    """
    output_tokens: int
    """
    Number of output tokens.
    """
    total_tokens: int
    """
    Number of input and output tokens.
    """


class GraderRunErrors(ApiObject):
    """
    Errors of a run of a grader. All are false if the answer was graded.
    """

    formula_parse_error: bool = False
    """
    Whether the formula of a multi grader is not arithmetic.
    """
    sample_parse_error: bool = False
    """
    Whether a template needs JSON and the answer is not JSON.
    """
    truncated_observation_error: bool = False
    """
    Flag of OpenAI's API that is always false.
    """
    unresponsive_reward_error: bool = False
    """
    Flag of OpenAI's API that is always false.
    """
    invalid_variable_error: bool = False
    """
    Whether a template variable has no value.
    """
    other_error: bool = False
    """
    Whether another error occurred.
    """
    python_grader_server_error: bool = False
    """
    Whether the sandbox of Python graders failed.
    """
    python_grader_server_error_type: str | None = None
    """
    Message of the sandbox's failure.
    """
    python_grader_runtime_error: bool = False
    """
    Whether the Python source failed.
    """
    python_grader_runtime_error_details: str | None = None
    """
    Message of the Python source's failure, with its line.
    """
    model_grader_server_error: bool = False
    """
    Whether the judge's engine failed.
    """
    model_grader_refusal_error: bool = False
    """
    Whether the judge refused to answer.
    """
    model_grader_parse_error: bool = False
    """
    Whether the judge's answer could not be used.
    """
    model_grader_server_error_details: str | None = None
    """
    Message of the engine's failure.
    """
    messages: list[str] | None = None
    """
    Messages of all errors. Not part of OpenAI's API.
    """


class GraderRunMetadata(ApiObject):
    """
    Metadata of a grader's run.
    """

    name: str
    """
    Name of the grader.
    """
    type: str
    """
    Type of the grader.
    """
    errors: GraderRunErrors
    """
    Errors of the run.
    """
    execution_time: float
    """
    Time that the run took, in seconds.
    """
    scores: dict[str, float]
    """
    Scores by grader, for a multi grader.
    """
    token_usage: int | None
    """
    Number of tokens of all judges. Null if no judge was asked.
    """
    sampled_model_name: str | None
    """
    Model that judged. Null if there was none or several.
    """


class GraderTextPart(ApiObject):
    """
    Text part of a message.
    """

    type: Literal["input_text", "output_text", "text"]
    """
    Type of the part.
    """
    text: str
    """
    Text. May contain template variables.
    """


class ImportFinding(ApiObject):
    """
    A difference between an adapter's folder and its base model.
    """

    severity: Literal["warning", "info"]
    """
    Severity: `warning` if the model may answer badly, `info` otherwise.
    """
    code: str
    """
    Machine-readable code of the finding.
    """
    message: str
    """
    What was found.
    """
    fix: str
    """
    What to do about it.
    """


class ItemReferenceMessages(ApiObject):
    """
    Prompt that each item contains.
    """

    type: Literal["item_reference"]
    """
    Always `item_reference`.
    """
    item_reference: str
    """
    Variable of the item that holds the list of messages.
    """


class FineTuningJobError(ApiObject):
    """
    Reason why a job failed.
    """

    code: str
    """
    Machine-readable error code.
    """
    message: str
    """
    Error message: what is wrong, where, and how to fix it.
    """
    param: str | None = None
    """
    Name of the parameter that caused the error.
    """


class JsonSchemaGrader(ApiObject):
    """
    Grader that checks JSON against a schema. Scores 1 if the text is valid, else 0.
    """

    name: str
    """
    Name of the grader.
    """
    type: Literal["json_schema"]
    """
    Always `json_schema`.
    """
    input: str = "{{sample.output_text}}"
    """
    JSON text to grade. May contain template variables.
    """
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """
    JSON Schema (draft 2020-12). References to other documents are refused.
    """


class JsonlDataSource(ApiObject):
    """
    Items that include the answers to grade.
    """

    type: Literal["jsonl"]
    """
    Always `jsonl`.
    """
    source: FileContentSource | FileIdSource
    """
    Source of the items.
    """


class JudgeSamplingParams(ApiObject):
    """
    Sampling parameters of a judge.
    """

    max_completions_tokens: int | None = None
    """
    Maximum number of tokens of the judge's answer.
    """
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """
    Reasoning effort, for models that support it.
    """
    seed: int | None = None
    """
    Random seed.
    """
    temperature: float | None = None
    """
    Sampling temperature. Defaults to 0.
    """
    top_p: float | None = None
    """
    Probability mass of the tokens to sample from.
    """


class LabelConfusion(ApiObject):
    """
    Table of expected and given labels.
    """

    labels: list[str]
    """
    Labels that were expected or given.
    """
    counts: dict[str, dict[str, int]]
    """
    Number of items by expected label and, within it, given label. `(other)` counts answers that are not any of the labels.
    """
    n: int
    """
    Number of items with both labels.
    """
    accuracy: float
    """
    Share of the items whose labels are equal.
    """
    kappa: float | None
    """
    Cohen's kappa: agreement beyond chance, where 1 is perfect and 0 is chance. Null if all labels are the same.
    """


class LabelGrader(ApiObject):
    """
    Grader that compares labels regardless of case and punctuation. Scores 1 if equal, else 0.
    """

    name: str
    """
    Name of the grader.
    """
    type: Literal["label"]
    """
    Always `label`.
    """
    input: str = "{{sample.output_text}}"
    """
    Label to grade. May contain template variables.
    """
    reference: str
    """
    Expected label. May contain template variables.
    """
    labels: list[str] | None = None
    """
    All labels. If omitted, every different text is a label of its own.
    """


class LanguageGrader(ApiObject):
    """
    Grader that detects the language of a text. Scores 1 for the expected one, else 0.
    """

    name: str
    """
    Name of the grader.
    """
    type: Literal["language"]
    """
    Always `language`.
    """
    input: str = "{{sample.output_text}}"
    """
    Text to grade. May contain template variables.
    """
    reference: str
    """
    Expected language as a BCP 47 tag, such as `ja` or `zh-Hant`. May contain template variables.
    """


class LimitUsage(ApiObject):
    """
    A limit, and how much of it is used.
    """

    limit: int | None
    """
    Limit, or null if there is none.
    """
    used: int
    """
    Used amount of the limit, as of about a second ago. 0 if there is no limit, because nothing is counted then.
    """


class ApiKeyLimits(ApiObject):
    """
    Limits of an API key.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    requests_per_minute: int | Literal["unlimited"] | None = None
    """
    Maximum requests per minute. A request for several answers (`n`) counts once for each answer.
    """
    tokens_per_minute: int | Literal["unlimited"] | None = None
    """
    Maximum tokens per minute, prompt and completion tokens together.
    """
    concurrent_requests: int | Literal["unlimited"] | None = None
    """
    Maximum number of concurrent requests, including streams. A request for several answers (`n`) counts once for each answer.
    """
    concurrent_streams: int | Literal["unlimited"] | None = None
    """
    Maximum number of concurrent streams.
    """


class ListCounts(ApiObject):
    """
    Number of objects that match all filters of a list except that of the status.
    """

    total: int
    """
    Number of all these objects.
    """
    by_status: dict[str, int]
    """
    Number of these objects by status; in the list of models, by kind. Empty for objects without a status.
    """


class ListedKind(RootModel[Literal["base", "alias", "trained", "shared"]]):
    root: Literal["base", "alias", "trained", "shared"]
    """
    Kind of a model in a list.
    """


class CreateEvalLogsDataSourceConfig(ApiObject):
    """
    Stored chats as items. `stored_completions` is an older name of `logs`.
    """

    type: Literal["logs", "stored_completions"]
    """
    `logs`, or its older name `stored_completions`.
    """
    metadata: dict[str, str] | None = None
    """
    Metadata that the chats of all runs must have.
    """


class EvalLogsDataSourceConfig(ApiObject):
    """
    Stored chats as items, and the schema of a row: `item` and `sample`.
    """

    type: Literal["logs", "stored_completions"]
    """
    `logs`, or its older name `stored_completions`.
    """
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """
    JSON Schema of a row: `item`, and `sample` if it is included.
    """
    metadata: dict[str, str] | None
    """
    Metadata that the chats of all runs must have.
    """


class LoraOptions(ApiObject):
    """
    LoRA adapter options. The service chooses a value for each omitted option.
    """

    r: int | Literal["auto"] | None = None
    """
    LoRA rank, 1 to 512. The serving engine may have a lower limit. Default: `auto`.
    """
    alpha: int | Literal["auto"] | None = None
    """
    LoRA alpha, 1 to 4096. The adapter is scaled by alpha / r. Default: `auto`.
    """
    dropout: float = 0.0
    """
    Dropout probability of the adapter.
    """
    target_modules: Literal["all-linear"] | list[str] | None = None
    """
    Names of the modules to adapt, up to 32. Defaults to `"all-linear"`.
    """
    use_rslora: bool | None = None
    """
    Whether to scale the adapter by alpha / sqrt(r) instead of alpha / r. Suits high ranks.
    """


class SweepLoraValues(ApiObject):
    """
    Lists of LoRA options to try.
    """

    r: list[int] | None = None
    """
    LoRA ranks to try.
    """
    alpha: list[int] | None = None
    """
    LoRA alphas to try.
    """
    dropout: list[float] | None = None
    """
    Dropout probabilities to try.
    """


class Mark(ApiObject):
    """
    Personal data in a row, or the label that replaces it.
    """

    pointer: str
    """
    JSON Pointer to the text in the row, which may be JSON itself.
    """
    start: int
    """
    Start in the text, in Unicode code points.
    """
    end: int
    """
    End in the text, in Unicode code points. Start and end are 0 if the value is not a text, and is personal data as a whole.
    """
    kind: str
    """
    Kind of personal data, or the name of a recognizer.
    """


class FineTuningMemoryEstimate(ApiObject):
    """
    Peak memory of a training step in bytes, per GPU if the worker has several.
    """

    weights: int
    """
    Weights of the base model.
    """
    adapter: int
    """
    Weights of the adapter.
    """
    optimizer: int
    """
    State of the optimizer.
    """
    gradients: int
    """
    Gradients of the adapter.
    """
    activations: int
    """
    Activations of a step.
    """
    logits: int
    """
    Logits of a step.
    """
    overhead: int
    """
    Buffers of the framework and fragmentation.
    """
    total: int
    """
    Sum of the parts above plus the trainer process itself.
    """
    available: int | None
    """
    Memory available on the worker. Null if the worker does not report it.
    """


class FileMergeSource(ApiObject):
    """
    Result of a merge for the rows of a file.
    """

    file_id: str
    """
    ID of the file.
    """
    rows: int
    """
    Number of rows in the file.
    """
    taken: int
    """
    Number of rows in the merged file.
    """
    duplicates: int
    """
    Number of rows that are identical to an earlier one.
    """
    left_out: int
    """
    Number of rows that `max_rows`, weights or the balance left out.
    """


class MetricSeries(ApiObject):
    """
    A metric by step, in buckets. All lists have one value per bucket, in the order of steps.
    Buckets in which the metric was not measured are left out.
    """

    step: list[int]
    """
    The last step in each bucket for which the metric is known.
    """
    min: list[float]
    """
    Lowest value in each bucket.
    """
    max: list[float]
    """
    Highest value in each bucket.
    """
    mean: list[float]
    """
    Mean of the steps in each bucket.
    """
    last: list[float]
    """
    Value at the last step in each bucket.
    """


class CreateMixedFile(ApiObject):
    """
    A file whose rows are mixed with those of the training file. Not part of OpenAI's API.
    """

    file: str
    """
    ID of the file, which has the row format of the training file.
    """
    weight: float = 1.0
    """
    Number of times that an epoch draws each row of the file, 0.001 to 100. With 0.25, each epoch has a different quarter of the rows; with 2, it has every row twice. Rows of the training file are drawn once.
    """


class MixedFile(ApiObject):
    """
    A file whose rows are mixed with those of the training file of a job.
    """

    file: str
    """
    ID of the file.
    """
    weight: float
    """
    Number of times that an epoch draws each row of the file.
    """


class MlflowRun(ApiObject):
    """
    The MLflow run that receives the metrics of a job.
    """

    tracking_uri: str
    """
    URL of the MLflow server.
    """
    experiment_name: str
    """
    Name of the experiment.
    """
    run_name: str
    """
    Name of the run.
    """
    tags: dict[str, str]
    """
    Tags that were set when the job was created.
    """
    run_id: str | None
    """
    ID of the run. Null until the server has created it, when the job starts.
    """


class MlflowSettings(ApiObject):
    """
    Settings of the MLflow run that receives the metrics of a job.
    """

    experiment_name: str
    """
    Name of the experiment. It is created if it does not exist.
    """
    run_name: str | None = None
    """
    Name of the run. Defaults to the ID of the job.
    """
    tags: (
        dict[
            Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./ -]{0,63}$")],
            str,
        ]
        | None
    ) = None
    """
    Tags of the run; up to 16. Keys have up to 64 characters, values up to 200.
    """
    tracking_uri: str | None = None
    """
    URL of the MLflow server, which must be one that the operator allows. Defaults to the operator's first.
    """


class ModelDeleted(ApiObject):
    """
    Response to deleting a model.
    """

    id: str
    """
    Name of the deleted model.
    """
    object: Literal["model"]
    """
    Type of the object. Always `model`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    receipt: str | None = None
    """
    ID of the receipt of the erasure, which says what was erased.
    """


class ModelExportError(ApiObject):
    """
    Reason why an export failed.
    """

    code: str
    """
    Machine-readable error code.
    """
    message: str
    """
    What went wrong, and how to fix it.
    """
    param: str | None = None
    """
    Parameter of the request that caused the failure, if one did.
    """
    expected_prompt: str | None = None
    """
    Prompt as the engine renders it, if the artifact renders it differently.
    """
    rendered_prompt: str | None = None
    """
    The same prompt as the artifact renders it.
    """
    proof: ExportProof | None = None
    """
    The comparison, if the answers differ too much.
    """


class ModelExportResult(ApiObject):
    """
    Archive of a completed export.
    """

    filename: str
    """
    Name of the archive.
    """
    bytes: int
    """
    Size of the archive.
    """
    sha256: str
    """
    SHA-256 of the archive in hexadecimal digits.
    """
    proof: ExportProof | None
    """
    Comparison of the artifact's answers with the engine's; null if there is none.
    """


class ModelImportResult(ApiObject):
    """
    Imported model, and the differences that were found.
    """

    model: str
    """
    Name of the imported model.
    """
    base_model_name_or_path: str | None
    """
    Base model that the adapter's configuration names.
    """
    skipped_files: int
    """
    Number of files in the archive that are not part of an adapter.
    """
    findings: list[ImportFinding]
    """
    Differences between the adapter's folder and the base model.
    """


class ModelOrigin(ApiObject):
    """
    Origin of a model that was trained elsewhere and imported.
    """

    kind: Literal["imported"]
    """
    `imported`: the model was trained elsewhere.
    """
    import_id: str
    """
    ID of the import.
    """
    archive_sha256: str
    """
    SHA-256 digest of the imported archive.
    """
    base_model_name_or_path: str | None = None
    """
    Base model that the adapter's configuration names.
    """
    parity: Literal["unchecked"]
    """
    `unchecked`: the engine's scores were not compared with the trainer's, as they are for models trained here.
    """


class CreatedAdminApiKey(ApiObject):
    """
    A new admin key. This is the only response that contains the secret.
    """

    object: Literal["organization.admin_api_key"]
    """
    Type of the object. Always `organization.admin_api_key`.
    """
    id: str
    """
    ID of the key, prefixed with `key_`.
    """
    name: str
    """
    Name of the key.
    """
    redacted_value: str
    """
    Redacted secret with its last characters.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    last_used_at: int | None
    """
    Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated within a minute.
    """
    expires_at: int | None
    """
    Time at which the key expires, as a Unix timestamp in seconds, or null.
    """
    owner: AdminApiKeyOwner
    """
    Program that uses an admin key, under the name of the key.
    """
    project_id: str
    """
    ID of the project to which the key belongs.
    """
    value: str
    """
    Secret of the key, shown only once.
    """


class CreatedServiceAccount(ApiObject):
    """
    A new service account, with its first key.
    """

    object: Literal["organization.project.service_account"]
    """
    Type of the object. Always `organization.project.service_account`.
    """
    id: str
    """
    ID of the account, prefixed with `svc_acct_`.
    """
    name: str
    """
    Name of the account.
    """
    role: Literal["owner", "member", "none"]
    """
    Role of the account: the keys of an `owner` have the role `project_admin`, those of a `member` the role `member`, and an account with `none` can have no keys.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    api_key: ServiceAccountApiKey | None
    """
    First key of the account, or null if none was to be created.
    """


class OperationDeleted(ApiObject):
    """
    Response to deleting an operation.
    """

    id: str
    """
    ID or name of the deleted object.
    """
    object: str
    """
    Type of the response: that of the deleted object, and `.deleted`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    receipt: str | None = None
    """
    ID of the receipt that says what was erased, if there is one.
    """


class OperationError(ApiObject):
    """
    Reason why an operation failed.
    """

    code: str
    """
    Machine-readable error code.
    """
    message: str
    """
    What went wrong, and how to fix it.
    """
    param: str | None = None
    """
    Parameter of the request that caused the failure, if one did.
    """


class OperationProgress(ApiObject):
    """
    Progress of an operation.
    """

    completed: int
    """
    Number of finished parts.
    """
    total: int | None
    """
    Number of all parts; null if it is not known yet.
    """
    step: str | None = None
    """
    Current step; null if the operation has only one.
    """


class EvalRunOutputItemResult(ApiObject):
    """
    Result of one grader. `errors`, `sub_scores` and `label` are extensions of OpenAI's.
    """

    name: str
    """
    Name of the grader.
    """
    type: str
    """
    Type of the grader.
    """
    passed: bool
    """
    Whether the grader passed the item.
    """
    score: float
    """
    Score of the item; 0 if it could not be graded.
    """
    sample: dict[str, Any] | None
    """
    Raw answer of a judge, or null.
    """
    errors: list[EvalRunError] | None = None
    """
    Reasons why the item could not be graded.
    """
    sub_scores: dict[str, float] | None = None
    """
    Scores of the graders that a `multi` grader combines.
    """
    label: dict[str, str | None] | None = None
    """
    Labels of a `label` grader, or those of a person and a judge: `expected`, and `given`, which is null for other answers.
    """


class CheckpointPermissionDeleted(ApiObject):
    """
    Response to revoking a permission.
    """

    object: Literal["checkpoint.permission"]
    """
    Type of the object. Always `checkpoint.permission`.
    """
    id: str
    """
    ID of the revoked permission.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """


class CheckpointPermission(ApiObject):
    """
    A permission of a project to send requests to a model of another one.
    """

    object: Literal["checkpoint.permission"]
    """
    Type of the object. Always `checkpoint.permission`.
    """
    id: str
    """
    ID of the permission, prefixed with `cp_`.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    project_id: str
    """
    ID of the project that may use the model.
    """


class PointsInterval(ApiObject):
    """
    Difference in points, with its 95% confidence interval.
    """

    points: float
    """
    Mean difference.
    """
    low: float
    """
    Lower limit of the interval.
    """
    high: float
    """
    Upper limit of the interval.
    """


class PretrainingHyperparameters(ApiObject):
    """
    Hyperparameters of continued pre-training: those of supervised fine-tuning.
    """

    batch_size: int | Literal["auto"] | None = None
    """
    Number of rows per training step. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"] | None = None
    """
    Number of passes over the training data. Default: `auto`.
    """
    learning_rate: float | Literal["auto"] | None = None
    """
    Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`.
    """
    lora: LoraOptions | None = None
    """
    LoRA adapter options.
    """
    quantization: Literal["nf4", "none"] = "nf4"
    """
    Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).
    """
    max_seq_length: int | Literal["auto"] | None = None
    """
    Maximum sample length in tokens. Longer texts are cut into several samples, and longer chats are truncated. Default: `auto`.
    """
    packing: bool | Literal["auto"] | None = None
    """
    Whether to pack several rows into one sequence. Default: `auto`.
    """
    warm_start: str | None = None
    """
    Fine-tuned model whose adapter weights training starts from. It must have the same base model.
    """
    validation_share: float | None = None
    """
    Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
    """
    early_stopping: EarlyStopping | None = None
    """
    Early-stopping rule. Disabled if omitted.
    """
    keep_best: bool = False
    """
    If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
    """


class PretrainingMethod(ApiObject):
    """
    Options of continued pre-training.
    """

    hyperparameters: PretrainingHyperparameters | None = None
    """
    Hyperparameters of continued pre-training: those of supervised fine-tuning.
    """


class ApiKeyPreviousSecret(ApiObject):
    """
    A secret of an API key that was replaced and is still valid.
    """

    redacted_value: str
    """
    Redacted secret with its last characters.
    """
    expires_at: int
    """
    Time until which the secret is valid, as a Unix timestamp in seconds.
    """


class ProjectLimitUsage(ApiObject):
    """
    Limits that apply to a project, and how much of them is used.
    """

    requests_per_minute: LimitUsage
    """
    A limit, and how much of it is used.
    """
    tokens_per_minute: LimitUsage
    """
    A limit, and how much of it is used.
    """
    concurrent_requests: LimitUsage
    """
    A limit, and how much of it is used.
    """
    concurrent_streams: LimitUsage
    """
    A limit, and how much of it is used.
    """
    storage_bytes: LimitUsage
    """
    Storage quota of the project. `used` is counted even without a quota.
    """


class ProjectLimits(ApiObject):
    """
    Limits of a project.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    requests_per_minute: int | Literal["unlimited"] | None = None
    """
    Maximum requests per minute. A request for several answers (`n`) counts once for each answer.
    """
    tokens_per_minute: int | Literal["unlimited"] | None = None
    """
    Maximum tokens per minute, prompt and completion tokens together.
    """
    concurrent_requests: int | Literal["unlimited"] | None = None
    """
    Maximum number of concurrent requests, including streams. A request for several answers (`n`) counts once for each answer.
    """
    concurrent_streams: int | Literal["unlimited"] | None = None
    """
    Maximum number of concurrent streams.
    """
    storage_bytes: int | Literal["unlimited"] | None = None
    """
    Maximum bytes that the project may have in storage: files, uploads, checkpoints, models, exports and results.
    """
    record_bytes: int | Literal["unlimited"] | None = None
    """
    Maximum bytes that the objects of the project may take in Redis: evals, runs, jobs, the metadata of files and chats, and answers kept for an `Idempotency-Key`. By default, an eighth of the memory of Redis.
    """


class Project(ApiObject):
    """
    A project (tenant).
    """

    id: str
    """
    ID of the project, prefixed with `proj_`.
    """
    object: Literal["organization.project"]
    """
    Type of the object. Always `organization.project`.
    """
    name: str
    """
    Name of the project, as used in its model names.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    status: Literal["active", "archived", "deleting"]
    """
    Status of the project. The keys of a project that is archived or being deleted are refused.
    """
    archived_at: int | None
    """
    Time at which the project was archived, as a Unix timestamp in seconds, or null.
    """
    objects_left: int | None
    """
    Number of objects that a project being deleted still has in storage. Null for other projects, and until they are counted.
    """
    limits: ProjectLimits
    """
    Limits set for the project.
    """
    capture: CaptureSettings | None = None
    """
    Settings of the storage of chats, or null if none are stored.
    """
    capture_managed_by: Literal["organization", "project"] = "organization"
    """
    Who can enable capture. Administrators of the project can always disable it.
    """
    four_eyes: bool = False
    """
    Whether a second person must approve trained models before aliases and exports can use them.
    """
    storage_bytes_used: int
    """
    Bytes of the project in storage, including uploads in progress.
    """


class PromptScore(ApiObject):
    """
    Mean score of the base model with the best prompt.
    """

    points: float
    """
    Mean score.
    """
    low: float
    """
    Lower limit of the interval.
    """
    high: float
    """
    Upper limit of the interval.
    """
    rows: int
    """
    Number of rows with a score.
    """
    example_lines: list[int] = []
    """
    Lines of the training file that the prompt shows as examples. Empty if it shows none, or the rows that are most similar to each question.
    """


class PutEvaluationLabel(ApiObject):
    """
    Request to say which of two answers to a row is better.
    """

    compared: list[str]
    """
    The two columns of the report whose answers were compared, in the order in which they were shown; with `shown`, in any order.
    """
    winner: str
    """
    Column of the better answer, or `tie`; with `shown`, `first`, `second` or `tie`.
    """
    shown: str | None = None
    """
    `shown` of the queue's task, if the answers were shown without their columns. A label of answers that have changed since then is refused.
    """
    note: str | None = None
    """
    Note for other reviewers.
    """
    took_ms: int | None = None
    """
    Milliseconds that the decision took.
    """


class PythonGrader(ApiObject):
    """
    Grader that runs `grade(sample, item) -> float` of a Python source in a sandbox.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to the middle of the range of scores.
    """
    type: Literal["python"]
    """
    Always `python`.
    """
    source: str
    """
    Python source that defines `grade(sample, item)`.
    """
    image_tag: str | None = None
    """
    Image tag of OpenAI's runtime. Accepted and ignored: graders run in the Python of the service.
    """


class Queue(ApiObject):
    """
    A queue of tasks for workers.
    """

    object: Literal["organization.queue"]
    """
    Type of the object. Always `organization.queue`.
    """
    id: str
    """
    Name of the queue.
    """
    workers: int
    """
    Number of running workers that take its tasks.
    """
    waiting: int
    """
    Number of tasks that no worker has taken.
    """
    oldest_waiting_at: int | None
    """
    Time at which the oldest of these tasks was due, in Unix seconds. Null if none waits.
    """


class Readiness(ApiObject):
    """
    Readiness of the API and of each required part.
    """

    status: Literal["ok", "degraded", "away"]
    """
    Status of the whole: `degraded` if some base models are not served.
    """
    parts: dict[str, Literal["ok", "degraded", "away", "refused"]]
    """
    State of each required part: redis, storage, worker, inference.
    """
    models: dict[str, Literal["ok", "degraded", "away", "refused"]] | None = None
    """
    State of each base model; absent unless inference is a required part.
    """


class Reason(ApiObject):
    """
    Reason for the value of a hyperparameter that was `auto`.
    """

    parameter: str
    """
    Name of the hyperparameter.
    """
    code: str
    """
    Code of the reason.
    """
    figures: dict[str, Any]
    """
    Figures of the reason, such as `rows`.
    """


class ErasureReceiptSignature(ApiObject):
    """
    Signature of a receipt.
    """

    algorithm: Literal["Ed25519"]
    """
    Signature algorithm. Always `Ed25519`.
    """
    key_id: str
    """
    First 16 characters of the SHA-256 digest of the public key, in hexadecimal.
    """
    public_key: str
    """
    Public key of the installation, in Base64.
    """
    value: str
    """
    Signature in Base64, over the purpose, a newline, and the receipt as JSON with sorted keys and without spaces. `object`, `status` and `signature` are left out.
    """


class Recognizer(ApiObject):
    """
    A recognizer of a project.
    """

    id: str
    """
    Name of the recognizer. Reports count its findings under this name.
    """
    object: Literal["recognizer"]
    """
    Type of the object. Always `recognizer`.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    pattern: str | None
    """
    Regular expression in RE2 syntax, if there is one.
    """
    terms: list[str]
    """
    Words and phrases.
    """


class ReinforcementHyperparameters(ApiObject):
    """
    Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling.
    """

    batch_size: int | Literal["auto"] | None = None
    """
    Number of prompts per training step. Each is answered `group_size` times. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"] | None = None
    """
    Number of passes over the training data. Default: `auto`.
    """
    learning_rate: float | Literal["auto"] | None = None
    """
    Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`.
    """
    lora: LoraOptions | None = None
    """
    LoRA adapter options.
    """
    quantization: Literal["nf4", "none"] = "nf4"
    """
    Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).
    """
    max_seq_length: int | Literal["auto"] | None = None
    """
    Maximum length of a prompt and its answer in tokens. Prompts that leave no room for `max_completion_tokens` are dropped. Default: `auto`.
    """
    packing: bool | Literal["auto"] | None = None
    """
    Whether to pack several rows into one sequence. Default: `auto`.
    """
    warm_start: str | None = None
    """
    Fine-tuned model whose adapter weights training starts from. It must have the same base model.
    """
    validation_share: float | None = None
    """
    Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
    """
    early_stopping: EarlyStopping | None = None
    """
    Early-stopping rule: training ends when the mean reward of the validation rows stops rising. Disabled if omitted.
    """
    keep_best: bool = False
    """
    If true, the fine-tuned model is the checkpoint with the highest mean reward of the validation rows instead of the last one.
    """
    eval_interval: int | Literal["auto"] | None = None
    """
    Number of training steps between evaluations. `auto` evaluates at each checkpoint. Default: `auto`.
    """
    eval_samples: int | Literal["auto"] | None = None
    """
    Number of validation rows that each evaluation answers, once each. `auto` is 64, or all rows if there are fewer. Default: `auto`.
    """
    group_size: int = 8
    """
    Number of answers to each prompt, which are compared with each other.
    """
    temperature: float = 1.0
    """
    Sampling temperature of the answers. It must be high enough that the answers to a prompt differ, because training learns from the differences between their scores.
    """
    max_completion_tokens: int = 512
    """
    Maximum length of an answer in tokens.
    """
    beta: float | Literal["auto"] | None = None
    """
    Weight of the divergence from the reference model in the loss. Higher values keep the model closer to it. `auto` is 0, which needs no reference. Default: `auto`.
    """
    compute_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier of OpenAI's API: `auto` or 1. Set `group_size` instead.
    """
    reasoning_effort: Literal["default", "low", "medium", "high"] | None = None
    """
    Reasoning effort of OpenAI's API: `default`. The base model's chat template decides how its answers begin.
    """


class HumanReviewReliability(ApiObject):
    """
    Agreement of reviewers with each other: Krippendorff's alpha.
    """

    alpha: float
    """
    1 if reviewers always agree, and 0 if they agree as random labels do. From 0.8, one can rely on their labels; below 0.667, they support no conclusion.
    """
    low: float
    """
    Lower limit of its 95% interval.
    """
    high: float
    """
    Upper limit of its 95% interval.
    """
    rows: int
    """
    Number of rows with labels of two or more reviewers.
    """
    disputed: int
    """
    Number of these rows on which reviewers differ.
    """


class ModelResponse(ApiObject):
    """
    Response, as in the OpenAI Responses API.
    """

    id: str
    """
    ID of the response.
    """
    object: Literal["response"]
    """
    Type of the object. Always `response`.
    """
    created_at: int
    """
    Unix timestamp in seconds (UTC).
    """
    model: str
    """
    Model that generated the response.
    """
    status: str
    """
    Status of the response: `completed`, or why it did not complete.
    """
    output: list[dict[str, Any]]
    """
    Output items: messages, reasoning and tool calls.
    """
    usage: dict[str, Any] | None = None
    """
    Token counts of the request.
    """


class ResponsesSamplingParams(ApiObject):
    """
    Sampling parameters of responses.
    """

    max_completion_tokens: int | None = None
    """
    Maximum number of tokens of an answer. Defaults to the rest of the model's context.
    """
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """
    Reasoning effort, for models that support it.
    """
    seed: int | None = None
    """
    Sampling seed. Defaults to 42.
    """
    temperature: float | None = None
    """
    Sampling temperature. Defaults to 1.
    """
    top_p: float | None = None
    """
    Probability mass of the tokens to sample from. Defaults to 1.
    """
    text: dict[str, Any] | None = None
    """
    Format of the answers, as in responses.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call, as in responses.
    """


class RestartFineTuningJobEvaluation(ApiObject):
    """
    Request to run the evaluation of a job again.
    """

    baseline_prompt: str | None = None
    """
    System message of the base model, to compare the trained model with a prompted base model.
    """


class RetrievalSigns(ApiObject):
    """
    Result of a keyword search (BM25) for the answers of some rows in the other rows.
    """

    rows: int
    """
    Number of rows that were searched for.
    """
    facts: int
    """
    Number of these rows whose answers are facts.
    """
    found: int
    """
    Number of these rows whose answer the search found.
    """
    base_right: int
    """
    Number of these rows that the base model answered correctly.
    """


class ReviewerProgress(ApiObject):
    """
    Number of rows that a reviewer has labeled.
    """

    reviewer: str
    """
    ID of the API key, or subject of the token.
    """
    is_own: bool
    """
    Whether it is the caller.
    """
    labels: int
    """
    Number of rows with a label of the reviewer.
    """


class RotateApiKey(ApiObject):
    """
    Request to replace the secret of an API key.
    """

    overlap_seconds: int = 86400
    """
    Seconds for which the previous secrets stay valid, up to 30 days. 0 ends them at once.
    """


class RotateWebhookEndpointSecret(ApiObject):
    """
    Request to rotate a signing secret.
    """

    keep_old_secret_active_for_24_hours: bool = False
    """
    Whether requests are also signed with the old secret for 24 hours, so that receivers can switch to the new one without losing events.
    """


class FileRowFinding(ApiObject):
    """
    A finding on a row.
    """

    code: str
    """
    Code of the finding.
    """
    severity: Literal["error", "warning", "info"]
    """
    Severity of the finding.
    """
    weight: float
    """
    Amount by which this kind of finding lowers the row's score, however often it occurs in the row. Zero if it says nothing about quality.
    """
    message: str
    """
    What was found.
    """
    figures: dict[str, int | float | str]
    """
    Numbers and names in the message, by name. Empty in reports of earlier versions.
    """
    fix: str
    """
    Recommended correction.
    """
    pointer: str
    """
    JSON Pointer to the place in the row; may be empty.
    """
    other_line: int | None
    """
    Line of the other row, if the finding is about a pair of rows.
    """
    similarity: float | None
    """
    Similarity of the two rows from 0 to 1; of their questions if they contradict each other. Null if it was not measured.
    """


class ErasureRowMatch(ApiObject):
    """
    Rows to find.
    """

    type: Literal["text", "substring", "row_sha256"]
    """
    `text`: a message has these words, ignoring case, spacing, width, punctuation and politeness. `substring`: the row contains exactly these characters. `row_sha256`: the SHA-256 digest of the row, as the API returns rows in JSON Lines.
    """
    value: str
    """
    Text or digest to find.
    """


class FileMergeRow(ApiObject):
    """
    A row of a file.
    """

    file_id: str
    """
    ID of the file.
    """
    line: int
    """
    Line of the row in the file, counted from 1.
    """


class RowReview(ApiObject):
    """
    A review of a row.
    """

    id: str
    """
    Line of the row as a string.
    """
    object: Literal["file.review"]
    """
    Type of the object. Always `file.review`.
    """
    line: int
    """
    Line of the row in the uploaded file, counted from 1.
    """
    label: Literal["approved", "rejected", "edited", "unsure"]
    """
    What the reviewer decided.
    """
    row: dict[str, Any] | None
    """
    Row to use instead; null unless the label is `edited`.
    """
    note: str | None
    """
    Note for other reviewers, or null.
    """
    reviewer: str
    """
    ID of the API key, or subject of the token, that wrote the review.
    """
    reviewed_at: int
    """
    Time of the review, in Unix seconds.
    """
    created_at: int
    """
    Time of the row's first review, in Unix seconds.
    """


class RowReviewCounts(ApiObject):
    """
    Number of a file's reviews by label.
    """

    approved: int
    """
    Number of rows to keep.
    """
    rejected: int
    """
    Number of rows to drop.
    """
    edited: int
    """
    Number of rows to replace.
    """
    unsure: int
    """
    Number of rows that someone else should review.
    """


class EvalRunSampleMessage(ApiObject):
    """
    Message of a prompt or an answer.
    """

    role: str
    """
    Role of the author.
    """
    content: str
    """
    Text of the message.
    """


class EvalRunSampleUsage(ApiObject):
    """
    Tokens of a sample.
    """

    total_tokens: int
    """
    Number of tokens in the prompt and the answer.
    """
    completion_tokens: int
    """
    Number of tokens in the answer.
    """
    prompt_tokens: int
    """
    Number of tokens in the prompt.
    """
    cached_tokens: int
    """
    Number of prompt tokens that were read from the cache.
    """


class SealedUntil(ApiObject):
    """
    The newest checkpoint: a signed statement of all entries until then.
    """

    number: int
    """
    Number of the checkpoint. 0 for those of version 0.2.0.
    """
    entries: int
    """
    Number of the entries that it covers.
    """
    at: int
    """
    Time at which it was signed, in Unix seconds.
    """
    last_entry_id: str | None
    """
    ID of the newest entry that it covers. Null if all were deleted because of their age.
    """


class ServiceAccount(ApiObject):
    """
    A service account.
    """

    object: Literal["organization.project.service_account"]
    """
    Type of the object. Always `organization.project.service_account`.
    """
    id: str
    """
    ID of the account, prefixed with `svc_acct_`.
    """
    name: str
    """
    Name of the account.
    """
    role: Literal["owner", "member", "none"]
    """
    Role of the account: the keys of an `owner` have the role `project_admin`, those of a `member` the role `member`, and an account with `none` can have no keys.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """


class PutRecognizer(ApiObject):
    """
    Request to set a recognizer: `pattern`, `terms`, or both.
    """

    pattern: str | None = None
    """
    Regular expression in RE2 syntax, such as `\\bC-\\d{6}\\b`. It is case-sensitive unless it begins with `(?i)`. Full-width digits and letters count as ordinary ones.
    """
    terms: list[str] = []
    """
    Words and phrases, such as the names of customers or projects. They are found as whole words, regardless of case and width.
    """


class HumanReviewShare(ApiObject):
    """
    Share of labels in percent, with its 95% confidence interval.
    """

    mean: float
    """
    Observed share.
    """
    low: float
    """
    Lower limit of the interval.
    """
    high: float
    """
    Upper limit of the interval.
    """


class SignInMethod(ApiObject):
    """
    A way to sign in to the console.
    """

    object: Literal["sign_in_method"]
    """
    Type of the object. Always `sign_in_method`.
    """
    type: Literal["api_key", "oidc"]
    """
    `api_key`: with `createSession`. `oidc`: through the identity provider.
    """
    name: str | None
    """
    Name of the identity provider; null for keys, or if it has none.
    """
    url: str | None
    """
    Path to open in the browser to sign in; null for keys. The query parameter `next` is the path of the console to return to.
    """


class FineTuningJobHyperparameters(ApiObject):
    """
    Hyperparameters at the top level of OpenAI's job object.
    """

    batch_size: int | Literal["auto"]
    """
    Number of rows per training step. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"]
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"]
    """
    Number of passes over the training data. Default: `auto`.
    """


class Statement(ApiObject):
    """
    A statement as a code and figures, to show it in any language.
    """

    code: str
    """
    Code of the statement.
    """
    figures: dict[str, Any]
    """
    Figures of the statement by name. Scores are in points (0 to 100).
    """


class StoredChatAnswer(ApiObject):
    """
    The answer in a stored chat completion.
    """

    role: Literal["assistant"]
    """
    Role of the message's author. Always `assistant`.
    """
    content: str | None
    """
    Text of the answer, redacted.
    """
    refusal: Any | None = None
    """
    Always null.
    """
    reasoning_content: str | None = None
    """
    What the model thought before it answered, redacted.
    """
    tool_calls: list[dict[str, Any]] | None = None
    """
    Calls of tools, redacted.
    """


class StoredChatChoice(ApiObject):
    """
    A choice of a stored chat completion.
    """

    index: Literal[0]
    """
    Position of the choice. Always 0.
    """
    finish_reason: str
    """
    Reason generation ended.
    """
    message: StoredChatAnswer
    """
    The answer in a stored chat completion.
    """
    logprobs: Any | None = None
    """
    Always null: they are not stored.
    """


class StoredChatMessage(ApiObject):
    """
    A message of the request of a stored chat completion, as in the OpenAI API.
    """

    id: str
    """
    ID of the message: that of the chat completion and a number.
    """
    role: str
    """
    Role of the message's author.
    """
    content: str | None
    """
    Text of the message, redacted.
    """
    content_parts: Any | None = None
    """
    Always null: parts are joined.
    """
    refusal: Any | None = None
    """
    Always null.
    """
    name: str | None = None
    """
    Name of the author, redacted.
    """
    tool_calls: list[dict[str, Any]] | None = None
    """
    Calls of tools, redacted.
    """
    tool_call_id: str | None = None
    """
    ID of the tool call that the message answers.
    """


class StoredChat(ApiObject):
    """
    A stored chat completion, as in the OpenAI API. Only its first choice is stored.
    """

    id: str
    """
    ID of the chat completion or response, prefixed with `chatcmpl-` or `resp_`.
    """
    object: Literal["chat.completion"]
    """
    Type of the object. Always `chat.completion`.
    """
    created: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    model: str
    """
    Model that generated the answer.
    """
    choices: list[StoredChatChoice]
    """
    A choice of a stored chat completion.
    """
    usage: dict[str, Any] | None
    """
    Numbers of tokens; null for streams that did not ask for them.
    """
    metadata: dict[str, str]
    """
    Metadata of the request, redacted.
    """
    tools: list[dict[str, Any]] | None
    """
    Tools of the request, redacted.
    """
    temperature: float | None
    """
    Temperature of the request.
    """
    top_p: float | None
    """
    Nucleus sampling probability of the request.
    """
    seed: int | None
    """
    Seed of the request.
    """
    expires_at: int
    """
    Time at which the chat is deleted, as a Unix timestamp in seconds.
    """
    redactions: dict[str, int]
    """
    Number of values of each kind of personal data that were replaced.
    """


class StoredChatsDeleted(ApiObject):
    """
    Response to deleting stored chat completions.
    """

    object: Literal["chat.completions.deleted"]
    """
    Type of the object. Always `chat.completions.deleted`.
    """
    deleted: Literal[True]
    """
    Whether the object was deleted. Always true.
    """
    count: int
    """
    Number of chat completions that were deleted.
    """


class StoredCompletionsSource(ApiObject):
    """
    Stored chat completions.
    """

    model: str | None = None
    """
    Only chats that this model answered; null for all models.
    """
    metadata: dict[str, str] | None = None
    """
    Metadata that a chat must have, besides the eval's. All pairs must match.
    """
    created_after: int | None = None
    """
    Earliest time of a chat, as a Unix timestamp in seconds.
    """
    created_before: int | None = None
    """
    Latest time of a chat, as a Unix timestamp in seconds.
    """
    limit: int | None = None
    """
    Maximum number of items. If there are more chats, the newest are used.
    """
    personal_data: Literal["keep", "mask"] | None = None
    """
    `mask` replaces values that are found to be personal, and numbers that may be, in the chats before they are sampled, graded and stored with the run. By default, they are as they were stored. An extension of OpenAI's schema.
    """
    type: Literal["stored_completions"]
    """
    Always `stored_completions`.
    """


class StoredResponsesSource(ApiObject):
    """
    Stored responses. `limit` and `personal_data` are extensions of OpenAI's schema.
    """

    model: str | None = None
    """
    Only chats that this model answered; null for all models.
    """
    metadata: dict[str, str] | None = None
    """
    Metadata that a chat must have, besides the eval's. All pairs must match.
    """
    created_after: int | None = None
    """
    Earliest time of a chat, as a Unix timestamp in seconds.
    """
    created_before: int | None = None
    """
    Latest time of a chat, as a Unix timestamp in seconds.
    """
    limit: int | None = None
    """
    Maximum number of items. If there are more chats, the newest are used.
    """
    personal_data: Literal["keep", "mask"] | None = None
    """
    `mask` replaces values that are found to be personal, and numbers that may be, in the chats before they are sampled, graded and stored with the run. By default, they are as they were stored. An extension of OpenAI's schema.
    """
    type: Literal["responses"]
    """
    Always `responses`.
    """
    instructions_search: str | None = None
    """
    Text in the instructions of a response. Case is ignored.
    """
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """
    Reasoning effort of the request.
    """
    temperature: float | None = None
    """
    Temperature of the request.
    """
    top_p: float | None = None
    """
    Nucleus sampling probability of the request.
    """
    tools: list[str] | None = None
    """
    Names of functions, all of which the request must have.
    """
    users: list[str] | None = None
    """
    Must be null or empty: `user` is not stored.
    """


class StreamOptions(ApiObject):
    """
    Options for streaming responses.
    """

    include_usage: bool | None = None
    """
    Whether to send a final event with the token counts.
    """


class StringCheckGrader(ApiObject):
    """
    Grader that compares two texts. Scores 1 if the comparison holds, else 0.
    """

    name: str
    """
    Name of the grader.
    """
    type: Literal["string_check"]
    """
    Always `string_check`.
    """
    input: str
    """
    Text to grade. May contain template variables.
    """
    operation: Literal["eq", "ne", "like", "ilike"]
    """
    Comparison: `eq` (equal), `ne` (not equal), `like` (the input contains the reference), or `ilike` (the same regardless of case).
    """
    reference: str
    """
    Text to compare with. May contain template variables.
    """


class SweepResult(ApiObject):
    """
    Outcome of a completed sweep.
    """

    best_job_id: str
    """
    ID of the job that succeeded with the lowest held-out loss.
    """
    fine_tuned_model: str | None
    """
    Name of the fine-tuned model of the best job; null if the job was deleted.
    """


class SweepValues(ApiObject):
    """
    Lists of hyperparameter values to try. Each combination is a trial.
    """

    n_epochs: list[int] | None = None
    """
    Numbers of epochs to try.
    """
    batch_size: list[int] | None = None
    """
    Batch sizes to try. Not for `kto`, whose loss depends on it.
    """
    learning_rate: list[float] | None = None
    """
    Learning rates to try.
    """
    learning_rate_multiplier: list[float] | None = None
    """
    Learning rate multipliers to try.
    """
    lora: SweepLoraValues | None = None
    """
    LoRA options to try.
    """


class AliasTarget(ApiObject):
    """
    A target model and its share of the requests.
    """

    model: str
    """
    Name of a base model or a trained model.
    """
    weight: int
    """
    Percentage of requests routed to this model, as an integer.
    """


class TestWebhookEndpoint(ApiObject):
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
    """
    Type of the sample event.
    """


class TextSimilarityGrader(ApiObject):
    """
    Grader that measures the similarity of two texts, from 0 to 1.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to the middle of the range of scores.
    """
    type: Literal["text_similarity"]
    """
    Always `text_similarity`.
    """
    input: str
    """
    Text to grade. May contain template variables.
    """
    reference: str
    """
    Text to compare with. May contain template variables.
    """
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
    """
    Similarity metric. `cosine` compares the embeddings that `model` creates.
    """
    model: str | None = None
    """
    Model that creates the embeddings for `cosine`. OpenAI chooses one itself.
    """


class ReasoningOptions(ApiObject):
    """
    Reasoning options, named as in the chat templates of the base models.
    """

    enable_thinking: bool | None = None
    """
    Whether to reason before the answer: Qwen, GLM and Nemotron.
    """
    thinking: bool | None = None
    """
    Whether to reason before the answer: DeepSeek and Granite.
    """
    preserve_thinking: bool | None = None
    """
    Whether to keep the reasoning of earlier messages: Qwen.
    """
    truncate_history_thinking: bool | None = None
    """
    Whether to drop the reasoning of earlier messages: Nemotron.
    """


class ToolCallGrader(ApiObject):
    """
    Grader that compares tool calls. Scores the share of equal names and arguments.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to 1.
    """
    type: Literal["tool_call"]
    """
    Always `tool_call`.
    """
    input: str = "{{sample.output_tools}}"
    """
    Tool calls to grade. May contain template variables.
    """
    reference: str
    """
    Expected tool call or list of tool calls as JSON, usually a template variable.
    """


class SweepTrial(ApiObject):
    """
    A trial of a sweep, which is a fine-tuning job.
    """

    job_id: str
    """
    ID of the job.
    """
    hyperparameters: dict[str, Any]
    """
    Hyperparameters in which the trials differ.
    """
    status: Literal[
        "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
    ]
    """
    Status of the job.
    """
    is_waiting: bool
    """
    Whether the trial is paused until the other trials catch up.
    """
    held_out_loss: float | None
    """
    Loss on the held-out rows at the newest checkpoint or, with `keep_best`, at the best one. Null until there is one.
    """
    stopped: str | None
    """
    Reason why the sweep stopped the trial; null if it did not.
    """
    fine_tuned_model: str | None
    """
    Name of the fine-tuned model. Null until the job succeeds.
    """


class UpdateEval(ApiObject):
    """
    Request body to update an eval. Omitted fields stay unchanged.
    """

    metadata: dict[str, str] | None = None
    """
    New key-value pairs; null removes them.
    """
    name: str | None = None
    """
    New name.
    """


class UpdateApiKey(ApiObject):
    """
    Request to update an API key. Omitted fields stay unchanged.
    """

    name: str | None = None
    """
    New name of the key.
    """
    role: (
        Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
        | None
    ) = None
    """
    New role of the key. Neither the new nor the current role can have more permissions than the role of the key that changes it.
    """
    models: list[str] | None = None
    """
    New list of the only models of a key with the role `inference`. `null` allows all.
    """
    expires_in_seconds: int | None = None
    """
    New time until the key expires, in seconds from now. `null`: never.
    """
    allowed_ips: list[str] | None = None
    """
    New list of the IP addresses and CIDR ranges that requests with the key may come from. `null` allows all.
    """
    limits: ApiKeyLimits | None = None
    """
    Limits to change. Omitted limits stay unchanged.
    """


class UpdateProject(ApiObject):
    """
    Request to update a project. Omitted fields and limits stay unchanged.
    """

    limits: ProjectLimits | None = None
    """
    Limits of a project.
    """
    capture: CaptureSettings | None = None
    """
    New settings of the storage of chats. `null` stores no more chats; those that are stored stay until they expire or are deleted.
    """
    capture_managed_by: Literal["organization", "project"] | None = None
    """
    Who can enable capture: with `organization`, only keys with the role `admin`; with `project`, also keys of the project with the role `project_admin`. `null` changes nothing.
    """
    four_eyes: bool | None = None
    """
    Whether a second person must approve a trained model before an alias points at it or an export of it is created or downloaded. `null` changes nothing.
    """
    name: str | None = None
    """
    Current name of the project. Any other name is rejected, because it is part of the names of the project's models.
    """


class UpdateServiceAccount(ApiObject):
    """
    Request to change a service account. Omitted fields stay unchanged.
    """

    name: str | None = None
    """
    New name of the account.
    """
    role: Literal["owner", "member"] | None = None
    """
    New role of the account. All of its keys get the role `project_admin` (`owner`) or `member`.
    """


class UpdateStoredChat(ApiObject):
    """
    Request to replace the metadata of a stored chat completion.
    """

    metadata: dict[str, str] | None
    """
    New metadata, which is stored as it is. `null` removes all.
    """


class UpdateWebhookEndpoint(ApiObject):
    """
    Request to update a webhook endpoint. Omitted fields remain unchanged.
    """

    name: str | None = None
    """
    New name.
    """
    url: str | None = None
    """
    New URL. The operator must allow its host and port. Any value, even the current URL, enables a disabled endpoint.
    """
    event_types: (
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
    ) = None
    """
    Event types to deliver. Replaces the current list.
    """


class CompleteUpload(ApiObject):
    """
    Request to complete an upload: the parts of the file, in order.
    """

    part_ids: list[str]
    """
    IDs of the parts, in file order.
    """
    md5: str | None = None
    """
    MD5 digest of the complete file, in hexadecimal.
    """


class CreateUpload(ApiObject):
    """
    Request to create an upload. `format` is an extension of OpenAI's schema.
    """

    filename: str
    """
    Name of the resulting file.
    """
    purpose: Literal["fine-tune", "evals", "batch", "user_data", "model-import"]
    """
    Purpose of the file. `fine-tune` and `evals` files are checked, `batch` files when a batch is created. `model-import`, an extension, is for archives of adapters.
    """
    bytes: int
    """
    Size of the complete file in bytes.
    """
    mime_type: str
    """
    MIME type of the file. Required for OpenAI compatibility; the format is detected from the content.
    """
    expires_after: UploadExpiresAfter | None = None
    """
    Lifetime of the resulting file. If omitted, the file never expires.
    """
    format: FileFormat | None = None
    """
    Format options of the file.
    """


class UploadPart(ApiObject):
    """
    OpenAI's part object, extended with `bytes` and `md5` so that clients can resume uploads.
    """

    id: str
    """
    ID of the part, prefixed with `part_`, for use in `part_ids`.
    """
    object: Literal["upload.part"]
    """
    Type of the object. Always `upload.part`.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    upload_id: str
    """
    ID of the upload that the part belongs to.
    """
    bytes: int
    """
    Number of bytes received.
    """
    md5: str
    """
    MD5 digest of the received bytes, in hexadecimal.
    """


class CompletionsUsage(ApiObject):
    """
    Usage of one group in one bucket. Fields that are not grouped by are null.
    """

    object: Literal["organization.usage.completions.result"]
    """
    Type of the object. Always `organization.usage.completions.result`.
    """
    input_tokens: int
    """
    Number of prompt tokens, including cached tokens.
    """
    output_tokens: int
    """
    Number of generated tokens.
    """
    input_cached_tokens: int
    """
    Number of prompt tokens served from the engine's cache.
    """
    num_model_requests: int
    """
    Number of requests that an engine answered, including those whose client disconnected.
    """
    input_audio_tokens: int = 0
    """
    Number of audio input tokens. Always 0.
    """
    output_audio_tokens: int = 0
    """
    Number of audio output tokens. Always 0.
    """
    project_id: str | None = None
    """
    ID of the project, if grouped by `project_id`.
    """
    user_id: str | None = None
    """
    ID of the user. Always null, because there are no users.
    """
    api_key_id: str | None = None
    """
    ID of the API key, if grouped by `api_key_id`.
    """
    model: str | None = None
    """
    Model that answered, if grouped by `model`.
    """
    batch: bool | None = None
    """
    Whether the requests belong to batches, if grouped by `batch`.
    """
    service_tier: str | None = None
    """
    Service tier. Always null.
    """
    num_failed_requests: int
    """
    Number of requests that ended in an error.
    """
    mean_time_to_first_token_ms: float | None
    """
    Mean time to first token of streams, in milliseconds; null without streams.
    """
    mean_time_per_output_token_ms: float | None
    """
    Mean time per output token of streams after the first token, in milliseconds; null without such tokens.
    """


class FineTuningVerdict(ApiObject):
    """
    Conclusion of an evaluation.
    """

    kind: Literal[
        "serve",
        "prompt",
        "retrieval",
        "worse",
        "memorized",
        "forgot",
        "overfit",
        "solved_already",
        "no_gain",
        "cannot_tell",
        "disputed",
    ]
    """
    Kind of conclusion. It is `disputed` if people's labels contradict the measure.
    """
    sentence: str
    """
    Conclusion in one sentence, with its figures.
    """
    code: str | None = None
    """
    Code of the sentence; null if an earlier version wrote it.
    """
    figures: dict[str, Any] | None = None
    """
    Figures of the sentence by name. Scores are in points (0 to 100).
    """
    recommendation: str
    """
    Recommended next step.
    """
    recommendation_details: Statement | None = None
    """
    The recommendation as a code and figures; null if an earlier version wrote it.
    """
    reasons: list[str] | None = None
    """
    What people prefer, if their labels show it and they agree with each other.
    """
    reason_details: list[Statement] | None = None
    """
    The reasons as codes and figures, in the same order.
    """
    warnings: list[str] | None = None
    """
    Findings that do not change the conclusion.
    """
    warning_details: list[Statement] | None = None
    """
    The warnings as codes and figures, in the same order. Empty if an earlier version wrote them.
    """
    rows_needed: int | None = None
    """
    Number of held-out rows to add if the conclusion is `cannot_tell`.
    """
    differences: list[dict[str, Any]] | None = None
    """
    Paired differences between columns, with 95% confidence intervals.
    """


class VerifyAuditLogs(ApiObject):
    """
    Request to verify the audit log. All fields are optional.
    """

    public_keys: list[str] = []
    """
    Public keys as PEM, of which each checkpoint must be signed with one. Several if the key was changed. Defaults to the key of this installation, if this API process has its file.
    """
    checkpoints: list[str] = []
    """
    Checkpoints that were kept elsewhere, such as by a witness. The log must contain them.
    """
    kept_days: int | None = None
    """
    Number of days for which entries had to be kept, at least. By default, what the checkpoints say.
    """


class WandbSettings(ApiObject):
    """
    Settings of a Weights & Biases run, as in OpenAI's API.
    """

    project: str
    """
    Name of the project.
    """
    entity: str | None = None
    """
    Team or user.
    """
    name: str | None = None
    """
    Name of the run.
    """
    tags: list[str] | None = None
    """
    Tags of the run.
    """


class WebhookDelivery(ApiObject):
    """
    Attempt to deliver an event to a webhook endpoint.
    """

    id: str
    """
    ID of the attempt, prefixed with `whdelivery-`.
    """
    object: Literal["webhook_endpoint.delivery"]
    """
    Type of the object. Always `webhook_endpoint.delivery`.
    """
    created_at: int
    """
    Time at which the attempt ended, as a Unix timestamp in seconds.
    """
    event_id: str
    """
    ID of the event, sent as the `webhook-id` header of the request.
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
    Outcome of the attempt. `delivered`: the endpoint accepted the event. `retrying`: the attempt failed, and another one follows. `failed`: the last attempt failed. `disabled`: the endpoint answered 410.
    """
    response_status: int | None
    """
    HTTP status of the endpoint's response; null if there was none.
    """
    error: str | None
    """
    Error class; null if the endpoint responded.
    """
    next_attempt_at: int | None
    """
    Time of the next attempt as a Unix timestamp in seconds; null if there is none.
    """


class WebhookEndpoint(ApiObject):
    """
    Webhook endpoint without its signing secret.
    """

    id: str
    """
    ID of the endpoint, prefixed with `webhook_`.
    """
    object: Literal["webhook_endpoint"]
    """
    Type of the object. Always `webhook_endpoint`.
    """
    created_at: int
    """
    Creation time as a Unix timestamp in seconds.
    """
    updated_at: int
    """
    Time of the last change to the endpoint or its secret, as a Unix timestamp in seconds.
    """
    name: str
    """
    Name of the endpoint.
    """
    url: str
    """
    URL that receives the events.
    """
    event_types: list[str]
    """
    Event types to deliver.
    """
    signing_secret_hint: str
    """
    Abbreviated signing secret: `whsec_…` and its last four characters.
    """
    status: Literal["enabled", "disabled"]
    """
    Status of the endpoint. `disabled`: the endpoint answered 410 and receives no more events. Extension of OpenAI's object.
    """


class WebhookEndpointTestResult(ApiObject):
    """
    Result of a test in which the endpoint responded.
    """

    object: Literal["webhook_endpoint.test"]
    """
    Type of the object. Always `webhook_endpoint.test`.
    """
    webhook_endpoint_id: str
    """
    ID of the endpoint.
    """
    event_type: str
    """
    Type of the sample event.
    """
    status_code: int
    """
    HTTP status of the endpoint's response.
    """
    success: Literal[True]
    """
    Whether the endpoint responded, with any status. Always true.
    """


class WebhookEndpointWithSecret(ApiObject):
    """
    Webhook endpoint with its new signing secret. No later response contains the secret.
    """

    id: str
    """
    ID of the endpoint, prefixed with `webhook_`.
    """
    object: Literal["webhook_endpoint"]
    """
    Type of the object. Always `webhook_endpoint`.
    """
    created_at: int
    """
    Creation time as a Unix timestamp in seconds.
    """
    updated_at: int
    """
    Time of the last change to the endpoint or its secret, as a Unix timestamp in seconds.
    """
    name: str
    """
    Name of the endpoint.
    """
    url: str
    """
    URL that receives the events.
    """
    event_types: list[str]
    """
    Event types to deliver.
    """
    signing_secret_hint: str
    """
    Abbreviated signing secret: `whsec_…` and its last four characters.
    """
    status: Literal["enabled", "disabled"]
    """
    Status of the endpoint. `disabled`: the endpoint answered 410 and receives no more events. Extension of OpenAI's object.
    """
    signing_secret: str
    """
    Signing secret: `whsec_` and the base64-encoded key.
    """


class WebhookEventData(ApiObject):
    """
    Object that a webhook event is about.
    """

    id: str
    """
    ID of the object, such as a job, a run or an export.
    """


class WebhookEventTypeList(ApiObject):
    """
    List of event types that an endpoint can subscribe to.
    """

    object: Literal["list"]
    """
    Type of the object. Always `list`.
    """
    data: list[str]
    """
    Event types.
    """


class WorkerTask(ApiObject):
    """
    A task that a worker is doing.
    """

    type: str
    """
    Type of the task.
    """
    object_id: str
    """
    ID of the object that the task works on; of an eval run, with the IDs of its parents before it.
    """
    attempt: int
    """
    Number of the attempt, starting at 1.
    """


class ReportSource(ApiObject):
    """
    Detected properties of a file. `columns` maps the shape's fields to the file's columns.
    """

    bytes: int
    """
    Size of the file in bytes.
    """
    container: str
    """
    File format, such as `csv` or `jsonl`.
    """
    compression: str | None
    """
    Compression, such as `gzip`; null if there is none.
    """
    encoding: str | None
    """
    Text encoding; null for binary formats.
    """
    delimiter: str | None
    """
    Delimiter of the fields of a table; null for other formats.
    """
    shape: str
    """
    Shape of the rows, such as `chat` or `alpaca`.
    """
    row_format: Literal["chat", "labeled", "preference", "reinforcement", "text"]
    """
    Format that the rows are converted to.
    """
    columns: dict[str, str]
    """
    Column of the file for each of the shape's fields.
    """
    unused_columns: list[str]
    """
    Columns that are not used.
    """


class ReportHistogram(ApiObject):
    """
    Histogram of values.

    `counts[i]` values are in [edges[i], edges[i + 1]). The last bin includes its upper edge.
    """

    edges: list[float]
    """
    Edges of the bins, in ascending order: one more than there are bins.
    """
    counts: list[int]
    """
    Number of values in each bin.
    """


class ReportTokenizerFit(ApiObject):
    """
    Efficiency of a model's tokenizer for a language.

    For comparison, English takes about 0.25 tokens per character.
    """

    model: str
    """
    ID of the base model.
    """
    language: str
    """
    Language, as an ISO 639-1 code.
    """
    rows: int
    """
    Number of rows in this language.
    """
    tokens_per_character: float
    """
    Tokens per character. English takes about 0.25.
    """
    byte_fallback_share: float
    """
    Share of the tokens that encode single bytes, since the vocabulary lacks the character.
    """


class ReportShare(ApiObject):
    """
    Number and share of rows in a language or script.
    """

    name: str
    """
    Language, script or class.
    """
    rows: int
    """
    Number of rows.
    """
    share: float
    """
    Share of all rows, from 0 to 1.
    """


class ReportGroups(ApiObject):
    """
    Groups of similar rows.

    `extra_rows` is the number of rows that could be removed. `examples` lists line numbers of
    the largest groups.
    """

    groups: int
    """
    Number of groups.
    """
    rows: int
    """
    Number of rows in all groups.
    """
    extra_rows: int
    """
    Number of rows that could be removed, so that one of each group remains.
    """
    examples: list[list[int]]
    """
    Line numbers of the largest groups.
    """


class ReportOverlap(ApiObject):
    """
    Rows of the validation file that also appear in the training file.

    `near` counts rows that mean the same as a training row, and `contained` counts rows with a
    question and answer that a training conversation contains. `same_prompt` counts rows that ask
    a question of the training file, whatever the answer.
    """

    rows: int
    """
    Number of rows of the validation file that also appear in the training file.
    """
    exact: int
    """
    Number of rows that are identical to a training row.
    """
    near: int
    """
    Number of rows that mean the same as a training row.
    """
    same_prompt: int
    """
    Number of rows that ask a question of the training file, whatever the answer.
    """
    examples: list[list[int]]
    """
    Pairs of line numbers: in the validation file, and in the training file.
    """
    contained: int = 0
    """
    Number of rows whose question and answer are part of a longer training conversation.
    """


class ReportPersonalData(ApiObject):
    """
    Number and locations of findings of one kind of personal data, without the values.
    """

    kind: str
    """
    Kind of personal data, such as `email`.
    """
    count: int
    """
    Number of findings.
    """
    places: list[list[int | str]]
    """
    Locations of the first findings: line number and JSON Pointer.
    """


class ReportSystemPrompts(ApiObject):
    """
    Statistics on system prompts.

    `top_share` is the share of all rows that have the most common system prompt.
    """

    distinct: int
    """
    Number of different system prompts.
    """
    rows_without: int
    """
    Number of rows without a system prompt.
    """
    top_share: float
    """
    Share of all rows that have the most common system prompt.
    """


class ReportAdvice(ApiObject):
    """
    Recommended action, with its reason and evidence. The most urgent advice comes first.

    Title and text are made of `variant`, the code of their wording, and `figures`, so a program can
    show them in another language. In reports of earlier versions, both are empty.
    """

    code: str
    """
    Machine-readable code of the recommendation.
    """
    title: str
    """
    Recommended action in a few words.
    """
    text: str
    """
    Recommended action, and the reason for it.
    """
    evidence: dict[str, float]
    """
    Figures that the recommendation is based on, by name.
    """
    lines: list[int] = []
    """
    Line numbers of examples.
    """
    variant: str = ""
    """
    Code of the wording of title and text.
    """
    figures: dict[str, Any] | None = None
    """
    Values in title and text, by name.
    """


class ReportRowPair(ApiObject):
    """
    Two rows that are worth comparing.

    `similarity` is the share of words, or of characters in scripts without spaces, that the rows
    have in common in the same order, from 0 to 1, ignoring punctuation and politeness. For
    `contradiction`, only the questions count. In the texts, detected personal data is masked, and
    long texts are truncated. The kinds `same_meaning`, `meaning_contradiction`, and
    `meaning_overlap` occur only in reports of earlier versions. For `overlap` and
    `meaning_overlap`, `line` refers to the validation file, and `other_line` to the training file.
    """

    kind: Literal[
        "contradiction",
        "meaning_contradiction",
        "meaning_overlap",
        "near_duplicate",
        "overlap",
        "same_form",
        "same_meaning",
    ]
    """
    Why the rows are worth comparing.
    """
    line: int
    """
    Line of the first row.
    """
    other_line: int
    """
    Line of the second row.
    """
    similarity: float
    """
    Similarity from 0 to 1.
    """
    text: str
    """
    Text of the first row, with personal data masked.
    """
    other_text: str
    """
    Text of the second row, with personal data masked.
    """


class ReportScores(ApiObject):
    """
    Quality scores of the rows, from 0 to 1.

    A score is 1, minus the weight of each kind of finding in the row, and at least 0. A broken row
    has 0. `weights` has the amount by which each kind of finding in this file lowers a score. The
    bins of the histogram are a tenth wide; the last one has the rows with a score of 1.
    """

    mean: float
    """
    Mean score of all rows.
    """
    histogram: ReportHistogram
    """
    Histogram of the scores in bins of 0.1. The last bin has the rows with a score of 1.
    """
    weights: dict[str, float]
    """
    Amount by which each kind of finding in this file lowers the score of a row.
    """


class ReportSuitability(ApiObject):
    """
    Whether a data set is ready for training.
    """

    code: str
    """
    Code of the sentence.
    """
    sentence: str
    """
    Whether the data set is ready, and what comes first if not.
    """
    figures: dict[str, Any]
    """
    Values in the sentence, by name.
    """


class ReportMeanings(ApiObject):
    """
    Rows that a text encoder called equal in meaning, in reports of earlier versions.
    """

    encoder: str
    """
    Name of the text encoder.
    """
    questions: int
    """
    Number of compared questions.
    """
    skipped: int
    """
    Number of questions that were not compared.
    """
    same_meaning: int
    """
    Number of rows that mean the same as another row.
    """
    contradictions: int
    """
    Number of rows that ask the same as another row and answer it differently.
    """
    overlap: int
    """
    Number of rows of the validation file that mean the same as a training row.
    """


class DetectedFormat(ApiObject):
    """
    Format in which the file was read.

    `columns` maps the shape's fields to the file's columns. `header_row` is the number of the row
    that names the columns of a table, and 0 if none does. `shape` is null if the columns form none.
    """

    container: str
    """
    File format, such as `csv` or `jsonl`.
    """
    compression: str | None
    """
    Compression, such as `gzip`; null if there is none.
    """
    encoding: str | None
    """
    Text encoding; null for binary formats.
    """
    delimiter: str | None
    """
    Delimiter of the fields of a table; null for other formats.
    """
    sheet: str | None
    """
    Sheet of a workbook; null for other formats.
    """
    header_row: int | None
    """
    Number of the row that names the columns, or 0 if none does; null if the file is no table.
    """
    shape: str | None
    """
    Shape of the rows, such as `chat` or `alpaca`; null if the columns form none.
    """
    columns: dict[str, str]
    """
    Column of the file for each of the shape's fields.
    """
    unused_columns: list[str]
    """
    Columns that are not used.
    """


class FormatSheetChoice(ApiObject):
    """
    Sheet of a workbook, with its first row.
    """

    sheet: str
    """
    Name of the sheet.
    """
    cells: list[str]
    """
    Cells of its first row.
    """


class FormatHeaderRowChoice(ApiObject):
    """
    Row that could name the columns of a table. With 0, no row does.
    """

    header_row: int
    """
    Number of the row, or 0 for no header row.
    """
    cells: list[str]
    """
    Cells of the row.
    """


class FormatEncodingChoice(ApiObject):
    """
    Encoding that the text could have, with a sample decoded in it.
    """

    encoding: str
    """
    Name of the encoding.
    """
    sample: str
    """
    Text decoded with this encoding.
    """


class FormatDelimiterChoice(ApiObject):
    """
    Delimiter that splits most lines of a table into the same number of fields.
    """

    delimiter: str
    """
    Delimiter of the fields.
    """
    fields: int
    """
    Number of fields per line.
    """


class FormatShapeChoice(ApiObject):
    """
    Shape that the columns can form, with the column of each of its fields.
    """

    shape: str
    """
    Name of the shape.
    """
    columns: dict[str, str]
    """
    Column of the file for each of the shape's fields.
    """


class FormatColumnsChoice(ApiObject):
    """
    Columns of a file whose columns are not recognized.

    `columns` maps the fields `prompt` and `completion` to the best candidate, if there is one.
    """

    names: list[str]
    """
    Names of all columns.
    """
    columns: dict[str, str]
    """
    Best candidates for the fields `prompt` and `completion`.
    """


class FormatGroupByChoice(ApiObject):
    """
    Column that could have the ID of the conversation, if each row is a message.
    """

    group_by: str
    """
    Name of the column.
    """


class FileDiffShift(ApiObject):
    """
    A statistic that differs between two files.

    `before` and `after` are shares of the rows, medians of lengths and turns, or findings of
    personal data per row. `name` is the language, the class, or the kind of personal data. `size`
    is how much differs, from 0 to 1: the difference of the shares or, for lengths and turns, the
    largest difference between the shares of rows up to any value.
    """

    measure: Literal[
        "answer_characters",
        "class",
        "language",
        "personal_data",
        "question_characters",
        "system_prompts",
        "tools",
        "turns",
    ]
    """
    What differs.
    """
    name: str | None
    """
    Language, class or kind of personal data; null for other measures.
    """
    before: float
    """
    Value in the first file.
    """
    after: float
    """
    Value in the second file.
    """
    size: float
    """
    Size of the difference, from 0 to 1.
    """
    text: str
    """
    The difference in words.
    """


class ChatCompletionChunkChoice(ApiObject):
    """
    Part of a generated chat message.
    """

    index: int
    """
    Position of the choice in the list of choices, starting at 0.
    """
    finish_reason: str | None
    """
    Reason generation ended. `stop`: the model finished. `length`: the token limit was reached. `tool_calls`: the model called tools.
    """
    delta: ChatCompletionDelta
    """
    What the event adds to the message.
    """


class ErrorResponse(ApiObject):
    """
    Body of every failed request, in the format that OpenAI's SDKs expect.
    """

    error: ErrorDetail
    """
    What went wrong.
    """


class AuditLogActorSession(ApiObject):
    """
    Session of an actor without a valid API key.
    """

    ip_address: str | None
    """
    Address that the request came from.
    """
    user: AuditLogActorUser
    """
    Actor without an API key: `operator` for commands on the server, or `finetuned` for the service itself.
    """


class AdminApiKey(ApiObject):
    """
    A key with the role `admin`, without its secret.
    """

    object: Literal["organization.admin_api_key"]
    """
    Type of the object. Always `organization.admin_api_key`.
    """
    id: str
    """
    ID of the key, prefixed with `key_`.
    """
    name: str
    """
    Name of the key.
    """
    redacted_value: str
    """
    Redacted secret with its last characters.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    last_used_at: int | None
    """
    Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated within a minute.
    """
    expires_at: int | None
    """
    Time at which the key expires, as a Unix timestamp in seconds, or null.
    """
    owner: AdminApiKeyOwner
    """
    Program that uses an admin key, under the name of the key.
    """
    project_id: str
    """
    ID of the project to which the key belongs.
    """


class HumanReviewAgreement(ApiObject):
    """
    Agreement of people with the measure that decided, on pairs of answers.
    """

    metric: str
    """
    Metric that decided the verdict.
    """
    agreements: float
    """
    Number of pairs on which both agree; a tie of the metric counts as half.
    """
    pairs: int
    """
    Number of pairs of answers of which most labels prefer one.
    """
    share: HumanReviewShare
    """
    Share of these pairs, with Wilson's interval.
    """
    is_human: Literal[True]
    """
    Always true: people labeled them.
    """


class AliasChange(ApiObject):
    """
    A change to an alias.
    """

    id: str
    """
    `etag` of the alias after the change.
    """
    object: Literal["alias.change"]
    """
    Type of the object. Always `alias.change`.
    """
    generation: int
    """
    Generation of the alias after the change.
    """
    created_at: int
    """
    Time of the change, as a Unix timestamp in seconds.
    """
    action: Literal["set", "rollback"]
    """
    Type of the change.
    """
    api_key_id: str
    """
    ID of the API key that made the change.
    """
    previous_targets: list[AliasTarget]
    """
    Targets before the change; empty if the alias was new.
    """
    targets: list[AliasTarget]
    """
    Targets after the change. They equal `previous_targets` if only the gate was changed.
    """
    gate: dict[str, str] | None = None
    """
    Gate after the change; empty if there is none.
    """
    forced: bool = False
    """
    Whether the change was made although the gate failed.
    """
    failed_conditions: Annotated[list[FailedCondition], Field(validate_default=True)] = []
    """
    Conditions that the targets did not meet; empty unless `forced`.
    """
    suites: Annotated[list[AliasSuite], Field(validate_default=True)] = []
    """
    Suites after the change; empty if there are none.
    """
    loosened: bool = False
    """
    Whether a suite was removed, or a bound of one lowered.
    """
    reason: str | None = None
    """
    Reason why the conditions were overridden, or suites loosened; or null.
    """


class AliasCheck(ApiObject):
    """
    Check of an alias: its suites, run with a model.
    """

    id: str
    """
    ID of the check. Starts with `aliascheck-`.
    """
    object: Literal["alias.check"]
    """
    Type of the object. Always `alias.check`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    alias: str
    """
    Name of the alias.
    """
    move: bool
    """
    Whether the alias moves to the model if it passes.
    """
    scheduled: bool
    """
    Whether the alias's schedule created the check.
    """
    runs: list[AliasCheckRun]
    """
    Runs of the suites.
    """
    result: AliasCheckResult | None
    """
    Outcome; null unless the status is `completed`.
    """


class Alias(ApiObject):
    """
    A project-defined name for a model, or for a split between two models.
    """

    id: str
    """
    Name of the alias, to use as the model name in requests.
    """
    object: Literal["alias"]
    """
    Type of the object. Always `alias`.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    updated_at: int
    """
    Time of the last change, as a Unix timestamp in seconds.
    """
    generation: int
    """
    Version number of the alias. Starts at 1 and increases by 1 with each change.
    """
    etag: str
    """
    Entity tag of the alias, to be sent as `If-Match` in changes.
    """
    targets: list[AliasTarget]
    """
    Models that receive the requests.
    """
    gate: dict[str, str] | None = None
    """
    Conditions that the evaluation of a trained model must meet before the alias points at it; empty if there are none.
    """
    suites: Annotated[list[AliasSuite], Field(validate_default=True)] = []
    """
    Evals that a new model must pass before the alias points at it.
    """
    schedule: str | None = None
    """
    Cron expression in UTC of the times at which the suites are run again; null if there is none.
    """
    next_check_at: int | None = None
    """
    Time of the next check by the schedule, as a Unix timestamp in seconds; null without a schedule or suites.
    """


class ApiKeyLimitUsage(ApiObject):
    """
    Limits that apply to an API key or a project, and how much of them is used.
    """

    requests_per_minute: LimitUsage
    """
    A limit, and how much of it is used.
    """
    tokens_per_minute: LimitUsage
    """
    A limit, and how much of it is used.
    """
    concurrent_requests: LimitUsage
    """
    A limit, and how much of it is used.
    """
    concurrent_streams: LimitUsage
    """
    A limit, and how much of it is used.
    """


class AuditLogActor(ApiObject):
    """
    Actor of an event: an API key, or a session without one.
    """

    type: Literal["api_key", "session"]
    """
    Type of the actor. `api_key`: a valid key was sent. `session`: none was.
    """
    api_key: AuditLogActorApiKey | None = None
    """
    API key that was used.
    """
    session: AuditLogActorSession | None = None
    """
    Session of an actor without a valid API key.
    """


class AuditLog(ApiObject):
    """
    Entry of the audit log.

    As in OpenAI's format, a field named after the entry's `type` has the `id` of the object, or the
    `error_code` of a rejection. Entries contain IDs and numbers, and the reason
    of an override, never content.
    """

    object: Literal["organization.audit_log"]
    """
    Type of the object. Always `organization.audit_log`.
    """
    id: str
    """
    ID of the entry.
    """
    type: str
    """
    Type of the event.
    """
    effective_at: int
    """
    Time of the event, in Unix seconds.
    """
    project: AuditLogProject | None
    """
    Project that the entry is about.
    """
    actor: AuditLogActor
    """
    Actor of an event: an API key, or a session without one.
    """
    objects: list[str]
    """
    IDs of the objects that were changed or read, and of those that they belong to; at most 100.
    """
    counts: dict[str, int]
    """
    Counts, such as the number of bytes read or of requests.
    """
    request: AuditLogRequest
    """
    Request that the entry is about.
    """
    result: AuditLogResult
    """
    Result of the request.
    """
    reason: str | None = None
    """
    Reason that the caller gave for an override, or null.
    """


class AuditLogVerification(ApiObject):
    """
    Result of a verification of the audit log.
    """

    object: Literal["organization.audit_log.verification"]
    """
    Type of the object. Always `organization.audit_log.verification`.
    """
    status: Literal["intact", "damaged", "empty"]
    """
    Result. `intact`: no sealed entry was changed, deleted, added or moved. `damaged`: `problems` says what is wrong. `empty`: no entry is sealed yet.
    """
    verified_at: int
    """
    Time of the verification, in Unix seconds.
    """
    sealed: SealedUntil | None
    """
    Newest valid checkpoint. Null if no entry is sealed.
    """
    entries_deleted: int
    """
    Number of sealed entries that were deleted because of their age, as checkpoints state.
    """
    entries_unsealed: int
    """
    Number of newer entries, which are not sealed yet and cannot be verified.
    """
    problems: list[str]
    """
    Problems found. Empty if there are none.
    """
    notes: list[str]
    """
    Facts that an auditor should know, such as changes of the retention.
    """


class Batch(ApiObject):
    """
    Batch of requests from a file, which are answered at the lowest priority.
    """

    id: str
    """
    ID of the batch, prefixed with `batch_`.
    """
    object: Literal["batch"]
    """
    Type of the object. Always `batch`.
    """
    endpoint: str
    """
    Endpoint to which every request of the batch is sent.
    """
    model: str | None
    """
    Model that all requests name; null until the input file is checked.
    """
    errors: BatchErrors | None
    """
    Reasons why the batch failed, or null.
    """
    input_file_id: str
    """
    ID of the input file.
    """
    completion_window: str
    """
    Time after which the batch expires.
    """
    status: Literal[
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    """
    Status of the batch.
    """
    output_file_id: str | None
    """
    ID of the file with the answers; null until the batch has ended, or if there are none.
    """
    error_file_id: str | None
    """
    ID of the file with the requests that were refused, failed or not sent; null until the batch has ended, or if there are none.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    in_progress_at: int | None
    """
    Time at which the first request was sent, as a Unix timestamp in seconds.
    """
    expires_at: int
    """
    Expiration time, as a Unix timestamp in seconds.
    """
    finalizing_at: int | None
    """
    Time at which the writing of the files began, as a Unix timestamp in seconds.
    """
    completed_at: int | None
    """
    Time at which the batch was completed, as a Unix timestamp in seconds.
    """
    failed_at: int | None
    """
    Time at which the batch failed, as a Unix timestamp in seconds.
    """
    expired_at: int | None
    """
    Time at which the batch expired, as a Unix timestamp in seconds.
    """
    cancelling_at: int | None
    """
    Time at which the cancellation was requested, as a Unix timestamp in seconds.
    """
    cancelled_at: int | None
    """
    Time at which the batch was cancelled, as a Unix timestamp in seconds.
    """
    request_counts: BatchRequestCounts
    """
    Request counts of a batch.
    """
    usage: BatchUsage
    """
    Tokens of the answered requests of a batch.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the batch.
    """


class ChatCompletionChoice(ApiObject):
    """
    A generated chat message.
    """

    index: int
    """
    Position of the choice in the list of choices, starting at 0.
    """
    finish_reason: str | None
    """
    Reason generation ended. `stop`: the model finished. `length`: the token limit was reached. `tool_calls`: the model called tools.
    """
    message: ChatMessage
    """
    Generated message.
    """


class Completion(ApiObject):
    """
    Text completion, as in the OpenAI API.
    """

    id: str
    """
    ID of the completion.
    """
    created: int
    """
    Unix timestamp in seconds (UTC).
    """
    model: str
    """
    Model that generated the response.
    """
    usage: CompletionUsage | None = None
    """
    Token counts of a request.
    """
    object: Literal["text_completion"]
    """
    Type of the object. Always `text_completion`.
    """
    choices: list[CompletionChoice]
    """
    Generated texts, one per requested choice.
    """


class CreateChatCompletion(ApiObject):
    """
    Chat completion request, as in the OpenAI API.
    """

    model: str
    """
    ID of a base model, a trained model or an alias in the project.
    """
    stream: bool | None = False
    """
    Whether to stream the response as server-sent events.
    """
    temperature: float | None = None
    """
    Sampling temperature. 0 selects the most likely token at each step.
    """
    top_p: float | None = None
    """
    Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value.
    """
    stream_options: StreamOptions | None = None
    """
    Options for streaming responses.
    """
    max_tokens: int | None = None
    """
    Maximum number of tokens to generate.
    """
    n: int | None = None
    """
    Number of completions to generate for each prompt. The total across all prompts is limited to 16 unless the operator configures another limit.
    """
    stop: str | list[str] | None = None
    """
    Sequences at which generation stops.
    """
    seed: int | None = None
    """
    Sampling seed. The same seed gives the same output.
    """
    frequency_penalty: float | None = None
    """
    Penalty for a token that grows with each of its occurrences in the text.
    """
    presence_penalty: float | None = None
    """
    Penalty for tokens that occur in the text.
    """
    messages: list[ChatMessage]
    """
    Messages of the conversation.
    """
    max_completion_tokens: int | None = None
    """
    Maximum number of tokens to generate. Not together with `max_tokens`.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call.
    """
    tool_choice: Any | None = None
    """
    Tool selection: `auto`, `none`, `required`, the one tool to call, or the `allowed_tools`.
    """
    chat_template_kwargs: ReasoningOptions | None = None
    """
    Reasoning options, named as in the chat templates of the base models.
    """
    response_format: dict[str, Any] | None = None
    """
    Output format: plain JSON, or JSON that matches a schema.
    """
    logprobs: bool | None = None
    """
    Whether to return the log probability of each output token.
    """


class CreateCompletion(ApiObject):
    """
    Text completion request, as in the OpenAI API.
    """

    model: str
    """
    ID of a base model, a trained model or an alias in the project.
    """
    stream: bool | None = False
    """
    Whether to stream the response as server-sent events.
    """
    temperature: float | None = None
    """
    Sampling temperature. 0 selects the most likely token at each step.
    """
    top_p: float | None = None
    """
    Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value.
    """
    stream_options: StreamOptions | None = None
    """
    Options for streaming responses.
    """
    max_tokens: int | None = None
    """
    Maximum number of tokens to generate.
    """
    n: int | None = None
    """
    Number of completions to generate for each prompt. The total across all prompts is limited to 16 unless the operator configures another limit.
    """
    stop: str | list[str] | None = None
    """
    Sequences at which generation stops.
    """
    seed: int | None = None
    """
    Sampling seed. The same seed gives the same output.
    """
    frequency_penalty: float | None = None
    """
    Penalty for a token that grows with each of its occurrences in the text.
    """
    presence_penalty: float | None = None
    """
    Penalty for tokens that occur in the text.
    """
    prompt: str | list[str] | list[int] | list[list[int]]
    """
    Prompt or prompts, as text or token IDs.
    """
    echo: bool | None = None
    """
    Whether to return the prompt before the output.
    """
    logprobs: int | None = None
    """
    Number of most likely tokens to return log probabilities for.
    """


class CreateDatasetCleaning(ApiObject):
    """
    Request to clean a file. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

    drop_broken: bool = True
    """
    Whether to drop invalid rows. If false, an invalid row fails the cleaning.
    """
    exact_duplicates: bool = True
    """
    Whether to remove exact duplicates: rows identical to an earlier row in all content used for training (system prompt, tools, messages, rejected answer and label).
    """
    near_duplicates: bool = False
    """
    Whether to also remove near duplicates: rows that mean the same as an earlier row with the same system prompt, tools, rejected answer and label. Rows that differ in a number, a date, a name, or a negation are kept. The report shows the pairs.
    """
    near_threshold: float = 0.8
    """
    Similarity at or above which two rows with the same facts are near duplicates: the share of words, or of characters in scripts without spaces, that each turn has in common with its counterpart. At 1, they differ only in case, spacing, punctuation, and politeness.
    """
    contradictions: Literal["keep", "first", "last", "most_common", "longest", "drop"] = "keep"
    """
    Answer to keep if a question has several different answers. In labeled data: label to keep if the same answer to a question has both.
    """
    personal_data: Literal["keep", "mask", "pseudonym"] = "keep"
    """
    Treatment of personal data. `mask` replaces a value with a placeholder such as [EMAIL]; `pseudonym` uses numbered placeholders such as [EMAIL_1], the same for the same value. A value found anywhere in the file is replaced throughout the file, in every spelling. The recognizers of the project apply as well.
    """
    possible_personal_data: bool = False
    """
    Whether to also treat numbers that are only possibly personal data: they have the form of a telephone number or a national ID, but no word before them confirms it. Only with `personal_data`: `mask` or `pseudonym`.
    """
    unicode: Literal["keep", "NFC", "NFKC"] = "keep"
    """
    Unicode normalization form. NFKC also folds compatibility characters such as full-width letters.
    """
    mend_mojibake: bool = False
    """
    Whether to repair mojibake: text that was decoded with the wrong encoding.
    """
    drop_control_characters: bool = False
    """
    Whether to remove control characters other than tabs and line breaks.
    """
    validation_share: float = 0.0
    """
    Fraction of the rows to write to a validation file.
    """
    seed: int = 0
    """
    Random seed of the validation split.
    """
    file_id: str
    """
    ID of the source file.
    """
    decisions_file_id: str | None = None
    """
    ID of a file of the purpose `user_data` with decisions on single rows, one JSON object per line: `{"line": 7, "action": "keep"}`, `"drop"`, or `"edit"` with the `row` to use instead. A row that is kept or edited is not dropped as a duplicate or contradiction.
    """
    use_reviews: bool = False
    """
    Whether to apply the reviews that the file has when the cleaning is created, as decisions on single rows: approved rows are kept, rejected ones dropped, and edited ones replaced. Not together with `decisions_file_id`.
    """
    format: FileFormat | None = None
    """
    Format options of the file. Defaults to the options given at upload.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the cleaning; up to 16.
    """


class CreateDatasetGeneration(ApiObject):
    """
    Request to generate training rows from documents.
    """

    document_ids: list[str]
    """
    IDs of files with the purpose `user_data`: plain text, Markdown or HTML in any common encoding, up to 20 MiB together.
    """
    model: str
    """
    Model of this installation that writes and checks the rows. A larger model writes better ones.
    """
    kinds: list[Literal["questions", "rewrites", "refusals"]] = ["questions"]
    """
    Kinds of rows: `questions` that a passage answers, `rewrites` of such questions in other words, and `refusals`, which are questions that the documents do not answer. Together with other kinds, one passage in four gets a refusal.
    """
    language: str | None = None
    """
    BCP 47 tag of the language of the rows; null for the language of each passage.
    """
    n: int = 100
    """
    Target row count.
    """
    max_tokens_total: int | None = None
    """
    Number of input and output tokens after which no more requests are sent to the model. Requests in progress may exceed it.
    """
    seed: int = 0
    """
    Random seed for choosing and ordering passages.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the generation; up to 16.
    """


class CreateDatasetMerge(ApiObject):
    """
    Request to merge training files.
    """

    files: list[FileToMerge]
    """
    Files to merge. Their rows have one format, such as chats or prompts for graders.
    """
    filename: str = "merged.jsonl"
    """
    Name of the merged file.
    """
    exact_duplicates: bool = True
    """
    Whether to keep only the first of the rows that are identical in all content used for training, in the order of `files`.
    """
    balance: Literal["none", "files", "languages"] = "none"
    """
    `files` takes the same number of rows from each file, and `languages` from each language. Rows of unknown languages, and of languages with less than 2% of the rows, are all kept.
    """
    seed: int = 0
    """
    Random seed for choosing rows.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the merge; up to 16.
    """


class CreateDatasetPreview(ApiObject):
    """
    Request for a preview of a training file.
    """

    file_id: str
    """
    ID of the file, which has the purpose `fine-tune`.
    """
    format: FileFormat | None = None
    """
    Format options to read the file with; with `{}`, everything is detected. Defaults to the options given at upload.
    """
    limit: int = 20
    """
    Maximum number of rows. Fewer are shown if they are large.
    """
    personal_data: Literal["mask", "show"] = "show"
    """
    Whether to replace personal data in the rows by labels such as `[EMAIL]`, or to show it.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the preview; up to 16.
    """


class CreateErasure(ApiObject):
    """
    Request to find rows in all files and stored chats of the project, and to erase them.
    """

    match: ErasureRowMatch
    """
    Rows to find.
    """
    apply: bool = False
    """
    Whether to replace each file by one without the rows, and to delete the stored chats. Otherwise, they are only listed.
    """
    cascade: bool = False
    """
    Whether to delete the models trained on the files too, with their checkpoints, exports and evaluations. Needs `apply`.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs attached to the erasure; up to 16.
    """


class CreateApiKey(ApiObject):
    """
    Request to create an API key.
    """

    name: str
    """
    Name of the key.
    """
    role: Literal[
        "admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"
    ] = "member"
    """
    Role of the key. It cannot have more permissions than the role of the key that creates it.
    """
    models: list[str] | None = None
    """
    The only models of a key with the role `inference`: names of base models, trained models or aliases. An alias follows its target. `null` allows all.
    """
    expires_in_seconds: int | None = None
    """
    Seconds until the key expires, up to ten years. `null`: never.
    """
    allowed_ips: list[str] | None = None
    """
    IP addresses and CIDR ranges that requests with the key may come from. `null` allows all.
    """
    limits: ApiKeyLimits | None = None
    """
    Limits of an API key.
    """


class CreateProject(ApiObject):
    """
    Request to create a project.
    """

    name: str
    """
    Name of the project: up to 40 lowercase letters, digits and hyphens. It becomes part of the names of its models, and cannot be changed.
    """
    limits: ProjectLimits | None = None
    """
    Limits of a project.
    """


class CreateResponse(ApiObject):
    """
    Response request, as in the OpenAI Responses API.
    """

    model: str
    """
    ID of a base model, a trained model or an alias in the project.
    """
    stream: bool | None = False
    """
    Whether to stream the response as server-sent events.
    """
    temperature: float | None = None
    """
    Sampling temperature. 0 selects the most likely token at each step.
    """
    top_p: float | None = None
    """
    Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value.
    """
    input: str | list[dict[str, Any]]
    """
    Input text, or a list of input items.
    """
    instructions: str | None = None
    """
    System message.
    """
    max_output_tokens: int | None = None
    """
    Maximum number of tokens to generate.
    """
    tools: list[dict[str, Any]] | None = None
    """
    Functions that the model may call.
    """
    chat_template_kwargs: ReasoningOptions | None = None
    """
    Reasoning options, named as in the chat templates of the base models.
    """


class CreateStoredChatFile(ApiObject):
    """
    Request to create a training file from stored chat completions.
    """

    model: str | None = None
    """
    Only chats that this model answered; null for all models.
    """
    created_after: int | None = None
    """
    Earliest time of a chat, as a Unix timestamp in seconds.
    """
    created_before: int | None = None
    """
    Latest time of a chat, as a Unix timestamp in seconds.
    """
    metadata: dict[str, str] | None = None
    """
    Metadata that a chat must have. All pairs must match.
    """
    limit: int = 10000
    """
    Maximum number of rows. If there are more chats, the newest are used.
    """
    filename: str = "stored-chats.jsonl"
    """
    Name of the file.
    """
    expires_after: FileExpiresAfter | None = None
    """
    When the file expires; null for never.
    """


class CreateWebhookEndpoint(ApiObject):
    """
    Request to create a webhook endpoint.
    """

    name: str
    """
    Name of the endpoint.
    """
    url: str
    """
    Absolute http or https URL. The operator must allow its host and port.
    """
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
    """
    Event types to deliver.
    """


class DatasetCleaning(ApiObject):
    """
    Cleaning of a file. Its outputs are separate files, which are kept when it is deleted.
    """

    id: str
    """
    ID of the cleaning. Starts with `fileclean-`.
    """
    object: Literal["dataset.cleaning"]
    """
    Type of the object. Always `dataset.cleaning`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the source file.
    """
    drop_broken: bool = True
    """
    Whether to drop invalid rows. If false, an invalid row fails the cleaning.
    """
    exact_duplicates: bool = True
    """
    Whether to remove exact duplicates: rows identical to an earlier row in all content used for training (system prompt, tools, messages, rejected answer and label).
    """
    near_duplicates: bool = False
    """
    Whether to also remove near duplicates: rows that mean the same as an earlier row with the same system prompt, tools, rejected answer and label. Rows that differ in a number, a date, a name, or a negation are kept. The report shows the pairs.
    """
    near_threshold: float = 0.8
    """
    Similarity at or above which two rows with the same facts are near duplicates: the share of words, or of characters in scripts without spaces, that each turn has in common with its counterpart. At 1, they differ only in case, spacing, punctuation, and politeness.
    """
    contradictions: Literal["keep", "first", "last", "most_common", "longest", "drop"] = "keep"
    """
    Answer to keep if a question has several different answers. In labeled data: label to keep if the same answer to a question has both.
    """
    personal_data: Literal["keep", "mask", "pseudonym"] = "keep"
    """
    Treatment of personal data. `mask` replaces a value with a placeholder such as [EMAIL]; `pseudonym` uses numbered placeholders such as [EMAIL_1], the same for the same value. A value found anywhere in the file is replaced throughout the file, in every spelling. The recognizers of the project apply as well.
    """
    possible_personal_data: bool = False
    """
    Whether to also treat numbers that are only possibly personal data: they have the form of a telephone number or a national ID, but no word before them confirms it. Only with `personal_data`: `mask` or `pseudonym`.
    """
    unicode: Literal["keep", "NFC", "NFKC"] = "keep"
    """
    Unicode normalization form. NFKC also folds compatibility characters such as full-width letters.
    """
    mend_mojibake: bool = False
    """
    Whether to repair mojibake: text that was decoded with the wrong encoding.
    """
    drop_control_characters: bool = False
    """
    Whether to remove control characters other than tabs and line breaks.
    """
    validation_share: float = 0.0
    """
    Fraction of the rows to write to a validation file.
    """
    seed: int = 0
    """
    Random seed of the validation split.
    """
    decisions_file_id: str | None
    """
    ID of the file with decisions on single rows; null if there is none.
    """
    use_reviews: bool
    """
    Whether the reviews of the file are applied as decisions on single rows.
    """
    format: dict[str, Any] | None
    """
    Format options of the file; null if those given at upload are used.
    """
    result: DatasetCleaningResult | None
    """
    Files and what was done; null unless the status is `completed`.
    """


class DatasetDiff(ApiObject):
    """
    Comparison of a training file with a later one.
    """

    id: str
    """
    ID of the diff. Starts with `filediff-`.
    """
    object: Literal["dataset.diff"]
    """
    Type of the object. Always `dataset.diff`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the earlier file.
    """
    other_file_id: str
    """
    ID of the later file.
    """
    result: DatasetDiffResult | None
    """
    Numbers of rows that differ. Null unless the status is `completed`, and for diffs that version 0.2 created.
    """


class DatasetMergeResult(ApiObject):
    """
    Files that a merge made, and what became of the rows.
    """

    merged_file_id: str
    """
    ID of the merged file.
    """
    diff_file_id: str
    """
    ID of a JSON Lines file that names each row that was left out, with the reason, and each row that conflicts with one of another file.
    """
    rows: int
    """
    Number of rows in the merged file.
    """
    sources: list[FileMergeSource]
    """
    Result of the merge for the rows of each file.
    """
    languages: dict[str, int]
    """
    Number of rows in the merged file, by language.
    """
    conflicts: int
    """
    Number of questions in the merged file that several files answer differently.
    """
    conflict_examples: list[list[FileMergeRow]]
    """
    Rows of the first 20 conflicts, up to five each.
    """


class DatasetPreview(ApiObject):
    """
    Preview of a training file: its first rows, as other format options would read them.
    """

    id: str
    """
    ID of the preview. Starts with `filepreview-`.
    """
    object: Literal["dataset.preview"]
    """
    Type of the object. Always `dataset.preview`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the file.
    """
    format: dict[str, Any]
    """
    Format options that the file is read with.
    """
    limit: int
    """
    Maximum number of rows.
    """
    personal_data: Literal["mask", "show"] = "show"
    """
    Whether personal data in the rows is masked or shown.
    """
    result: DatasetPreviewResult | None
    """
    Detected format and main figures. Null unless the status is `completed`, and for previews that version 0.2 created.
    """


class DatasetReport(ApiObject):
    """
    Report on a training file: statistics, findings and recommendations.
    """

    id: str
    """
    ID of the report. Starts with `filereport-`.
    """
    object: Literal["dataset.report"]
    """
    Type of the object. Always `dataset.report`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the file.
    """
    models: list[str]
    """
    Base models whose tokenizers count tokens.
    """
    validation_file_id: str | None
    """
    ID of the validation file that is checked for shared rows, or null.
    """
    result: DatasetReportResult | None
    """
    Main figures of the report. Null unless the status is `completed`, and for reports that version 0.2 created.
    """


class DpoHyperparameters(ApiObject):
    """
    DPO hyperparameters: the supervised ones plus `beta`.
    """

    batch_size: int | Literal["auto"] | None = None
    """
    Number of rows per training step. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"] | None = None
    """
    Number of passes over the training data. Default: `auto`.
    """
    learning_rate: float | Literal["auto"] | None = None
    """
    Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`.
    """
    lora: LoraOptions | None = None
    """
    LoRA adapter options.
    """
    quantization: Literal["nf4", "none"] = "nf4"
    """
    Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).
    """
    max_seq_length: int | Literal["auto"] | None = None
    """
    Maximum row length in tokens. Longer rows are truncated. Default: `auto`.
    """
    packing: bool | Literal["auto"] | None = None
    """
    Whether to pack several rows into one sequence. Default: `auto`.
    """
    warm_start: str | None = None
    """
    Fine-tuned model whose adapter weights training starts from. It must have the same base model.
    """
    validation_share: float | None = None
    """
    Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
    """
    early_stopping: EarlyStopping | None = None
    """
    Early-stopping rule. Disabled if omitted.
    """
    keep_best: bool = False
    """
    If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
    """
    beta: float | Literal["auto"] | None = None
    """
    DPO beta. Higher values keep the model closer to the reference model. Default: `auto`.
    """


class DpoMethod(ApiObject):
    """
    Options of direct preference optimization.
    """

    hyperparameters: DpoHyperparameters | None = None
    """
    DPO hyperparameters: the supervised ones plus `beta`.
    """


class Engine(ApiObject):
    """
    A server that runs models: one replica of vLLM.
    """

    object: Literal["organization.engine"]
    """
    Type of the object. Always `organization.engine`.
    """
    id: str
    """
    Address of the engine, as the API sends requests to it.
    """
    model: str
    """
    ID of the base model that the engine serves.
    """
    status: Literal["starting", "warming", "serving", "ejected", "leaving"]
    """
    Status of the engine. `starting`: no sign of life yet. `warming`: its share of the requests grows. `serving`. `ejected`: it failed and gets no requests for now. `leaving`: it is no longer in DNS and finishes its last requests.
    """
    version: str | None
    """
    Version of this service on the engine. Null if the engine does not answer.
    """
    requests_sent: int
    """
    Requests that this API process has sent and that have no complete answer yet.
    """
    requests_running: int | None
    """
    Requests of all API processes that the engine computes. Null if it does not answer.
    """
    requests_waiting: int | None
    """
    Requests that wait inside the engine. Null if it does not answer.
    """
    cache_usage: float | None
    """
    Used share of the memory for the tokens of requests, from 0 to 1. Null if the engine does not answer.
    """
    adapters_loaded: int | None
    """
    Number of adapters in the memory of the engine. Null if unknown.
    """
    adapters_on_disk: int | None
    """
    Number of adapters on the disk of the engine. Null if unknown.
    """
    adapters_running: list[str]
    """
    Models whose requests the engine computes with an adapter.
    """
    adapters_waiting: list[str]
    """
    Models whose requests wait for their adapter or for a free slot.
    """


class ErasureRewrite(ApiObject):
    """
    Rewrite of the files that have all changes of Redis, so that the deleted is in none.
    """

    began_at: int
    """
    Start time, as a Unix timestamp in seconds.
    """
    append_only_file: Literal["rewritten", "off", "not_permitted"]
    """
    What happened to the append-only file of Redis: `rewritten`; `off` if Redis has none; `not_permitted` if Redis refuses `BGREWRITEAOF`, so that the file still has the deleted records until Redis rewrites it by itself.
    """
    journal: Literal["rewritten", "none", "kept"]
    """
    What happened to the journal in storage: `rewritten`; `none` if there is none; `kept` if it is switched off, but has objects from before.
    """
    replicas: int
    """
    Number of replicas of Redis, whose files were not rewritten with it.
    """


class FineTuningEstimate(ApiObject):
    """
    Estimate of the steps, tokens, memory and duration of a job.
    """

    object: Literal["fine_tuning.estimate"]
    """
    Type of the object. Always `fine_tuning.estimate`.
    """
    model: str
    """
    ID of the base model.
    """
    method: str
    """
    Training method.
    """
    hyperparameters: dict[str, Any]
    """
    Hyperparameters, with `auto` values resolved.
    """
    reasons: list[str]
    """
    Reasons for the values of `auto` hyperparameters.
    """
    reason_details: Annotated[list[Reason], Field(validate_default=True)] = []
    """
    Codes and figures of the reasons for hyperparameters.
    """
    rows: int
    """
    Number of training rows.
    """
    steps: int
    """
    Number of training steps.
    """
    trained_tokens: int
    """
    Number of tokens that are trained on in all epochs.
    """
    device: str | None
    """
    Device name of the online worker with the most memory to spare. Null if no worker is online.
    """
    gpus: int | None = None
    """
    Number of that worker's GPUs that the job would use: all, but at most one per row of a batch. 0 on a worker without a GPU. Null if no worker is online.
    """
    sharding: Literal["ddp", "fsdp"] | None = None
    """
    Use of several GPUs: `ddp` (each holds the whole base model) or `fsdp` (each holds a part, which is slower). Null for fewer than two GPUs.
    """
    tokens_at_once: int | None = None
    """
    Number of tokens that the model would process at once, as the worker's memory allows. Null if no worker is online. Like the next two, it does not change the result.
    """
    gradient_checkpointing: bool | None = None
    """
    Whether layers would be computed again for their backward pass, because the memory would not suffice otherwise. Null if no worker is online.
    """
    inputs_on_host: bool | None = None
    """
    Whether the inputs of layers would be kept in the machine's memory, because the GPU's memory would not suffice for the longest row. Null if no worker is online.
    """
    memory: FineTuningMemoryEstimate | None
    """
    Memory estimate for that worker. Null if no worker is online.
    """
    fits: bool | None
    """
    Whether the job fits into the memory of an online worker. Null if no worker is online.
    """
    advice: str | None
    """
    Change that would make the job fit the worker.
    """
    fitting_settings: FittingSettings | None = None
    """
    The settings of `advice`. Null if the job fits, or if no setting suffices.
    """
    duration: FineTuningDurationEstimate | None
    """
    Estimated duration of the training from start to end, in seconds.
    """


class EvalComparisonItem(ApiObject):
    """
    Item of a comparison, with its outcome in each run that has one.
    """

    id: str
    """
    ID of the output item in the first of the runs that has it.
    """
    change: Literal["worse", "missing", "equal", "better"]
    """
    Change from the baseline, or the worst one of several runs. `missing`: a run has no score.
    """
    difference: float | None
    """
    Difference of the mean score, or null.
    """
    datasource_item: dict[str, Any]
    """
    Item of the data source.
    """
    outputs: list[EvalComparisonOutput]
    """
    Outcomes in the order of the runs.
    """


class EvalComparisonRun(ApiObject):
    """
    Figures of one run of a comparison.
    """

    run_id: str
    """
    ID of the run.
    """
    name: str
    """
    Name of the run.
    """
    model: str
    """
    Sampled model; empty if the answers are given.
    """
    status: Literal["queued", "in_progress", "completed", "canceled", "failed"]
    """
    Status of the run.
    """
    items: int
    """
    Number of items with an outcome.
    """
    errored: int
    """
    Number of items that could not be sampled or graded.
    """
    scores: list[EvalComparisonScore]
    """
    Mean scores by metric.
    """
    differences: list[EvalComparisonDifference]
    """
    Differences to the baseline by metric; empty for the baseline itself.
    """
    prompt_tokens: float | None
    """
    Mean prompt tokens per sampled answer.
    """
    completion_tokens: float | None
    """
    Mean generated tokens per sampled answer.
    """
    latency_s: float | None
    """
    Mean seconds from a request to its answer; null if nothing was sampled.
    """
    latency_p95_s: float | None
    """
    Seconds within which 95% of the answers came; null if nothing was sampled.
    """


class EvalRunCriterionResult(ApiObject):
    """
    Outcomes of one grader. `errored`, `mean_score` and `confusion` are extensions of OpenAI's
    schema.
    """

    testing_criteria: str
    """
    Name of the grader.
    """
    passed: int
    """
    Number of items that the grader passed.
    """
    failed: int
    """
    Number of items that failed the grader.
    """
    errored: int
    """
    Number of items that the grader could not grade.
    """
    mean_score: float | None
    """
    Mean score; null if nothing was graded.
    """
    confusion: LabelConfusion | None = None
    """
    Labels of a `label` grader, or those of people (`human_label`) and a judge. Null if there are none, or more than 1,000 different pairs.
    """


class FileObject(ApiObject):
    """
    OpenAI's file object, extended with what the check found and where the file comes from.
    """

    id: str
    """
    ID of the file, prefixed with `file-`.
    """
    object: Literal["file"]
    """
    Type of the object. Always `file`.
    """
    bytes: int
    """
    File size in bytes.
    """
    sha256: str | None = None
    """
    SHA-256 digest of the file's bytes, in hexadecimal.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    filename: str
    """
    Name of the file, as given by the client.
    """
    purpose: Literal[
        "fine-tune",
        "fine-tune-results",
        "user_data",
        "evals",
        "model-import",
        "batch",
        "batch_output",
    ]
    """
    Purpose of a file.
    """
    status: Literal["uploaded", "processed", "error"]
    """
    Status of the file: `uploaded` until it is checked, then `processed` or `error`.
    """
    status_details: str | None = None
    """
    Reason the file cannot be used, with the line and the error.
    """
    expires_at: int | None = None
    """
    Expiration time, as a Unix timestamp in seconds; null if the file never expires.
    """
    rows: int | None = None
    """
    Number of rows found by the check.
    """
    warnings: int | None = None
    """
    Number of warnings found by the check; the report lists them.
    """
    format: dict[str, Any] | None = None
    """
    Format options given at upload.
    """
    found: dict[str, Any] | None = None
    """
    Container, encoding, shape and columns found by the check.
    """
    derived_from: str | None = None
    """
    ID of the file that a cleaning made this one from, if one did.
    """
    cleaning: str | None = None
    """
    ID of the cleaning that made this file, if one did.
    """
    merged_from: list[str] | None = None
    """
    IDs of the files that a merge made this one from, if one did.
    """
    merge: str | None = None
    """
    ID of the merge that made this file, if one did.
    """
    generation: str | None = None
    """
    ID of the generation whose rows this file has, if a model wrote them.
    """
    documents: list[str] | None = None
    """
    IDs of the documents that a model wrote the rows from.
    """


class GenerationIncompleteDetails(ApiObject):
    """
    Reason why a completed generation has fewer rows than the target.
    """

    reason: Literal["max_tokens_total", "no_more_passages"]
    """
    `max_tokens_total` if the tokens were used up, or `no_more_passages` if all passages were asked about.
    """


class GraderMessage(ApiObject):
    """
    Message of a grader's prompt.
    """

    role: Literal["user", "assistant", "system", "developer"]
    """
    Role of the author.
    """
    content: str | GraderTextPart | list[str | GraderTextPart]
    """
    Text, or a list of text parts. May contain template variables.
    """
    type: Literal["message"] | None = None
    """
    Type of the item. Always `message`, or null.
    """


class GraderRun(ApiObject):
    """
    Result of a run of a grader.
    """

    reward: float
    """
    Score of the answer. 0 if it could not be graded.
    """
    sub_rewards: dict[str, float]
    """
    Scores by grader, for a multi grader. Empty for others.
    """
    metadata: GraderRunMetadata
    """
    Metadata of the run.
    """
    model_grader_token_usage_per_model: dict[str, int]
    """
    Number of tokens by judge.
    """


class SupervisedHyperparameters(ApiObject):
    """
    Training hyperparameters: OpenAI's three standard ones and this service's additions.
    """

    batch_size: int | Literal["auto"] | None = None
    """
    Number of rows per training step. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"] | None = None
    """
    Number of passes over the training data. Default: `auto`.
    """
    learning_rate: float | Literal["auto"] | None = None
    """
    Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`.
    """
    lora: LoraOptions | None = None
    """
    LoRA adapter options.
    """
    quantization: Literal["nf4", "none"] = "nf4"
    """
    Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).
    """
    max_seq_length: int | Literal["auto"] | None = None
    """
    Maximum row length in tokens. Longer rows are truncated. Default: `auto`.
    """
    packing: bool | Literal["auto"] | None = None
    """
    Whether to pack several rows into one sequence. Default: `auto`.
    """
    warm_start: str | None = None
    """
    Fine-tuned model whose adapter weights training starts from. It must have the same base model.
    """
    validation_share: float | None = None
    """
    Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
    """
    early_stopping: EarlyStopping | None = None
    """
    Early-stopping rule. Disabled if omitted.
    """
    keep_best: bool = False
    """
    If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
    """


class JobMetrics(ApiObject):
    """
    Metrics of a job by step, in buckets that keep every extreme.
    """

    object: Literal["fine_tuning.job.metrics"]
    """
    Type of the object. Always `fine_tuning.job.metrics`.
    """
    job_id: str
    """
    ID of the job.
    """
    first_step: int | None
    """
    First step in the range that has metrics. Null if none has.
    """
    last_step: int | None
    """
    Last step in the range that has metrics. Null if none has.
    """
    steps_per_bucket: int
    """
    Number of steps that each bucket covers.
    """
    metrics: dict[str, MetricSeries]
    """
    The series of each metric that was measured, by name.
    """


class ApiKeyOwnerAccount(ApiObject):
    """
    Program that uses an API key, under the name of the key.
    """

    id: str
    """
    ID of the service account of the key, or of the key.
    """
    name: str
    """
    Name of the key.
    """
    role: Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    """
    Role of a key.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """


class ApiKeyOwner(ApiObject):
    """
    The owner of an API key, as in the OpenAI API. Keys belong to programs, not to persons.
    """

    type: Literal["service_account"]
    """
    Always `service_account`.
    """
    service_account: ApiKeyOwnerAccount
    """
    Program that uses an API key, under the name of the key.
    """


class KtoHyperparameters(ApiObject):
    """
    KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels.
    """

    batch_size: int | Literal["auto"] | None = None
    """
    Rows per step, at least 2, because KTO compares the answers in a batch. Default: `auto`.
    """
    learning_rate_multiplier: float | Literal["auto"] | None = None
    """
    Multiplier for the default learning rate of the model. Default: `auto`.
    """
    n_epochs: int | Literal["auto"] | None = None
    """
    Number of passes over the training data. Default: `auto`.
    """
    learning_rate: float | Literal["auto"] | None = None
    """
    Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`.
    """
    lora: LoraOptions | None = None
    """
    LoRA adapter options.
    """
    quantization: Literal["nf4", "none"] = "nf4"
    """
    Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).
    """
    max_seq_length: int | Literal["auto"] | None = None
    """
    Maximum row length in tokens. Longer rows are truncated. Default: `auto`.
    """
    packing: bool | Literal["auto"] | None = None
    """
    Whether to pack several rows into one sequence. Default: `auto`.
    """
    warm_start: str | None = None
    """
    Fine-tuned model whose adapter weights training starts from. It must have the same base model.
    """
    validation_share: float | None = None
    """
    Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
    """
    early_stopping: EarlyStopping | None = None
    """
    Early-stopping rule. Disabled if omitted.
    """
    keep_best: bool = False
    """
    If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
    """
    beta: float | Literal["auto"] | None = None
    """
    KTO beta. Higher values keep the model closer to the reference model. Default: `auto`.
    """
    desirable_weight: float | Literal["auto"] | None = None
    """
    Weight of each good answer in the loss, up to 100. `auto` balances good and bad answers. Default: `auto`.
    """
    undesirable_weight: float | Literal["auto"] | None = None
    """
    Weight of each bad answer in the loss, up to 100. `auto` balances good and bad answers. Default: `auto`.
    """


class KtoMethod(ApiObject):
    """
    Options of Kahneman-Tversky optimization.
    """

    hyperparameters: KtoHyperparameters | None = None
    """
    KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels.
    """


class LabelModelGrader(ApiObject):
    """
    Grader that asks a model for a label. Scores 1 if the label passes, else 0.
    """

    name: str
    """
    Name of the grader.
    """
    human_label: str | None = None
    """
    Judgment of a person, usually a template variable. The results of a run show how often the judge agrees with it. Items without one are left out of this comparison. For `label_model` it is one of `labels`; for `score_model`, a score, `pass` or `fail`.
    """
    type: Literal["label_model"]
    """
    Always `label_model`.
    """
    model: str
    """
    Model that judges: any model of the project.
    """
    input: list[GraderMessage]
    """
    Prompt of the judge. May contain template variables.
    """
    labels: list[str]
    """
    Labels that the judge chooses from.
    """
    passing_labels: list[str]
    """
    Labels that pass: a subset of `labels`.
    """


class LabelProgress(ApiObject):
    """
    Progress of the review of a pair of columns.
    """

    rows: int
    """
    Number of rows with two different answers.
    """
    done: int
    """
    Number of rows with `overlap` labels.
    """
    open: int
    """
    Number of rows in the caller's queue.
    """
    own: int
    """
    Number of rows that the caller has labeled.
    """
    reviewers: list[ReviewerProgress]
    """
    Reviewers, the most labels first.
    """


class MarkedRow(ApiObject):
    """
    A row of a file, with what the report found in it, and the positions of personal data.
    """

    id: str
    """
    Position of the row: its line as a string.
    """
    object: Literal["file.row"]
    """
    Type of the object. Always `file.row`.
    """
    line: int
    """
    Line of the row in the uploaded file, counted from 1.
    """
    language: str | None
    """
    Language of the row; `und` if unknown, null if the row is broken.
    """
    score: float | None
    """
    Quality of the row from 0 to 1: 1, minus the `weight` of each kind of finding in the row. Zero if the row is broken; null if the line has no row.
    """
    row: dict[str, Any] | None
    """
    The row as jobs train on it: `messages` and `tools` of a chat, with a `label` in labeled data, or `input`, `preferred_output` and `non_preferred_output` of a preference, `text` of a text, or `messages` and `item` of a prompt for a grader. Null if the row is broken.
    """
    findings: list[FileRowFinding]
    """
    A finding on a row.
    """
    personal_data: list[Mark]
    """
    Positions of personal data in `row`, or of the labels that replace it. Numbers that are only possibly personal data are included.
    """


class CreateMlflowIntegration(ApiObject):
    """
    MLflow integration of a job. Not part of OpenAI's API.
    """

    type: Literal["mlflow"]
    """
    Type of the integration.
    """
    mlflow: MlflowSettings
    """
    Settings of the run.
    """


class MlflowIntegration(ApiObject):
    """
    MLflow integration of a job.
    """

    type: Literal["mlflow"]
    """
    Type of the integration.
    """
    mlflow: MlflowRun
    """
    The run.
    """


class ModelExport(ApiObject):
    """
    Export of a trained model for other software.
    """

    id: str
    """
    ID of the export. Starts with `export-`.
    """
    object: Literal["model.export"]
    """
    Type of the object. Always `model.export`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: ModelExportError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    model: str
    """
    Name of the trained model.
    """
    format: str
    """
    Format of the export.
    """
    quantization: str | None
    """
    Quantization of the weights; null if the format has none.
    """
    expires_at: int
    """
    Time at which the export is deleted, in Unix seconds.
    """
    result: ModelExportResult | None
    """
    Archive and its proof; null unless the status is `completed`.
    """


class ModelImport(ApiObject):
    """
    Import of an adapter. The model is kept when the import is deleted.
    """

    id: str
    """
    ID of the import. Starts with `modelimport-`.
    """
    object: Literal["model.import"]
    """
    Type of the object. Always `model.import`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the archive. The import is deleted with it.
    """
    base_model: str
    """
    Base model of the adapter.
    """
    suffix: str | None
    """
    Suffix in the model's name; null if none was given.
    """
    result: ModelImportResult | None
    """
    Imported model; null unless the status is `completed`.
    """


class Model(ApiObject):
    """
    A model available for inference. `base_model` and later fields extend OpenAI's schema.
    """

    id: str
    """
    Model name to use in requests.
    """
    object: Literal["model"]
    """
    Type of the object. Always `model`.
    """
    created: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    owned_by: str
    """
    Owner of the model: `system` for base models, or the name of the project that trained it or has the alias.
    """
    base_model: str | None = None
    """
    Base model of a trained model; null for other models.
    """
    license: str | None = None
    """
    License of the base model; null for aliases.
    """
    context_length: int | None = None
    """
    Context length of the base model in tokens, prompt and completion together; null for aliases.
    """
    languages: list[str] | None = None
    """
    Languages of the base model, as declared by the operator; null for aliases.
    """
    capabilities: list[Literal["tools", "reasoning"]] | None = None
    """
    What the base model supports besides chat. `tools`: tool calls. `reasoning`: reasoning before the answer, returned separately. Null for aliases, and if it is unknown.
    """
    available: bool | None = None
    """
    Whether an engine currently serves a base model and the models trained on it; null for other models.
    """
    fine_tuning_job: str | None = None
    """
    ID of the job that created a trained model; null for other models.
    """
    origin: ModelOrigin | None = None
    """
    Origin of an imported model; null for other models.
    """
    created_by: str | None = None
    """
    ID of the service account that trained or imported the model; otherwise of the bearer of a token of the identity provider, or of the API key. This person cannot approve it. Null if it is unknown, for models of other projects, and for other models.
    """
    alias_of: list[AliasTarget] | None = None
    """
    Targets of an alias; null for other models.
    """


class CreatedApiKey(ApiObject):
    """
    A newly created API key. This is the only response that contains the secret.
    """

    id: str
    """
    ID of the key, prefixed with `key_`.
    """
    object: Literal["organization.project.api_key"]
    """
    Type of the object. Always `organization.project.api_key`.
    """
    name: str
    """
    Name of the key.
    """
    role: Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    """
    Role of a key.
    """
    models: list[str] | None
    """
    The only models that the key may use, or null for all models of its project.
    """
    redacted_value: str
    """
    Redacted secret with its last characters.
    """
    previous_secrets: list[ApiKeyPreviousSecret]
    """
    Secrets that were replaced and are still valid, oldest first.
    """
    expires_at: int | None
    """
    Time at which the key expires, as a Unix timestamp in seconds, or null.
    """
    last_used_at: int | None
    """
    Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated within a minute.
    """
    allowed_ips: list[str] | None
    """
    IP addresses and CIDR ranges that requests may come from, or null for all.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    limits: ApiKeyLimits
    """
    Limits set for the key, within those of its project.
    """
    owner: ApiKeyOwner
    """
    The owner of an API key, as in the OpenAI API.
    """
    owner_project_access: Literal["active"]
    """
    Access of the owner to the project. Always `active`.
    """
    value: str
    """
    Secret of the key, shown only once.
    """


class EvalRunOutputItemSample(ApiObject):
    """
    Prompt and answer of an item. Fields that are unknown for a given answer are empty or 0.
    """

    error: EvalRunError | None
    """
    Reason why there is no answer, or null.
    """
    finish_reason: str
    """
    Reason why the answer ended.
    """
    input: list[EvalRunSampleMessage]
    """
    Messages of the prompt.
    """
    output: list[EvalRunSampleMessage]
    """
    Message of the answer, with `tool_calls` if there are any.
    """
    model: str
    """
    Name of the model that answered.
    """
    max_completion_tokens: int
    """
    Maximum number of tokens of the answer.
    """
    seed: int
    """
    Sampling seed.
    """
    temperature: float
    """
    Sampling temperature.
    """
    top_p: float
    """
    Probability mass of the tokens to sample from.
    """
    usage: EvalRunSampleUsage
    """
    Tokens of a sample.
    """


class HumanReviewPosition(ApiObject):
    """
    Preference of people for the answer that was shown first.
    """

    first: int
    """
    Number of labels that prefer the answer shown first.
    """
    second: int
    """
    Number of labels that prefer the answer shown second.
    """
    share: HumanReviewShare
    """
    Share of the first, with Wilson's interval.
    """


class HumanReviewPreference(ApiObject):
    """
    Preference of people between the answers of two columns.
    """

    a: str
    """
    Column that is compared.
    """
    b: str
    """
    Column that it is compared with.
    """
    labels: int
    """
    Number of labels.
    """
    rows: int
    """
    Number of labeled rows.
    """
    a_better: int
    """
    Number of labels that prefer `a`.
    """
    ties: int
    """
    Number of labels without a preference.
    """
    b_better: int
    """
    Number of labels that prefer `b`.
    """
    win_rate: HumanReviewShare
    """
    Share of labels that prefer `a`, where a tie counts as half. The interval is clustered by prompt.
    """
    preferred: str | None
    """
    Column that people prefer; null if the labels do not show one.
    """
    reliability: HumanReviewReliability | None
    """
    Agreement of reviewers; null if no two preferred an answer to the same row.
    """


class PutRowReview(ApiObject):
    """
    Request to review a row.
    """

    label: Literal["approved", "rejected", "edited", "unsure"]
    """
    What a cleaning does with the row: `approved` keeps it, `rejected` drops it, `edited` replaces it by `row`, and `unsure` decides nothing.
    """
    row: dict[str, Any] | None = None
    """
    Row to use instead, if the label is `edited`.
    """
    note: str | None = None
    """
    Note for other reviewers.
    """


class ScoreModelGrader(ApiObject):
    """
    Grader that asks a model for a number.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to the middle of the range of scores.
    """
    human_label: str | None = None
    """
    Judgment of a person, usually a template variable. The results of a run show how often the judge agrees with it. Items without one are left out of this comparison. For `label_model` it is one of `labels`; for `score_model`, a score, `pass` or `fail`.
    """
    type: Literal["score_model"]
    """
    Always `score_model`.
    """
    model: str
    """
    Model that judges: any model of the project.
    """
    input: list[GraderMessage]
    """
    Prompt of the judge. May contain template variables.
    """
    range: list[float] | None = None
    """
    Lowest and highest score. Defaults to `[0, 1]`.
    """
    sampling_params: JudgeSamplingParams | None = None
    """
    Sampling parameters of the judge.
    """


class PutAlias(ApiObject):
    """
    Request to set an alias: either `model`, or `targets` to split traffic between two models.
    """

    model: str | None = None
    """
    Model that receives all requests.
    """
    targets: list[AliasTarget] | None = None
    """
    Models that share the requests by weight. The weights must sum to 100.
    """
    gate: dict[str, str] | None = None
    """
    Conditions that the evaluation of a trained model must meet before the alias points at it. A key is a figure of the evaluation, such as `chrf_gain` or `memorized`; a condition is `>=`, `>`, `<=`, `<` or `==` and a number, or `checked` for `parity`. The alias keeps its gate if the field is missing; `{}` removes it.
    """
    force: bool = False
    """
    Whether to change the targets even if they do not meet the gate of the alias or that of their job, or the bounds of the suites. The history records the failed conditions.
    """
    suites: list[AliasSuite] | None = None
    """
    Evals that a new model must pass before the alias points at it. An alias check runs them. The model of a suite's own run needs none. The alias keeps its suites if the field is missing; `[]` removes them, which needs a `reason`.
    """
    schedule: str | None = None
    """
    Cron expression in UTC of the times at which the suites are run again on the alias's models. The alias keeps its schedule if the field is missing; null removes it.
    """
    reason: str | None = None
    """
    Reason for `force`, required to override suites, and to remove one or lower its bound. The history and the audit log record it.
    """


class SupervisedMethod(ApiObject):
    """
    Options of supervised fine-tuning.
    """

    hyperparameters: SupervisedHyperparameters | None = None
    """
    Training hyperparameters: OpenAI's three standard ones and this service's additions.
    """


class Sweep(ApiObject):
    """
    A sweep: fine-tuning jobs, called trials, that differ in some hyperparameters.

    Its inputs have the names that they have in jobs.
    """

    id: str
    """
    ID of the sweep. Starts with `ftsweep-`.
    """
    object: Literal["sweep"]
    """
    Type of the object. Always `sweep`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    model: str
    """
    ID of the base model.
    """
    method: Literal["supervised", "dpo", "kto", "pretraining", "reinforcement"]
    """
    Training method.
    """
    training_file: str
    """
    ID of the training file.
    """
    validation_file: str | None
    """
    ID of the validation file.
    """
    mixed_files: list[MixedFile]
    """
    Files whose rows are mixed with those of the training file; empty if there are none.
    """
    suffix: str | None
    """
    Suffix in the names of the fine-tuned models.
    """
    seed: int
    """
    Random seed of all trials.
    """
    stop_losers: bool
    """
    Whether the worse trials are stopped early.
    """
    trials: list[SweepTrial]
    """
    Trials, in the order of their values.
    """
    result: SweepResult | None
    """
    The best trial; null unless the status is `completed`.
    """


class TemplateMessages(ApiObject):
    """
    Prompt made of messages that contain template variables such as `{{item.question}}`.
    """

    type: Literal["template"]
    """
    Always `template`.
    """
    template: list[GraderMessage]
    """
    Messages of the prompt.
    """


class Upload(ApiObject):
    """
    OpenAI's upload object.
    """

    id: str
    """
    ID of the upload, prefixed with `upload_`.
    """
    object: Literal["upload"]
    """
    Type of the object. Always `upload`.
    """
    bytes: int
    """
    Declared size of the complete file in bytes.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    filename: str
    """
    Name of the resulting file.
    """
    purpose: Literal[
        "fine-tune",
        "fine-tune-results",
        "user_data",
        "evals",
        "model-import",
        "batch",
        "batch_output",
    ]
    """
    Purpose of a file.
    """
    status: Literal["pending", "completed", "cancelled", "expired"]
    """
    Status of an upload; all but `pending` are final.
    """
    expires_at: int
    """
    Time until which the upload accepts parts, as a Unix timestamp in seconds.
    """
    file: FileObject | None = None
    """
    Resulting file; null until the upload is completed.
    """


class CompletionsUsageBucket(ApiObject):
    """
    A time interval with an exclusive end. `results` is empty if there was no usage.
    """

    object: Literal["bucket"]
    """
    Type of the object. Always `bucket`.
    """
    start_time: int
    """
    Start of the bucket (inclusive), as a Unix timestamp in seconds.
    """
    end_time: int
    """
    End of the bucket (exclusive), as a Unix timestamp in seconds.
    """
    results: list[CompletionsUsage]
    """
    Usage results, one per group.
    """


class WandbIntegration(ApiObject):
    """
    Weights & Biases integration, which is rejected with the code `invalid_value`.
    """

    type: Literal["wandb"]
    """
    Type of the integration.
    """
    wandb: WandbSettings
    """
    Settings of the run.
    """


class WebhookEvent(ApiObject):
    """
    Event as it is sent to webhook endpoints. It has IDs, but no data of the object.
    """

    id: str
    """
    ID of the event, prefixed with `evt_`. The same in every attempt.
    """
    object: Literal["event"]
    """
    Type of the object. Always `event`.
    """
    created_at: int
    """
    Time of the event as a Unix timestamp in seconds.
    """
    type: Literal[
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
    """
    Type of the event.
    """
    data: WebhookEventData
    """
    Object that the event is about.
    """


class Worker(ApiObject):
    """
    A worker process that is running.
    """

    object: Literal["organization.worker"]
    """
    Type of the object. Always `organization.worker`.
    """
    id: str
    """
    Name of the worker.
    """
    status: Literal["idle", "busy"]
    """
    Status of the worker: `busy` while it has tasks, while it shuts down, and while it has a fault.
    """
    queues: list[str]
    """
    Queues whose tasks the worker takes. Workers of `cpu` also take those of `evals` and `batches`.
    """
    tasks: list[WorkerTask]
    """
    Tasks in progress.
    """
    version: str | None
    """
    Version of the worker. Null for versions before 0.3.
    """
    last_heartbeat_at: int | None
    """
    Time of the last sign of life, in Unix seconds. Workers that have sent none for 20 seconds are not listed. Null for versions before 0.3.
    """
    device: Literal["cuda", "cpu"]
    """
    Device that trainings use.
    """
    device_name: str
    """
    Name of the GPU, or of the processor.
    """
    gpus: int
    """
    Number of GPUs that the worker may use.
    """
    memory_bytes: int | None
    """
    Memory of one GPU; without a GPU, of the machine or container. Null if unknown.
    """
    memory_used_bytes: list[int] | None
    """
    Memory in use on each GPU, by any process. Null without a GPU, and if its driver does not report it.
    """
    makes_gguf: bool
    """
    Whether the worker can make exports in the format GGUF.
    """
    fault: str | None
    """
    Why the worker's GPUs cannot be used, so that it takes no trainings. Null if nothing is known to be wrong.
    """


class ReportIssue(ApiObject):
    """
    A problem found in a data set.

    `line` counts from 1 and is null if the issue concerns the whole file. `pointer` is an
    RFC 6901 JSON Pointer. If the issue concerns a pair of rows, `other_line` is the line of the
    other row, and `similarity` their similarity from 0 to 1, if it was measured. `figures` are the
    numbers and names in the message, so that a program can show it in another language.
    """

    severity: Literal["error", "info", "warning"]
    """
    Severity of the issue.
    """
    code: str
    """
    Machine-readable code of the issue.
    """
    line: int | None
    """
    Line number, starting at 1; null if the issue concerns the whole file.
    """
    pointer: str
    """
    RFC 6901 JSON Pointer to the value in the row.
    """
    message: str
    """
    What is wrong.
    """
    fix: str
    """
    Suggested fix.
    """
    other_line: int | None = None
    """
    Line number of the other row, if the issue concerns a pair of rows.
    """
    similarity: float | None = None
    """
    Similarity of the two rows from 0 to 1, if it was measured.
    """
    figures: dict[str, int | float | str] | None = None
    """
    Numbers and names in the message, by name.
    """


class ReportDistribution(ApiObject):
    """
    Distribution of a per-row number.
    """

    min: int
    """
    Smallest value.
    """
    p50: int
    """
    Median of the values.
    """
    p95: int
    """
    95th percentile.
    """
    max: int
    """
    Largest value.
    """
    mean: float
    """
    Mean of the values.
    """
    total: int
    """
    Sum of all values.
    """
    histogram: ReportHistogram
    """
    Histogram of the values.
    """


class ReportTokens(ApiObject):
    """
    Token counts for one model's tokenizer.

    Counts cover `rows` rows, which are a sample if the file is large. They include the tokens
    of the texts and five per message for what a chat template adds. `truncated_rows` and
    `unlearnable_rows` map a context length to the number of rows that it truncates or leaves
    with nothing to learn from.
    """

    model: str
    """
    ID of the base model whose tokenizer was used.
    """
    rows: int
    """
    Number of rows that were counted.
    """
    sampled: bool
    """
    Whether only a sample of the rows was counted.
    """
    tokens: ReportDistribution
    """
    Tokens per row.
    """
    supervised_tokens: ReportDistribution
    """
    Tokens per row that the model is trained to generate.
    """
    truncated_rows: dict[str, int]
    """
    Number of rows that are truncated, by context length.
    """
    unlearnable_rows: dict[str, int]
    """
    Number of rows with nothing left to learn from after truncation, by context length.
    """


class PreviewRow(ApiObject):
    """
    One of the first rows.

    `record` has the value of each column, and is null if the row could not be read. If each row is
    a message, it is a conversation. `row` is the row that jobs would train on, and null if there is
    none. Texts are truncated to 2,000 characters.
    """

    line: int
    """
    Line number.
    """
    record: dict[str, Any] | None
    """
    Value of each column; null if the row could not be read. If each row is a message, the whole conversation.
    """
    row: dict[str, Any] | None
    """
    Row that jobs would train on; null if there is none.
    """
    findings: list[ReportIssue]
    """
    Issues found in the row.
    """


class FormatAlternatives(ApiObject):
    """
    Other format options that the file allows. Options without a choice are omitted.
    """

    sheet: Annotated[list[FormatSheetChoice], Field(validate_default=True)] = []
    """
    Other sheets of a workbook.
    """
    header_row: Annotated[list[FormatHeaderRowChoice], Field(validate_default=True)] = []
    """
    Other rows that could name the columns.
    """
    encoding: Annotated[list[FormatEncodingChoice], Field(validate_default=True)] = []
    """
    Other encodings that the text could have.
    """
    delimiter: Annotated[list[FormatDelimiterChoice], Field(validate_default=True)] = []
    """
    Other delimiters that split the lines evenly.
    """
    shape: Annotated[list[FormatShapeChoice], Field(validate_default=True)] = []
    """
    Other shapes that the columns can form.
    """
    columns: Annotated[list[FormatColumnsChoice], Field(validate_default=True)] = []
    """
    Columns to choose from, if they are not recognized.
    """
    group_by: Annotated[list[FormatGroupByChoice], Field(validate_default=True)] = []
    """
    Columns that could have the ID of the conversation.
    """


class FileStatistics(ApiObject):
    """
    Statistics of a file. All but `broken_rows` cover the valid rows only.

    `classes` has the answers of rows that sort inputs into classes, or the labels of labeled rows.
    `personal_data` counts the findings by kind, and `personal_rows` the rows that have any.
    """

    rows: int
    """
    Number of valid rows.
    """
    broken_rows: int
    """
    Number of invalid rows.
    """
    languages: list[ReportShare]
    """
    Languages of the rows.
    """
    question_characters: ReportDistribution | None
    """
    Characters of the questions per row; null if there are none.
    """
    answer_characters: ReportDistribution | None
    """
    Characters of the answers per row; null if there are none.
    """
    turns: ReportDistribution | None
    """
    Turns per row; null if there are none.
    """
    system_prompts: ReportSystemPrompts
    """
    Statistics on system prompts.
    """
    tool_rows: int
    """
    Number of rows with tools.
    """
    classes: list[ReportShare]
    """
    Classes that rows are sorted into, or labels of labeled rows.
    """
    personal_data: dict[str, int]
    """
    Number of findings of personal data, by kind.
    """
    personal_rows: int
    """
    Number of rows with personal data.
    """


class DatasetPreviewContent(ApiObject):
    """
    Preview of a file: its first rows as read, and the format options that it allows.

    `found` is null if the container is unknown. `error` is the reason why the file cannot be read,
    if the preview encounters one; `rows` are then the rows before the error, or records whose
    columns are not recognized. `findings` are about the file as a whole, or about lines before the
    first row.
    """

    found: DetectedFormat | None
    """
    Format in which the file was read; null if the container is unknown.
    """
    error: ReportIssue | None
    """
    Reason why the file cannot be read; null if the preview encountered none.
    """
    rows: list[PreviewRow]
    """
    First rows.
    """
    findings: list[ReportIssue]
    """
    Issues of the file as a whole, or of lines before the first row.
    """
    alternatives: FormatAlternatives
    """
    Other format options that the file allows.
    """


class DatasetDiffContent(ApiObject):
    """
    Difference between two files, from `before` to `after`.

    Rows are compared in all content used for training, in any order. `changed` rows have the same
    questions, or come from the same row by a cleaning, but differ otherwise. The largest shift in
    `drift` comes first.
    """

    summary: str
    """
    The difference in one sentence.
    """
    unchanged: int
    """
    Number of rows that both files have.
    """
    changed: int
    """
    Number of rows that have the same questions, but differ otherwise.
    """
    removed: int
    """
    Number of rows that only the first file has.
    """
    added: int
    """
    Number of rows that only the second file has.
    """
    drift: list[FileDiffShift]
    """
    Statistics that differ, the largest shift first.
    """
    before: FileStatistics
    """
    Statistics of the first file.
    """
    after: FileStatistics
    """
    Statistics of the second file.
    """


class ChatCompletionChunk(ApiObject):
    """
    Event of a streamed chat completion, as in the OpenAI API.
    """

    id: str
    """
    ID of the completion.
    """
    created: int
    """
    Unix timestamp in seconds (UTC).
    """
    model: str
    """
    Model that generated the response.
    """
    usage: CompletionUsage | None = None
    """
    Token counts of a request.
    """
    object: Literal["chat.completion.chunk"]
    """
    Type of the object. Always `chat.completion.chunk`.
    """
    choices: list[ChatCompletionChunkChoice]
    """
    Parts of the generated messages. Empty in the event with the token counts.
    """


class AdviceResult(ApiObject):
    """
    Completed advice before a training.
    """

    recommendation: Literal["train", "prompt", "retrieval", "collect", "fix_data"]
    """
    What to do: `train`, use a `prompt`, use `retrieval`, `collect` rows, or `fix_data` first.
    """
    sentence: str
    """
    Recommendation in one sentence, with its figures.
    """
    code: str | None = None
    """
    Code of the sentence.
    """
    figures: dict[str, Any] | None = None
    """
    Figures of the sentence by name. Scores are in points (0 to 100).
    """
    rows: int | None = None
    """
    Number of rows in the training file.
    """
    metric: str | None = None
    """
    Metric of the scores, chosen by the answers.
    """
    base: AdviceScore | None = None
    """
    Score of the base model.
    """
    prompt: PromptScore | None = None
    """
    Score of the base model with the best prompt.
    """
    prompt_gain: PointsInterval | None = None
    """
    Gain of the best prompt over the base model.
    """
    headroom: float | None = None
    """
    Points between the better of the two scores and 100, which no training can exceed.
    """
    expected_gain: ExpectedGain | None = None
    """
    Expected gain of a training over the best prompt, based on at least three earlier models; null if unknown.
    """
    retrieval: RetrievalSigns | None = None
    """
    Result of a keyword search, which needs no training.
    """
    findings: list[Finding] | None = None
    """
    Findings of the file's report, the most urgent first.
    """
    estimate: FineTuningEstimate | None = None
    """
    Estimate of a job with default settings.
    """
    notes: list[str] | None = None
    """
    Skipped checks, and reasons why a job would be refused.
    """
    note_details: list[Statement] | None = None
    """
    The notes as codes and figures, in the same order.
    """


class ChatCompletion(ApiObject):
    """
    Chat completion, as in the OpenAI API.
    """

    id: str
    """
    ID of the completion.
    """
    created: int
    """
    Unix timestamp in seconds (UTC).
    """
    model: str
    """
    Model that generated the response.
    """
    usage: CompletionUsage | None = None
    """
    Token counts of a request.
    """
    object: Literal["chat.completion"]
    """
    Type of the object. Always `chat.completion`.
    """
    choices: list[ChatCompletionChoice]
    """
    Generated messages, one per requested choice.
    """


class CompletionsDataSource(ApiObject):
    """
    Items whose answers are sampled with chat completions, or stored chat completions.
    """

    type: Literal["completions"]
    """
    Always `completions`.
    """
    source: FileContentSource | FileIdSource | StoredCompletionsSource
    """
    Source of the items.
    """
    model: str | None = None
    """
    Model to sample from: a base model, a trained model, a checkpoint or an alias. An alias is resolved for each item.
    """
    input_messages: TemplateMessages | ItemReferenceMessages | None = None
    """
    Prompt of an item. If it is omitted, stored answers are graded as they are.
    """
    sampling_params: CompletionsSamplingParams | None = None
    """
    Sampling parameters of chat completions.
    """


class DatasetGenerationResult(ApiObject):
    """
    Rows of a generation that has ended. A failed or cancelled one keeps its rows so far.
    """

    output_file_id: str | None
    """
    ID of the file with the rows, whose purpose is `fine-tune`; null if there are none.
    """
    incomplete_details: GenerationIncompleteDetails | None
    """
    Reason why there are fewer rows than the target, or null.
    """


class DatasetMerge(ApiObject):
    """
    Merge of training files. The merged file is a new file, which is kept when the merge is
    deleted.
    """

    id: str
    """
    ID of the merge. Starts with `filemerge-`.
    """
    object: Literal["dataset.merge"]
    """
    Type of the object. Always `dataset.merge`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    file_id: str
    """
    ID of the first of the files. The merge is deleted with this file.
    """
    files: list[FileToMerge]
    """
    Files to merge. Their rows have one format, such as chats or prompts for graders.
    """
    filename: str = "merged.jsonl"
    """
    Name of the merged file.
    """
    exact_duplicates: bool = True
    """
    Whether to keep only the first of the rows that are identical in all content used for training, in the order of `files`.
    """
    balance: Literal["none", "files", "languages"] = "none"
    """
    `files` takes the same number of rows from each file, and `languages` from each language. Rows of unknown languages, and of languages with less than 2% of the rows, are all kept.
    """
    seed: int = 0
    """
    Random seed for choosing rows.
    """
    result: DatasetMergeResult | None
    """
    Files and what became of the rows; null unless the status is `completed`.
    """


class ErasureReceipt(ApiObject):
    """
    Receipt of an erasure: what was erased, when, and who asked for it.
    """

    id: str
    """
    ID of the receipt. Starts with `receipt-`, or with `erasure-` if version 0.2 created it.
    """
    object: Literal["erasure_receipt"]
    """
    Type of the object. Always `erasure_receipt`.
    """
    status: Literal["in_progress", "completed"]
    """
    `completed` once nothing is left in storage and in the files of Redis, and the receipt is signed.
    """
    project_id: str
    """
    ID of the project.
    """
    subject: Literal["file", "model", "export", "eval", "eval.run"]
    """
    Kind of the deleted object.
    """
    subject_id: str
    """
    ID of the deleted object, or name of the deleted model.
    """
    requested_by: str
    """
    ID of the API key that deleted the object, or `expires_after` if it expired.
    """
    requested_at: int
    """
    Time of the deletion, as a Unix timestamp in seconds.
    """
    completed_at: int | None
    """
    When removal finished, in Unix seconds.
    """
    folders: list[str]
    """
    Folders in storage that were emptied.
    """
    objects: list[ErasedObjectEntry]
    """
    Objects that were in these folders when the object was deleted.
    """
    is_inventory_complete: bool
    """
    Whether `objects` is complete; false if storage was unavailable at the time of the deletion.
    """
    rewrite: ErasureRewrite | None = None
    """
    Rewrite of the files of Redis after the deletion; null until the receipt is completed, and in receipts of versions up to 0.2, whose signature does not cover it.
    """
    signature: ErasureReceiptSignature | None
    """
    Signature of the receipt; null until it is completed.
    """


class ErasureResult(ApiObject):
    """
    What an erasure has found and done so far.
    """

    files: list[ErasureFile]
    """
    Files with rows that match.
    """
    stored_chats: ErasureStoredChats | None
    """
    Stored chats that match; null until they are searched.
    """
    models: list[str]
    """
    Names of all models that were trained on one of these files, deleted ones included.
    """
    places: list[ErasurePlace]
    """
    Other objects of the project that contain the text, as it was written: the first 1,000. They are not changed: delete them if they must be erased. Empty until all files are searched.
    """
    unreadable_files: list[str]
    """
    IDs of the files that could not be searched, for example because they are encrypted archives. Check them yourself.
    """
    rewrite: ErasureRewrite | None
    """
    Rewrite of the files of Redis, which then contain neither what was searched for nor what was deleted; null until it is done, seconds after the erasure has ended.
    """


class EvalComparison(ApiObject):
    """
    Comparison of runs with the first of them, the baseline.
    """

    object: Literal["eval.comparison"]
    """
    Type of the object. Always `eval.comparison`.
    """
    eval_id: str
    """
    ID of the eval.
    """
    runs: list[EvalComparisonRun]
    """
    Runs as requested. The baseline is first.
    """
    changes: dict[str, int] | None = None
    """
    Number of items by change. A change that no item has is missing.
    """
    items: list[EvalComparisonItem]
    """
    Page of items. Those that got worse are first.
    """
    has_more: bool
    """
    Whether there are more items after this page.
    """
    last_id: str | None
    """
    ID of the last item on the page. Send it as `after` to get the next page.
    """
    masked_values: int | None = None
    """
    Number of labels in place of personal data; null if it is not masked.
    """


class EvaluationLabelQueue(ApiObject):
    """
    The next answers for the caller to compare.
    """

    object: Literal["fine_tuning.job.evaluation.label_queue"]
    """
    Type of the object. Always `fine_tuning.job.evaluation.label_queue`.
    """
    tasks: list[EvaluationLabelTask]
    """
    Answers to compare, the next first.
    """
    compared: list[str]
    """
    The columns that are compared, by name.
    """
    pairs: list[list[str]]
    """
    All pairs of columns that can be compared, the most important first.
    """
    progress: LabelProgress
    """
    Progress of all reviewers.
    """


class HumanReview(ApiObject):
    """
    Summary of the labels that people gave to the answers of an evaluation.
    """

    labels: int
    """
    Number of labels of current answers.
    """
    outdated: int
    """
    Number of labels of answers that the evaluation no longer has, because it ran again. They do not count.
    """
    rows: int
    """
    Number of labeled rows.
    """
    reviewers: int
    """
    Number of people and keys that labeled them.
    """
    comparisons: list[HumanReviewPreference]
    """
    Preferences by pair of columns.
    """
    agreement: HumanReviewAgreement | None
    """
    Agreement of the measure that decided with people; null if no pair tells.
    """
    position: HumanReviewPosition | None
    """
    Preference for a position; null if no label has a preference.
    """
    statements: list[Statement]
    """
    Statements on these figures, as codes and figures.
    """
    sentences: list[str]
    """
    The statements in English, in the same order.
    """


class FineTuningJobEvaluation(ApiObject):
    """
    Evaluation of a fine-tuning job on its held-out rows.
    """

    object: Literal["fine_tuning.job.evaluation"]
    """
    Object type.
    """
    job_id: str
    """
    ID of the job.
    """
    model: str
    """
    Name of the model that is evaluated.
    """
    status: Literal["in_progress", "completed", "failed", "skipped"]
    """
    Status of the evaluation. An evaluation is `skipped` if the job has no held-out rows or no engine serves its base model.
    """
    phase: (
        Literal[
            "waiting",
            "scoring_references",
            "choosing_a_prompt",
            "answering",
            "memorization",
            "forgetting",
        ]
        | None
    )
    """
    Current step; null if the evaluation has ended.
    """
    rows: int | None
    """
    Number of held-out rows that are evaluated.
    """
    created_at: int
    """
    Unix time in seconds at which the job succeeded.
    """
    finished_at: int | None
    """
    Unix time in seconds at which the evaluation ended; null if it has not.
    """
    verdict: FineTuningVerdict | None
    """
    Conclusion; null until completed.
    """
    figures: dict[str, float | str] | None
    """
    Measured figures by the key of a gate, such as `chrf_gain`; null until completed.
    """
    gate: FineTuningJobGateOutcome | None = None
    """
    Outcome of the job's gate; null if the job has none, and until completed.
    """
    human_review: HumanReview | None = None
    """
    What people's labels of the answers say; null if there are none, and until completed.
    """
    error: FineTuningJobEvaluationError | None
    """
    Reason for the status `failed` or `skipped`; otherwise null.
    """


class FineTuningJob(ApiObject):
    """
    A fine-tuning job: OpenAI's `fine_tuning.job` object plus additional fields.
    """

    id: str
    """
    ID of the job. Starts with `ftjob-`.
    """
    object: Literal["fine_tuning.job"]
    """
    Type of the object. Always `fine_tuning.job`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    error: FineTuningJobError | None
    """
    Error that made the job fail. Null if it has not failed.
    """
    fine_tuned_model: str | None
    """
    Name of the fine-tuned model. Null until the job succeeds.
    """
    finished_at: int | None
    """
    Time at which the job succeeded, failed or was cancelled, in Unix seconds. Null until then.
    """
    hyperparameters: FineTuningJobHyperparameters
    """
    OpenAI's standard hyperparameters. `method` has all hyperparameters.
    """
    model: str
    """
    ID of the base model.
    """
    organization_id: str
    """
    ID of the project.
    """
    result_files: list[str]
    """
    IDs of the result files: one CSV file of losses by step. Empty until the job succeeds.
    """
    seed: int
    """
    Random seed of the training.
    """
    status: Literal[
        "validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"
    ]
    """
    Current status of the job.
    """
    pausing: bool = False
    """
    Whether a running job is about to pause. Its status becomes `paused` once its checkpoint is stored.
    """
    trained_tokens: int | None
    """
    Number of tokens trained so far. Null until the training reports progress.
    """
    training_file: str
    """
    ID of the training file.
    """
    validation_file: str | None
    """
    ID of the validation file.
    """
    mixed_files: Annotated[list[MixedFile], Field(validate_default=True)] = []
    """
    Files whose rows are mixed with those of the training file; empty if there are none.
    """
    estimated_finish: int | None
    """
    Estimated end of the training, in Unix seconds. Null if unknown.
    """
    integrations: list[MlflowIntegration] | None = None
    """
    Integrations of the job. Null if there are none.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs that were set when the job was created.
    """
    method: dict[str, Any]
    """
    Training method with all of its hyperparameters.
    """
    suffix: str | None
    """
    Suffix in the name of the fine-tuned model.
    """
    user_provided_suffix: str | None
    """
    The same suffix, under OpenAI's name.
    """
    attempt: int
    """
    Number of the current attempt, starting at 1. It increases when the job is recovered or resumed.
    """
    priority: int = 0
    """
    Priority of the job. Higher values run first.
    """
    gate: dict[str, str] | None = None
    """
    Conditions that the evaluation of the job must meet; empty if there are none.
    """
    baseline_prompt: str | None = None
    """
    Your own prompt, with which the evaluation compares the model; null if none.
    """
    sweep_id: str | None = None
    """
    ID of the sweep that the job is a trial of; otherwise null.
    """
    queue_position: int | None = None
    """
    Position in the queue; 1 is the job that a GPU worker takes next. Null unless the job is queued.
    """


class ApiKey(ApiObject):
    """
    An API key without its secret.
    """

    id: str
    """
    ID of the key, prefixed with `key_`.
    """
    object: Literal["organization.project.api_key"]
    """
    Type of the object. Always `organization.project.api_key`.
    """
    name: str
    """
    Name of the key.
    """
    role: Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    """
    Role of a key.
    """
    models: list[str] | None
    """
    The only models that the key may use, or null for all models of its project.
    """
    redacted_value: str
    """
    Redacted secret with its last characters.
    """
    previous_secrets: list[ApiKeyPreviousSecret]
    """
    Secrets that were replaced and are still valid, oldest first.
    """
    expires_at: int | None
    """
    Time at which the key expires, as a Unix timestamp in seconds, or null.
    """
    last_used_at: int | None
    """
    Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated within a minute.
    """
    allowed_ips: list[str] | None
    """
    IP addresses and CIDR ranges that requests may come from, or null for all.
    """
    created_at: int
    """
    Creation time, as a Unix timestamp in seconds.
    """
    limits: ApiKeyLimits
    """
    Limits set for the key, within those of its project.
    """
    owner: ApiKeyOwner
    """
    The owner of an API key, as in the OpenAI API.
    """
    owner_project_access: Literal["active"]
    """
    Access of the owner to the project. Always `active`.
    """


class MultiGrader(ApiObject):
    """
    Grader that combines the scores of other graders with a formula.
    """

    name: str
    """
    Name of the grader.
    """
    pass_threshold: float | None = None
    """
    Lowest score that passes. Defaults to the middle of the range of scores.
    """
    type: Literal["multi"]
    """
    Always `multi`.
    """
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
    """
    Graders by the name that the formula uses, or a single grader.
    """
    calculate_output: str
    """
    Formula of the score. Operators: `+`, `-`, `*`, `/`, `^`. Functions: `min`, `max`, `abs`, `floor`, `ceil`, `exp`, `sqrt`, `log`.
    """


class EvalRunOutputItem(ApiObject):
    """
    Outcome of one item of a run.
    """

    id: str
    """
    ID of the output item, prefixed with `outputitem_`.
    """
    object: Literal["eval.run.output_item"]
    """
    Type of the object. Always `eval.run.output_item`.
    """
    eval_id: str
    """
    Identifier of the eval.
    """
    run_id: str
    """
    Identifier of the run.
    """
    created_at: int
    """
    Unix timestamp in seconds of the outcome.
    """
    status: Literal["pass", "fail", "error"]
    """
    `pass` if all graders passed the item, `fail` if one did not, `error` if the item could not be sampled or graded.
    """
    datasource_item_id: int
    """
    Number of the item, starting at 0.
    """
    datasource_item: dict[str, Any]
    """
    Item of the data source.
    """
    results: list[EvalRunOutputItemResult]
    """
    Results by grader.
    """
    sample: EvalRunOutputItemSample
    """
    Prompt and answer of an item.
    """
    masked_values: int | None = None
    """
    Number of labels in place of personal data; null if it is not masked. An extension of OpenAI's schema.
    """


class ReinforcementMethod(ApiObject):
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
    """
    Grader that scores the answers of the model. Training reinforces answers with higher scores. `item` is the row without its messages and tools, and `sample` is the answer. OpenAI's types are `string_check`, `text_similarity`, `score_model`, `python` and `multi`.
    """
    hyperparameters: ReinforcementHyperparameters | None = None
    """
    Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling.
    """


class ResponsesDataSource(ApiObject):
    """
    Items whose answers are sampled with responses, or stored responses.
    """

    type: Literal["responses"]
    """
    Always `responses`.
    """
    source: FileContentSource | FileIdSource | StoredResponsesSource
    """
    Source of the items.
    """
    model: str | None = None
    """
    Model to sample from: a base model, a trained model, a checkpoint or an alias. An alias is resolved for each item.
    """
    input_messages: TemplateMessages | ItemReferenceMessages | None = None
    """
    Prompt of an item. If it is omitted, stored answers are graded as they are.
    """
    sampling_params: ResponsesSamplingParams | None = None
    """
    Sampling parameters of responses.
    """


class RunGrader(ApiObject):
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
    """
    Grader to run.
    """
    model_sample: str
    """
    Answer to grade. It fills the `sample` namespace; `output_json` is set if it is JSON.
    """
    item: dict[str, Any] | None = None
    """
    Row of the data source. It fills the `item` namespace.
    """


class TrainingAdvice(ApiObject):
    """
    Advice before a training.
    """

    id: str
    """
    ID of the advice. Starts with `ftadvice-`.
    """
    object: Literal["advice"]
    """
    Type of the object. Always `advice`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    training_file_id: str
    """
    ID of the training file.
    """
    model: str
    """
    ID of the base model.
    """
    expires_at: int
    """
    Time at which the advice is deleted, in Unix seconds.
    """
    result: AdviceResult | None
    """
    The advice; null unless the status is `completed`.
    """


class ValidateGrader(ApiObject):
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
    """
    Grader to validate.
    """


class ValidatedGrader(ApiObject):
    """
    A valid grader.
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
    """
    Grader as given, with its defaults filled in.
    """


class ReportValidation(ApiObject):
    """
    Result of a validation. `counts` includes every issue, even if `issues` is capped.
    """

    format: str
    """
    Format of the rows.
    """
    bytes: int
    """
    Size of the file in bytes.
    """
    rows: int
    """
    Number of rows.
    """
    valid_rows: int
    """
    Number of rows that can be trained on.
    """
    errors: int
    """
    Number of errors.
    """
    warnings: int
    """
    Number of warnings.
    """
    counts: dict[str, int]
    """
    Number of all issues, by code.
    """
    issues: list[ReportIssue]
    """
    Issues found. Capped; `counts` has all.
    """


class DatasetReportContent(ApiObject):
    """
    Report on a data set. Line numbers refer to the file as uploaded.

    Rows of `near_duplicates` mean the same. Rows of `same_form` differ in a word, a number, a name
    or a sign, and are not copies. `pairs` shows examples of both, of `contradictions`, and of
    `overlap`, with their texts.
    """

    version: int
    """
    Version of the report format.
    """
    source: ReportSource
    """
    Detected properties of the file.
    """
    validation: ReportValidation
    """
    Result of the validation.
    """
    rows: int
    """
    Number of rows.
    """
    turns: ReportDistribution | None
    """
    Turns per row; null if there are no rows with turns.
    """
    characters: ReportDistribution | None
    """
    Characters per row; null if there are no rows.
    """
    answer_characters: ReportDistribution | None
    """
    Characters of the answers per row; null if there are no answers.
    """
    tokens: list[ReportTokens]
    """
    Token counts, one entry per base model.
    """
    tokenizer_fit: list[ReportTokenizerFit]
    """
    Efficiency of each tokenizer for the languages of the file.
    """
    languages: list[ReportShare]
    """
    Languages of the rows, most common first.
    """
    scripts: list[ReportShare]
    """
    Scripts of the rows, most common first.
    """
    exact_duplicates: ReportGroups
    """
    Identical rows.
    """
    near_duplicates: ReportGroups
    """
    Rows that mean the same.
    """
    contradictions: ReportGroups
    """
    Rows with the same question and different answers.
    """
    overlap: ReportOverlap | None
    """
    Rows of the validation file that also appear in this file; null without a validation file.
    """
    personal_data: list[ReportPersonalData]
    """
    Detected personal data, by kind.
    """
    system_prompts: ReportSystemPrompts
    """
    Statistics on system prompts.
    """
    findings: list[ReportIssue]
    """
    Issues found in the rows. Capped; `finding_counts` has all.
    """
    finding_counts: dict[str, int]
    """
    Number of all findings, by code.
    """
    advice: list[ReportAdvice]
    """
    Recommended actions, the most urgent first.
    """
    same_form: ReportGroups | None = None
    """
    Rows that differ in a word, a number, a name or a sign, and are not copies.
    """
    pairs: Annotated[list[ReportRowPair], Field(validate_default=True)] = []
    """
    Examples of similar rows, with their texts.
    """
    possible_personal_data: Annotated[list[ReportPersonalData], Field(validate_default=True)] = []
    """
    Numbers that could be personal data, but that no word nearby confirms.
    """
    scores: ReportScores | None = None
    """
    Quality scores of the rows; null in reports of earlier versions, and without rows.
    """
    suitability: ReportSuitability | None = None
    """
    Whether the data set is ready for training; null in reports of earlier versions.
    """
    meaning: ReportMeanings | None = None
    """
    What a text encoder found; null except in reports of earlier versions.
    """
    model_search: str | None = None
    """
    What the operator's model searched; null without one.
    """


class Caller(ApiObject):
    """
    The API key that a request was sent with, its project, and the limits of both.
    """

    object: Literal["caller"]
    """
    Type of the object. Always `caller`.
    """
    api_key: ApiKey
    """
    An API key without its secret.
    """
    project: Project
    """
    A project (tenant).
    """
    permissions: list[
        Literal[
            "caller.read",
            "model.request",
            "model.read",
            "model.write",
            "model.approve",
            "model.share",
            "aliases.read",
            "aliases.write",
            "files.read",
            "files.write",
            "data.read",
            "data.erase",
            "fine_tuning.read",
            "fine_tuning.write",
            "evals.read",
            "evals.write",
            "batches.read",
            "batches.write",
            "exports.read",
            "exports.write",
            "webhooks.read",
            "webhooks.write",
            "usage.read",
            "project.read",
            "project.write",
            "api_keys.read",
            "api_keys.write",
            "audit_logs.read",
            "organization.read",
            "organization.write",
        ]
    ]
    """
    What the role of the API key allows. Each operation states the one that it needs as `x-permission`.
    """
    api_key_limits: ApiKeyLimitUsage
    """
    Limits that apply to the API key, installation defaults included.
    """
    project_limits: ProjectLimitUsage
    """
    Limits that apply to all keys of the project together, installation defaults included.
    """
    project_storage: dict[str, int]
    """
    Bytes that the project has in storage, by kind, such as `files` and `jobs`. `uploading` is reserved for uploads and tasks in progress.
    """
    min_training_rows: int
    """
    Minimum number of rows in the training file of a job.
    """


class CreateEval(ApiObject):
    """
    Request body to create an eval.
    """

    data_source_config: CreateEvalDataSourceConfig | CreateEvalLogsDataSourceConfig
    """
    Schema of the items, or which stored chats they are.
    """
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
    """
    Graders of each item. Their names must be distinct.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs of your own; up to 16.
    """
    name: str | None = None
    """
    Name of the eval.
    """


class CreateEvalRun(ApiObject):
    """
    Request body to create a run.
    """

    data_source: JsonlDataSource | CompletionsDataSource | ResponsesDataSource
    """
    Items of the run, and how they are answered.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs of your own; up to 16.
    """
    name: str | None = None
    """
    Name of the run.
    """


class DatasetGeneration(ApiObject):
    """
    Generation of training rows from documents by a model of this installation.
    """

    id: str
    """
    ID of the generation. Starts with `dsgen_`.
    """
    object: Literal["dataset.generation"]
    """
    Type of the object. Always `dataset.generation`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    document_ids: list[str]
    """
    IDs of the documents.
    """
    model: str
    """
    Model that writes and checks the rows.
    """
    kinds: list[Literal["questions", "rewrites", "refusals"]]
    """
    Kinds of rows.
    """
    language: str | None
    """
    BCP 47 tag of the language of the rows; null for the language of each passage.
    """
    n: int
    """
    Target row count.
    """
    max_tokens_total: int | None
    """
    Number of tokens after which no more requests are sent, or null.
    """
    seed: int
    """
    Random seed for choosing and ordering passages.
    """
    counts: GenerationCounts
    """
    Number of passages and rows so far.
    """
    usage: GenerationUsage
    """
    Tokens used so far.
    """
    result: DatasetGenerationResult | None
    """
    The rows; null until the generation has ended.
    """


class Erasure(ApiObject):
    """
    A search for rows in all files and stored chats of a project, and their erasure.
    """

    id: str
    """
    ID of the erasure. Starts with `erasure-`.
    """
    object: Literal["organization.erasure"]
    """
    Type of the object. Always `organization.erasure`.
    """
    status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
    """
    `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`.
    """
    created_at: int
    """
    Creation time, in Unix seconds.
    """
    started_at: int | None
    """
    Time at which the work began, in Unix seconds; null while it is queued.
    """
    finished_at: int | None
    """
    Time at which the work ended, in Unix seconds; null until then.
    """
    progress: OperationProgress | None
    """
    Progress of the work; null if it is not measured, and in some kinds of operations also before and after the work.
    """
    error: OperationError | None
    """
    Reason for the status `failed`, or null.
    """
    metadata: dict[str, str] | None
    """
    Key-value pairs attached to the operation.
    """
    project_id: str
    """
    ID of the project.
    """
    match: ErasureMatch
    """
    Digest of what is searched for.
    """
    apply: bool
    """
    Whether files are replaced, and stored chats deleted.
    """
    cascade: bool
    """
    Whether models are deleted, too.
    """
    result: ErasureResult | None
    """
    What was found and done so far; null while the erasure is queued.
    """


class Eval(ApiObject):
    """
    Eval: the schema of its items and the graders of its runs.
    """

    id: str
    """
    ID of the eval, prefixed with `eval_`.
    """
    object: Literal["eval"]
    """
    Type of the object. Always `eval`.
    """
    created_at: int
    """
    Unix timestamp in seconds.
    """
    name: str
    """
    Name of the eval.
    """
    data_source_config: EvalDataSourceConfig | EvalLogsDataSourceConfig
    """
    Schema of the items, or which stored chats they are.
    """
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
    """
    Graders of each item.
    """
    metadata: dict[str, str]
    """
    Key-value pairs that were set by the project.
    """


class EvalRun(ApiObject):
    """
    Run of an eval. `items`, `deleted_items`, `started_at`, `finished_at` and `estimated_finish`
    are extensions of OpenAI's schema.
    """

    id: str
    """
    ID of the run, prefixed with `evalrun_`.
    """
    object: Literal["eval.run"]
    """
    Type of the object. Always `eval.run`.
    """
    eval_id: str
    """
    Identifier of the eval.
    """
    created_at: int
    """
    Unix timestamp in seconds.
    """
    name: str
    """
    Name of the run.
    """
    status: Literal["queued", "in_progress", "completed", "canceled", "failed"]
    """
    Status of the run.
    """
    model: str
    """
    Model to sample from; empty if the answers are given or stored.
    """
    data_source: JsonlDataSource | CompletionsDataSource | ResponsesDataSource
    """
    Data source as requested.
    """
    error: EvalRunError | None
    """
    Reason why the run failed, or null.
    """
    result_counts: EvalRunResultCounts
    """
    Counters of the items that have an outcome.
    """
    per_model_usage: list[EvalRunModelUsage]
    """
    Tokens by model: the sampled one, and judges.
    """
    per_testing_criteria_results: list[EvalRunCriterionResult]
    """
    Outcomes by grader, in the order of the eval.
    """
    report_url: str
    """
    URL of the run's output items. It requires the API key, so a browser shows how to open it.
    """
    metadata: dict[str, str]
    """
    Key-value pairs that were set by the project.
    """
    items: int | None
    """
    Number of items; null until they are checked.
    """
    deleted_items: int
    """
    Number of items whose stored chat was deleted, or expired, before the run read it. They have no outcome.
    """
    started_at: int | None
    """
    Unix timestamp in seconds of the start.
    """
    finished_at: int | None
    """
    Unix timestamp in seconds of the end.
    """
    estimated_finish: int | None
    """
    Unix timestamp in seconds of the expected end; null before the first outcome and after the end.
    """


class FineTuningMethod(ApiObject):
    """
    Training method: supervised on chats, DPO on pairs of answers, KTO on labeled answers,
    continued pre-training on texts, or reinforcement on prompts, by a grader.
    """

    type: Literal["supervised", "dpo", "kto", "pretraining", "reinforcement"]
    """
    Training method: `supervised` (on chats), `dpo` (on preferences), `kto` (on labeled answers), `pretraining` (on texts), or `reinforcement` (on prompts, by a grader).
    """
    supervised: SupervisedMethod | None = None
    """
    Options for the `supervised` method.
    """
    dpo: DpoMethod | None = None
    """
    Options for the `dpo` method.
    """
    kto: KtoMethod | None = None
    """
    Options for the `kto` method.
    """
    pretraining: PretrainingMethod | None = None
    """
    Options for the `pretraining` method.
    """
    reinforcement: ReinforcementMethod | None = None
    """
    Options for the `reinforcement` method, which needs them.
    """


class Session(ApiObject):
    """
    Session of a browser: who is signed in, and the token for requests that change something.
    """

    object: Literal["session"]
    """
    Type of the object. Always `session`.
    """
    id: str
    """
    ID of the session.
    """
    created_at: int
    """
    Time of the sign-in, in Unix seconds.
    """
    expires_at: int
    """
    Time at which the session ends, in Unix seconds.
    """
    csrf_token: str
    """
    Value of the header `X-CSRF-Token`, which requests with the cookie need unless their method is GET or HEAD.
    """
    caller: Caller
    """
    The API key that a request was sent with, its project, and the limits of both.
    """


class CreateFineTuningJob(ApiObject):
    """
    Request body for creating a fine-tuning job.
    """

    model: str
    """
    ID of the base model from the catalog.
    """
    training_file: str
    """
    ID of the training file. The file may still be processing.
    """
    validation_file: str | None = None
    """
    ID of the validation file, whose rows are used to measure the model.
    """
    mixed_files: list[CreateMixedFile] | None = None
    """
    Files whose rows are mixed with those of the training file, up to 8; for example, general chats, so that the model keeps what it can do. Not part of OpenAI's API.
    """
    suffix: str | None = None
    """
    Suffix to include in the name of the fine-tuned model.
    """
    seed: int | None = None
    """
    Random seed of the training. Generated if omitted.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs for filtering; up to 16. Keys have up to 64 characters, values up to 512.
    """
    method: FineTuningMethod | None = None
    """
    Training method and its hyperparameters. Defaults to `supervised`.
    """
    hyperparameters: SupervisedHyperparameters | None = None
    """
    Hyperparameters of supervised training. Deprecated by OpenAI in favor of `method`, but still accepted.
    """
    priority: int = 0
    """
    Priority of the job. Higher values run first. Not part of OpenAI's API.
    """
    gate: dict[str, str] | None = None
    """
    Conditions that the evaluation of the job must meet, such as `{"chrf_gain": ">=5"}`. An alias does not point at a model of the job that fails them without `force`. A job with a gate needs held-out rows. Not part of OpenAI's API.
    """
    baseline_prompt: str | None = None
    """
    System message of the base model in the evaluation, to compare the trained model with a prompted base model.
    """
    integrations: list[CreateMlflowIntegration | WandbIntegration] | None = None
    """
    Integrations of the job. `mlflow` sends its metrics and hyperparameters to an MLflow server, which the operator must allow; `wandb` is not supported.
    """


class CreateSweep(ApiObject):
    """
    Request body for creating a sweep: that of a job, with lists of values to try.
    """

    model: str
    """
    ID of the base model from the catalog.
    """
    training_file: str
    """
    ID of the training file. The file may still be processing.
    """
    validation_file: str | None = None
    """
    ID of the validation file, whose rows are used to measure the model.
    """
    mixed_files: list[CreateMixedFile] | None = None
    """
    Files whose rows are mixed with those of the training file, up to 8; for example, general chats, so that the model keeps what it can do. Not part of OpenAI's API.
    """
    suffix: str | None = None
    """
    Suffix to include in the name of the fine-tuned model.
    """
    seed: int | None = None
    """
    Random seed of the training. Generated if omitted.
    """
    metadata: dict[str, str] | None = None
    """
    Key-value pairs for filtering; up to 16. Keys have up to 64 characters, values up to 512.
    """
    method: FineTuningMethod | None = None
    """
    Training method and its hyperparameters. Defaults to `supervised`.
    """
    hyperparameters: SupervisedHyperparameters | None = None
    """
    Hyperparameters of supervised training. Deprecated by OpenAI in favor of `method`, but still accepted.
    """
    priority: int = 0
    """
    Priority of the job. Higher values run first. Not part of OpenAI's API.
    """
    gate: dict[str, str] | None = None
    """
    Conditions that the evaluation of the job must meet, such as `{"chrf_gain": ">=5"}`. An alias does not point at a model of the job that fails them without `force`. A job with a gate needs held-out rows. Not part of OpenAI's API.
    """
    baseline_prompt: str | None = None
    """
    System message of the base model in the evaluation, to compare the trained model with a prompted base model.
    """
    integrations: list[CreateMlflowIntegration | WandbIntegration] | None = None
    """
    Integrations of the job. `mlflow` sends its metrics and hyperparameters to an MLflow server, which the operator must allow; `wandb` is not supported.
    """
    values: SweepValues
    """
    Lists of hyperparameter values to try. Each combination is a trial; a sweep has 2 to 16.
    """
    stop_losers: bool = True
    """
    Whether the worse half of the trials is stopped after a third of the training, and again after two thirds. Only trials with the same number of epochs are compared.
    """
