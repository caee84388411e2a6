/** Types of the API. Generated from openapi.json by `npm run generate`. */

/** Token counts of a request. */
export interface CompletionUsage {
  /** Number of tokens in the prompt. */
  prompt_tokens: number;
  /** Number of generated tokens. */
  completion_tokens?: number | null;
  /** Number of tokens in the prompt and the output. */
  total_tokens: number;
  [key: string]: unknown;
}

/** A new key of a service account. This is the only response that contains the secret. */
export interface ServiceAccountApiKey {
  object: "organization.project.service_account.api_key";
  /** ID of the key, prefixed with `key_`. */
  id: string;
  /** Name of the key. */
  name: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Time at which the key expires, as a Unix timestamp in seconds, or null. */
  expires_at: number | null;
  /** Secret of the key, shown only once. */
  value: string;
}

/** Role of a service account, which determines the role of its keys. */
export type ServiceAccountRole = "owner" | "member" | "none";

/** API key that was used. */
export interface AuditLogActorApiKey {
  /** ID of the key. */
  id: string;
  /** ID of the key's project. */
  project_id: string;
  /** Role that the key had. */
  role: string;
}

/** Session of an actor without a valid API key. */
export interface AuditLogActorSession {
  /** Address that the request came from. */
  ip_address: string | null;
  /** Actor without an API key: `operator` for commands on the server, or `finetuned` for the service itself. */
  user: AuditLogActorUser;
}

/** Actor without an API key: `operator` for commands on the server, or `finetuned` for the service itself. */
export interface AuditLogActorUser {
  /** Name of the actor; null for an unknown one. */
  id: string | null;
}

/** A key with the role `admin`, without its secret. */
export interface AdminApiKey {
  object: "organization.admin_api_key";
  /** ID of the key, prefixed with `key_`. */
  id: string;
  /** Name of the key. */
  name: string;
  /** Redacted secret with its last characters. */
  redacted_value: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /**
   * Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated
   * within a minute.
   */
  last_used_at: number | null;
  /** Time at which the key expires, as a Unix timestamp in seconds, or null. */
  expires_at: number | null;
  /** Program that uses an admin key, under the name of the key. */
  owner: AdminApiKeyOwner;
  /** ID of the project to which the key belongs. */
  project_id: string;
}

/** Program that uses an admin key, under the name of the key. */
export interface AdminApiKeyOwner {
  /** Always `service_account`. */
  type: "service_account";
  object: "organization.service_account";
  /** ID of the key. */
  id: string;
  /** Name of the key. */
  name: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Role of the owner. Always `owner`. */
  role: "owner";
}

/** Completed advice before a training. */
export interface AdviceResult {
  /** What to do: `train`, use a `prompt`, use `retrieval`, `collect` rows, or `fix_data` first. */
  recommendation: AdviceRecommendation;
  /** Recommendation in one sentence, with its figures. */
  sentence: string;
  /** Code of the sentence. */
  code?: string | null;
  /** Figures of the sentence by name. Scores are in points (0 to 100). */
  figures?: Record<string, unknown> | null;
  /** Number of rows in the training file. */
  rows?: number | null;
  /** Metric of the scores, chosen by the answers. */
  metric?: string | null;
  /** Score of the base model. */
  base?: AdviceScore | null;
  /** Score of the base model with the best prompt. */
  prompt?: PromptScore | null;
  /** Gain of the best prompt over the base model. */
  prompt_gain?: PointsInterval | null;
  /** Points between the better of the two scores and 100, which no training can exceed. */
  headroom?: number | null;
  /** Expected gain of a training over the best prompt, based on at least three earlier models; null if unknown. */
  expected_gain?: ExpectedGain | null;
  /** Result of a keyword search, which needs no training. */
  retrieval?: RetrievalSigns | null;
  /** Findings of the file's report, the most urgent first. */
  findings?: Finding[] | null;
  /** Estimate of a job with default settings. */
  estimate?: FineTuningEstimate | null;
  /** Skipped checks, and reasons why a job would be refused. */
  notes?: string[] | null;
  /** The notes as codes and figures, in the same order. */
  note_details?: Statement[] | null;
}

/** Mean score of a model in points (0 to 100), with its 95% confidence interval. */
export interface AdviceScore {
  /** Mean score. */
  points: number;
  /** Lower limit of the interval. */
  low: number;
  /** Upper limit of the interval. */
  high: number;
  /** Number of rows with a score. */
  rows: number;
}

/** Agreement of people with the measure that decided, on pairs of answers. */
export interface HumanReviewAgreement {
  /** Metric that decided the verdict. */
  metric: string;
  /** Number of pairs on which both agree; a tie of the metric counts as half. */
  agreements: number;
  /** Number of pairs of answers of which most labels prefer one. */
  pairs: number;
  /** Share of these pairs, with Wilson's interval. */
  share: HumanReviewShare;
  /** Always true: people labeled them. */
  is_human: true;
}

/** A change to an alias. */
export interface AliasChange {
  /** `etag` of the alias after the change. */
  id: string;
  object: "alias.change";
  /** Generation of the alias after the change. */
  generation: number;
  /** Time of the change, as a Unix timestamp in seconds. */
  created_at: number;
  /** Type of the change. */
  action: "set" | "rollback";
  /** ID of the API key that made the change. */
  api_key_id: string;
  /** Targets before the change; empty if the alias was new. */
  previous_targets: AliasTarget[];
  /** Targets after the change. They equal `previous_targets` if only the gate was changed. */
  targets: AliasTarget[];
  /** Gate after the change; empty if there is none. */
  gate?: Record<string, string>;
  /** Whether the change was made although the gate failed. Default: `false`. */
  forced?: boolean;
  /** Conditions that the targets did not meet; empty unless `forced`. */
  failed_conditions?: FailedCondition[];
  /** Suites after the change; empty if there are none. */
  suites?: AliasSuite[];
  /** Whether a suite was removed, or a bound of one lowered. Default: `false`. */
  loosened?: boolean;
  /** Reason why the conditions were overridden, or suites loosened; or null. */
  reason?: string | null;
}

/** Check of an alias: its suites, run with a model. */
export interface AliasCheck {
  /** ID of the check. Starts with `aliascheck-`. */
  id: string;
  object: "alias.check";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** Name of the alias. */
  alias: string;
  /** Whether the alias moves to the model if it passes. */
  move: boolean;
  /** Whether the alias's schedule created the check. */
  scheduled: boolean;
  /** Runs of the suites. */
  runs: AliasCheckRun[];
  /** Outcome; null unless the status is `completed`. */
  result: AliasCheckResult | null;
}

/** Outcome of a completed check. */
export interface AliasCheckResult {
  /** Whether no lower limit is below its bound. */
  passed: boolean;
  /** Whether the alias points at the model because of the check. */
  moved: boolean;
}

/** Run of a suite with a model. */
export interface AliasCheckRun {
  /** Model that was checked. */
  model: string;
  /** ID of the suite's eval. */
  eval_id: string;
  /** ID of the run that the suite compares with. */
  baseline_run_id: string;
  /** ID of the run. It is created when there is room for it. */
  run_id: string;
  /** `passed`, or the name of a grader. */
  metric: string;
  /** Bound of `difference_low`, or null. */
  min_difference: number | null;
  /** Bound of `score_low`, or null. */
  min_score: number | null;
  /**
   * Lower limit of the 95% interval of the difference to the baseline; null until it is known, and if an item
   * could not be answered or graded.
   */
  difference_low: number | null;
  /** Mean difference to the baseline; null like its lower limit. */
  difference_mean?: number | null;
  /** Upper limit of the interval; null like the lower one. */
  difference_high?: number | null;
  /** Lower limit of the 95% interval of the mean score; null like the other. */
  score_low: number | null;
  /** Mean score; null like its lower limit. */
  score_mean?: number | null;
  /** Upper limit of the interval; null like the lower one. */
  score_high?: number | null;
  /** Whether no limit is below its bound. */
  passed: boolean;
}

/** A project-defined name for a model, or for a split between two models. */
export interface Alias {
  /** Name of the alias, to use as the model name in requests. */
  id: string;
  object: "alias";
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Time of the last change, as a Unix timestamp in seconds. */
  updated_at: number;
  /** Version number of the alias. Starts at 1 and increases by 1 with each change. */
  generation: number;
  /** Entity tag of the alias, to be sent as `If-Match` in changes. */
  etag: string;
  /** Models that receive the requests. */
  targets: AliasTarget[];
  /**
   * Conditions that the evaluation of a trained model must meet before the alias points at it; empty if there are
   * none.
   */
  gate?: Record<string, string>;
  /** Evals that a new model must pass before the alias points at it. */
  suites?: AliasSuite[];
  /** Cron expression in UTC of the times at which the suites are run again; null if there is none. */
  schedule?: string | null;
  /** Time of the next check by the schedule, as a Unix timestamp in seconds; null without a schedule or suites. */
  next_check_at?: number | null;
}

/** An eval that a new model must pass before the alias points at it. */
export interface AliasSuite {
  /** ID of the eval. */
  eval_id: string;
  /**
   * ID of a completed run of the eval, the baseline. Its items, prompt and parameters are used again with the new
   * model.
   */
  run_id: string;
  /**
   * `passed`, the share of items that all graders pass, or the name of a grader whose scores are from 0 to 1.
   * Default: `passed`.
   */
  metric?: string;
  /** Bound for the lower limit of the 95% interval of the mean difference to the baseline. */
  min_difference?: number | null;
  /** Bound for the lower limit of the 95% interval of the mean score. */
  min_score?: number | null;
}

/** Limits that apply to an API key or a project, and how much of them is used. */
export interface ApiKeyLimitUsage {
  /** A limit, and how much of it is used. */
  requests_per_minute: LimitUsage;
  /** A limit, and how much of it is used. */
  tokens_per_minute: LimitUsage;
  /** A limit, and how much of it is used. */
  concurrent_requests: LimitUsage;
  /** A limit, and how much of it is used. */
  concurrent_streams: LimitUsage;
}

/** An answer without the column that gave it. */
export interface AnswerToLabel {
  /** Text of the answer. */
  text: string;
  /** Tool calls of the answer. */
  tool_calls: Record<string, unknown>[];
}

/** Outcome of a rewrite for the append-only file of Redis. */
export type ErasureAppendOnlyFile = "rewritten" | "off" | "not_permitted";

/** A person's approval of a trained model. */
export interface Approval {
  object: "model.approval";
  /** ID of the approval, prefixed with `approval_`. */
  id: string;
  /** Time of the approval, as a Unix timestamp in seconds. */
  created_at: number;
  /**
   * ID of the service account that approved the model; otherwise of the bearer of a token of the identity
   * provider, or of the API key.
   */
  approved_by: string;
  /** ID of the API key that approved the model. */
  api_key_id: string;
  /** What was checked; null if nothing was said. */
  note: string | null;
  /** SHA-256 digest of the manifest of the approved weights, in hexadecimal digits. */
  digest: string;
}

/** Actor of an event: an API key, or a session without one. */
export interface AuditLogActor {
  /** Type of the actor. `api_key`: a valid key was sent. `session`: none was. */
  type: "api_key" | "session";
  /** API key that was used. */
  api_key?: AuditLogActorApiKey | null;
  /** Session of an actor without a valid API key. */
  session?: AuditLogActorSession | null;
}

/** Entry of the audit log. */
export interface AuditLog {
  object: "organization.audit_log";
  /** ID of the entry. */
  id: string;
  /** Type of the event. */
  type: string;
  /** Time of the event, in Unix seconds. */
  effective_at: number;
  /** Project that the entry is about. */
  project: AuditLogProject | null;
  /** Actor of an event: an API key, or a session without one. */
  actor: AuditLogActor;
  /** IDs of the objects that were changed or read, and of those that they belong to; at most 100. */
  objects: string[];
  /** Counts, such as the number of bytes read or of requests. */
  counts: Record<string, number>;
  /** Request that the entry is about. */
  request: AuditLogRequest;
  /** Result of the request. */
  result: AuditLogResult;
  /** Reason that the caller gave for an override, or null. */
  reason?: string | null;
  [key: string]: unknown;
}

/** Result of a verification of the audit log. */
export interface AuditLogVerification {
  object: "organization.audit_log.verification";
  /**
   * Result. `intact`: no sealed entry was changed, deleted, added or moved. `damaged`: `problems` says what is
   * wrong. `empty`: no entry is sealed yet.
   */
  status: "intact" | "damaged" | "empty";
  /** Time of the verification, in Unix seconds. */
  verified_at: number;
  /** Newest valid checkpoint. Null if no entry is sealed. */
  sealed: SealedUntil | null;
  /** Number of sealed entries that were deleted because of their age, as checkpoints state. */
  entries_deleted: number;
  /** Number of newer entries, which are not sealed yet and cannot be verified. */
  entries_unsealed: number;
  /** Problems found. Empty if there are none. */
  problems: string[];
  /** Facts that an auditor should know, such as changes of the retention. */
  notes: string[];
}

/** Project that the entry is about. */
export interface AuditLogProject {
  /** ID of the project. */
  id: string;
}

/** Request that the entry is about. */
export interface AuditLogRequest {
  /** ID of the request, which is also in the service's logs. */
  id: string | null;
  /** Address that the request came from. */
  ip_address: string | null;
  /** First 200 characters of the `User-Agent` header. */
  user_agent: string | null;
  /** Operation in this API description, or path of the request. */
  operation: string | null;
}

/** Result of the request. */
export interface AuditLogResult {
  /** Outcome of the request. */
  outcome: "applied" | "accepted" | "succeeded" | "refused" | "failed";
  /** HTTP status of the answer; null if `applied` or `accepted`. */
  status: number | null;
  /** Error code of the answer, if known. */
  code: string | null;
}

/** Reason why a batch failed. */
export interface BatchError {
  /** Machine-readable error code. */
  code: string;
  /** Human-readable message. */
  message: string;
  /** Parameter or field that caused the failure. */
  param: string | null;
  /** Line of the input file, from 1; null for other reasons. */
  line: number | null;
}

/** Reasons why a batch failed. */
export interface BatchErrors {
  object: "list";
  /** The first 50 reasons. */
  data: BatchError[];
}

/** Breakdown of the input tokens. */
export interface BatchInputTokensDetails {
  /** Number of input tokens from the prefix cache. */
  cached_tokens: number;
}

/** Batch of requests from a file, which are answered at the lowest priority. */
export interface Batch {
  /** ID of the batch, prefixed with `batch_`. */
  id: string;
  object: "batch";
  /** Endpoint to which every request of the batch is sent. */
  endpoint: string;
  /** Model that all requests name; null until the input file is checked. */
  model: string | null;
  /** Reasons why the batch failed, or null. */
  errors: BatchErrors | null;
  /** ID of the input file. */
  input_file_id: string;
  /** Time after which the batch expires. */
  completion_window: string;
  /** Status of the batch. */
  status: BatchStatus;
  /** ID of the file with the answers; null until the batch has ended, or if there are none. */
  output_file_id: string | null;
  /**
   * ID of the file with the requests that were refused, failed or not sent; null until the batch has ended, or if
   * there are none.
   */
  error_file_id: string | null;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Time at which the first request was sent, as a Unix timestamp in seconds. */
  in_progress_at: number | null;
  /** Expiration time, as a Unix timestamp in seconds. */
  expires_at: number;
  /** Time at which the writing of the files began, as a Unix timestamp in seconds. */
  finalizing_at: number | null;
  /** Time at which the batch was completed, as a Unix timestamp in seconds. */
  completed_at: number | null;
  /** Time at which the batch failed, as a Unix timestamp in seconds. */
  failed_at: number | null;
  /** Time at which the batch expired, as a Unix timestamp in seconds. */
  expired_at: number | null;
  /** Time at which the cancellation was requested, as a Unix timestamp in seconds. */
  cancelling_at: number | null;
  /** Time at which the batch was cancelled, as a Unix timestamp in seconds. */
  cancelled_at: number | null;
  /** Request counts of a batch. */
  request_counts: BatchRequestCounts;
  /** Tokens of the answered requests of a batch. */
  usage: BatchUsage;
  /** Key-value pairs attached to the batch. */
  metadata: Record<string, string> | null;
}

/** Lifetime of the files of a batch. */
export interface BatchOutputExpiresAfter {
  /** Event at which the lifetime begins: the creation of the file. */
  anchor: "created_at";
  /** Lifetime of the files in seconds. */
  seconds: number;
}

/** Breakdown of the output tokens. */
export interface BatchOutputTokensDetails {
  /** Number of output tokens of reasoning. */
  reasoning_tokens: number;
}

/** Request counts of a batch. */
export interface BatchRequestCounts {
  /** Number of requests; 0 until the file is checked. */
  total: number;
  /** Number of requests that were answered. */
  completed: number;
  /** Number of requests that were refused or failed. */
  failed: number;
}

/** Status of a batch. */
export type BatchStatus = "validating" | "failed" | "in_progress" | "finalizing" | "completed" | "expired" | "cancelling" | "cancelled";

/** Tokens of the answered requests of a batch. */
export interface BatchUsage {
  /** Number of input tokens. */
  input_tokens: number;
  /** Breakdown of the input tokens. */
  input_tokens_details: BatchInputTokensDetails;
  /** Number of output tokens. */
  output_tokens: number;
  /** Breakdown of the output tokens. */
  output_tokens_details: BatchOutputTokensDetails;
  /** Number of input and output tokens. */
  total_tokens: number;
}

/** The API key that a request was sent with, its project, and the limits of both. */
export interface Caller {
  object: "caller";
  /** An API key without its secret. */
  api_key: ApiKey;
  /** A project (tenant). */
  project: Project;
  /** What the role of the API key allows. Each operation states the one that it needs as `x-permission`. */
  permissions: Permission[];
  /** Limits that apply to the API key, installation defaults included. */
  api_key_limits: ApiKeyLimitUsage;
  /** Limits that apply to all keys of the project together, installation defaults included. */
  project_limits: ProjectLimitUsage;
  /**
   * Bytes that the project has in storage, by kind, such as `files` and `jobs`. `uploading` is reserved for
   * uploads and tasks in progress.
   */
  project_storage: Record<string, number>;
  /** Minimum number of rows in the training file of a job. */
  min_training_rows: number;
}

/** Settings for storing the chats of a project, with personal data replaced, to train on them later. */
export interface CaptureSettings {
  /**
   * Share of the chats without `store` that are stored. With 0, only requests with `"store": true` are stored.
   * Default: `1`.
   */
  sampling?: number;
  /** Days after which a stored chat is deleted. Default: `30`. */
  expires_after_days?: number;
  /**
   * Replacement for personal data. `mask` writes `[EMAIL]`; `pseudonym` writes `[EMAIL_1]`, with one number per
   * value in a chat. Default: `mask`.
   */
  redaction?: "mask" | "pseudonym";
  /**
   * Whether to also replace numbers that look like personal data but have no confirming word before them.
   * Default: `false`.
   */
  possible_personal_data?: boolean;
  /** The only models whose chats are stored: names of base models, trained models or aliases. `null` for all. */
  models?: string[] | null;
}

/** Chat completion, as in the OpenAI API. */
export interface ChatCompletion {
  /** ID of the completion. */
  id: string;
  /** Unix timestamp in seconds (UTC). */
  created: number;
  /** Model that generated the response. */
  model: string;
  /** Token counts of a request. */
  usage?: CompletionUsage | null;
  object: "chat.completion";
  /** Generated messages, one per requested choice. */
  choices: ChatCompletionChoice[];
  [key: string]: unknown;
}

/** A generated chat message. */
export interface ChatCompletionChoice {
  /** Position of the choice in the list of choices, starting at 0. */
  index: number;
  /**
   * Reason generation ended. `stop`: the model finished. `length`: the token limit was reached. `tool_calls`: the
   * model called tools.
   */
  finish_reason: string | null;
  /** Generated message. */
  message: ChatMessage;
  [key: string]: unknown;
}

/** A message in a conversation. */
export interface ChatMessage {
  /** Role of the message's author. */
  role: "system" | "developer" | "user" | "assistant" | "tool";
  /** Message content as text or content parts; null if the message only calls tools. */
  content?: string | Record<string, unknown>[] | null;
  /** Tool calls made by an assistant message. */
  tool_calls?: Record<string, unknown>[];
  /** The model's reasoning before its answer, in an assistant message. */
  reasoning?: string | null;
  /** ID of the tool call that a tool message answers. */
  tool_call_id?: string;
  [key: string]: unknown;
}

/** A check of the installation. */
export interface Check {
  /** Subject of the check. */
  name: string;
  /** Code of the subject. */
  code?: string;
  /** Name of what is checked, such as a base model. Null if none. */
  subject?: string | null;
  /**
   * Status of the check. `warning`: it works, but something should be changed. `failed`: a part of the service
   * does not work.
   */
  status: "ok" | "warning" | "failed";
  /** Result of the check, in words. */
  message: string;
  /** Suggested fix. Null if there is nothing to do. */
  fix: string | null;
}

/** Metrics of a checkpoint, measured when it was saved. */
export interface FineTuningJobCheckpointMetrics {
  /** Training step at which the checkpoint was saved. */
  step?: number | null;
  /** Training loss of the step. */
  train_loss?: number | null;
  /** Share of the training tokens that the model predicts correctly. */
  train_mean_token_accuracy?: number | null;
  /** Loss on a sample of the validation rows. */
  valid_loss?: number | null;
  /** Token accuracy on a sample of the validation rows. */
  valid_mean_token_accuracy?: number | null;
  /** Loss on all validation rows. */
  full_valid_loss?: number | null;
  /** Token accuracy on all validation rows. */
  full_valid_mean_token_accuracy?: number | null;
  /** Mean reward of the answers to training prompts. Only for reinforcement. */
  train_reward_mean?: number | null;
  /** Mean reward of the answers to validation prompts. Only for reinforcement. */
  valid_reward_mean?: number | null;
  /** Share of the training pairs in which the preferred answer has the higher reward. Only for DPO and KTO. */
  train_reward_accuracy?: number | null;
  /** Mean difference of the rewards of preferred and other answers, in nats times `beta`. Only for DPO and KTO. */
  train_reward_margin?: number | null;
  /** Reward accuracy on a sample of the validation rows. Only for DPO and KTO. */
  valid_reward_accuracy?: number | null;
  /** Reward margin on a sample of the validation rows. Only for DPO and KTO. */
  valid_reward_margin?: number | null;
  /** Reward accuracy on all validation rows. Only for DPO and KTO. */
  full_valid_reward_accuracy?: number | null;
  /** Reward margin on all validation rows. Only for DPO and KTO. */
  full_valid_reward_margin?: number | null;
}

/** A checkpoint: a model saved during training, which can serve inference requests. */
export interface FineTuningJobCheckpoint {
  /** ID of the checkpoint. Starts with `ftckpt_`. */
  id: string;
  object: "fine_tuning.job.checkpoint";
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Name of the model to use in inference requests. */
  fine_tuned_model_checkpoint: string;
  /** ID of the job that created the checkpoint. */
  fine_tuning_job_id: string;
  /** Number of training steps before the checkpoint. */
  step_number: number;
  /** Metrics measured at the checkpoint. */
  metrics: FineTuningJobCheckpointMetrics;
}

/** Grader that measures chrF: the overlap of character n-grams, from 0 to 1. */
export interface ChrfGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to the middle of the range of scores. */
  pass_threshold?: number | null;
  /** Always `chrf`. */
  type: "chrf";
  /** Text to grade. May contain template variables. Default: `{{sample.output_text}}`. */
  input?: string;
  /** Text to compare with. May contain template variables. */
  reference: string;
}

/** Text completion, as in the OpenAI API. */
export interface Completion {
  /** ID of the completion. */
  id: string;
  /** Unix timestamp in seconds (UTC). */
  created: number;
  /** Model that generated the response. */
  model: string;
  /** Token counts of a request. */
  usage?: CompletionUsage | null;
  object: "text_completion";
  /** Generated texts, one per requested choice. */
  choices: CompletionChoice[];
  [key: string]: unknown;
}

/** A generated text. */
export interface CompletionChoice {
  /** Position of the choice in the list of choices, starting at 0. */
  index: number;
  /**
   * Reason generation ended. `stop`: the model finished. `length`: the token limit was reached. `tool_calls`: the
   * model called tools.
   */
  finish_reason: string | null;
  /** Generated text. */
  text: string;
  [key: string]: unknown;
}

/** Items whose answers are sampled with chat completions, or stored chat completions. */
export interface CompletionsDataSource {
  /** Always `completions`. */
  type: "completions";
  /** Source of the items. */
  source: FileContentSource | FileIdSource | StoredCompletionsSource;
  /**
   * Model to sample from: a base model, a trained model, a checkpoint or an alias. An alias is resolved for each
   * item.
   */
  model?: string | null;
  /** Prompt of an item. If it is omitted, stored answers are graded as they are. */
  input_messages?: TemplateMessages | ItemReferenceMessages | null;
  /** Sampling parameters of chat completions. */
  sampling_params?: CompletionsSamplingParams | null;
}

/** Sampling parameters of chat completions. */
export interface CompletionsSamplingParams {
  /** Maximum number of tokens of an answer. Defaults to the rest of the model's context. */
  max_completion_tokens?: number | null;
  /** Reasoning effort, for models that support it. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | null;
  /** Sampling seed. Defaults to 42. */
  seed?: number | null;
  /** Sampling temperature. Defaults to 1. */
  temperature?: number | null;
  /** Probability mass of the tokens to sample from. Defaults to 1. */
  top_p?: number | null;
  /** Format of the answers, as in chat completions. */
  response_format?: Record<string, unknown> | null;
  /** Functions that the model may call, as in chat completions. */
  tools?: Record<string, unknown>[] | null;
}

/** Request to create a key of a service account. */
export interface CreateServiceAccountApiKey {
  /** Name of the key. By default, that of the account. */
  name?: string | null;
  /** Seconds until the key expires, up to ten years. `null`: never. */
  expires_in_seconds?: number | null;
}

/** Request to create an admin key. */
export interface CreateAdminApiKey {
  /** Name of the key. */
  name: string;
  /** Seconds until the key expires, up to ten years. `null`: never. */
  expires_in_seconds?: number | null;
}

/** Request for advice before a training. */
export interface CreateAdvice {
  /** ID of the file. */
  training_file_id: string;
  /** ID of the base model. An engine must serve it. */
  model: string;
  /** Key-value pairs attached to the advice; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to run the suites of an alias. */
export interface CreateAliasCheck {
  /** Name of the alias. */
  alias: string;
  /** Model to check: a base model or a trained model. Defaults to the models that the alias points at. */
  model?: string | null;
  /**
   * Whether to point the alias at `model` if it passes. The alias must not change in the meantime. Default:
   * `false`.
   */
  move?: boolean;
  /** Key-value pairs attached to the check; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to approve a trained model. */
export interface CreateApproval {
  /** What was checked, and how. */
  note?: string | null;
}

/** Request body to create a batch. */
export interface CreateBatch {
  /**
   * ID of a file with the purpose `batch`: JSON Lines with one request per line, up to 50,000 requests and 200
   * MiB.
   */
  input_file_id: string;
  /** Endpoint to which every request of the batch is sent. */
  endpoint: "/v1/chat/completions" | "/v1/completions" | "/v1/responses" | "/v1/embeddings";
  /** Time after which the batch expires. Only `24h` is supported. */
  completion_window: "24h";
  /** Key-value pairs attached to the batch; up to 16. */
  metadata?: Record<string, string> | null;
  /** Lifetime of the output file and the error file. */
  output_expires_after?: BatchOutputExpiresAfter | null;
}

/** Chat completion request, as in the OpenAI API. */
export interface CreateChatCompletion {
  /** ID of a base model, a trained model or an alias in the project. */
  model: string;
  /** Whether to stream the response as server-sent events. Default: `false`. */
  stream?: boolean | null;
  /** Sampling temperature. 0 selects the most likely token at each step. */
  temperature?: number | null;
  /** Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value. */
  top_p?: number | null;
  /** Options for streaming responses. */
  stream_options?: StreamOptions | null;
  /** Maximum number of tokens to generate. */
  max_tokens?: number | null;
  /**
   * Number of completions to generate for each prompt. The total across all prompts is limited to 16 unless the
   * operator configures another limit.
   */
  n?: number | null;
  /** Sequences at which generation stops. */
  stop?: string | string[] | null;
  /** Sampling seed. The same seed gives the same output. */
  seed?: number | null;
  /** Penalty for a token that grows with each of its occurrences in the text. */
  frequency_penalty?: number | null;
  /** Penalty for tokens that occur in the text. */
  presence_penalty?: number | null;
  /** Messages of the conversation. */
  messages: ChatMessage[];
  /** Maximum number of tokens to generate. Not together with `max_tokens`. */
  max_completion_tokens?: number | null;
  /** Functions that the model may call. */
  tools?: Record<string, unknown>[] | null;
  /** Tool selection: `auto`, `none`, `required`, the one tool to call, or the `allowed_tools`. */
  tool_choice?: unknown;
  /** Reasoning options, named as in the chat templates of the base models. */
  chat_template_kwargs?: ReasoningOptions | null;
  /** Output format: plain JSON, or JSON that matches a schema. */
  response_format?: Record<string, unknown> | null;
  /** Whether to return the log probability of each output token. */
  logprobs?: boolean | null;
  [key: string]: unknown;
}

/** Text completion request, as in the OpenAI API. */
export interface CreateCompletion {
  /** ID of a base model, a trained model or an alias in the project. */
  model: string;
  /** Whether to stream the response as server-sent events. Default: `false`. */
  stream?: boolean | null;
  /** Sampling temperature. 0 selects the most likely token at each step. */
  temperature?: number | null;
  /** Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value. */
  top_p?: number | null;
  /** Options for streaming responses. */
  stream_options?: StreamOptions | null;
  /** Maximum number of tokens to generate. */
  max_tokens?: number | null;
  /**
   * Number of completions to generate for each prompt. The total across all prompts is limited to 16 unless the
   * operator configures another limit.
   */
  n?: number | null;
  /** Sequences at which generation stops. */
  stop?: string | string[] | null;
  /** Sampling seed. The same seed gives the same output. */
  seed?: number | null;
  /** Penalty for a token that grows with each of its occurrences in the text. */
  frequency_penalty?: number | null;
  /** Penalty for tokens that occur in the text. */
  presence_penalty?: number | null;
  /** Prompt or prompts, as text or token IDs. */
  prompt: string | string[] | number[] | number[][];
  /** Whether to return the prompt before the output. */
  echo?: boolean | null;
  /** Number of most likely tokens to return log probabilities for. */
  logprobs?: number | null;
  [key: string]: unknown;
}

/** Request to clean a file. The first row of a set of duplicates is kept. */
export interface CreateDatasetCleaning {
  /** Whether to drop invalid rows. If false, an invalid row fails the cleaning. Default: `true`. */
  drop_broken?: boolean;
  /**
   * Whether to remove exact duplicates: rows identical to an earlier row in all content used for training (system
   * prompt, tools, messages, rejected answer and label). Default: `true`.
   */
  exact_duplicates?: boolean;
  /**
   * Whether to also remove near duplicates: rows that mean the same as an earlier row with the same system
   * prompt, tools, rejected answer and label. Rows that differ in a number, a date, a name, or a negation are
   * kept. The report shows the pairs. Default: `false`.
   */
  near_duplicates?: boolean;
  /**
   * Similarity at or above which two rows with the same facts are near duplicates: the share of words, or of
   * characters in scripts without spaces, that each turn has in common with its counterpart. At 1, they differ
   * only in case, spacing, punctuation, and politeness. Default: `0.8`.
   */
  near_threshold?: number;
  /**
   * Answer to keep if a question has several different answers. In labeled data: label to keep if the same answer
   * to a question has both. Default: `keep`.
   */
  contradictions?: "keep" | "first" | "last" | "most_common" | "longest" | "drop";
  /**
   * Treatment of personal data. `mask` replaces a value with a placeholder such as [EMAIL]; `pseudonym` uses
   * numbered placeholders such as [EMAIL_1], the same for the same value. A value found anywhere in the file is
   * replaced throughout the file, in every spelling. The recognizers of the project apply as well. Default:
   * `keep`.
   */
  personal_data?: "keep" | "mask" | "pseudonym";
  /**
   * Whether to also treat numbers that are only possibly personal data: they have the form of a telephone number
   * or a national ID, but no word before them confirms it. Only with `personal_data`: `mask` or `pseudonym`.
   * Default: `false`.
   */
  possible_personal_data?: boolean;
  /**
   * Unicode normalization form. NFKC also folds compatibility characters such as full-width letters. Default:
   * `keep`.
   */
  unicode?: "keep" | "NFC" | "NFKC";
  /** Whether to repair mojibake: text that was decoded with the wrong encoding. Default: `false`. */
  mend_mojibake?: boolean;
  /** Whether to remove control characters other than tabs and line breaks. Default: `false`. */
  drop_control_characters?: boolean;
  /** Fraction of the rows to write to a validation file. Default: `0`. */
  validation_share?: number;
  /** Random seed of the validation split. Default: `0`. */
  seed?: number;
  /** ID of the source file. */
  file_id: string;
  /**
   * ID of a file of the purpose `user_data` with decisions on single rows, one JSON object per line: `{"line": 7,
   * "action": "keep"}`, `"drop"`, or `"edit"` with the `row` to use instead. A row that is kept or edited is not
   * dropped as a duplicate or contradiction.
   */
  decisions_file_id?: string | null;
  /**
   * Whether to apply the reviews that the file has when the cleaning is created, as decisions on single rows:
   * approved rows are kept, rejected ones dropped, and edited ones replaced. Not together with
   * `decisions_file_id`. Default: `false`.
   */
  use_reviews?: boolean;
  /** Format options of the file. Defaults to the options given at upload. */
  format?: FileFormat | null;
  /** Key-value pairs attached to the cleaning; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to compare a training file with a later one. */
export interface CreateDatasetDiff {
  /** ID of the earlier file. */
  file_id: string;
  /** ID of the later file, which has passed its check. */
  other_file_id: string;
  /** Key-value pairs attached to the diff; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to generate training rows from documents. */
export interface CreateDatasetGeneration {
  /**
   * IDs of files with the purpose `user_data`: plain text, Markdown or HTML in any common encoding, up to 20 MiB
   * together.
   */
  document_ids: string[];
  /** Model of this installation that writes and checks the rows. A larger model writes better ones. */
  model: string;
  /**
   * Kinds of rows: `questions` that a passage answers, `rewrites` of such questions in other words, and
   * `refusals`, which are questions that the documents do not answer. Together with other kinds, one passage in
   * four gets a refusal.
   */
  kinds?: GenerationRowKind[];
  /** BCP 47 tag of the language of the rows; null for the language of each passage. */
  language?: string | null;
  /** Target row count. Default: `100`. */
  n?: number;
  /**
   * Number of input and output tokens after which no more requests are sent to the model. Requests in progress
   * may exceed it.
   */
  max_tokens_total?: number | null;
  /** Random seed for choosing and ordering passages. Default: `0`. */
  seed?: number;
  /** Key-value pairs attached to the generation; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to merge training files. */
export interface CreateDatasetMerge {
  /** Files to merge. Their rows have one format, such as chats or prompts for graders. */
  files: FileToMerge[];
  /** Name of the merged file. Default: `merged.jsonl`. */
  filename?: string;
  /**
   * Whether to keep only the first of the rows that are identical in all content used for training, in the order
   * of `files`. Default: `true`.
   */
  exact_duplicates?: boolean;
  /**
   * `files` takes the same number of rows from each file, and `languages` from each language. Rows of unknown
   * languages, and of languages with less than 2% of the rows, are all kept. Default: `none`.
   */
  balance?: "none" | "files" | "languages";
  /** Random seed for choosing rows. Default: `0`. */
  seed?: number;
  /** Key-value pairs attached to the merge; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request for a preview of a training file. */
export interface CreateDatasetPreview {
  /** ID of the file, which has the purpose `fine-tune`. */
  file_id: string;
  /**
   * Format options to read the file with; with `{}`, everything is detected. Defaults to the options given at
   * upload.
   */
  format?: FileFormat | null;
  /** Maximum number of rows. Fewer are shown if they are large. Default: `20`. */
  limit?: number;
  /** Whether to replace personal data in the rows by labels such as `[EMAIL]`, or to show it. Default: `show`. */
  personal_data?: "mask" | "show";
  /** Key-value pairs attached to the preview; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request for a report on a training file. */
export interface CreateDatasetReport {
  /** ID of the file. */
  file_id: string;
  /** Base models whose tokenizers count tokens; all base models if omitted. */
  models?: string[] | null;
  /** ID of a validation file to check for shared rows. */
  validation_file_id?: string | null;
  /** Key-value pairs attached to the report; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Embeddings request, as in the OpenAI API. */
export interface CreateEmbeddings {
  /** ID of a base model, a trained model or an alias in the project. */
  model: string;
  /** Input or inputs to embed, as text or token IDs. */
  input: string | string[] | number[] | number[][];
  /** Format of the vectors: numbers, or base64-encoded 32-bit floats. Default: `float`. */
  encoding_format?: "float" | "base64";
  /** Number of dimensions of each vector, if shorter than the model's. */
  dimensions?: number | null;
  [key: string]: unknown;
}

/** Request to find rows in all files and stored chats of the project, and to erase them. */
export interface CreateErasure {
  /** Rows to find. */
  match: ErasureRowMatch;
  /**
   * Whether to replace each file by one without the rows, and to delete the stored chats. Otherwise, they are
   * only listed. Default: `false`.
   */
  apply?: boolean;
  /**
   * Whether to delete the models trained on the files too, with their checkpoints, exports and evaluations. Needs
   * `apply`. Default: `false`.
   */
  cascade?: boolean;
  /** Key-value pairs attached to the erasure; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request body to create an eval. */
export interface CreateEval {
  /** Schema of the items, or which stored chats they are. */
  data_source_config: CreateEvalDataSourceConfig | CreateEvalLogsDataSourceConfig;
  /** Graders of each item. Their names must be distinct. */
  testing_criteria: (StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader)[];
  /** Key-value pairs of your own; up to 16. */
  metadata?: Record<string, string> | null;
  /** Name of the eval. */
  name?: string | null;
}

/** Request body to create a run. */
export interface CreateEvalRun {
  /** Items of the run, and how they are answered. */
  data_source: JsonlDataSource | CompletionsDataSource | ResponsesDataSource;
  /** Key-value pairs of your own; up to 16. */
  metadata?: Record<string, string> | null;
  /** Name of the run. */
  name?: string | null;
}

/** Request body for creating a fine-tuning job. */
export interface CreateFineTuningJob {
  /** ID of the base model from the catalog. */
  model: string;
  /** ID of the training file. The file may still be processing. */
  training_file: string;
  /** ID of the validation file, whose rows are used to measure the model. */
  validation_file?: string | null;
  /**
   * Files whose rows are mixed with those of the training file, up to 8; for example, general chats, so that the
   * model keeps what it can do. Not part of OpenAI's API.
   */
  mixed_files?: CreateMixedFile[] | null;
  /** Suffix to include in the name of the fine-tuned model. */
  suffix?: string | null;
  /** Random seed of the training. Generated if omitted. */
  seed?: number | null;
  /** Key-value pairs for filtering; up to 16. Keys have up to 64 characters, values up to 512. */
  metadata?: Record<string, string> | null;
  /** Training method and its hyperparameters. Defaults to `supervised`. */
  method?: FineTuningMethod | null;
  /** Hyperparameters of supervised training. Deprecated by OpenAI in favor of `method`, but still accepted. */
  hyperparameters?: SupervisedHyperparameters | null;
  /** Priority of the job. Higher values run first. Not part of OpenAI's API. Default: `0`. */
  priority?: number;
  /**
   * Conditions that the evaluation of the job must meet, such as `{"chrf_gain": ">=5"}`. An alias does not point
   * at a model of the job that fails them without `force`. A job with a gate needs held-out rows. Not part of
   * OpenAI's API.
   */
  gate?: Record<string, string> | null;
  /** System message of the base model in the evaluation, to compare the trained model with a prompted base model. */
  baseline_prompt?: string | null;
  /**
   * Integrations of the job. `mlflow` sends its metrics and hyperparameters to an MLflow server, which the
   * operator must allow; `wandb` is not supported.
   */
  integrations?: (CreateMlflowIntegration | WandbIntegration)[] | null;
}

/** Request to create an API key. */
export interface CreateApiKey {
  /** Name of the key. */
  name: string;
  /** Role of the key. It cannot have more permissions than the role of the key that creates it. Default: `member`. */
  role?: ApiKeyRole;
  /**
   * The only models of a key with the role `inference`: names of base models, trained models or aliases. An alias
   * follows its target. `null` allows all.
   */
  models?: string[] | null;
  /** Seconds until the key expires, up to ten years. `null`: never. */
  expires_in_seconds?: number | null;
  /** IP addresses and CIDR ranges that requests with the key may come from. `null` allows all. */
  allowed_ips?: string[] | null;
  /** Limits of an API key. */
  limits?: ApiKeyLimits;
}

/** Request to export a trained model. */
export interface CreateModelExport {
  /** Name of a trained model, or an alias of one. */
  model: string;
  /**
   * Format of the export: `adapter` (PEFT, for use with the base model), `merged` (a complete model in
   * safetensors), `gguf` (a complete model for llama.cpp), `gguf-adapter`, or `ollama` (`gguf` with a Modelfile).
   */
  format: "adapter" | "merged" | "gguf" | "gguf-adapter" | "ollama";
  /**
   * Quantization of the weights of the formats `gguf` and `ollama`: `f16` (none), `q8_0` (the default), `q5_k_m`
   * or `q4_k_m`.
   */
  quantization?: "f16" | "q8_0" | "q5_k_m" | "q4_k_m" | null;
  /** Key-value pairs attached to the export; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to import an adapter that was trained elsewhere. */
export interface CreateModelImport {
  /**
   * ID of a file with the purpose `model-import`: the folder that PEFT's `save_pretrained` wrote, packed as .tar,
   * .tar.gz, .tar.zst or .zip.
   */
  file_id: string;
  /** Base model of the catalog that the adapter was trained on. */
  base_model: string;
  /** Suffix to include in the name of the model. */
  suffix?: string | null;
  /** Key-value pairs attached to the import; up to 16. */
  metadata?: Record<string, string> | null;
}

/** Request to let other projects use a trained model. */
export interface CreateCheckpointPermissions {
  /** IDs of the projects that may use the model. */
  project_ids: string[];
}

/** Request to create a project. */
export interface CreateProject {
  /**
   * Name of the project: up to 40 lowercase letters, digits and hyphens. It becomes part of the names of its
   * models, and cannot be changed.
   */
  name: string;
  /** Limits of a project. */
  limits?: ProjectLimits;
}

/** Response request, as in the OpenAI Responses API. */
export interface CreateResponse {
  /** ID of a base model, a trained model or an alias in the project. */
  model: string;
  /** Whether to stream the response as server-sent events. Default: `false`. */
  stream?: boolean | null;
  /** Sampling temperature. 0 selects the most likely token at each step. */
  temperature?: number | null;
  /** Nucleus sampling: samples from the most likely tokens whose probabilities add up to this value. */
  top_p?: number | null;
  /** Input text, or a list of input items. */
  input: string | Record<string, unknown>[];
  /** System message. */
  instructions?: string | null;
  /** Maximum number of tokens to generate. */
  max_output_tokens?: number | null;
  /** Functions that the model may call. */
  tools?: Record<string, unknown>[] | null;
  /** Reasoning options, named as in the chat templates of the base models. */
  chat_template_kwargs?: ReasoningOptions | null;
  [key: string]: unknown;
}

/** Request to create a service account. */
export interface CreateServiceAccount {
  /** Name of the service account. */
  name: string;
  /** Whether to create the account without a key and without a role. */
  create_service_account_only?: boolean | null;
  /** Seconds until the key expires, up to ten years. `null`: never. */
  expires_in_seconds?: number | null;
}

/** Request to create a training file from stored chat completions. */
export interface CreateStoredChatFile {
  /** Only chats that this model answered; null for all models. */
  model?: string | null;
  /** Earliest time of a chat, as a Unix timestamp in seconds. */
  created_after?: number | null;
  /** Latest time of a chat, as a Unix timestamp in seconds. */
  created_before?: number | null;
  /** Metadata that a chat must have. All pairs must match. */
  metadata?: Record<string, string> | null;
  /** Maximum number of rows. If there are more chats, the newest are used. Default: `10000`. */
  limit?: number;
  /** Name of the file. Default: `stored-chats.jsonl`. */
  filename?: string;
  /** When the file expires; null for never. */
  expires_after?: FileExpiresAfter | null;
}

/** Request body for creating a sweep: that of a job, with lists of values to try. */
export interface CreateSweep {
  /** ID of the base model from the catalog. */
  model: string;
  /** ID of the training file. The file may still be processing. */
  training_file: string;
  /** ID of the validation file, whose rows are used to measure the model. */
  validation_file?: string | null;
  /**
   * Files whose rows are mixed with those of the training file, up to 8; for example, general chats, so that the
   * model keeps what it can do. Not part of OpenAI's API.
   */
  mixed_files?: CreateMixedFile[] | null;
  /** Suffix to include in the name of the fine-tuned model. */
  suffix?: string | null;
  /** Random seed of the training. Generated if omitted. */
  seed?: number | null;
  /** Key-value pairs for filtering; up to 16. Keys have up to 64 characters, values up to 512. */
  metadata?: Record<string, string> | null;
  /** Training method and its hyperparameters. Defaults to `supervised`. */
  method?: FineTuningMethod | null;
  /** Hyperparameters of supervised training. Deprecated by OpenAI in favor of `method`, but still accepted. */
  hyperparameters?: SupervisedHyperparameters | null;
  /** Priority of the job. Higher values run first. Not part of OpenAI's API. Default: `0`. */
  priority?: number;
  /**
   * Conditions that the evaluation of the job must meet, such as `{"chrf_gain": ">=5"}`. An alias does not point
   * at a model of the job that fails them without `force`. A job with a gate needs held-out rows. Not part of
   * OpenAI's API.
   */
  gate?: Record<string, string> | null;
  /** System message of the base model in the evaluation, to compare the trained model with a prompted base model. */
  baseline_prompt?: string | null;
  /**
   * Integrations of the job. `mlflow` sends its metrics and hyperparameters to an MLflow server, which the
   * operator must allow; `wandb` is not supported.
   */
  integrations?: (CreateMlflowIntegration | WandbIntegration)[] | null;
  /** Lists of hyperparameter values to try. Each combination is a trial; a sweep has 2 to 16. */
  values: SweepValues;
  /**
   * Whether the worse half of the trials is stopped after a third of the training, and again after two thirds.
   * Only trials with the same number of epochs are compared. Default: `true`.
   */
  stop_losers?: boolean;
}

/** Request to create a webhook endpoint. */
export interface CreateWebhookEndpoint {
  /** Name of the endpoint. */
  name: string;
  /** Absolute http or https URL. The operator must allow its host and port. */
  url: string;
  /** Event types to deliver. */
  event_types: WebhookEventType[];
}

/** Schema of the items. */
export interface CreateEvalDataSourceConfig {
  /** Always `custom`. */
  type: "custom";
  /** JSON Schema of an item. References may point only into the same schema, which must not be recursive. */
  item_schema: Record<string, unknown>;
  /** Whether graders may use the answer (`sample`), sampled or given. Default: `false`. */
  include_sample_schema?: boolean;
}

/** Schema of a row of a run's data source. */
export interface EvalDataSourceConfig {
  /** Always `custom`. */
  type: "custom";
  /** JSON Schema of a row: `item`, and `sample` if it is included. */
  schema: Record<string, unknown>;
}

/** Cleaning of a file. Its outputs are separate files, which are kept when it is deleted. */
export interface DatasetCleaning {
  /** ID of the cleaning. Starts with `fileclean-`. */
  id: string;
  object: "dataset.cleaning";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the source file. */
  file_id: string;
  /** Whether to drop invalid rows. If false, an invalid row fails the cleaning. Default: `true`. */
  drop_broken?: boolean;
  /**
   * Whether to remove exact duplicates: rows identical to an earlier row in all content used for training (system
   * prompt, tools, messages, rejected answer and label). Default: `true`.
   */
  exact_duplicates?: boolean;
  /**
   * Whether to also remove near duplicates: rows that mean the same as an earlier row with the same system
   * prompt, tools, rejected answer and label. Rows that differ in a number, a date, a name, or a negation are
   * kept. The report shows the pairs. Default: `false`.
   */
  near_duplicates?: boolean;
  /**
   * Similarity at or above which two rows with the same facts are near duplicates: the share of words, or of
   * characters in scripts without spaces, that each turn has in common with its counterpart. At 1, they differ
   * only in case, spacing, punctuation, and politeness. Default: `0.8`.
   */
  near_threshold?: number;
  /**
   * Answer to keep if a question has several different answers. In labeled data: label to keep if the same answer
   * to a question has both. Default: `keep`.
   */
  contradictions?: "keep" | "first" | "last" | "most_common" | "longest" | "drop";
  /**
   * Treatment of personal data. `mask` replaces a value with a placeholder such as [EMAIL]; `pseudonym` uses
   * numbered placeholders such as [EMAIL_1], the same for the same value. A value found anywhere in the file is
   * replaced throughout the file, in every spelling. The recognizers of the project apply as well. Default:
   * `keep`.
   */
  personal_data?: "keep" | "mask" | "pseudonym";
  /**
   * Whether to also treat numbers that are only possibly personal data: they have the form of a telephone number
   * or a national ID, but no word before them confirms it. Only with `personal_data`: `mask` or `pseudonym`.
   * Default: `false`.
   */
  possible_personal_data?: boolean;
  /**
   * Unicode normalization form. NFKC also folds compatibility characters such as full-width letters. Default:
   * `keep`.
   */
  unicode?: "keep" | "NFC" | "NFKC";
  /** Whether to repair mojibake: text that was decoded with the wrong encoding. Default: `false`. */
  mend_mojibake?: boolean;
  /** Whether to remove control characters other than tabs and line breaks. Default: `false`. */
  drop_control_characters?: boolean;
  /** Fraction of the rows to write to a validation file. Default: `0`. */
  validation_share?: number;
  /** Random seed of the validation split. Default: `0`. */
  seed?: number;
  /** ID of the file with decisions on single rows; null if there is none. */
  decisions_file_id: string | null;
  /** Whether the reviews of the file are applied as decisions on single rows. */
  use_reviews: boolean;
  /** Format options of the file; null if those given at upload are used. */
  format: Record<string, unknown> | null;
  /** Files and what was done; null unless the status is `completed`. */
  result: DatasetCleaningResult | null;
}

/** Files that a cleaning made, and what it did. */
export interface DatasetCleaningResult {
  /** ID of the file with the rows to train on. */
  training_file_id: string;
  /** ID of the file with the held-out rows; null if there are none. */
  validation_file_id?: string | null;
  /** ID of a JSON Lines file that describes what happened to each affected row. */
  diff_file_id: string;
  /** Number of rows in the source file. */
  source_rows: number;
  /** Number of rows in the training file. */
  training_rows: number;
  /** Number of rows in the validation file. */
  validation_rows: number;
  /** Number of dropped rows, by reason. */
  dropped: Record<string, number>;
  /** Number of changes, by kind. */
  changed: Record<string, number>;
  /** Number of rows with changes. */
  changed_rows: number;
  /** What the operator's model searched; null without one. */
  model_search?: string | null;
}

/** Comparison of a training file with a later one. */
export interface DatasetDiff {
  /** ID of the diff. Starts with `filediff-`. */
  id: string;
  object: "dataset.diff";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the earlier file. */
  file_id: string;
  /** ID of the later file. */
  other_file_id: string;
  /** Numbers of rows that differ. Null unless the status is `completed`, and for diffs that version 0.2 created. */
  result: DatasetDiffResult | null;
}

/** Numbers of rows that differ. The whole comparison is the content of the diff. */
export interface DatasetDiffResult {
  /** Number of rows that both files have. */
  unchanged: number;
  /** Number of rows that both files have with different texts. */
  changed: number;
  /** Number of rows that only the earlier file has. */
  removed: number;
  /** Number of rows that only the later file has. */
  added: number;
}

/** Generation of training rows from documents by a model of this installation. */
export interface DatasetGeneration {
  /** ID of the generation. Starts with `dsgen_`. */
  id: string;
  object: "dataset.generation";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** IDs of the documents. */
  document_ids: string[];
  /** Model that writes and checks the rows. */
  model: string;
  /** Kinds of rows. */
  kinds: GenerationRowKind[];
  /** BCP 47 tag of the language of the rows; null for the language of each passage. */
  language: string | null;
  /** Target row count. */
  n: number;
  /** Number of tokens after which no more requests are sent, or null. */
  max_tokens_total: number | null;
  /** Random seed for choosing and ordering passages. */
  seed: number;
  /** Number of passages and rows so far. */
  counts: GenerationCounts;
  /** Tokens used so far. */
  usage: GenerationUsage;
  /** The rows; null until the generation has ended. */
  result: DatasetGenerationResult | null;
}

/** Rows of a generation that has ended. A failed or cancelled one keeps its rows so far. */
export interface DatasetGenerationResult {
  /** ID of the file with the rows, whose purpose is `fine-tune`; null if there are none. */
  output_file_id: string | null;
  /** Reason why there are fewer rows than the target, or null. */
  incomplete_details: GenerationIncompleteDetails | null;
}

/** Merge of training files. The merged file is a new file, which is kept when the merge is deleted. */
export interface DatasetMerge {
  /** ID of the merge. Starts with `filemerge-`. */
  id: string;
  object: "dataset.merge";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the first of the files. The merge is deleted with this file. */
  file_id: string;
  /** Files to merge. Their rows have one format, such as chats or prompts for graders. */
  files: FileToMerge[];
  /** Name of the merged file. Default: `merged.jsonl`. */
  filename?: string;
  /**
   * Whether to keep only the first of the rows that are identical in all content used for training, in the order
   * of `files`. Default: `true`.
   */
  exact_duplicates?: boolean;
  /**
   * `files` takes the same number of rows from each file, and `languages` from each language. Rows of unknown
   * languages, and of languages with less than 2% of the rows, are all kept. Default: `none`.
   */
  balance?: "none" | "files" | "languages";
  /** Random seed for choosing rows. Default: `0`. */
  seed?: number;
  /** Files and what became of the rows; null unless the status is `completed`. */
  result: DatasetMergeResult | null;
}

/** Files that a merge made, and what became of the rows. */
export interface DatasetMergeResult {
  /** ID of the merged file. */
  merged_file_id: string;
  /**
   * ID of a JSON Lines file that names each row that was left out, with the reason, and each row that conflicts
   * with one of another file.
   */
  diff_file_id: string;
  /** Number of rows in the merged file. */
  rows: number;
  /** Result of the merge for the rows of each file. */
  sources: FileMergeSource[];
  /** Number of rows in the merged file, by language. */
  languages: Record<string, number>;
  /** Number of questions in the merged file that several files answer differently. */
  conflicts: number;
  /** Rows of the first 20 conflicts, up to five each. */
  conflict_examples: FileMergeRow[][];
}

/** Preview of a training file: its first rows, as other format options would read them. */
export interface DatasetPreview {
  /** ID of the preview. Starts with `filepreview-`. */
  id: string;
  object: "dataset.preview";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the file. */
  file_id: string;
  /** Format options that the file is read with. */
  format: Record<string, unknown>;
  /** Maximum number of rows. */
  limit: number;
  /** Whether personal data in the rows is masked or shown. Default: `show`. */
  personal_data?: "mask" | "show";
  /**
   * Detected format and main figures. Null unless the status is `completed`, and for previews that version 0.2
   * created.
   */
  result: DatasetPreviewResult | null;
}

/** Detected format and main figures of a preview. The preview itself is its content. */
export interface DatasetPreviewResult {
  /** Container format; null if it is unknown. */
  container: string | null;
  /** Compression; null if there is none. */
  compression: string | null;
  /** Text encoding; null if the file is not a text. */
  encoding: string | null;
  /** Structure of a row; null if the columns form none. */
  shape: string | null;
  /** Number of rows in the preview. */
  rows: number;
  /** Number of findings about the file and these rows. */
  findings: number;
  /** Code of the reason why the file cannot be read, if there is one. */
  error_code: string | null;
}

/** Report on a training file: statistics, findings and recommendations. */
export interface DatasetReport {
  /** ID of the report. Starts with `filereport-`. */
  id: string;
  object: "dataset.report";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the file. */
  file_id: string;
  /** Base models whose tokenizers count tokens. */
  models: string[];
  /** ID of the validation file that is checked for shared rows, or null. */
  validation_file_id: string | null;
  /** Main figures of the report. Null unless the status is `completed`, and for reports that version 0.2 created. */
  result: DatasetReportResult | null;
}

/** Main figures of a report. The report itself is its content. */
export interface DatasetReportResult {
  /** Number of valid rows. */
  rows: number;
  /** Number of rows that jobs cannot train on. */
  invalid_rows: number;
  /** Mean quality score of the rows, from 0 to 1; null without rows. */
  mean_score: number | null;
  /** Number of findings, by their code. */
  finding_counts: Record<string, number>;
  /** Codes of the recommendations, the most urgent first. Empty if there are none. */
  advice: string[];
}

/** Response to deleting an object. */
export interface ProjectObjectDeleted {
  /** ID or name of the deleted object. */
  id: string;
  /** Type of the response: that of the deleted object, and `.deleted`. */
  object: string;
  /** Whether the object was deleted. Always true. */
  deleted: true;
}

/** Checks of the installation, as `finetuned-server doctor` makes them on a machine. */
export interface Diagnostics {
  object: "organization.diagnostics";
  /** The worst status of the checks. */
  status: "ok" | "warning" | "failed";
  /** Time of the checks, in Unix seconds. */
  checked_at: number;
  /** Version of the API process. */
  version: string;
  /** Result of each check. */
  checks: Check[];
}

/** A row that differs between two files. */
export interface FileDiffRow {
  /** Position among the rows that differ, as a string. */
  id: string;
  object: "file.diff.row";
  /**
   * `changed`: both files have the row, with different texts; `removed`: only the earlier file has it; `added`:
   * only the later one.
   */
  change: "changed" | "removed" | "added";
  /** Line of the row in the earlier file; null if added. */
  line: number | null;
  /** Line of the row in the later file; null if removed. */
  other_line: number | null;
  /** Row of the earlier file, as jobs train on it; null if added. */
  row: Record<string, unknown> | null;
  /** Row of the later file, as jobs train on it; null if removed. */
  other_row: Record<string, unknown> | null;
}

/** DPO hyperparameters: the supervised ones plus `beta`. */
export interface DpoHyperparameters {
  /** Number of rows per training step. Default: `auto`. */
  batch_size?: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier?: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs?: number | "auto";
  /** Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`. */
  learning_rate?: number | "auto";
  /** LoRA adapter options. */
  lora?: LoraOptions;
  /** Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA). Default: `nf4`. */
  quantization?: "nf4" | "none";
  /** Maximum row length in tokens. Longer rows are truncated. Default: `auto`. */
  max_seq_length?: number | "auto";
  /** Whether to pack several rows into one sequence. Default: `auto`. */
  packing?: boolean | "auto";
  /** Fine-tuned model whose adapter weights training starts from. It must have the same base model. */
  warm_start?: string | null;
  /**
   * Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to
   * 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
   */
  validation_share?: number | null;
  /** Early-stopping rule. Disabled if omitted. */
  early_stopping?: EarlyStopping | null;
  /**
   * If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
   * Default: `false`.
   */
  keep_best?: boolean;
  /** DPO beta. Higher values keep the model closer to the reference model. Default: `auto`. */
  beta?: number | "auto";
}

/** Options of direct preference optimization. */
export interface DpoMethod {
  /** DPO hyperparameters: the supervised ones plus `beta`. */
  hyperparameters?: DpoHyperparameters;
}

/** Estimated duration of the training from start to end, in seconds. */
export interface FineTuningDurationEstimate {
  /** Expected duration. */
  expected: number;
  /** Lower bound of the expected range. */
  low: number;
  /** Upper bound of the expected range. */
  high: number;
  /**
   * Basis of the estimate: `past_jobs` (measured on `jobs` similar past jobs) or `model_size` (accurate only to
   * an order of magnitude).
   */
  basis: "past_jobs" | "model_size";
  /** Number of past jobs that the estimate is based on. */
  jobs: number;
}

/** Early-stopping rule: training ends when the validation loss stops falling. */
export interface EarlyStopping {
  /** Number of consecutive evaluations without improvement before training stops. Default: `2`. */
  patience?: number;
  /** Minimum decrease of the validation loss that counts as an improvement. Default: `0`. */
  min_delta?: number;
}

/** An embedding vector. */
export interface Embedding {
  object: "embedding";
  /** Position of the embedding in the list of inputs, starting at 0. */
  index: number;
  /** Vector as numbers, or as base64-encoded 32-bit floats. */
  embedding: number[] | string;
  [key: string]: unknown;
}

/** List of embeddings, as in the OpenAI API. */
export interface Embeddings {
  object: "list";
  /** Embeddings, in the order of the inputs. */
  data: Embedding[];
  /** Model that generated the embeddings. */
  model: string;
  /** Token counts of the request. */
  usage?: CompletionUsage | null;
  [key: string]: unknown;
}

/** A server that runs models: one replica of vLLM. */
export interface Engine {
  object: "organization.engine";
  /** Address of the engine, as the API sends requests to it. */
  id: string;
  /** ID of the base model that the engine serves. */
  model: string;
  /**
   * Status of the engine. `starting`: no sign of life yet. `warming`: its share of the requests grows. `serving`.
   * `ejected`: it failed and gets no requests for now. `leaving`: it is no longer in DNS and finishes its last
   * requests.
   */
  status: ReplicaState;
  /** Version of this service on the engine. Null if the engine does not answer. */
  version: string | null;
  /** Requests that this API process has sent and that have no complete answer yet. */
  requests_sent: number;
  /** Requests of all API processes that the engine computes. Null if it does not answer. */
  requests_running: number | null;
  /** Requests that wait inside the engine. Null if it does not answer. */
  requests_waiting: number | null;
  /** Used share of the memory for the tokens of requests, from 0 to 1. Null if the engine does not answer. */
  cache_usage: number | null;
  /** Number of adapters in the memory of the engine. Null if unknown. */
  adapters_loaded: number | null;
  /** Number of adapters on the disk of the engine. Null if unknown. */
  adapters_on_disk: number | null;
  /** Models whose requests the engine computes with an adapter. */
  adapters_running: string[];
  /** Models whose requests wait for their adapter or for a free slot. */
  adapters_waiting: string[];
}

/** An object in storage that was removed. */
export interface ErasedObjectEntry {
  /** Name of the object in storage. */
  key: string;
  /** Size of the object. */
  bytes: number;
  /** SHA-256 digest of the object's bytes, in hexadecimal. */
  sha256: string;
}

/** A search for rows in all files and stored chats of a project, and their erasure. */
export interface Erasure {
  /** ID of the erasure. Starts with `erasure-`. */
  id: string;
  object: "organization.erasure";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the project. */
  project_id: string;
  /** Digest of what is searched for. */
  match: ErasureMatch;
  /** Whether files are replaced, and stored chats deleted. */
  apply: boolean;
  /** Whether models are deleted, too. */
  cascade: boolean;
  /** What was found and done so far; null while the erasure is queued. */
  result: ErasureResult | null;
}

/** A file with rows that match. */
export interface ErasureFile {
  /** ID of the file. */
  file_id: string;
  /** Name of the file; its ID if the name has the text, or if the file was deleted. */
  filename: string;
  /** Purpose of the file. */
  purpose: string;
  /**
   * Number of rows; null for files that are searched as raw text. Such files are not changed: delete them if they
   * must be erased.
   */
  rows: number | null;
  /** Number of rows that match. */
  matches: number | null;
  /** Lines of the first 1,000 rows that match, from 1. */
  lines: number[];
  /** Names of the existing models that were trained on the file. */
  models: string[];
  /** Names of the models that were deleted. */
  deleted_models: string[];
  /** ID of the file without the rows; null if none was made, or if no row is left. */
  new_file: string | null;
  /** Whether the file was deleted. */
  is_erased: boolean;
  /** IDs of the receipts of the deletions. */
  receipts: string[];
  /** Reason why the file was not deleted. */
  error: string | null;
}

/** Digest of what an erasure searched for. */
export interface ErasureMatch {
  /** What was searched for: a text, part of a text, or the SHA-256 of a row. */
  type: "text" | "substring" | "row_sha256";
  /** HMAC-SHA-256 of the text under a key of the installation, in hexadecimal. The text itself is not stored. */
  hmac_sha256: string;
}

/** Object of the project that has the text outside of the rows of files. */
export interface ErasurePlace {
  /** Kind of the object, such as `batch`, `eval.run` or `fine_tuning.job`. */
  object: string;
  /** ID or name of the object; empty if the name itself has the text. */
  id: string;
  /** Whether its record contains the text: its name, metadata, events or other fields. */
  is_in_records: boolean;
  /** Whether its stored data contains the text: requests, answers, reports. */
  is_in_storage: boolean;
}

/** Receipt of an erasure: what was erased, when, and who asked for it. */
export interface ErasureReceipt {
  /** ID of the receipt. Starts with `receipt-`, or with `erasure-` if version 0.2 created it. */
  id: string;
  object: "erasure_receipt";
  /** `completed` once nothing is left in storage and in the files of Redis, and the receipt is signed. */
  status: "in_progress" | "completed";
  /** ID of the project. */
  project_id: string;
  /** Kind of the deleted object. */
  subject: "file" | "model" | "export" | "eval" | "eval.run";
  /** ID of the deleted object, or name of the deleted model. */
  subject_id: string;
  /** ID of the API key that deleted the object, or `expires_after` if it expired. */
  requested_by: string;
  /** Time of the deletion, as a Unix timestamp in seconds. */
  requested_at: number;
  /** When removal finished, in Unix seconds. */
  completed_at: number | null;
  /** Folders in storage that were emptied. */
  folders: string[];
  /** Objects that were in these folders when the object was deleted. */
  objects: ErasedObjectEntry[];
  /** Whether `objects` is complete; false if storage was unavailable at the time of the deletion. */
  is_inventory_complete: boolean;
  /**
   * Rewrite of the files of Redis after the deletion; null until the receipt is completed, and in receipts of
   * versions up to 0.2, whose signature does not cover it.
   */
  rewrite?: ErasureRewrite | null;
  /** Signature of the receipt; null until it is completed. */
  signature: ErasureReceiptSignature | null;
}

/** What an erasure has found and done so far. */
export interface ErasureResult {
  /** Files with rows that match. */
  files: ErasureFile[];
  /** Stored chats that match; null until they are searched. */
  stored_chats: ErasureStoredChats | null;
  /** Names of all models that were trained on one of these files, deleted ones included. */
  models: string[];
  /**
   * Other objects of the project that contain the text, as it was written: the first 1,000. They are not changed:
   * delete them if they must be erased. Empty until all files are searched.
   */
  places: ErasurePlace[];
  /**
   * IDs of the files that could not be searched, for example because they are encrypted archives. Check them
   * yourself.
   */
  unreadable_files: string[];
  /**
   * Rewrite of the files of Redis, which then contain neither what was searched for nor what was deleted; null
   * until it is done, seconds after the erasure has ended.
   */
  rewrite: ErasureRewrite | null;
}

/** Rewrite of the files that have all changes of Redis, so that the deleted is in none. */
export interface ErasureRewrite {
  /** Start time, as a Unix timestamp in seconds. */
  began_at: number;
  /**
   * What happened to the append-only file of Redis: `rewritten`; `off` if Redis has none; `not_permitted` if
   * Redis refuses `BGREWRITEAOF`, so that the file still has the deleted records until Redis rewrites it by
   * itself.
   */
  append_only_file: ErasureAppendOnlyFile;
  /**
   * What happened to the journal in storage: `rewritten`; `none` if there is none; `kept` if it is switched off,
   * but has objects from before.
   */
  journal: ErasureJournalFiles;
  /** Number of replicas of Redis, whose files were not rewritten with it. */
  replicas: number;
}

/** Stored chats that match. */
export interface ErasureStoredChats {
  /** Number of chats that match. */
  matches: number;
  /** IDs of the first 1,000 chats that match. */
  ids: string[];
  /** Whether the chats were deleted. */
  is_erased: boolean;
  /** Reason why the chats could not be searched. */
  error: string | null;
}

/** Estimate of the steps, tokens, memory and duration of a job. */
export interface FineTuningEstimate {
  object: "fine_tuning.estimate";
  /** ID of the base model. */
  model: string;
  /** Training method. */
  method: string;
  /** Hyperparameters, with `auto` values resolved. */
  hyperparameters: Record<string, unknown>;
  /** Reasons for the values of `auto` hyperparameters. */
  reasons: string[];
  /** Codes and figures of the reasons for hyperparameters. */
  reason_details?: Reason[];
  /** Number of training rows. */
  rows: number;
  /** Number of training steps. */
  steps: number;
  /** Number of tokens that are trained on in all epochs. */
  trained_tokens: number;
  /** Device name of the online worker with the most memory to spare. Null if no worker is online. */
  device: string | null;
  /**
   * Number of that worker's GPUs that the job would use: all, but at most one per row of a batch. 0 on a worker
   * without a GPU. Null if no worker is online.
   */
  gpus?: number | null;
  /**
   * Use of several GPUs: `ddp` (each holds the whole base model) or `fsdp` (each holds a part, which is slower).
   * Null for fewer than two GPUs.
   */
  sharding?: "ddp" | "fsdp" | null;
  /**
   * Number of tokens that the model would process at once, as the worker's memory allows. Null if no worker is
   * online. Like the next two, it does not change the result.
   */
  tokens_at_once?: number | null;
  /**
   * Whether layers would be computed again for their backward pass, because the memory would not suffice
   * otherwise. Null if no worker is online.
   */
  gradient_checkpointing?: boolean | null;
  /**
   * Whether the inputs of layers would be kept in the machine's memory, because the GPU's memory would not
   * suffice for the longest row. Null if no worker is online.
   */
  inputs_on_host?: boolean | null;
  /** Memory estimate for that worker. Null if no worker is online. */
  memory: FineTuningMemoryEstimate | null;
  /** Whether the job fits into the memory of an online worker. Null if no worker is online. */
  fits: boolean | null;
  /** Change that would make the job fit the worker. */
  advice: string | null;
  /** The settings of `advice`. Null if the job fits, or if no setting suffices. */
  fitting_settings?: FittingSettings | null;
  /** Estimated duration of the training from start to end, in seconds. */
  duration: FineTuningDurationEstimate | null;
}

/** Comparison of runs with the first of them, the baseline. */
export interface EvalComparison {
  object: "eval.comparison";
  /** ID of the eval. */
  eval_id: string;
  /** Runs as requested. The baseline is first. */
  runs: EvalComparisonRun[];
  /** Number of items by change. A change that no item has is missing. */
  changes?: Record<string, number>;
  /** Page of items. Those that got worse are first. */
  items: EvalComparisonItem[];
  /** Whether there are more items after this page. */
  has_more: boolean;
  /** ID of the last item on the page. Send it as `after` to get the next page. */
  last_id: string | null;
  /** Number of labels in place of personal data; null if it is not masked. */
  masked_values?: number | null;
}

/**
 * Mean difference between a run and the baseline, with its 95% confidence interval. It is positive if the run
 * is better.
 */
export interface EvalComparisonDifference {
  /** `passed`, the share of items that all graders passed, or the name of a grader. */
  metric: string;
  /** Mean score; null if there are no scores. */
  mean: number | null;
  /** Lower limit of the interval; null if scores are not from 0 to 1. */
  low: number | null;
  /** Upper limit of the interval; null if scores are not from 0 to 1. */
  high: number | null;
  /** Number of items with a score in both runs. */
  n: number;
  /** Number of items without a score in both runs. */
  missing: number;
  /** Number of items that got better. */
  better: number;
  /** Number of items with equal scores. */
  equal: number;
  /** Number of items that got worse. */
  worse: number;
}

/** Item of a comparison, with its outcome in each run that has one. */
export interface EvalComparisonItem {
  /** ID of the output item in the first of the runs that has it. */
  id: string;
  /** Change from the baseline, or the worst one of several runs. `missing`: a run has no score. */
  change: "worse" | "missing" | "equal" | "better";
  /** Difference of the mean score, or null. */
  difference: number | null;
  /** Item of the data source. */
  datasource_item: Record<string, unknown>;
  /** Outcomes in the order of the runs. */
  outputs: EvalComparisonOutput[];
}

/** Outcome of an item in one run. */
export interface EvalComparisonOutput {
  /** ID of the run. */
  run_id: string;
  /** ID of the output item. */
  output_item_id: string;
  /** Status of the output item. */
  status: "pass" | "fail" | "error";
  /** Text of the answer. */
  answer: string;
  /** Scores by grader. */
  scores: Record<string, number>;
  /** Number of labels in place of personal data; null if it is not masked. */
  masked_values?: number | null;
}

/** Figures of one run of a comparison. */
export interface EvalComparisonRun {
  /** ID of the run. */
  run_id: string;
  /** Name of the run. */
  name: string;
  /** Sampled model; empty if the answers are given. */
  model: string;
  /** Status of the run. */
  status: EvalRunStatus;
  /** Number of items with an outcome. */
  items: number;
  /** Number of items that could not be sampled or graded. */
  errored: number;
  /** Mean scores by metric. */
  scores: EvalComparisonScore[];
  /** Differences to the baseline by metric; empty for the baseline itself. */
  differences: EvalComparisonDifference[];
  /** Mean prompt tokens per sampled answer. */
  prompt_tokens: number | null;
  /** Mean generated tokens per sampled answer. */
  completion_tokens: number | null;
  /** Mean seconds from a request to its answer; null if nothing was sampled. */
  latency_s: number | null;
  /** Seconds within which 95% of the answers came; null if nothing was sampled. */
  latency_p95_s: number | null;
}

/** Mean score of a run, with its 95% confidence interval. */
export interface EvalComparisonScore {
  /** `passed`, the share of items that all graders passed, or the name of a grader. */
  metric: string;
  /** Mean score; null if there are no scores. */
  mean: number | null;
  /** Lower limit of the interval; null if scores are not from 0 to 1. */
  low: number | null;
  /** Upper limit of the interval; null if scores are not from 0 to 1. */
  high: number | null;
  /** Number of items with a score. */
  n: number;
}

/** Confirmation that an eval was deleted. */
export interface EvalDeleted {
  object: "eval.deleted";
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** Identifier of the deleted eval. */
  eval_id: string;
  /** ID of the receipt of the erasure, which says what was erased. */
  receipt?: string | null;
}

/** Item of a run, and the answer to grade if it is given rather than sampled. */
export interface EvalItem {
  /** Item, which matches the item schema of the eval. */
  item: Record<string, unknown>;
  /** Answer to grade, such as `output_text`. Used by the data source `jsonl`. */
  sample?: Record<string, unknown> | null;
}

/** Eval: the schema of its items and the graders of its runs. */
export interface Eval {
  /** ID of the eval, prefixed with `eval_`. */
  id: string;
  object: "eval";
  /** Unix timestamp in seconds. */
  created_at: number;
  /** Name of the eval. */
  name: string;
  /** Schema of the items, or which stored chats they are. */
  data_source_config: EvalDataSourceConfig | EvalLogsDataSourceConfig;
  /** Graders of each item. */
  testing_criteria: (StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader)[];
  /** Key-value pairs that were set by the project. */
  metadata: Record<string, string>;
}

/** Outcomes of one grader. `errored`, `mean_score` and `confusion` are extensions of OpenAI's schema. */
export interface EvalRunCriterionResult {
  /** Name of the grader. */
  testing_criteria: string;
  /** Number of items that the grader passed. */
  passed: number;
  /** Number of items that failed the grader. */
  failed: number;
  /** Number of items that the grader could not grade. */
  errored: number;
  /** Mean score; null if nothing was graded. */
  mean_score: number | null;
  /**
   * Labels of a `label` grader, or those of people (`human_label`) and a judge. Null if there are none, or more
   * than 1,000 different pairs.
   */
  confusion?: LabelConfusion | null;
}

/** Confirmation that a run was deleted. */
export interface EvalRunDeleted {
  object: "eval.run.deleted";
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** Identifier of the deleted run. */
  run_id: string;
  /** ID of the receipt of the erasure, which says what was erased. */
  receipt?: string | null;
}

/** Error of a run or of a sample. */
export interface EvalRunError {
  /** Machine-readable error code. */
  code: string;
  /** Human-readable message. */
  message: string;
}

/** Tokens of a run's requests to one model. */
export interface EvalRunModelUsage {
  /** Name of the model that answered or judged. */
  model_name: string;
  /** Number of requests. */
  invocation_count: number;
  /** Number of prompt tokens, including cached tokens. */
  prompt_tokens: number;
  /** Number of generated tokens. */
  completion_tokens: number;
  /** Number of all tokens. */
  total_tokens: number;
  /** Number of prompt tokens from the engine's cache. */
  cached_tokens: number;
}

/**
 * Run of an eval. `items`, `deleted_items`, `started_at`, `finished_at` and `estimated_finish` are extensions
 * of OpenAI's schema.
 */
export interface EvalRun {
  /** ID of the run, prefixed with `evalrun_`. */
  id: string;
  object: "eval.run";
  /** Identifier of the eval. */
  eval_id: string;
  /** Unix timestamp in seconds. */
  created_at: number;
  /** Name of the run. */
  name: string;
  /** Status of the run. */
  status: EvalRunStatus;
  /** Model to sample from; empty if the answers are given or stored. */
  model: string;
  /** Data source as requested. */
  data_source: JsonlDataSource | CompletionsDataSource | ResponsesDataSource;
  /** Reason why the run failed, or null. */
  error: EvalRunError | null;
  /** Counters of the items that have an outcome. */
  result_counts: EvalRunResultCounts;
  /** Tokens by model: the sampled one, and judges. */
  per_model_usage: EvalRunModelUsage[];
  /** Outcomes by grader, in the order of the eval. */
  per_testing_criteria_results: EvalRunCriterionResult[];
  /** URL of the run's output items. It requires the API key, so a browser shows how to open it. */
  report_url: string;
  /** Key-value pairs that were set by the project. */
  metadata: Record<string, string>;
  /** Number of items; null until they are checked. */
  items: number | null;
  /** Number of items whose stored chat was deleted, or expired, before the run read it. They have no outcome. */
  deleted_items: number;
  /** Unix timestamp in seconds of the start. */
  started_at: number | null;
  /** Unix timestamp in seconds of the end. */
  finished_at: number | null;
  /** Unix timestamp in seconds of the expected end; null before the first outcome and after the end. */
  estimated_finish: number | null;
}

/** Counters of the items that have an outcome. */
export interface EvalRunResultCounts {
  /** Number of items with an outcome. */
  total: number;
  /** Number of items that all graders passed. */
  passed: number;
  /** Number of items that failed at least one grader. */
  failed: number;
  /** Number of items that could not be sampled or graded. */
  errored: number;
}

/** Reason why an evaluation failed or was skipped. */
export interface FineTuningJobEvaluationError {
  /** Error code. */
  code: string;
  /** Explanation of the error and its remedy. */
  message: string;
}

/** A person's label: which of two answers to a row is better. */
export interface EvaluationLabel {
  /** ID of the label, unique in the evaluation. */
  id: string;
  object: "fine_tuning.job.evaluation.label";
  /** `line` of the row in the report. */
  row: number;
  /** The two columns of the report that were compared, in the order shown. */
  compared: string[];
  /** Column of the better answer, or `tie`. */
  winner: string;
  /** Note for other reviewers, or null. */
  note: string | null;
  /** Milliseconds that the decision took; null if unknown. */
  took_ms: number | null;
  /** ID of the API key, or subject of the token, that wrote the label. */
  reviewer: string;
  /** Whether the caller wrote the label. */
  is_own: boolean;
  /** Whether the report still has these answers. Other labels do not count. */
  is_current: boolean;
  /** Time of the first label, in Unix seconds. */
  created_at: number;
  /** Time of the last change, in Unix seconds. */
  labeled_at: number;
}

/** The next answers for the caller to compare. */
export interface EvaluationLabelQueue {
  object: "fine_tuning.job.evaluation.label_queue";
  /** Answers to compare, the next first. */
  tasks: EvaluationLabelTask[];
  /** The columns that are compared, by name. */
  compared: string[];
  /** All pairs of columns that can be compared, the most important first. */
  pairs: string[][];
  /** Progress of all reviewers. */
  progress: LabelProgress;
}

/** Two answers to a row for the caller to compare, without the columns that gave them. */
export interface EvaluationLabelTask {
  /** `line` of the row in the report. */
  row: number;
  /** Language of the row; null if unknown. */
  language: string | null;
  /** Messages that were answered. */
  prompt: Record<string, unknown>[];
  /** The two answers. Their order is random for each reviewer and row, and stays. */
  answers: AnswerToLabel[];
  /** Digest of what is shown. Send it with the label. */
  shown: string;
  /** Number of labels that the pair of answers has. */
  labels: number;
  /** Number of values replaced by labels such as `[EMAIL]`. Only with `personal_data=mask`. */
  masked_values?: number | null;
}

/** Status of the evaluation of a job. */
export type FineTuningJobEvaluationStatus = "in_progress" | "completed" | "failed" | "skipped";

/** An event of a fine-tuning job. */
export interface FineTuningJobEvent {
  /** ID of the event, for use in `after` and `Last-Event-ID`. Starts with `ftevent-`. */
  id: string;
  object: "fine_tuning.job.event";
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Severity of the event. */
  level: "info" | "warn" | "error";
  /** Human-readable message. */
  message: string;
  /** Type of the event. In a `metrics` event, `data` has the metrics of a step. */
  type: "message" | "metrics";
  /** Machine-readable details of the event. */
  data: Record<string, unknown>;
}

/** Event types that an endpoint can subscribe to. */
export type WebhookEventType = "fine_tuning.job.succeeded" | "fine_tuning.job.failed" | "fine_tuning.job.cancelled" | "eval.run.succeeded" | "eval.run.failed" | "eval.run.canceled" | "batch.completed" | "batch.failed" | "batch.expired" | "batch.cancelled" | "alias.worsened" | "sweep.completed" | "sweep.failed" | "sweep.cancelled" | "advice.completed" | "advice.failed" | "advice.cancelled" | "dataset.report.completed" | "dataset.report.failed" | "dataset.report.cancelled" | "dataset.preview.completed" | "dataset.preview.failed" | "dataset.preview.cancelled" | "dataset.cleaning.completed" | "dataset.cleaning.failed" | "dataset.cleaning.cancelled" | "dataset.diff.completed" | "dataset.diff.failed" | "dataset.diff.cancelled" | "dataset.merge.completed" | "dataset.merge.failed" | "dataset.merge.cancelled" | "dataset.generation.completed" | "dataset.generation.failed" | "dataset.generation.cancelled" | "model.import.completed" | "model.import.failed" | "model.import.cancelled" | "model.export.completed" | "model.export.failed" | "model.export.cancelled" | "alias.check.completed" | "alias.check.failed" | "alias.check.cancelled" | "organization.erasure.completed" | "organization.erasure.failed" | "organization.erasure.cancelled" | "fine_tuning.sweep.succeeded" | "fine_tuning.sweep.failed" | "fine_tuning.sweep.cancelled" | "export.succeeded" | "export.failed" | "export.cancelled";

/** Gain of earlier models of the project over the best prompt, on the same base model. */
export interface ExpectedGain {
  /** Median gain in points. */
  points: number;
  /** Smallest gain in points. */
  low: number;
  /** Largest gain in points. */
  high: number;
  /** Number of models that were evaluated. */
  models: number;
}

/** Lifetime of the uploaded file, counted from its creation. */
export interface UploadExpiresAfter {
  /** Event from which the lifetime is counted. */
  anchor: "created_at";
  /** Lifetime in seconds, from one hour to 30 days. */
  seconds: number;
}

/** Base weights that the adapter was merged into. */
export interface ExportMergedOnto {
  /**
   * `bf16`: the weights in the base model's files; `nf4`: those rounded to NF4, as in training. The one closer to
   * the engine is used.
   */
  base: "bf16" | "nf4";
  /**
   * Mean absolute difference of the log-probabilities from the engine's with `bf16`, in nats per token; null if
   * the training was not quantized.
   */
  bf16_difference?: number | null;
  /** The same with `nf4`. */
  nf4_difference?: number | null;
}

/** Comparison of the loaded artifact's answers with those of the serving engine. */
export interface ExportProof {
  /** Number of prompts. */
  answers: number;
  /** Number of answers with the same text. */
  same_answers: number;
  /** Mean chrF of the answers (0 to 1). */
  chrf: number;
  /** Mean absolute difference of the log-probabilities, in nats per token. */
  logprob_difference: number;
  /** Difference of the token where it is largest, in nats. */
  largest_logprob_difference: number;
  /**
   * Rise of the loss on the held-out rows' own answers over the engine's, in nats per token. Null if there are no
   * such rows.
   */
  loss_rise?: number | null;
  /** Base weights that the adapter was merged into; null if it was not merged. */
  merged_onto?: ExportMergedOnto | null;
}

/** A condition of a gate that a model did not meet. */
export interface FailedCondition {
  /** Name of the model. */
  model: string;
  /** Key of the condition. */
  key: string;
  /** Condition on the figure. */
  condition: string;
  /** Figure of the model's evaluation; null if it was not measured. */
  measured: number | string | null;
  /** Reason why the figure was not measured; otherwise null. */
  reason: string | null;
  /** Owner of the gate: the alias, the job that trained the model, or a suite. Default: `alias`. */
  gate?: "alias" | "job" | "suite";
}

/** Items given in the request. */
export interface FileContentSource {
  /** Always `file_content`. */
  type: "file_content";
  /** Items of the run. */
  content: EvalItem[];
}

/** Response to deleting a file. */
export interface FileDeleted {
  /** ID of the deleted file. */
  id: string;
  object: "file";
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** IDs of unfinished jobs, batches and generations that read the file, and may fail without it. */
  unfinished_jobs?: string[];
  /** Names of the trained models and checkpoints whose jobs read the file. They are kept. */
  models?: string[];
  /** Names of the trained models and checkpoints that `cascade` deleted. */
  deleted_models?: string[];
  /** IDs of the files that cleanings, merges and generations made from the file. They are kept. */
  derived_files?: string[];
  /** IDs of the receipts of the erasure: of the file, then of each deleted model. */
  receipts?: string[];
}

/** Time after which a file expires. */
export interface FileExpiresAfter {
  /** Time from which the seconds count. */
  anchor: "created_at";
  /** Seconds until the file expires. */
  seconds: number;
}

/** Items in a file. */
export interface FileIdSource {
  /** Always `file_id`. */
  type: "file_id";
  /** ID of a file with the purpose `evals`. */
  id: string;
}

/** OpenAI's file object, extended with what the check found and where the file comes from. */
export interface FileObject {
  /** ID of the file, prefixed with `file-`. */
  id: string;
  object: "file";
  /** File size in bytes. */
  bytes: number;
  /** SHA-256 digest of the file's bytes, in hexadecimal. */
  sha256?: string | null;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Name of the file, as given by the client. */
  filename: string;
  /** Purpose of a file. */
  purpose: FilePurpose;
  /** Status of the file: `uploaded` until it is checked, then `processed` or `error`. */
  status: FileStatus;
  /** Reason the file cannot be used, with the line and the error. */
  status_details?: string | null;
  /** Expiration time, as a Unix timestamp in seconds; null if the file never expires. */
  expires_at?: number | null;
  /** Number of rows found by the check. */
  rows?: number | null;
  /** Number of warnings found by the check; the report lists them. */
  warnings?: number | null;
  /** Format options given at upload. */
  format?: Record<string, unknown> | null;
  /** Container, encoding, shape and columns found by the check. */
  found?: Record<string, unknown> | null;
  /** ID of the file that a cleaning made this one from, if one did. */
  derived_from?: string | null;
  /** ID of the cleaning that made this file, if one did. */
  cleaning?: string | null;
  /** IDs of the files that a merge made this one from, if one did. */
  merged_from?: string[] | null;
  /** ID of the merge that made this file, if one did. */
  merge?: string | null;
  /** ID of the generation whose rows this file has, if a model wrote them. */
  generation?: string | null;
  /** IDs of the documents that a model wrote the rows from. */
  documents?: string[] | null;
}

/** Processing status of a file. */
export type FileStatus = "uploaded" | "processed" | "error";

/** A file to merge, and how many of its rows to take. */
export interface FileToMerge {
  /** ID of the file, which has the purpose `fine-tune`. */
  file_id: string;
  /** Maximum number of rows to take, chosen with the seed. */
  max_rows?: number | null;
  /**
   * Share of the file in the merged rows, relative to the other files. If any file has a weight, the others have
   * 1 by default. As many rows are taken as the weights allow.
   */
  weight?: number | null;
}

/** A finding of the report of the training file. */
export interface Finding {
  /** Machine-readable code. */
  code: string;
  /** Finding in one line. */
  title: string;
  /** Code of the wording of the title, of which a finding may have several. Empty if an earlier version wrote it. */
  variant?: string;
  /** Figures of the title by name. */
  figures?: Record<string, unknown>;
}

/** Settings with which a job would fit. Null: the setting remains unchanged. */
export interface FittingSettings {
  /** Value of `quantization`. */
  quantization?: string | null;
  /** Value of `batch_size`. */
  batch_size?: number | null;
  /** Value of `max_seq_length`. */
  max_seq_length?: number | null;
}

/** Format options of a file. They override automatic detection. */
export interface FileFormat {
  /** Container format of the file. With `text`, plain text or Markdown is cut to rows of texts. */
  container?: "jsonl" | "json" | "csv" | "parquet" | "xlsx" | "xls" | "ods" | "document" | "text" | null;
  /** Structure of a row. */
  shape?: "chat" | "preference" | "labeled" | "prompt_completion" | "alpaca" | "sharegpt" | "text" | "reinforcement" | null;
  /** Text encoding, by its Python name. */
  encoding?: string | null;
  /** Mapping from a field of the shape to the column that holds it. */
  columns?: Record<string, string>;
  /** Mapping from a role in the data to a supported role. */
  roles?: Record<string, "system" | "user" | "assistant" | "tool">;
  /** System message for rows that have none. */
  system?: string | null;
  /** CSV delimiter. Detected if omitted. */
  delimiter?: string | null;
  /** Sheet of a workbook. Defaults to the first whose columns can be read. */
  sheet?: string | null;
  /**
   * Number of the row or line that names the columns of a table, from 1. With 0, no row does, and the columns are
   * named `column 1`, `column 2` and so on. Detected if omitted.
   */
  header_row?: number | null;
  /**
   * Column with the ID of the conversation, if each row is one message. Its columns can be mapped as `role`,
   * `content` and `order`.
   */
  group_by?: string | null;
}

/** A condition of a job's gate that its evaluation does not meet. */
export interface FineTuningJobGateFault {
  /**
   * Figure that the condition applies to. A condition on a metric or gain applies to the whole 95% interval, and
   * thus to its limit `_low` or `_high`.
   */
  key: string;
  /** Condition on the figure. */
  condition: string;
  /** Measured figure; null if it was not measured. */
  measured: number | string | null;
  /** Reason why the figure was not measured; otherwise null. */
  reason: string | null;
}

/** Outcome of a job's gate. */
export interface FineTuningJobGateOutcome {
  /** Whether the evaluation meets all conditions. */
  passed: boolean;
  /** Conditions of the gate. */
  conditions: Record<string, string>;
  /** Conditions that the evaluation does not meet. */
  failed_conditions: FineTuningJobGateFault[];
}

/** Progress of a generation. */
export interface GenerationCounts {
  /** Number of passages in the documents; 0 until they are read. */
  passages: number;
  /** Number of passages that the model was asked about. */
  asked: number;
  /** Number of rows kept. */
  kept: number;
  /**
   * Number of rows and answers dropped, by reason: `malformed` (not in the requested form), `engine_error`,
   * `echo` (repeats the question or the passage), `wrong_language`, `unsupported_fact` (a number, date or name
   * that the passage does not have), `unsupported` (the model finds that the passage does not state it),
   * `answered` (a refused question that the documents answer), `duplicate`, and `surplus` (more than `n`).
   */
  dropped: Record<string, number>;
}

/** Reason why a completed generation has fewer rows than the target. */
export interface GenerationIncompleteDetails {
  /** `max_tokens_total` if the tokens were used up, or `no_more_passages` if all passages were asked about. */
  reason: GenerationIncompleteReason;
}

/** Tokens of the requests of a generation, including the checks. */
export interface GenerationUsage {
  /** Number of input tokens. */
  input_tokens: number;
  /** Number of output tokens. */
  output_tokens: number;
  /** Number of input and output tokens. */
  total_tokens: number;
}

/** Message of a grader's prompt. */
export interface GraderMessage {
  /** Role of the author. */
  role: "user" | "assistant" | "system" | "developer";
  /** Text, or a list of text parts. May contain template variables. */
  content: string | GraderTextPart | (string | GraderTextPart)[];
  /** Type of the item. Always `message`, or null. */
  type?: "message" | null;
}

/** Result of a run of a grader. */
export interface GraderRun {
  /** Score of the answer. 0 if it could not be graded. */
  reward: number;
  /** Scores by grader, for a multi grader. Empty for others. */
  sub_rewards: Record<string, number>;
  /** Metadata of the run. */
  metadata: GraderRunMetadata;
  /** Number of tokens by judge. */
  model_grader_token_usage_per_model: Record<string, number>;
}

/** Errors of a run of a grader. All are false if the answer was graded. */
export interface GraderRunErrors {
  /** Whether the formula of a multi grader is not arithmetic. Default: `false`. */
  formula_parse_error?: boolean;
  /** Whether a template needs JSON and the answer is not JSON. Default: `false`. */
  sample_parse_error?: boolean;
  /** Flag of OpenAI's API that is always false. Default: `false`. */
  truncated_observation_error?: boolean;
  /** Flag of OpenAI's API that is always false. Default: `false`. */
  unresponsive_reward_error?: boolean;
  /** Whether a template variable has no value. Default: `false`. */
  invalid_variable_error?: boolean;
  /** Whether another error occurred. Default: `false`. */
  other_error?: boolean;
  /** Whether the sandbox of Python graders failed. Default: `false`. */
  python_grader_server_error?: boolean;
  /** Message of the sandbox's failure. */
  python_grader_server_error_type?: string | null;
  /** Whether the Python source failed. Default: `false`. */
  python_grader_runtime_error?: boolean;
  /** Message of the Python source's failure, with its line. */
  python_grader_runtime_error_details?: string | null;
  /** Whether the judge's engine failed. Default: `false`. */
  model_grader_server_error?: boolean;
  /** Whether the judge refused to answer. Default: `false`. */
  model_grader_refusal_error?: boolean;
  /** Whether the judge's answer could not be used. Default: `false`. */
  model_grader_parse_error?: boolean;
  /** Message of the engine's failure. */
  model_grader_server_error_details?: string | null;
  /** Messages of all errors. Not part of OpenAI's API. */
  messages?: string[];
}

/** Metadata of a grader's run. */
export interface GraderRunMetadata {
  /** Name of the grader. */
  name: string;
  /** Type of the grader. */
  type: string;
  /** Errors of the run. */
  errors: GraderRunErrors;
  /** Time that the run took, in seconds. */
  execution_time: number;
  /** Scores by grader, for a multi grader. */
  scores: Record<string, number>;
  /** Number of tokens of all judges. Null if no judge was asked. */
  token_usage: number | null;
  /** Model that judged. Null if there was none or several. */
  sampled_model_name: string | null;
}

/** Text part of a message. */
export interface GraderTextPart {
  /** Type of the part. */
  type: "input_text" | "output_text" | "text";
  /** Text. May contain template variables. */
  text: string;
}

/** Summary of the labels that people gave to the answers of an evaluation. */
export interface HumanReview {
  /** Number of labels of current answers. */
  labels: number;
  /** Number of labels of answers that the evaluation no longer has, because it ran again. They do not count. */
  outdated: number;
  /** Number of labeled rows. */
  rows: number;
  /** Number of people and keys that labeled them. */
  reviewers: number;
  /** Preferences by pair of columns. */
  comparisons: HumanReviewPreference[];
  /** Agreement of the measure that decided with people; null if no pair tells. */
  agreement: HumanReviewAgreement | null;
  /** Preference for a position; null if no label has a preference. */
  position: HumanReviewPosition | null;
  /** Statements on these figures, as codes and figures. */
  statements: Statement[];
  /** The statements in English, in the same order. */
  sentences: string[];
}

/** Training hyperparameters: OpenAI's three standard ones and this service's additions. */
export interface SupervisedHyperparameters {
  /** Number of rows per training step. Default: `auto`. */
  batch_size?: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier?: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs?: number | "auto";
  /** Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`. */
  learning_rate?: number | "auto";
  /** LoRA adapter options. */
  lora?: LoraOptions;
  /** Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA). Default: `nf4`. */
  quantization?: "nf4" | "none";
  /** Maximum row length in tokens. Longer rows are truncated. Default: `auto`. */
  max_seq_length?: number | "auto";
  /** Whether to pack several rows into one sequence. Default: `auto`. */
  packing?: boolean | "auto";
  /** Fine-tuned model whose adapter weights training starts from. It must have the same base model. */
  warm_start?: string | null;
  /**
   * Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to
   * 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
   */
  validation_share?: number | null;
  /** Early-stopping rule. Disabled if omitted. */
  early_stopping?: EarlyStopping | null;
  /**
   * If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
   * Default: `false`.
   */
  keep_best?: boolean;
}

/** A difference between an adapter's folder and its base model. */
export interface ImportFinding {
  /** Severity: `warning` if the model may answer badly, `info` otherwise. */
  severity: "warning" | "info";
  /** Machine-readable code of the finding. */
  code: string;
  /** What was found. */
  message: string;
  /** What to do about it. */
  fix: string;
}

/** Reason why a completed generation has fewer rows than wanted. */
export type GenerationIncompleteReason = "max_tokens_total" | "no_more_passages";

/** Prompt that each item contains. */
export interface ItemReferenceMessages {
  /** Always `item_reference`. */
  type: "item_reference";
  /** Variable of the item that holds the list of messages. */
  item_reference: string;
}

/** Reason why a job failed. */
export interface FineTuningJobError {
  /** Machine-readable error code. */
  code: string;
  /** Error message: what is wrong, where, and how to fix it. */
  message: string;
  /** Name of the parameter that caused the error. */
  param?: string | null;
}

/** Evaluation of a fine-tuning job on its held-out rows. */
export interface FineTuningJobEvaluation {
  object: "fine_tuning.job.evaluation";
  /** ID of the job. */
  job_id: string;
  /** Name of the model that is evaluated. */
  model: string;
  /**
   * Status of the evaluation. An evaluation is `skipped` if the job has no held-out rows or no engine serves its
   * base model.
   */
  status: FineTuningJobEvaluationStatus;
  /** Current step; null if the evaluation has ended. */
  phase: FineTuningJobEvaluationPhase | null;
  /** Number of held-out rows that are evaluated. */
  rows: number | null;
  /** Unix time in seconds at which the job succeeded. */
  created_at: number;
  /** Unix time in seconds at which the evaluation ended; null if it has not. */
  finished_at: number | null;
  /** Conclusion; null until completed. */
  verdict: FineTuningVerdict | null;
  /** Measured figures by the key of a gate, such as `chrf_gain`; null until completed. */
  figures: Record<string, number | string> | null;
  /** Outcome of the job's gate; null if the job has none, and until completed. */
  gate?: FineTuningJobGateOutcome | null;
  /** What people's labels of the answers say; null if there are none, and until completed. */
  human_review?: HumanReview | null;
  /** Reason for the status `failed` or `skipped`; otherwise null. */
  error: FineTuningJobEvaluationError | null;
}

/** Metrics of a job by step, in buckets that keep every extreme. */
export interface JobMetrics {
  object: "fine_tuning.job.metrics";
  /** ID of the job. */
  job_id: string;
  /** First step in the range that has metrics. Null if none has. */
  first_step: number | null;
  /** Last step in the range that has metrics. Null if none has. */
  last_step: number | null;
  /** Number of steps that each bucket covers. */
  steps_per_bucket: number;
  /** The series of each metric that was measured, by name. */
  metrics: Record<string, MetricSeries>;
}

/** A fine-tuning job: OpenAI's `fine_tuning.job` object plus additional fields. */
export interface FineTuningJob {
  /** ID of the job. Starts with `ftjob-`. */
  id: string;
  object: "fine_tuning.job";
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Error that made the job fail. Null if it has not failed. */
  error: FineTuningJobError | null;
  /** Name of the fine-tuned model. Null until the job succeeds. */
  fine_tuned_model: string | null;
  /** Time at which the job succeeded, failed or was cancelled, in Unix seconds. Null until then. */
  finished_at: number | null;
  /** OpenAI's standard hyperparameters. `method` has all hyperparameters. */
  hyperparameters: FineTuningJobHyperparameters;
  /** ID of the base model. */
  model: string;
  /** ID of the project. */
  organization_id: string;
  /** IDs of the result files: one CSV file of losses by step. Empty until the job succeeds. */
  result_files: string[];
  /** Random seed of the training. */
  seed: number;
  /** Current status of the job. */
  status: FineTuningJobStatus;
  /**
   * Whether a running job is about to pause. Its status becomes `paused` once its checkpoint is stored. Default:
   * `false`.
   */
  pausing?: boolean;
  /** Number of tokens trained so far. Null until the training reports progress. */
  trained_tokens: number | null;
  /** ID of the training file. */
  training_file: string;
  /** ID of the validation file. */
  validation_file: string | null;
  /** Files whose rows are mixed with those of the training file; empty if there are none. */
  mixed_files?: MixedFile[];
  /** Estimated end of the training, in Unix seconds. Null if unknown. */
  estimated_finish: number | null;
  /** Integrations of the job. Null if there are none. */
  integrations?: MlflowIntegration[] | null;
  /** Key-value pairs that were set when the job was created. */
  metadata: Record<string, string> | null;
  /** Training method with all of its hyperparameters. */
  method: Record<string, unknown>;
  /** Suffix in the name of the fine-tuned model. */
  suffix: string | null;
  /** The same suffix, under OpenAI's name. */
  user_provided_suffix: string | null;
  /** Number of the current attempt, starting at 1. It increases when the job is recovered or resumed. */
  attempt: number;
  /** Priority of the job. Higher values run first. Default: `0`. */
  priority?: number;
  /** Conditions that the evaluation of the job must meet; empty if there are none. */
  gate?: Record<string, string>;
  /** Your own prompt, with which the evaluation compares the model; null if none. */
  baseline_prompt?: string | null;
  /** ID of the sweep that the job is a trial of; otherwise null. */
  sweep_id?: string | null;
  /** Position in the queue; 1 is the job that a GPU worker takes next. Null unless the job is queued. */
  queue_position?: number | null;
}

/** Outcome of a rewrite for the journal in storage. */
export type ErasureJournalFiles = "rewritten" | "none" | "kept";

/** Grader that checks JSON against a schema. Scores 1 if the text is valid, else 0. */
export interface JsonSchemaGrader {
  /** Name of the grader. */
  name: string;
  /** Always `json_schema`. */
  type: "json_schema";
  /** JSON text to grade. May contain template variables. Default: `{{sample.output_text}}`. */
  input?: string;
  /** JSON Schema (draft 2020-12). References to other documents are refused. */
  schema: Record<string, unknown>;
}

/** Items that include the answers to grade. */
export interface JsonlDataSource {
  /** Always `jsonl`. */
  type: "jsonl";
  /** Source of the items. */
  source: FileContentSource | FileIdSource;
}

/** Sampling parameters of a judge. */
export interface JudgeSamplingParams {
  /** Maximum number of tokens of the judge's answer. */
  max_completions_tokens?: number | null;
  /** Reasoning effort, for models that support it. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | null;
  /** Random seed. */
  seed?: number | null;
  /** Sampling temperature. Defaults to 0. */
  temperature?: number | null;
  /** Probability mass of the tokens to sample from. */
  top_p?: number | null;
}

/** Program that uses an API key, under the name of the key. */
export interface ApiKeyOwnerAccount {
  /** ID of the service account of the key, or of the key. */
  id: string;
  /** Name of the key. */
  name: string;
  /** Role of a key. */
  role: ApiKeyRole;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
}

/** An API key without its secret. */
export interface ApiKey {
  /** ID of the key, prefixed with `key_`. */
  id: string;
  object: "organization.project.api_key";
  /** Name of the key. */
  name: string;
  /** Role of a key. */
  role: ApiKeyRole;
  /** The only models that the key may use, or null for all models of its project. */
  models: string[] | null;
  /** Redacted secret with its last characters. */
  redacted_value: string;
  /** Secrets that were replaced and are still valid, oldest first. */
  previous_secrets: ApiKeyPreviousSecret[];
  /** Time at which the key expires, as a Unix timestamp in seconds, or null. */
  expires_at: number | null;
  /**
   * Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated
   * within a minute.
   */
  last_used_at: number | null;
  /** IP addresses and CIDR ranges that requests may come from, or null for all. */
  allowed_ips: string[] | null;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Limits set for the key, within those of its project. */
  limits: ApiKeyLimits;
  /** The owner of an API key, as in the OpenAI API. */
  owner: ApiKeyOwner;
  /** Access of the owner to the project. Always `active`. */
  owner_project_access: "active";
}

/** The owner of an API key, as in the OpenAI API. Keys belong to programs, not to persons. */
export interface ApiKeyOwner {
  /** Always `service_account`. */
  type: "service_account";
  /** Program that uses an API key, under the name of the key. */
  service_account: ApiKeyOwnerAccount;
}

/** KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels. */
export interface KtoHyperparameters {
  /** Rows per step, at least 2, because KTO compares the answers in a batch. Default: `auto`. */
  batch_size?: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier?: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs?: number | "auto";
  /** Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`. */
  learning_rate?: number | "auto";
  /** LoRA adapter options. */
  lora?: LoraOptions;
  /** Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA). Default: `nf4`. */
  quantization?: "nf4" | "none";
  /** Maximum row length in tokens. Longer rows are truncated. Default: `auto`. */
  max_seq_length?: number | "auto";
  /** Whether to pack several rows into one sequence. Default: `auto`. */
  packing?: boolean | "auto";
  /** Fine-tuned model whose adapter weights training starts from. It must have the same base model. */
  warm_start?: string | null;
  /**
   * Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to
   * 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
   */
  validation_share?: number | null;
  /** Early-stopping rule. Disabled if omitted. */
  early_stopping?: EarlyStopping | null;
  /**
   * If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
   * Default: `false`.
   */
  keep_best?: boolean;
  /** KTO beta. Higher values keep the model closer to the reference model. Default: `auto`. */
  beta?: number | "auto";
  /** Weight of each good answer in the loss, up to 100. `auto` balances good and bad answers. Default: `auto`. */
  desirable_weight?: number | "auto";
  /** Weight of each bad answer in the loss, up to 100. `auto` balances good and bad answers. Default: `auto`. */
  undesirable_weight?: number | "auto";
}

/** Options of Kahneman-Tversky optimization. */
export interface KtoMethod {
  /** KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels. */
  hyperparameters?: KtoHyperparameters;
}

/** Table of expected and given labels. */
export interface LabelConfusion {
  /** Labels that were expected or given. */
  labels: string[];
  /**
   * Number of items by expected label and, within it, given label. `(other)` counts answers that are not any of
   * the labels.
   */
  counts: Record<string, Record<string, number>>;
  /** Number of items with both labels. */
  n: number;
  /** Share of the items whose labels are equal. */
  accuracy: number;
  /** Cohen's kappa: agreement beyond chance, where 1 is perfect and 0 is chance. Null if all labels are the same. */
  kappa: number | null;
}

/** Grader that compares labels regardless of case and punctuation. Scores 1 if equal, else 0. */
export interface LabelGrader {
  /** Name of the grader. */
  name: string;
  /** Always `label`. */
  type: "label";
  /** Label to grade. May contain template variables. Default: `{{sample.output_text}}`. */
  input?: string;
  /** Expected label. May contain template variables. */
  reference: string;
  /** All labels. If omitted, every different text is a label of its own. */
  labels?: string[] | null;
}

/** Grader that asks a model for a label. Scores 1 if the label passes, else 0. */
export interface LabelModelGrader {
  /** Name of the grader. */
  name: string;
  /**
   * Judgment of a person, usually a template variable. The results of a run show how often the judge agrees with
   * it. Items without one are left out of this comparison. For `label_model` it is one of `labels`; for
   * `score_model`, a score, `pass` or `fail`.
   */
  human_label?: string | null;
  /** Always `label_model`. */
  type: "label_model";
  /** Model that judges: any model of the project. */
  model: string;
  /** Prompt of the judge. May contain template variables. */
  input: GraderMessage[];
  /** Labels that the judge chooses from. */
  labels: string[];
  /** Labels that pass: a subset of `labels`. */
  passing_labels: string[];
}

/** Progress of the review of a pair of columns. */
export interface LabelProgress {
  /** Number of rows with two different answers. */
  rows: number;
  /** Number of rows with `overlap` labels. */
  done: number;
  /** Number of rows in the caller's queue. */
  open: number;
  /** Number of rows that the caller has labeled. */
  own: number;
  /** Reviewers, the most labels first. */
  reviewers: ReviewerProgress[];
}

/** Grader that detects the language of a text. Scores 1 for the expected one, else 0. */
export interface LanguageGrader {
  /** Name of the grader. */
  name: string;
  /** Always `language`. */
  type: "language";
  /** Text to grade. May contain template variables. Default: `{{sample.output_text}}`. */
  input?: string;
  /** Expected language as a BCP 47 tag, such as `ja` or `zh-Hant`. May contain template variables. */
  reference: string;
}

/** A limit, and how much of it is used. */
export interface LimitUsage {
  /** Limit, or null if there is none. */
  limit: number | null;
  /** Used amount of the limit, as of about a second ago. 0 if there is no limit, because nothing is counted then. */
  used: number;
}

/** Limits of an API key. */
export interface ApiKeyLimits {
  /** Maximum requests per minute. A request for several answers (`n`) counts once for each answer. */
  requests_per_minute?: number | "unlimited" | null;
  /** Maximum tokens per minute, prompt and completion tokens together. */
  tokens_per_minute?: number | "unlimited" | null;
  /**
   * Maximum number of concurrent requests, including streams. A request for several answers (`n`) counts once for
   * each answer.
   */
  concurrent_requests?: number | "unlimited" | null;
  /** Maximum number of concurrent streams. */
  concurrent_streams?: number | "unlimited" | null;
}

/** A page of objects, in the format of OpenAI's lists. */
export interface CheckpointPermissionList {
  object: "list";
  /** Objects on the page. */
  data: CheckpointPermission[];
  /** Whether there are more objects after this page. */
  has_more: boolean;
  /** ID of the first object on the page. */
  first_id: string | null;
  /** ID of the last object on the page. Send it as `after` to get the next page. */
  last_id: string | null;
}

/** Kind of a model in a list. */
export type ListedKind = "base" | "alias" | "trained" | "shared";

/** Stored chats as items. `stored_completions` is an older name of `logs`. */
export interface CreateEvalLogsDataSourceConfig {
  /** `logs`, or its older name `stored_completions`. */
  type: "logs" | "stored_completions";
  /** Metadata that the chats of all runs must have. */
  metadata?: Record<string, string> | null;
}

/** Stored chats as items, and the schema of a row: `item` and `sample`. */
export interface EvalLogsDataSourceConfig {
  /** `logs`, or its older name `stored_completions`. */
  type: "logs" | "stored_completions";
  /** JSON Schema of a row: `item`, and `sample` if it is included. */
  schema: Record<string, unknown>;
  /** Metadata that the chats of all runs must have. */
  metadata: Record<string, string> | null;
}

/** LoRA adapter options. The service chooses a value for each omitted option. */
export interface LoraOptions {
  /** LoRA rank, 1 to 512. The serving engine may have a lower limit. Default: `auto`. */
  r?: number | "auto";
  /** LoRA alpha, 1 to 4096. The adapter is scaled by alpha / r. Default: `auto`. */
  alpha?: number | "auto";
  /** Dropout probability of the adapter. Default: `0`. */
  dropout?: number;
  /** Names of the modules to adapt, up to 32. Defaults to `"all-linear"`. */
  target_modules?: "all-linear" | string[] | null;
  /** Whether to scale the adapter by alpha / sqrt(r) instead of alpha / r. Suits high ranks. */
  use_rslora?: boolean | null;
}

/** Lists of LoRA options to try. */
export interface SweepLoraValues {
  /** LoRA ranks to try. */
  r?: number[] | null;
  /** LoRA alphas to try. */
  alpha?: number[] | null;
  /** Dropout probabilities to try. */
  dropout?: number[] | null;
}

/** Personal data in a row, or the label that replaces it. */
export interface Mark {
  /** JSON Pointer to the text in the row, which may be JSON itself. */
  pointer: string;
  /** Start in the text, in Unicode code points. */
  start: number;
  /**
   * End in the text, in Unicode code points. Start and end are 0 if the value is not a text, and is personal data
   * as a whole.
   */
  end: number;
  /** Kind of personal data, or the name of a recognizer. */
  kind: string;
}

/** A row of a file, with what the report found in it, and the positions of personal data. */
export interface MarkedRow {
  /** Position of the row: its line as a string. */
  id: string;
  object: "file.row";
  /** Line of the row in the uploaded file, counted from 1. */
  line: number;
  /** Language of the row; `und` if unknown, null if the row is broken. */
  language: string | null;
  /**
   * Quality of the row from 0 to 1: 1, minus the `weight` of each kind of finding in the row. Zero if the row is
   * broken; null if the line has no row.
   */
  score: number | null;
  /**
   * The row as jobs train on it: `messages` and `tools` of a chat, with a `label` in labeled data, or `input`,
   * `preferred_output` and `non_preferred_output` of a preference, `text` of a text, or `messages` and `item` of
   * a prompt for a grader. Null if the row is broken.
   */
  row: Record<string, unknown> | null;
  /** A finding on a row. */
  findings: FileRowFinding[];
  /**
   * Positions of personal data in `row`, or of the labels that replace it. Numbers that are only possibly
   * personal data are included.
   */
  personal_data: Mark[];
}

/** Peak memory of a training step in bytes, per GPU if the worker has several. */
export interface FineTuningMemoryEstimate {
  /** Weights of the base model. */
  weights: number;
  /** Weights of the adapter. */
  adapter: number;
  /** State of the optimizer. */
  optimizer: number;
  /** Gradients of the adapter. */
  gradients: number;
  /** Activations of a step. */
  activations: number;
  /** Logits of a step. */
  logits: number;
  /** Buffers of the framework and fragmentation. */
  overhead: number;
  /** Sum of the parts above plus the trainer process itself. */
  total: number;
  /** Memory available on the worker. Null if the worker does not report it. */
  available: number | null;
}

/** Result of a merge for the rows of a file. */
export interface FileMergeSource {
  /** ID of the file. */
  file_id: string;
  /** Number of rows in the file. */
  rows: number;
  /** Number of rows in the merged file. */
  taken: number;
  /** Number of rows that are identical to an earlier one. */
  duplicates: number;
  /** Number of rows that `max_rows`, weights or the balance left out. */
  left_out: number;
}

/**
 * Training method: supervised on chats, DPO on pairs of answers, KTO on labeled answers, continued pre-training
 * on texts, or reinforcement on prompts, by a grader.
 */
export interface FineTuningMethod {
  /**
   * Training method: `supervised` (on chats), `dpo` (on preferences), `kto` (on labeled answers), `pretraining`
   * (on texts), or `reinforcement` (on prompts, by a grader).
   */
  type: "supervised" | "dpo" | "kto" | "pretraining" | "reinforcement";
  /** Options for the `supervised` method. */
  supervised?: SupervisedMethod | null;
  /** Options for the `dpo` method. */
  dpo?: DpoMethod | null;
  /** Options for the `kto` method. */
  kto?: KtoMethod | null;
  /** Options for the `pretraining` method. */
  pretraining?: PretrainingMethod | null;
  /** Options for the `reinforcement` method, which needs them. */
  reinforcement?: ReinforcementMethod | null;
}

/**
 * A metric by step, in buckets. All lists have one value per bucket, in the order of steps. Buckets in which
 * the metric was not measured are left out.
 */
export interface MetricSeries {
  /** The last step in each bucket for which the metric is known. */
  step: number[];
  /** Lowest value in each bucket. */
  min: number[];
  /** Highest value in each bucket. */
  max: number[];
  /** Mean of the steps in each bucket. */
  mean: number[];
  /** Value at the last step in each bucket. */
  last: number[];
}

/** A file whose rows are mixed with those of the training file. Not part of OpenAI's API. */
export interface CreateMixedFile {
  /** ID of the file, which has the row format of the training file. */
  file: string;
  /**
   * Number of times that an epoch draws each row of the file, 0.001 to 100. With 0.25, each epoch has a different
   * quarter of the rows; with 2, it has every row twice. Rows of the training file are drawn once. Default: `1`.
   */
  weight?: number;
}

/** A file whose rows are mixed with those of the training file of a job. */
export interface MixedFile {
  /** ID of the file. */
  file: string;
  /** Number of times that an epoch draws each row of the file. */
  weight: number;
}

/** MLflow integration of a job. Not part of OpenAI's API. */
export interface CreateMlflowIntegration {
  /** Type of the integration. */
  type: "mlflow";
  /** Settings of the run. */
  mlflow: MlflowSettings;
}

/** MLflow integration of a job. */
export interface MlflowIntegration {
  /** Type of the integration. */
  type: "mlflow";
  /** The run. */
  mlflow: MlflowRun;
}

/** The MLflow run that receives the metrics of a job. */
export interface MlflowRun {
  /** URL of the MLflow server. */
  tracking_uri: string;
  /** Name of the experiment. */
  experiment_name: string;
  /** Name of the run. */
  run_name: string;
  /** Tags that were set when the job was created. */
  tags: Record<string, string>;
  /** ID of the run. Null until the server has created it, when the job starts. */
  run_id: string | null;
}

/** Settings of the MLflow run that receives the metrics of a job. */
export interface MlflowSettings {
  /** Name of the experiment. It is created if it does not exist. */
  experiment_name: string;
  /** Name of the run. Defaults to the ID of the job. */
  run_name?: string | null;
  /** Tags of the run; up to 16. Keys have up to 64 characters, values up to 200. */
  tags?: Record<string, unknown> | null;
  /** URL of the MLflow server, which must be one that the operator allows. Defaults to the operator's first. */
  tracking_uri?: string | null;
}

/** Response to deleting a model. */
export interface ModelDeleted {
  /** Name of the deleted model. */
  id: string;
  object: "model";
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** ID of the receipt of the erasure, which says what was erased. */
  receipt?: string | null;
}

/** Export of a trained model for other software. */
export interface ModelExport {
  /** ID of the export. Starts with `export-`. */
  id: string;
  object: "model.export";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: ModelExportError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** Name of the trained model. */
  model: string;
  /** Format of the export. */
  format: string;
  /** Quantization of the weights; null if the format has none. */
  quantization: string | null;
  /** Time at which the export is deleted, in Unix seconds. */
  expires_at: number;
  /** Archive and its proof; null unless the status is `completed`. */
  result: ModelExportResult | null;
}

/** Reason why an export failed. */
export interface ModelExportError {
  /** Machine-readable error code. */
  code: string;
  /** What went wrong, and how to fix it. */
  message: string;
  /** Parameter of the request that caused the failure, if one did. */
  param?: string | null;
  /** Prompt as the engine renders it, if the artifact renders it differently. */
  expected_prompt?: string | null;
  /** The same prompt as the artifact renders it. */
  rendered_prompt?: string | null;
  /** The comparison, if the answers differ too much. */
  proof?: ExportProof | null;
}

/** Archive of a completed export. */
export interface ModelExportResult {
  /** Name of the archive. */
  filename: string;
  /** Size of the archive. */
  bytes: number;
  /** SHA-256 of the archive in hexadecimal digits. */
  sha256: string;
  /** Comparison of the artifact's answers with the engine's; null if there is none. */
  proof: ExportProof | null;
}

/** Import of an adapter. The model is kept when the import is deleted. */
export interface ModelImport {
  /** ID of the import. Starts with `modelimport-`. */
  id: string;
  object: "model.import";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the archive. The import is deleted with it. */
  file_id: string;
  /** Base model of the adapter. */
  base_model: string;
  /** Suffix in the model's name; null if none was given. */
  suffix: string | null;
  /** Imported model; null unless the status is `completed`. */
  result: ModelImportResult | null;
}

/** Imported model, and the differences that were found. */
export interface ModelImportResult {
  /** Name of the imported model. */
  model: string;
  /** Base model that the adapter's configuration names. */
  base_model_name_or_path: string | null;
  /** Number of files in the archive that are not part of an adapter. */
  skipped_files: number;
  /** Differences between the adapter's folder and the base model. */
  findings: ImportFinding[];
}

/** A model available for inference. `base_model` and later fields extend OpenAI's schema. */
export interface Model {
  /** Model name to use in requests. */
  id: string;
  object: "model";
  /** Creation time, as a Unix timestamp in seconds. */
  created: number;
  /** Owner of the model: `system` for base models, or the name of the project that trained it or has the alias. */
  owned_by: string;
  /** Base model of a trained model; null for other models. */
  base_model?: string | null;
  /** License of the base model; null for aliases. */
  license?: string | null;
  /** Context length of the base model in tokens, prompt and completion together; null for aliases. */
  context_length?: number | null;
  /** Languages of the base model, as declared by the operator; null for aliases. */
  languages?: string[] | null;
  /**
   * What the base model supports besides chat. `tools`: tool calls. `reasoning`: reasoning before the answer,
   * returned separately. Null for aliases, and if it is unknown.
   */
  capabilities?: ("tools" | "reasoning")[] | null;
  /** Whether an engine currently serves a base model and the models trained on it; null for other models. */
  available?: boolean | null;
  /** ID of the job that created a trained model; null for other models. */
  fine_tuning_job?: string | null;
  /** Origin of an imported model; null for other models. */
  origin?: ModelOrigin | null;
  /**
   * ID of the service account that trained or imported the model; otherwise of the bearer of a token of the
   * identity provider, or of the API key. This person cannot approve it. Null if it is unknown, for models of
   * other projects, and for other models.
   */
  created_by?: string | null;
  /** Targets of an alias; null for other models. */
  alias_of?: AliasTarget[] | null;
}

/** Origin of a model that was trained elsewhere and imported. */
export interface ModelOrigin {
  /** `imported`: the model was trained elsewhere. */
  kind: "imported";
  /** ID of the import. */
  import_id: string;
  /** SHA-256 digest of the imported archive. */
  archive_sha256: string;
  /** Base model that the adapter's configuration names. */
  base_model_name_or_path?: string | null;
  /** `unchecked`: the engine's scores were not compared with the trainer's, as they are for models trained here. */
  parity: "unchecked";
}

/** Grader that combines the scores of other graders with a formula. */
export interface MultiGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to the middle of the range of scores. */
  pass_threshold?: number | null;
  /** Always `multi`. */
  type: "multi";
  /** Graders by the name that the formula uses, or a single grader. */
  graders: StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader | Record<string, StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader>;
  /**
   * Formula of the score. Operators: `+`, `-`, `*`, `/`, `^`. Functions: `min`, `max`, `abs`, `floor`, `ceil`,
   * `exp`, `sqrt`, `log`.
   */
  calculate_output: string;
}

/** A new admin key. This is the only response that contains the secret. */
export interface CreatedAdminApiKey {
  object: "organization.admin_api_key";
  /** ID of the key, prefixed with `key_`. */
  id: string;
  /** Name of the key. */
  name: string;
  /** Redacted secret with its last characters. */
  redacted_value: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /**
   * Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated
   * within a minute.
   */
  last_used_at: number | null;
  /** Time at which the key expires, as a Unix timestamp in seconds, or null. */
  expires_at: number | null;
  /** Program that uses an admin key, under the name of the key. */
  owner: AdminApiKeyOwner;
  /** ID of the project to which the key belongs. */
  project_id: string;
  /** Secret of the key, shown only once. */
  value: string;
}

/** A newly created API key. This is the only response that contains the secret. */
export interface CreatedApiKey {
  /** ID of the key, prefixed with `key_`. */
  id: string;
  object: "organization.project.api_key";
  /** Name of the key. */
  name: string;
  /** Role of a key. */
  role: ApiKeyRole;
  /** The only models that the key may use, or null for all models of its project. */
  models: string[] | null;
  /** Redacted secret with its last characters. */
  redacted_value: string;
  /** Secrets that were replaced and are still valid, oldest first. */
  previous_secrets: ApiKeyPreviousSecret[];
  /** Time at which the key expires, as a Unix timestamp in seconds, or null. */
  expires_at: number | null;
  /**
   * Time of the last request with the key, as a Unix timestamp in seconds, or null if there was none. Updated
   * within a minute.
   */
  last_used_at: number | null;
  /** IP addresses and CIDR ranges that requests may come from, or null for all. */
  allowed_ips: string[] | null;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Limits set for the key, within those of its project. */
  limits: ApiKeyLimits;
  /** The owner of an API key, as in the OpenAI API. */
  owner: ApiKeyOwner;
  /** Access of the owner to the project. Always `active`. */
  owner_project_access: "active";
  /** Secret of the key, shown only once. */
  value: string;
}

/** A new service account, with its first key. */
export interface CreatedServiceAccount {
  object: "organization.project.service_account";
  /** ID of the account, prefixed with `svc_acct_`. */
  id: string;
  /** Name of the account. */
  name: string;
  /**
   * Role of the account: the keys of an `owner` have the role `project_admin`, those of a `member` the role
   * `member`, and an account with `none` can have no keys.
   */
  role: ServiceAccountRole;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** First key of the account, or null if none was to be created. */
  api_key: ServiceAccountApiKey | null;
}

/** Response to deleting an operation. */
export interface OperationDeleted {
  /** ID or name of the deleted object. */
  id: string;
  /** Type of the response: that of the deleted object, and `.deleted`. */
  object: string;
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** ID of the receipt that says what was erased, if there is one. */
  receipt?: string | null;
}

/** Reason why an operation failed. */
export interface OperationError {
  /** Machine-readable error code. */
  code: string;
  /** What went wrong, and how to fix it. */
  message: string;
  /** Parameter of the request that caused the failure, if one did. */
  param?: string | null;
}

/** Progress of an operation. */
export interface OperationProgress {
  /** Number of finished parts. */
  completed: number;
  /** Number of all parts; null if it is not known yet. */
  total: number | null;
  /** Current step; null if the operation has only one. */
  step?: string | null;
}

/** Status of an operation. */
export type OperationStatus = "queued" | "in_progress" | "cancelling" | "completed" | "failed" | "cancelled";

/** Outcome of one item of a run. */
export interface EvalRunOutputItem {
  /** ID of the output item, prefixed with `outputitem_`. */
  id: string;
  object: "eval.run.output_item";
  /** Identifier of the eval. */
  eval_id: string;
  /** Identifier of the run. */
  run_id: string;
  /** Unix timestamp in seconds of the outcome. */
  created_at: number;
  /**
   * `pass` if all graders passed the item, `fail` if one did not, `error` if the item could not be sampled or
   * graded.
   */
  status: "pass" | "fail" | "error";
  /** Number of the item, starting at 0. */
  datasource_item_id: number;
  /** Item of the data source. */
  datasource_item: Record<string, unknown>;
  /** Results by grader. */
  results: EvalRunOutputItemResult[];
  /** Prompt and answer of an item. */
  sample: EvalRunOutputItemSample;
  /** Number of labels in place of personal data; null if it is not masked. An extension of OpenAI's schema. */
  masked_values?: number | null;
}

/** Result of one grader. `errors`, `sub_scores` and `label` are extensions of OpenAI's. */
export interface EvalRunOutputItemResult {
  /** Name of the grader. */
  name: string;
  /** Type of the grader. */
  type: string;
  /** Whether the grader passed the item. */
  passed: boolean;
  /** Score of the item; 0 if it could not be graded. */
  score: number;
  /** Raw answer of a judge, or null. */
  sample: Record<string, unknown> | null;
  /** Reasons why the item could not be graded. */
  errors?: EvalRunError[] | null;
  /** Scores of the graders that a `multi` grader combines. */
  sub_scores?: Record<string, number> | null;
  /**
   * Labels of a `label` grader, or those of a person and a judge: `expected`, and `given`, which is null for
   * other answers.
   */
  label?: Record<string, string | null> | null;
}

/** Prompt and answer of an item. Fields that are unknown for a given answer are empty or 0. */
export interface EvalRunOutputItemSample {
  /** Reason why there is no answer, or null. */
  error: EvalRunError | null;
  /** Reason why the answer ended. */
  finish_reason: string;
  /** Messages of the prompt. */
  input: EvalRunSampleMessage[];
  /** Message of the answer, with `tool_calls` if there are any. */
  output: EvalRunSampleMessage[];
  /** Name of the model that answered. */
  model: string;
  /** Maximum number of tokens of the answer. */
  max_completion_tokens: number;
  /** Sampling seed. */
  seed: number;
  /** Sampling temperature. */
  temperature: number;
  /** Probability mass of the tokens to sample from. */
  top_p: number;
  /** Tokens of a sample. */
  usage: EvalRunSampleUsage;
}

/** What a route can need. `read` changes nothing. */
export type Permission = "caller.read" | "model.request" | "model.read" | "model.write" | "model.approve" | "model.share" | "aliases.read" | "aliases.write" | "files.read" | "files.write" | "data.read" | "data.erase" | "fine_tuning.read" | "fine_tuning.write" | "evals.read" | "evals.write" | "batches.read" | "batches.write" | "exports.read" | "exports.write" | "webhooks.read" | "webhooks.write" | "usage.read" | "project.read" | "project.write" | "api_keys.read" | "api_keys.write" | "audit_logs.read" | "organization.read" | "organization.write";

/** Response to revoking a permission. */
export interface CheckpointPermissionDeleted {
  object: "checkpoint.permission";
  /** ID of the revoked permission. */
  id: string;
  /** Whether the object was deleted. Always true. */
  deleted: true;
}

/** A permission of a project to send requests to a model of another one. */
export interface CheckpointPermission {
  object: "checkpoint.permission";
  /** ID of the permission, prefixed with `cp_`. */
  id: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** ID of the project that may use the model. */
  project_id: string;
}

/** Current step of an evaluation. */
export type FineTuningJobEvaluationPhase = "waiting" | "scoring_references" | "choosing_a_prompt" | "answering" | "memorization" | "forgetting";

/** Difference in points, with its 95% confidence interval. */
export interface PointsInterval {
  /** Mean difference. */
  points: number;
  /** Lower limit of the interval. */
  low: number;
  /** Upper limit of the interval. */
  high: number;
}

/** Preference of people for the answer that was shown first. */
export interface HumanReviewPosition {
  /** Number of labels that prefer the answer shown first. */
  first: number;
  /** Number of labels that prefer the answer shown second. */
  second: number;
  /** Share of the first, with Wilson's interval. */
  share: HumanReviewShare;
}

/** Preference of people between the answers of two columns. */
export interface HumanReviewPreference {
  /** Column that is compared. */
  a: string;
  /** Column that it is compared with. */
  b: string;
  /** Number of labels. */
  labels: number;
  /** Number of labeled rows. */
  rows: number;
  /** Number of labels that prefer `a`. */
  a_better: number;
  /** Number of labels without a preference. */
  ties: number;
  /** Number of labels that prefer `b`. */
  b_better: number;
  /** Share of labels that prefer `a`, where a tie counts as half. The interval is clustered by prompt. */
  win_rate: HumanReviewShare;
  /** Column that people prefer; null if the labels do not show one. */
  preferred: string | null;
  /** Agreement of reviewers; null if no two preferred an answer to the same row. */
  reliability: HumanReviewReliability | null;
}

/** Hyperparameters of continued pre-training: those of supervised fine-tuning. */
export interface PretrainingHyperparameters {
  /** Number of rows per training step. Default: `auto`. */
  batch_size?: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier?: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs?: number | "auto";
  /** Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`. */
  learning_rate?: number | "auto";
  /** LoRA adapter options. */
  lora?: LoraOptions;
  /** Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA). Default: `nf4`. */
  quantization?: "nf4" | "none";
  /**
   * Maximum sample length in tokens. Longer texts are cut into several samples, and longer chats are truncated.
   * Default: `auto`.
   */
  max_seq_length?: number | "auto";
  /** Whether to pack several rows into one sequence. Default: `auto`. */
  packing?: boolean | "auto";
  /** Fine-tuned model whose adapter weights training starts from. It must have the same base model. */
  warm_start?: string | null;
  /**
   * Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to
   * 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
   */
  validation_share?: number | null;
  /** Early-stopping rule. Disabled if omitted. */
  early_stopping?: EarlyStopping | null;
  /**
   * If true, the fine-tuned model is the checkpoint with the lowest validation loss instead of the last one.
   * Default: `false`.
   */
  keep_best?: boolean;
}

/** Options of continued pre-training. */
export interface PretrainingMethod {
  /** Hyperparameters of continued pre-training: those of supervised fine-tuning. */
  hyperparameters?: PretrainingHyperparameters;
}

/** A secret of an API key that was replaced and is still valid. */
export interface ApiKeyPreviousSecret {
  /** Redacted secret with its last characters. */
  redacted_value: string;
  /** Time until which the secret is valid, as a Unix timestamp in seconds. */
  expires_at: number;
}

/** Limits that apply to a project, and how much of them is used. */
export interface ProjectLimitUsage {
  /** A limit, and how much of it is used. */
  requests_per_minute: LimitUsage;
  /** A limit, and how much of it is used. */
  tokens_per_minute: LimitUsage;
  /** A limit, and how much of it is used. */
  concurrent_requests: LimitUsage;
  /** A limit, and how much of it is used. */
  concurrent_streams: LimitUsage;
  /** Storage quota of the project. `used` is counted even without a quota. */
  storage_bytes: LimitUsage;
}

/** Limits of a project. */
export interface ProjectLimits {
  /** Maximum requests per minute. A request for several answers (`n`) counts once for each answer. */
  requests_per_minute?: number | "unlimited" | null;
  /** Maximum tokens per minute, prompt and completion tokens together. */
  tokens_per_minute?: number | "unlimited" | null;
  /**
   * Maximum number of concurrent requests, including streams. A request for several answers (`n`) counts once for
   * each answer.
   */
  concurrent_requests?: number | "unlimited" | null;
  /** Maximum number of concurrent streams. */
  concurrent_streams?: number | "unlimited" | null;
  /** Maximum bytes that the project may have in storage: files, uploads, checkpoints, models, exports and results. */
  storage_bytes?: number | "unlimited" | null;
  /**
   * Maximum bytes that the objects of the project may take in Redis: evals, runs, jobs, the metadata of files and
   * chats, and answers kept for an `Idempotency-Key`. By default, an eighth of the memory of Redis.
   */
  record_bytes?: number | "unlimited" | null;
}

/** A project (tenant). */
export interface Project {
  /** ID of the project, prefixed with `proj_`. */
  id: string;
  object: "organization.project";
  /** Name of the project, as used in its model names. */
  name: string;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Status of the project. The keys of a project that is archived or being deleted are refused. */
  status: "active" | "archived" | "deleting";
  /** Time at which the project was archived, as a Unix timestamp in seconds, or null. */
  archived_at: number | null;
  /**
   * Number of objects that a project being deleted still has in storage. Null for other projects, and until they
   * are counted.
   */
  objects_left: number | null;
  /** Limits set for the project. */
  limits: ProjectLimits;
  /** Settings of the storage of chats, or null if none are stored. */
  capture?: CaptureSettings | null;
  /** Who can enable capture. Administrators of the project can always disable it. Default: `organization`. */
  capture_managed_by?: "organization" | "project";
  /**
   * Whether a second person must approve trained models before aliases and exports can use them. Default:
   * `false`.
   */
  four_eyes?: boolean;
  /** Bytes of the project in storage, including uploads in progress. */
  storage_bytes_used: number;
}

/** Mean score of the base model with the best prompt. */
export interface PromptScore {
  /** Mean score. */
  points: number;
  /** Lower limit of the interval. */
  low: number;
  /** Upper limit of the interval. */
  high: number;
  /** Number of rows with a score. */
  rows: number;
  /**
   * Lines of the training file that the prompt shows as examples. Empty if it shows none, or the rows that are
   * most similar to each question.
   */
  example_lines?: number[];
}

/** Purpose of a file. */
export type FilePurpose = "fine-tune" | "fine-tune-results" | "user_data" | "evals" | "model-import" | "batch" | "batch_output";

/** Request to say which of two answers to a row is better. */
export interface PutEvaluationLabel {
  /**
   * The two columns of the report whose answers were compared, in the order in which they were shown; with
   * `shown`, in any order.
   */
  compared: string[];
  /** Column of the better answer, or `tie`; with `shown`, `first`, `second` or `tie`. */
  winner: string;
  /**
   * `shown` of the queue's task, if the answers were shown without their columns. A label of answers that have
   * changed since then is refused.
   */
  shown?: string | null;
  /** Note for other reviewers. */
  note?: string | null;
  /** Milliseconds that the decision took. */
  took_ms?: number | null;
}

/** Request to review a row. */
export interface PutRowReview {
  /**
   * What a cleaning does with the row: `approved` keeps it, `rejected` drops it, `edited` replaces it by `row`,
   * and `unsure` decides nothing.
   */
  label: ReviewLabel;
  /** Row to use instead, if the label is `edited`. */
  row?: Record<string, unknown> | null;
  /** Note for other reviewers. */
  note?: string | null;
}

/** Grader that runs `grade(sample, item) -> float` of a Python source in a sandbox. */
export interface PythonGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to the middle of the range of scores. */
  pass_threshold?: number | null;
  /** Always `python`. */
  type: "python";
  /** Python source that defines `grade(sample, item)`. */
  source: string;
  /** Image tag of OpenAI's runtime. Accepted and ignored: graders run in the Python of the service. */
  image_tag?: string | null;
}

/** A queue of tasks for workers. */
export interface Queue {
  object: "organization.queue";
  /** Name of the queue. */
  id: string;
  /** Number of running workers that take its tasks. */
  workers: number;
  /** Number of tasks that no worker has taken. */
  waiting: number;
  /** Time at which the oldest of these tasks was due, in Unix seconds. Null if none waits. */
  oldest_waiting_at: number | null;
}

/** Reason for the value of a hyperparameter that was `auto`. */
export interface Reason {
  /** Name of the hyperparameter. */
  parameter: string;
  /** Code of the reason. */
  code: string;
  /** Figures of the reason, such as `rows`. */
  figures: Record<string, unknown>;
}

/** Signature of a receipt. */
export interface ErasureReceiptSignature {
  /** Signature algorithm. Always `Ed25519`. */
  algorithm: "Ed25519";
  /** First 16 characters of the SHA-256 digest of the public key, in hexadecimal. */
  key_id: string;
  /** Public key of the installation, in Base64. */
  public_key: string;
  /**
   * Signature in Base64, over the purpose, a newline, and the receipt as JSON with sorted keys and without
   * spaces. `object`, `status` and `signature` are left out.
   */
  value: string;
}

/** A recognizer of a project. */
export interface Recognizer {
  /** Name of the recognizer. Reports count its findings under this name. */
  id: string;
  object: "recognizer";
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Regular expression in RE2 syntax, if there is one. */
  pattern: string | null;
  /** Words and phrases. */
  terms: string[];
}

/** Recommended action: a training, or what to do first or instead. */
export type AdviceRecommendation = "train" | "prompt" | "retrieval" | "collect" | "fix_data";

/** Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling. */
export interface ReinforcementHyperparameters {
  /** Number of prompts per training step. Each is answered `group_size` times. Default: `auto`. */
  batch_size?: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier?: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs?: number | "auto";
  /** Learning rate, up to 1. Overrides `learning_rate_multiplier`. Default: `auto`. */
  learning_rate?: number | "auto";
  /** LoRA adapter options. */
  lora?: LoraOptions;
  /** Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA). Default: `nf4`. */
  quantization?: "nf4" | "none";
  /**
   * Maximum length of a prompt and its answer in tokens. Prompts that leave no room for `max_completion_tokens`
   * are dropped. Default: `auto`.
   */
  max_seq_length?: number | "auto";
  /** Whether to pack several rows into one sequence. Default: `auto`. */
  packing?: boolean | "auto";
  /** Fine-tuned model whose adapter weights training starts from. It must have the same base model. */
  warm_start?: string | null;
  /**
   * Share of the training rows to hold out for validation. Cannot be combined with `validation_file`. Defaults to
   * 0.1 if `early_stopping` or `keep_best` is set and there is no validation file.
   */
  validation_share?: number | null;
  /**
   * Early-stopping rule: training ends when the mean reward of the validation rows stops rising. Disabled if
   * omitted.
   */
  early_stopping?: EarlyStopping | null;
  /**
   * If true, the fine-tuned model is the checkpoint with the highest mean reward of the validation rows instead
   * of the last one. Default: `false`.
   */
  keep_best?: boolean;
  /** Number of training steps between evaluations. `auto` evaluates at each checkpoint. Default: `auto`. */
  eval_interval?: number | "auto";
  /**
   * Number of validation rows that each evaluation answers, once each. `auto` is 64, or all rows if there are
   * fewer. Default: `auto`.
   */
  eval_samples?: number | "auto";
  /** Number of answers to each prompt, which are compared with each other. Default: `8`. */
  group_size?: number;
  /**
   * Sampling temperature of the answers. It must be high enough that the answers to a prompt differ, because
   * training learns from the differences between their scores. Default: `1`.
   */
  temperature?: number;
  /** Maximum length of an answer in tokens. Default: `512`. */
  max_completion_tokens?: number;
  /**
   * Weight of the divergence from the reference model in the loss. Higher values keep the model closer to it.
   * `auto` is 0, which needs no reference. Default: `auto`.
   */
  beta?: number | "auto";
  /** Multiplier of OpenAI's API: `auto` or 1. Set `group_size` instead. */
  compute_multiplier?: number | "auto" | null;
  /** Reasoning effort of OpenAI's API: `default`. The base model's chat template decides how its answers begin. */
  reasoning_effort?: "default" | "low" | "medium" | "high" | null;
}

/** Options of reinforcement fine-tuning. */
export interface ReinforcementMethod {
  /**
   * Grader that scores the answers of the model. Training reinforces answers with higher scores. `item` is the
   * row without its messages and tools, and `sample` is the answer. OpenAI's types are `string_check`,
   * `text_similarity`, `score_model`, `python` and `multi`.
   */
  grader: StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader;
  /** Hyperparameters of reinforcement fine-tuning: OpenAI's, and those of sampling. */
  hyperparameters?: ReinforcementHyperparameters;
}

/** Agreement of reviewers with each other: Krippendorff's alpha. */
export interface HumanReviewReliability {
  /**
   * 1 if reviewers always agree, and 0 if they agree as random labels do. From 0.8, one can rely on their labels;
   * below 0.667, they support no conclusion.
   */
  alpha: number;
  /** Lower limit of its 95% interval. */
  low: number;
  /** Upper limit of its 95% interval. */
  high: number;
  /** Number of rows with labels of two or more reviewers. */
  rows: number;
  /** Number of these rows on which reviewers differ. */
  disputed: number;
}

/** State of a replica. */
export type ReplicaState = "starting" | "warming" | "serving" | "ejected" | "leaving";

/** Response, as in the OpenAI Responses API. */
export interface ModelResponse {
  /** ID of the response. */
  id: string;
  object: "response";
  /** Unix timestamp in seconds (UTC). */
  created_at: number;
  /** Model that generated the response. */
  model: string;
  /** Status of the response: `completed`, or why it did not complete. */
  status: string;
  /** Output items: messages, reasoning and tool calls. */
  output: Record<string, unknown>[];
  /** Token counts of the request. */
  usage?: Record<string, unknown> | null;
  [key: string]: unknown;
}

/** Items whose answers are sampled with responses, or stored responses. */
export interface ResponsesDataSource {
  /** Always `responses`. */
  type: "responses";
  /** Source of the items. */
  source: FileContentSource | FileIdSource | StoredResponsesSource;
  /**
   * Model to sample from: a base model, a trained model, a checkpoint or an alias. An alias is resolved for each
   * item.
   */
  model?: string | null;
  /** Prompt of an item. If it is omitted, stored answers are graded as they are. */
  input_messages?: TemplateMessages | ItemReferenceMessages | null;
  /** Sampling parameters of responses. */
  sampling_params?: ResponsesSamplingParams | null;
}

/** Sampling parameters of responses. */
export interface ResponsesSamplingParams {
  /** Maximum number of tokens of an answer. Defaults to the rest of the model's context. */
  max_completion_tokens?: number | null;
  /** Reasoning effort, for models that support it. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | null;
  /** Sampling seed. Defaults to 42. */
  seed?: number | null;
  /** Sampling temperature. Defaults to 1. */
  temperature?: number | null;
  /** Probability mass of the tokens to sample from. Defaults to 1. */
  top_p?: number | null;
  /** Format of the answers, as in responses. */
  text?: Record<string, unknown> | null;
  /** Functions that the model may call, as in responses. */
  tools?: Record<string, unknown>[] | null;
}

/** Request to run the evaluation of a job again. */
export interface RestartFineTuningJobEvaluation {
  /** System message of the base model, to compare the trained model with a prompted base model. */
  baseline_prompt?: string | null;
}

/** Result of a keyword search (BM25) for the answers of some rows in the other rows. */
export interface RetrievalSigns {
  /** Number of rows that were searched for. */
  rows: number;
  /** Number of these rows whose answers are facts. */
  facts: number;
  /** Number of these rows whose answer the search found. */
  found: number;
  /** Number of these rows that the base model answered correctly. */
  base_right: number;
}

/** What a reviewer decided on a row. */
export type ReviewLabel = "approved" | "rejected" | "edited" | "unsure";

/** Number of rows that a reviewer has labeled. */
export interface ReviewerProgress {
  /** ID of the API key, or subject of the token. */
  reviewer: string;
  /** Whether it is the caller. */
  is_own: boolean;
  /** Number of rows with a label of the reviewer. */
  labels: number;
}

/**
 * Role of a key. It determines what the key may do in its project and, for `admin` and `auditor`, in the whole
 * installation.
 */
export type ApiKeyRole = "admin" | "project_admin" | "member" | "trainer" | "inference" | "reader" | "auditor";

/** Request to replace the secret of an API key. */
export interface RotateApiKey {
  /** Seconds for which the previous secrets stay valid, up to 30 days. 0 ends them at once. Default: `86400`. */
  overlap_seconds?: number;
}

/** Request to rotate a signing secret. */
export interface RotateWebhookEndpointSecret {
  /**
   * Whether requests are also signed with the old secret for 24 hours, so that receivers can switch to the new
   * one without losing events. Default: `false`.
   */
  keep_old_secret_active_for_24_hours?: boolean;
}

/** A finding on a row. */
export interface FileRowFinding {
  /** Code of the finding. */
  code: string;
  /** Severity of the finding. */
  severity: "error" | "warning" | "info";
  /**
   * Amount by which this kind of finding lowers the row's score, however often it occurs in the row. Zero if it
   * says nothing about quality.
   */
  weight: number;
  /** What was found. */
  message: string;
  /** Numbers and names in the message, by name. Empty in reports of earlier versions. */
  figures: Record<string, number | string>;
  /** Recommended correction. */
  fix: string;
  /** JSON Pointer to the place in the row; may be empty. */
  pointer: string;
  /** Line of the other row, if the finding is about a pair of rows. */
  other_line: number | null;
  /**
   * Similarity of the two rows from 0 to 1; of their questions if they contradict each other. Null if it was not
   * measured.
   */
  similarity: number | null;
}

/** Kind of rows. */
export type GenerationRowKind = "questions" | "rewrites" | "refusals";

/** Rows to find. */
export interface ErasureRowMatch {
  /**
   * `text`: a message has these words, ignoring case, spacing, width, punctuation and politeness. `substring`:
   * the row contains exactly these characters. `row_sha256`: the SHA-256 digest of the row, as the API returns
   * rows in JSON Lines.
   */
  type: "text" | "substring" | "row_sha256";
  /** Text or digest to find. */
  value: string;
}

/** A row of a file. */
export interface FileMergeRow {
  /** ID of the file. */
  file_id: string;
  /** Line of the row in the file, counted from 1. */
  line: number;
}

/** A review of a row. */
export interface RowReview {
  /** Line of the row as a string. */
  id: string;
  object: "file.review";
  /** Line of the row in the uploaded file, counted from 1. */
  line: number;
  /** What the reviewer decided. */
  label: ReviewLabel;
  /** Row to use instead; null unless the label is `edited`. */
  row: Record<string, unknown> | null;
  /** Note for other reviewers, or null. */
  note: string | null;
  /** ID of the API key, or subject of the token, that wrote the review. */
  reviewer: string;
  /** Time of the review, in Unix seconds. */
  reviewed_at: number;
  /** Time of the row's first review, in Unix seconds. */
  created_at: number;
}

/** Request body to run a grader. */
export interface RunGrader {
  /** Grader to run. */
  grader: StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader;
  /** Answer to grade. It fills the `sample` namespace; `output_json` is set if it is JSON. */
  model_sample: string;
  /** Row of the data source. It fills the `item` namespace. */
  item?: Record<string, unknown> | null;
}

/** Status of a run. */
export type EvalRunStatus = "queued" | "in_progress" | "completed" | "canceled" | "failed";

/** Message of a prompt or an answer. */
export interface EvalRunSampleMessage {
  /** Role of the author. */
  role: string;
  /** Text of the message. */
  content: string;
  [key: string]: unknown;
}

/** Tokens of a sample. */
export interface EvalRunSampleUsage {
  /** Number of tokens in the prompt and the answer. */
  total_tokens: number;
  /** Number of tokens in the answer. */
  completion_tokens: number;
  /** Number of tokens in the prompt. */
  prompt_tokens: number;
  /** Number of prompt tokens that were read from the cache. */
  cached_tokens: number;
}

/** Grader that asks a model for a number. */
export interface ScoreModelGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to the middle of the range of scores. */
  pass_threshold?: number | null;
  /**
   * Judgment of a person, usually a template variable. The results of a run show how often the judge agrees with
   * it. Items without one are left out of this comparison. For `label_model` it is one of `labels`; for
   * `score_model`, a score, `pass` or `fail`.
   */
  human_label?: string | null;
  /** Always `score_model`. */
  type: "score_model";
  /** Model that judges: any model of the project. */
  model: string;
  /** Prompt of the judge. May contain template variables. */
  input: GraderMessage[];
  /** Lowest and highest score. Defaults to `[0, 1]`. */
  range?: number[] | null;
  /** Sampling parameters of the judge. */
  sampling_params?: JudgeSamplingParams | null;
}

/** The newest checkpoint: a signed statement of all entries until then. */
export interface SealedUntil {
  /** Number of the checkpoint. 0 for those of version 0.2.0. */
  number: number;
  /** Number of the entries that it covers. */
  entries: number;
  /** Time at which it was signed, in Unix seconds. */
  at: number;
  /** ID of the newest entry that it covers. Null if all were deleted because of their age. */
  last_entry_id: string | null;
}

/** A service account. */
export interface ServiceAccount {
  object: "organization.project.service_account";
  /** ID of the account, prefixed with `svc_acct_`. */
  id: string;
  /** Name of the account. */
  name: string;
  /**
   * Role of the account: the keys of an `owner` have the role `project_admin`, those of a `member` the role
   * `member`, and an account with `none` can have no keys.
   */
  role: ServiceAccountRole;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
}

/** Session of a browser: who is signed in, and the token for requests that change something. */
export interface Session {
  object: "session";
  /** ID of the session. */
  id: string;
  /** Time of the sign-in, in Unix seconds. */
  created_at: number;
  /** Time at which the session ends, in Unix seconds. */
  expires_at: number;
  /** Value of the header `X-CSRF-Token`, which requests with the cookie need unless their method is GET or HEAD. */
  csrf_token: string;
  /** The API key that a request was sent with, its project, and the limits of both. */
  caller: Caller;
}

/** Request to set an alias: either `model`, or `targets` to split traffic between two models. */
export interface PutAlias {
  /** Model that receives all requests. */
  model?: string | null;
  /** Models that share the requests by weight. The weights must sum to 100. */
  targets?: AliasTarget[] | null;
  /**
   * Conditions that the evaluation of a trained model must meet before the alias points at it. A key is a figure
   * of the evaluation, such as `chrf_gain` or `memorized`; a condition is `>=`, `>`, `<=`, `<` or `==` and a
   * number, or `checked` for `parity`. The alias keeps its gate if the field is missing; `{}` removes it.
   */
  gate?: Record<string, string> | null;
  /**
   * Whether to change the targets even if they do not meet the gate of the alias or that of their job, or the
   * bounds of the suites. The history records the failed conditions. Default: `false`.
   */
  force?: boolean;
  /**
   * Evals that a new model must pass before the alias points at it. An alias check runs them. The model of a
   * suite's own run needs none. The alias keeps its suites if the field is missing; `[]` removes them, which
   * needs a `reason`.
   */
  suites?: AliasSuite[] | null;
  /**
   * Cron expression in UTC of the times at which the suites are run again on the alias's models. The alias keeps
   * its schedule if the field is missing; null removes it.
   */
  schedule?: string | null;
  /**
   * Reason for `force`, required to override suites, and to remove one or lower its bound. The history and the
   * audit log record it.
   */
  reason?: string | null;
}

/** Request to set a recognizer: `pattern`, `terms`, or both. */
export interface PutRecognizer {
  /**
   * Regular expression in RE2 syntax, such as `\bC-\d{6}\b`. It is case-sensitive unless it begins with `(?i)`.
   * Full-width digits and letters count as ordinary ones.
   */
  pattern?: string | null;
  /**
   * Words and phrases, such as the names of customers or projects. They are found as whole words, regardless of
   * case and width.
   */
  terms?: string[];
}

/** Share of labels in percent, with its 95% confidence interval. */
export interface HumanReviewShare {
  /** Observed share. */
  mean: number;
  /** Lower limit of the interval. */
  low: number;
  /** Upper limit of the interval. */
  high: number;
}

/** A way to sign in to the console. */
export interface SignInMethod {
  object: "sign_in_method";
  /** `api_key`: with `createSession`. `oidc`: through the identity provider. */
  type: "api_key" | "oidc";
  /** Name of the identity provider; null for keys, or if it has none. */
  name: string | null;
  /**
   * Path to open in the browser to sign in; null for keys. The query parameter `next` is the path of the console
   * to return to.
   */
  url: string | null;
}

/** Hyperparameters at the top level of OpenAI's job object. */
export interface FineTuningJobHyperparameters {
  /** Number of rows per training step. Default: `auto`. */
  batch_size: number | "auto";
  /** Multiplier for the default learning rate of the model. Default: `auto`. */
  learning_rate_multiplier: number | "auto";
  /** Number of passes over the training data. Default: `auto`. */
  n_epochs: number | "auto";
}

/** A statement as a code and figures, to show it in any language. */
export interface Statement {
  /** Code of the statement. */
  code: string;
  /** Figures of the statement by name. Scores are in points (0 to 100). */
  figures: Record<string, unknown>;
}

/** Status of a job. */
export type FineTuningJobStatus = "validating_files" | "queued" | "running" | "paused" | "succeeded" | "failed" | "cancelled";

/** The answer in a stored chat completion. */
export interface StoredChatAnswer {
  /** Role of the message's author. Always `assistant`. */
  role: "assistant";
  /** Text of the answer, redacted. */
  content: string | null;
  /** Always null. */
  refusal?: unknown;
  /** What the model thought before it answered, redacted. */
  reasoning_content?: string | null;
  /** Calls of tools, redacted. */
  tool_calls?: Record<string, unknown>[] | null;
}

/** A choice of a stored chat completion. */
export interface StoredChatChoice {
  /** Position of the choice. Always 0. */
  index: 0;
  /** Reason generation ended. */
  finish_reason: string;
  /** The answer in a stored chat completion. */
  message: StoredChatAnswer;
  /** Always null: they are not stored. */
  logprobs?: unknown;
}

/** A message of the request of a stored chat completion, as in the OpenAI API. */
export interface StoredChatMessage {
  /** ID of the message: that of the chat completion and a number. */
  id: string;
  /** Role of the message's author. */
  role: string;
  /** Text of the message, redacted. */
  content: string | null;
  /** Always null: parts are joined. */
  content_parts?: unknown;
  /** Always null. */
  refusal?: unknown;
  /** Name of the author, redacted. */
  name?: string | null;
  /** Calls of tools, redacted. */
  tool_calls?: Record<string, unknown>[] | null;
  /** ID of the tool call that the message answers. */
  tool_call_id?: string | null;
}

/** A stored chat completion, as in the OpenAI API. Only its first choice is stored. */
export interface StoredChat {
  /** ID of the chat completion or response, prefixed with `chatcmpl-` or `resp_`. */
  id: string;
  object: "chat.completion";
  /** Creation time, as a Unix timestamp in seconds. */
  created: number;
  /** Model that generated the answer. */
  model: string;
  /** A choice of a stored chat completion. */
  choices: StoredChatChoice[];
  /** Numbers of tokens; null for streams that did not ask for them. */
  usage: Record<string, unknown> | null;
  /** Metadata of the request, redacted. */
  metadata: Record<string, string>;
  /** Tools of the request, redacted. */
  tools: Record<string, unknown>[] | null;
  /** Temperature of the request. */
  temperature: number | null;
  /** Nucleus sampling probability of the request. */
  top_p: number | null;
  /** Seed of the request. */
  seed: number | null;
  /** Time at which the chat is deleted, as a Unix timestamp in seconds. */
  expires_at: number;
  /** Number of values of each kind of personal data that were replaced. */
  redactions: Record<string, number>;
}

/** Response to deleting stored chat completions. */
export interface StoredChatsDeleted {
  object: "chat.completions.deleted";
  /** Whether the object was deleted. Always true. */
  deleted: true;
  /** Number of chat completions that were deleted. */
  count: number;
}

/** Stored chat completions. */
export interface StoredCompletionsSource {
  /** Only chats that this model answered; null for all models. */
  model?: string | null;
  /** Metadata that a chat must have, besides the eval's. All pairs must match. */
  metadata?: Record<string, string> | null;
  /** Earliest time of a chat, as a Unix timestamp in seconds. */
  created_after?: number | null;
  /** Latest time of a chat, as a Unix timestamp in seconds. */
  created_before?: number | null;
  /** Maximum number of items. If there are more chats, the newest are used. */
  limit?: number | null;
  /**
   * `mask` replaces values that are found to be personal, and numbers that may be, in the chats before they are
   * sampled, graded and stored with the run. By default, they are as they were stored. An extension of OpenAI's
   * schema.
   */
  personal_data?: "keep" | "mask" | null;
  /** Always `stored_completions`. */
  type: "stored_completions";
}

/** Stored responses. `limit` and `personal_data` are extensions of OpenAI's schema. */
export interface StoredResponsesSource {
  /** Only chats that this model answered; null for all models. */
  model?: string | null;
  /** Metadata that a chat must have, besides the eval's. All pairs must match. */
  metadata?: Record<string, string> | null;
  /** Earliest time of a chat, as a Unix timestamp in seconds. */
  created_after?: number | null;
  /** Latest time of a chat, as a Unix timestamp in seconds. */
  created_before?: number | null;
  /** Maximum number of items. If there are more chats, the newest are used. */
  limit?: number | null;
  /**
   * `mask` replaces values that are found to be personal, and numbers that may be, in the chats before they are
   * sampled, graded and stored with the run. By default, they are as they were stored. An extension of OpenAI's
   * schema.
   */
  personal_data?: "keep" | "mask" | null;
  /** Always `responses`. */
  type: "responses";
  /** Text in the instructions of a response. Case is ignored. */
  instructions_search?: string | null;
  /** Reasoning effort of the request. */
  reasoning_effort?: "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | null;
  /** Temperature of the request. */
  temperature?: number | null;
  /** Nucleus sampling probability of the request. */
  top_p?: number | null;
  /** Names of functions, all of which the request must have. */
  tools?: string[] | null;
  /** Must be null or empty: `user` is not stored. */
  users?: string[] | null;
}

/** Options for streaming responses. */
export interface StreamOptions {
  /** Whether to send a final event with the token counts. */
  include_usage?: boolean | null;
  [key: string]: unknown;
}

/** Grader that compares two texts. Scores 1 if the comparison holds, else 0. */
export interface StringCheckGrader {
  /** Name of the grader. */
  name: string;
  /** Always `string_check`. */
  type: "string_check";
  /** Text to grade. May contain template variables. */
  input: string;
  /**
   * Comparison: `eq` (equal), `ne` (not equal), `like` (the input contains the reference), or `ilike` (the same
   * regardless of case).
   */
  operation: "eq" | "ne" | "like" | "ilike";
  /** Text to compare with. May contain template variables. */
  reference: string;
}

/** Options of supervised fine-tuning. */
export interface SupervisedMethod {
  /** Training hyperparameters: OpenAI's three standard ones and this service's additions. */
  hyperparameters?: SupervisedHyperparameters;
}

/** A sweep: fine-tuning jobs, called trials, that differ in some hyperparameters. */
export interface Sweep {
  /** ID of the sweep. Starts with `ftsweep-`. */
  id: string;
  object: "sweep";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the base model. */
  model: string;
  /** Training method. */
  method: "supervised" | "dpo" | "kto" | "pretraining" | "reinforcement";
  /** ID of the training file. */
  training_file: string;
  /** ID of the validation file. */
  validation_file: string | null;
  /** Files whose rows are mixed with those of the training file; empty if there are none. */
  mixed_files: MixedFile[];
  /** Suffix in the names of the fine-tuned models. */
  suffix: string | null;
  /** Random seed of all trials. */
  seed: number;
  /** Whether the worse trials are stopped early. */
  stop_losers: boolean;
  /** Trials, in the order of their values. */
  trials: SweepTrial[];
  /** The best trial; null unless the status is `completed`. */
  result: SweepResult | null;
}

/** Outcome of a completed sweep. */
export interface SweepResult {
  /** ID of the job that succeeded with the lowest held-out loss. */
  best_job_id: string;
  /** Name of the fine-tuned model of the best job; null if the job was deleted. */
  fine_tuned_model: string | null;
}

/** Lists of hyperparameter values to try. Each combination is a trial. */
export interface SweepValues {
  /** Numbers of epochs to try. */
  n_epochs?: number[] | null;
  /** Batch sizes to try. Not for `kto`, whose loss depends on it. */
  batch_size?: number[] | null;
  /** Learning rates to try. */
  learning_rate?: number[] | null;
  /** Learning rate multipliers to try. */
  learning_rate_multiplier?: number[] | null;
  /** LoRA options to try. */
  lora?: SweepLoraValues;
}

/** A target model and its share of the requests. */
export interface AliasTarget {
  /** Name of a base model or a trained model. */
  model: string;
  /** Percentage of requests routed to this model, as an integer. */
  weight: number;
}

/** Prompt made of messages that contain template variables such as `{{item.question}}`. */
export interface TemplateMessages {
  /** Always `template`. */
  type: "template";
  /** Messages of the prompt. */
  template: GraderMessage[];
}

/** Request to test a webhook endpoint. */
export interface TestWebhookEndpoint {
  /** Type of the sample event. */
  event_type: WebhookEventType;
}

/** Grader that measures the similarity of two texts, from 0 to 1. */
export interface TextSimilarityGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to the middle of the range of scores. */
  pass_threshold?: number | null;
  /** Always `text_similarity`. */
  type: "text_similarity";
  /** Text to grade. May contain template variables. */
  input: string;
  /** Text to compare with. May contain template variables. */
  reference: string;
  /** Similarity metric. `cosine` compares the embeddings that `model` creates. */
  evaluation_metric: "cosine" | "fuzzy_match" | "bleu" | "gleu" | "meteor" | "rouge_1" | "rouge_2" | "rouge_3" | "rouge_4" | "rouge_5" | "rouge_l";
  /** Model that creates the embeddings for `cosine`. OpenAI chooses one itself. */
  model?: string | null;
}

/** Reasoning options, named as in the chat templates of the base models. */
export interface ReasoningOptions {
  /** Whether to reason before the answer: Qwen, GLM and Nemotron. */
  enable_thinking?: boolean;
  /** Whether to reason before the answer: DeepSeek and Granite. */
  thinking?: boolean;
  /** Whether to keep the reasoning of earlier messages: Qwen. */
  preserve_thinking?: boolean;
  /** Whether to drop the reasoning of earlier messages: Nemotron. */
  truncate_history_thinking?: boolean;
}

/** Grader that compares tool calls. Scores the share of equal names and arguments. */
export interface ToolCallGrader {
  /** Name of the grader. */
  name: string;
  /** Lowest score that passes. Defaults to 1. */
  pass_threshold?: number | null;
  /** Always `tool_call`. */
  type: "tool_call";
  /** Tool calls to grade. May contain template variables. Default: `{{sample.output_tools}}`. */
  input?: string;
  /** Expected tool call or list of tool calls as JSON, usually a template variable. */
  reference: string;
}

/** Advice before a training. */
export interface TrainingAdvice {
  /** ID of the advice. Starts with `ftadvice-`. */
  id: string;
  object: "advice";
  /** `queued`, `in_progress` or `cancelling`, and finally `completed`, `failed` or `cancelled`. */
  status: OperationStatus;
  /** Creation time, in Unix seconds. */
  created_at: number;
  /** Time at which the work began, in Unix seconds; null while it is queued. */
  started_at: number | null;
  /** Time at which the work ended, in Unix seconds; null until then. */
  finished_at: number | null;
  /**
   * Progress of the work; null if it is not measured, and in some kinds of operations also before and after the
   * work.
   */
  progress: OperationProgress | null;
  /** Reason for the status `failed`, or null. */
  error: OperationError | null;
  /** Key-value pairs attached to the operation. */
  metadata: Record<string, string> | null;
  /** ID of the training file. */
  training_file_id: string;
  /** ID of the base model. */
  model: string;
  /** Time at which the advice is deleted, in Unix seconds. */
  expires_at: number;
  /** The advice; null unless the status is `completed`. */
  result: AdviceResult | null;
}

/** A trial of a sweep, which is a fine-tuning job. */
export interface SweepTrial {
  /** ID of the job. */
  job_id: string;
  /** Hyperparameters in which the trials differ. */
  hyperparameters: Record<string, unknown>;
  /** Status of the job. */
  status: FineTuningJobStatus;
  /** Whether the trial is paused until the other trials catch up. */
  is_waiting: boolean;
  /**
   * Loss on the held-out rows at the newest checkpoint or, with `keep_best`, at the best one. Null until there is
   * one.
   */
  held_out_loss: number | null;
  /** Reason why the sweep stopped the trial; null if it did not. */
  stopped: string | null;
  /** Name of the fine-tuned model. Null until the job succeeds. */
  fine_tuned_model: string | null;
}

/** Request body to update an eval. Omitted fields stay unchanged. */
export interface UpdateEval {
  /** New key-value pairs; null removes them. */
  metadata?: Record<string, string> | null;
  /** New name. */
  name?: string | null;
}

/** Request to update an API key. Omitted fields stay unchanged. */
export interface UpdateApiKey {
  /** New name of the key. */
  name?: string | null;
  /**
   * New role of the key. Neither the new nor the current role can have more permissions than the role of the key
   * that changes it.
   */
  role?: ApiKeyRole | null;
  /** New list of the only models of a key with the role `inference`. `null` allows all. */
  models?: string[] | null;
  /** New time until the key expires, in seconds from now. `null`: never. */
  expires_in_seconds?: number | null;
  /** New list of the IP addresses and CIDR ranges that requests with the key may come from. `null` allows all. */
  allowed_ips?: string[] | null;
  /** Limits to change. Omitted limits stay unchanged. */
  limits?: ApiKeyLimits;
}

/** Request to update a project. Omitted fields and limits stay unchanged. */
export interface UpdateProject {
  /** Limits of a project. */
  limits?: ProjectLimits;
  /**
   * New settings of the storage of chats. `null` stores no more chats; those that are stored stay until they
   * expire or are deleted.
   */
  capture?: CaptureSettings | null;
  /**
   * Who can enable capture: with `organization`, only keys with the role `admin`; with `project`, also keys of
   * the project with the role `project_admin`. `null` changes nothing.
   */
  capture_managed_by?: "organization" | "project" | null;
  /**
   * Whether a second person must approve a trained model before an alias points at it or an export of it is
   * created or downloaded. `null` changes nothing.
   */
  four_eyes?: boolean | null;
  /**
   * Current name of the project. Any other name is rejected, because it is part of the names of the project's
   * models.
   */
  name?: string | null;
}

/** Request to change a service account. Omitted fields stay unchanged. */
export interface UpdateServiceAccount {
  /** New name of the account. */
  name?: string | null;
  /** New role of the account. All of its keys get the role `project_admin` (`owner`) or `member`. */
  role?: "owner" | "member" | null;
}

/** Request to replace the metadata of a stored chat completion. */
export interface UpdateStoredChat {
  /** New metadata, which is stored as it is. `null` removes all. */
  metadata: Record<string, string> | null;
}

/** Request to update a webhook endpoint. Omitted fields remain unchanged. */
export interface UpdateWebhookEndpoint {
  /** New name. */
  name?: string | null;
  /**
   * New URL. The operator must allow its host and port. Any value, even the current URL, enables a disabled
   * endpoint.
   */
  url?: string | null;
  /** Event types to deliver. Replaces the current list. */
  event_types?: WebhookEventType[] | null;
}

/** Request to complete an upload: the parts of the file, in order. */
export interface CompleteUpload {
  /** IDs of the parts, in file order. */
  part_ids: string[];
  /** MD5 digest of the complete file, in hexadecimal. */
  md5?: string | null;
}

/** Request to create an upload. `format` is an extension of OpenAI's schema. */
export interface CreateUpload {
  /** Name of the resulting file. */
  filename: string;
  /**
   * Purpose of the file. `fine-tune` and `evals` files are checked, `batch` files when a batch is created.
   * `model-import`, an extension, is for archives of adapters.
   */
  purpose: "fine-tune" | "evals" | "batch" | "user_data" | "model-import";
  /** Size of the complete file in bytes. */
  bytes: number;
  /** MIME type of the file. Required for OpenAI compatibility; the format is detected from the content. */
  mime_type: string;
  /** Lifetime of the resulting file. If omitted, the file never expires. */
  expires_after?: UploadExpiresAfter | null;
  /** Format options of the file. */
  format?: FileFormat | null;
}

/** OpenAI's upload object. */
export interface Upload {
  /** ID of the upload, prefixed with `upload_`. */
  id: string;
  object: "upload";
  /** Declared size of the complete file in bytes. */
  bytes: number;
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** Name of the resulting file. */
  filename: string;
  /** Purpose of a file. */
  purpose: FilePurpose;
  /** Status of an upload; all but `pending` are final. */
  status: UploadStatus;
  /** Time until which the upload accepts parts, as a Unix timestamp in seconds. */
  expires_at: number;
  /** Resulting file; null until the upload is completed. */
  file?: FileObject | null;
}

/** OpenAI's part object, extended with `bytes` and `md5` so that clients can resume uploads. */
export interface UploadPart {
  /** ID of the part, prefixed with `part_`, for use in `part_ids`. */
  id: string;
  object: "upload.part";
  /** Creation time, as a Unix timestamp in seconds. */
  created_at: number;
  /** ID of the upload that the part belongs to. */
  upload_id: string;
  /** Number of bytes received. */
  bytes: number;
  /** MD5 digest of the received bytes, in hexadecimal. */
  md5: string;
}

/** Status of an upload; all but `pending` are final. */
export type UploadStatus = "pending" | "completed" | "cancelled" | "expired";

/** A time interval with an exclusive end. `results` is empty if there was no usage. */
export interface CompletionsUsageBucket {
  object: "bucket";
  /** Start of the bucket (inclusive), as a Unix timestamp in seconds. */
  start_time: number;
  /** End of the bucket (exclusive), as a Unix timestamp in seconds. */
  end_time: number;
  /** Usage results, one per group. */
  results: CompletionsUsage[];
}

/** Usage of one group in one bucket. Fields that are not grouped by are null. */
export interface CompletionsUsage {
  object: "organization.usage.completions.result";
  /** Number of prompt tokens, including cached tokens. */
  input_tokens: number;
  /** Number of generated tokens. */
  output_tokens: number;
  /** Number of prompt tokens served from the engine's cache. */
  input_cached_tokens: number;
  /** Number of requests that an engine answered, including those whose client disconnected. */
  num_model_requests: number;
  /** Number of audio input tokens. Always 0. Default: `0`. */
  input_audio_tokens?: number;
  /** Number of audio output tokens. Always 0. Default: `0`. */
  output_audio_tokens?: number;
  /** ID of the project, if grouped by `project_id`. */
  project_id?: string | null;
  /** ID of the user. Always null, because there are no users. */
  user_id?: string | null;
  /** ID of the API key, if grouped by `api_key_id`. */
  api_key_id?: string | null;
  /** Model that answered, if grouped by `model`. */
  model?: string | null;
  /** Whether the requests belong to batches, if grouped by `batch`. */
  batch?: boolean | null;
  /** Service tier. Always null. */
  service_tier?: string | null;
  /** Number of requests that ended in an error. */
  num_failed_requests: number;
  /** Mean time to first token of streams, in milliseconds; null without streams. */
  mean_time_to_first_token_ms: number | null;
  /** Mean time per output token of streams after the first token, in milliseconds; null without such tokens. */
  mean_time_per_output_token_ms: number | null;
}

/** Request body to validate a grader. */
export interface ValidateGrader {
  /** Grader to validate. */
  grader: StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader;
}

/** A valid grader. */
export interface ValidatedGrader {
  /** Grader as given, with its defaults filled in. */
  grader: StringCheckGrader | TextSimilarityGrader | LabelModelGrader | ScoreModelGrader | PythonGrader | MultiGrader | ChrfGrader | JsonSchemaGrader | ToolCallGrader | LanguageGrader | LabelGrader;
}

/** Kind of verdict. */
export type FineTuningVerdictKind = "serve" | "prompt" | "retrieval" | "worse" | "memorized" | "forgot" | "overfit" | "solved_already" | "no_gain" | "cannot_tell" | "disputed";

/** Conclusion of an evaluation. */
export interface FineTuningVerdict {
  /** Kind of conclusion. It is `disputed` if people's labels contradict the measure. */
  kind: FineTuningVerdictKind;
  /** Conclusion in one sentence, with its figures. */
  sentence: string;
  /** Code of the sentence; null if an earlier version wrote it. */
  code?: string | null;
  /** Figures of the sentence by name. Scores are in points (0 to 100). */
  figures?: Record<string, unknown>;
  /** Recommended next step. */
  recommendation: string;
  /** The recommendation as a code and figures; null if an earlier version wrote it. */
  recommendation_details?: Statement | null;
  /** What people prefer, if their labels show it and they agree with each other. */
  reasons?: string[];
  /** The reasons as codes and figures, in the same order. */
  reason_details?: Statement[];
  /** Findings that do not change the conclusion. */
  warnings?: string[];
  /** The warnings as codes and figures, in the same order. Empty if an earlier version wrote them. */
  warning_details?: Statement[];
  /** Number of held-out rows to add if the conclusion is `cannot_tell`. */
  rows_needed?: number | null;
  /** Paired differences between columns, with 95% confidence intervals. */
  differences?: Record<string, unknown>[];
}

/** Request to verify the audit log. All fields are optional. */
export interface VerifyAuditLogs {
  /**
   * Public keys as PEM, of which each checkpoint must be signed with one. Several if the key was changed.
   * Defaults to the key of this installation, if this API process has its file.
   */
  public_keys?: string[];
  /** Checkpoints that were kept elsewhere, such as by a witness. The log must contain them. */
  checkpoints?: string[];
  /** Number of days for which entries had to be kept, at least. By default, what the checkpoints say. */
  kept_days?: number | null;
}

/** Weights & Biases integration, which is rejected with the code `invalid_value`. */
export interface WandbIntegration {
  /** Type of the integration. */
  type: "wandb";
  /** Settings of the run. */
  wandb: WandbSettings;
}

/** Settings of a Weights & Biases run, as in OpenAI's API. */
export interface WandbSettings {
  /** Name of the project. */
  project: string;
  /** Team or user. */
  entity?: string | null;
  /** Name of the run. */
  name?: string | null;
  /** Tags of the run. */
  tags?: string[] | null;
}

/** Attempt to deliver an event to a webhook endpoint. */
export interface WebhookDelivery {
  /** ID of the attempt, prefixed with `whdelivery-`. */
  id: string;
  object: "webhook_endpoint.delivery";
  /** Time at which the attempt ended, as a Unix timestamp in seconds. */
  created_at: number;
  /** ID of the event, sent as the `webhook-id` header of the request. */
  event_id: string;
  /** Type of the event. */
  event_type: string;
  /** Number of the attempt, starting at 1. */
  attempt: number;
  /**
   * Outcome of the attempt. `delivered`: the endpoint accepted the event. `retrying`: the attempt failed, and
   * another one follows. `failed`: the last attempt failed. `disabled`: the endpoint answered 410.
   */
  outcome: string;
  /** HTTP status of the endpoint's response; null if there was none. */
  response_status: number | null;
  /** Error class; null if the endpoint responded. */
  error: string | null;
  /** Time of the next attempt as a Unix timestamp in seconds; null if there is none. */
  next_attempt_at: number | null;
}

/** Webhook endpoint without its signing secret. */
export interface WebhookEndpoint {
  /** ID of the endpoint, prefixed with `webhook_`. */
  id: string;
  object: "webhook_endpoint";
  /** Creation time as a Unix timestamp in seconds. */
  created_at: number;
  /** Time of the last change to the endpoint or its secret, as a Unix timestamp in seconds. */
  updated_at: number;
  /** Name of the endpoint. */
  name: string;
  /** URL that receives the events. */
  url: string;
  /** Event types to deliver. */
  event_types: string[];
  /** Abbreviated signing secret: `whsec_…` and its last four characters. */
  signing_secret_hint: string;
  /**
   * Status of the endpoint. `disabled`: the endpoint answered 410 and receives no more events. Extension of
   * OpenAI's object.
   */
  status: "enabled" | "disabled";
}

/** Result of a test in which the endpoint responded. */
export interface WebhookEndpointTestResult {
  object: "webhook_endpoint.test";
  /** ID of the endpoint. */
  webhook_endpoint_id: string;
  /** Type of the sample event. */
  event_type: string;
  /** HTTP status of the endpoint's response. */
  status_code: number;
  /** Whether the endpoint responded, with any status. Always true. */
  success: true;
}

/** Webhook endpoint with its new signing secret. No later response contains the secret. */
export interface WebhookEndpointWithSecret {
  /** ID of the endpoint, prefixed with `webhook_`. */
  id: string;
  object: "webhook_endpoint";
  /** Creation time as a Unix timestamp in seconds. */
  created_at: number;
  /** Time of the last change to the endpoint or its secret, as a Unix timestamp in seconds. */
  updated_at: number;
  /** Name of the endpoint. */
  name: string;
  /** URL that receives the events. */
  url: string;
  /** Event types to deliver. */
  event_types: string[];
  /** Abbreviated signing secret: `whsec_…` and its last four characters. */
  signing_secret_hint: string;
  /**
   * Status of the endpoint. `disabled`: the endpoint answered 410 and receives no more events. Extension of
   * OpenAI's object.
   */
  status: "enabled" | "disabled";
  /** Signing secret: `whsec_` and the base64-encoded key. */
  signing_secret: string;
}

/** Event as it is sent to webhook endpoints. It has IDs, but no data of the object. */
export interface WebhookEvent {
  /** ID of the event, prefixed with `evt_`. The same in every attempt. */
  id: string;
  object: "event";
  /** Time of the event as a Unix timestamp in seconds. */
  created_at: number;
  /** Type of the event. */
  type: WebhookEventType;
  /** Object that the event is about. */
  data: WebhookEventData;
}

/** Object that a webhook event is about. */
export interface WebhookEventData {
  /** ID of the object, such as a job, a run or an export. */
  id: string;
}

/** List of event types that an endpoint can subscribe to. */
export interface WebhookEventTypeList {
  object: "list";
  /** Event types. */
  data: string[];
}

/** A worker process that is running. */
export interface Worker {
  object: "organization.worker";
  /** Name of the worker. */
  id: string;
  /** Status of the worker: `busy` while it has tasks, while it shuts down, and while it has a fault. */
  status: "idle" | "busy";
  /** Queues whose tasks the worker takes. Workers of `cpu` also take those of `evals` and `batches`. */
  queues: string[];
  /** Tasks in progress. */
  tasks: WorkerTask[];
  /** Version of the worker. Null for versions before 0.3. */
  version: string | null;
  /**
   * Time of the last sign of life, in Unix seconds. Workers that have sent none for 20 seconds are not listed.
   * Null for versions before 0.3.
   */
  last_heartbeat_at: number | null;
  /** Device that trainings use. */
  device: "cuda" | "cpu";
  /** Name of the GPU, or of the processor. */
  device_name: string;
  /** Number of GPUs that the worker may use. */
  gpus: number;
  /** Memory of one GPU; without a GPU, of the machine or container. Null if unknown. */
  memory_bytes: number | null;
  /** Memory in use on each GPU, by any process. Null without a GPU, and if its driver does not report it. */
  memory_used_bytes: number[] | null;
  /** Whether the worker can make exports in the format GGUF. */
  makes_gguf: boolean;
  /** Why the worker's GPUs cannot be used, so that it takes no trainings. Null if nothing is known to be wrong. */
  fault: string | null;
}

/** A task that a worker is doing. */
export interface WorkerTask {
  /** Type of the task. */
  type: string;
  /** ID of the object that the task works on; of an eval run, with the IDs of its parents before it. */
  object_id: string;
  /** Number of the attempt, starting at 1. */
  attempt: number;
}

/** Detected properties of a file. `columns` maps the shape's fields to the file's columns. */
export interface ReportSource {
  /** Size of the file in bytes. */
  bytes: number;
  /** File format, such as `csv` or `jsonl`. */
  container: string;
  /** Compression, such as `gzip`; null if there is none. */
  compression: string | null;
  /** Text encoding; null for binary formats. */
  encoding: string | null;
  /** Delimiter of the fields of a table; null for other formats. */
  delimiter: string | null;
  /** Shape of the rows, such as `chat` or `alpaca`. */
  shape: string;
  /** Format that the rows are converted to. */
  row_format: "chat" | "labeled" | "preference" | "reinforcement" | "text";
  /** Column of the file for each of the shape's fields. */
  columns: Record<string, string>;
  /** Columns that are not used. */
  unused_columns: string[];
}

/** Result of a validation. `counts` includes every issue, even if `issues` is capped. */
export interface ReportValidation {
  /** Format of the rows. */
  format: string;
  /** Size of the file in bytes. */
  bytes: number;
  /** Number of rows. */
  rows: number;
  /** Number of rows that can be trained on. */
  valid_rows: number;
  /** Number of errors. */
  errors: number;
  /** Number of warnings. */
  warnings: number;
  /** Number of all issues, by code. */
  counts: Record<string, number>;
  /** Issues found. Capped; `counts` has all. */
  issues: ReportIssue[];
}

/** A problem found in a data set. */
export interface ReportIssue {
  /** Severity of the issue. */
  severity: ReportIssueSeverity;
  /** Machine-readable code of the issue. */
  code: string;
  /** Line number, starting at 1; null if the issue concerns the whole file. */
  line: number | null;
  /** RFC 6901 JSON Pointer to the value in the row. */
  pointer: string;
  /** What is wrong. */
  message: string;
  /** Suggested fix. */
  fix: string;
  /** Line number of the other row, if the issue concerns a pair of rows. */
  other_line?: number | null;
  /** Similarity of the two rows from 0 to 1, if it was measured. */
  similarity?: number | null;
  /** Numbers and names in the message, by name. */
  figures?: Record<string, number | string> | null;
}

/** Severity of an issue. */
export type ReportIssueSeverity = "error" | "info" | "warning";

/** Distribution of a per-row number. */
export interface ReportDistribution {
  /** Smallest value. */
  min: number;
  /** Median of the values. */
  p50: number;
  /** 95th percentile. */
  p95: number;
  /** Largest value. */
  max: number;
  /** Mean of the values. */
  mean: number;
  /** Sum of all values. */
  total: number;
  /** Histogram of the values. */
  histogram: ReportHistogram;
}

/** Histogram of values. */
export interface ReportHistogram {
  /** Edges of the bins, in ascending order: one more than there are bins. */
  edges: number[];
  /** Number of values in each bin. */
  counts: number[];
}

/** Token counts for one model's tokenizer. */
export interface ReportTokens {
  /** ID of the base model whose tokenizer was used. */
  model: string;
  /** Number of rows that were counted. */
  rows: number;
  /** Whether only a sample of the rows was counted. */
  sampled: boolean;
  /** Tokens per row. */
  tokens: ReportDistribution;
  /** Tokens per row that the model is trained to generate. */
  supervised_tokens: ReportDistribution;
  /** Number of rows that are truncated, by context length. */
  truncated_rows: Record<string, number>;
  /** Number of rows with nothing left to learn from after truncation, by context length. */
  unlearnable_rows: Record<string, number>;
}

/** Efficiency of a model's tokenizer for a language. */
export interface ReportTokenizerFit {
  /** ID of the base model. */
  model: string;
  /** Language, as an ISO 639-1 code. */
  language: string;
  /** Number of rows in this language. */
  rows: number;
  /** Tokens per character. English takes about 0.25. */
  tokens_per_character: number;
  /** Share of the tokens that encode single bytes, since the vocabulary lacks the character. */
  byte_fallback_share: number;
}

/** Number and share of rows in a language or script. */
export interface ReportShare {
  /** Language, script or class. */
  name: string;
  /** Number of rows. */
  rows: number;
  /** Share of all rows, from 0 to 1. */
  share: number;
}

/** Groups of similar rows. */
export interface ReportGroups {
  /** Number of groups. */
  groups: number;
  /** Number of rows in all groups. */
  rows: number;
  /** Number of rows that could be removed, so that one of each group remains. */
  extra_rows: number;
  /** Line numbers of the largest groups. */
  examples: number[][];
}

/** Rows of the validation file that also appear in the training file. */
export interface ReportOverlap {
  /** Number of rows of the validation file that also appear in the training file. */
  rows: number;
  /** Number of rows that are identical to a training row. */
  exact: number;
  /** Number of rows that mean the same as a training row. */
  near: number;
  /** Number of rows that ask a question of the training file, whatever the answer. */
  same_prompt: number;
  /** Pairs of line numbers: in the validation file, and in the training file. */
  examples: number[][];
  /** Number of rows whose question and answer are part of a longer training conversation. Default: `0`. */
  contained?: number;
}

/** Number and locations of findings of one kind of personal data, without the values. */
export interface ReportPersonalData {
  /** Kind of personal data, such as `email`. */
  kind: string;
  /** Number of findings. */
  count: number;
  /** Locations of the first findings: line number and JSON Pointer. */
  places: [number, string][];
}

/** Statistics on system prompts. */
export interface ReportSystemPrompts {
  /** Number of different system prompts. */
  distinct: number;
  /** Number of rows without a system prompt. */
  rows_without: number;
  /** Share of all rows that have the most common system prompt. */
  top_share: number;
}

/** Recommended action, with its reason and evidence. The most urgent advice comes first. */
export interface ReportAdvice {
  /** Machine-readable code of the recommendation. */
  code: string;
  /** Recommended action in a few words. */
  title: string;
  /** Recommended action, and the reason for it. */
  text: string;
  /** Figures that the recommendation is based on, by name. */
  evidence: Record<string, number>;
  /** Line numbers of examples. */
  lines?: number[];
  /** Code of the wording of title and text. */
  variant?: string;
  /** Values in title and text, by name. */
  figures?: Record<string, unknown>;
}

/** Two rows that are worth comparing. */
export interface ReportRowPair {
  /** Why the rows are worth comparing. */
  kind: "contradiction" | "meaning_contradiction" | "meaning_overlap" | "near_duplicate" | "overlap" | "same_form" | "same_meaning";
  /** Line of the first row. */
  line: number;
  /** Line of the second row. */
  other_line: number;
  /** Similarity from 0 to 1. */
  similarity: number;
  /** Text of the first row, with personal data masked. */
  text: string;
  /** Text of the second row, with personal data masked. */
  other_text: string;
}

/** Quality scores of the rows, from 0 to 1. */
export interface ReportScores {
  /** Mean score of all rows. */
  mean: number;
  /** Histogram of the scores in bins of 0.1. The last bin has the rows with a score of 1. */
  histogram: ReportHistogram;
  /** Amount by which each kind of finding in this file lowers the score of a row. */
  weights: Record<string, number>;
}

/** Whether a data set is ready for training. */
export interface ReportSuitability {
  /** Code of the sentence. */
  code: string;
  /** Whether the data set is ready, and what comes first if not. */
  sentence: string;
  /** Values in the sentence, by name. */
  figures: Record<string, unknown>;
}

/** Rows that a text encoder called equal in meaning, in reports of earlier versions. */
export interface ReportMeanings {
  /** Name of the text encoder. */
  encoder: string;
  /** Number of compared questions. */
  questions: number;
  /** Number of questions that were not compared. */
  skipped: number;
  /** Number of rows that mean the same as another row. */
  same_meaning: number;
  /** Number of rows that ask the same as another row and answer it differently. */
  contradictions: number;
  /** Number of rows of the validation file that mean the same as a training row. */
  overlap: number;
}

/** Format in which the file was read. */
export interface DetectedFormat {
  /** File format, such as `csv` or `jsonl`. */
  container: string;
  /** Compression, such as `gzip`; null if there is none. */
  compression: string | null;
  /** Text encoding; null for binary formats. */
  encoding: string | null;
  /** Delimiter of the fields of a table; null for other formats. */
  delimiter: string | null;
  /** Sheet of a workbook; null for other formats. */
  sheet: string | null;
  /** Number of the row that names the columns, or 0 if none does; null if the file is no table. */
  header_row: number | null;
  /** Shape of the rows, such as `chat` or `alpaca`; null if the columns form none. */
  shape: string | null;
  /** Column of the file for each of the shape's fields. */
  columns: Record<string, string>;
  /** Columns that are not used. */
  unused_columns: string[];
}

/** One of the first rows. */
export interface PreviewRow {
  /** Line number. */
  line: number;
  /** Value of each column; null if the row could not be read. If each row is a message, the whole conversation. */
  record: Record<string, unknown> | null;
  /** Row that jobs would train on; null if there is none. */
  row: Record<string, unknown> | null;
  /** Issues found in the row. */
  findings: ReportIssue[];
}

/** Other format options that the file allows. Options without a choice are omitted. */
export interface FormatAlternatives {
  /** Other sheets of a workbook. */
  sheet?: FormatSheetChoice[];
  /** Other rows that could name the columns. */
  header_row?: FormatHeaderRowChoice[];
  /** Other encodings that the text could have. */
  encoding?: FormatEncodingChoice[];
  /** Other delimiters that split the lines evenly. */
  delimiter?: FormatDelimiterChoice[];
  /** Other shapes that the columns can form. */
  shape?: FormatShapeChoice[];
  /** Columns to choose from, if they are not recognized. */
  columns?: FormatColumnsChoice[];
  /** Columns that could have the ID of the conversation. */
  group_by?: FormatGroupByChoice[];
}

/** Sheet of a workbook, with its first row. */
export interface FormatSheetChoice {
  /** Name of the sheet. */
  sheet: string;
  /** Cells of its first row. */
  cells: string[];
}

/** Row that could name the columns of a table. With 0, no row does. */
export interface FormatHeaderRowChoice {
  /** Number of the row, or 0 for no header row. */
  header_row: number;
  /** Cells of the row. */
  cells: string[];
}

/** Encoding that the text could have, with a sample decoded in it. */
export interface FormatEncodingChoice {
  /** Name of the encoding. */
  encoding: string;
  /** Text decoded with this encoding. */
  sample: string;
}

/** Delimiter that splits most lines of a table into the same number of fields. */
export interface FormatDelimiterChoice {
  /** Delimiter of the fields. */
  delimiter: string;
  /** Number of fields per line. */
  fields: number;
}

/** Shape that the columns can form, with the column of each of its fields. */
export interface FormatShapeChoice {
  /** Name of the shape. */
  shape: string;
  /** Column of the file for each of the shape's fields. */
  columns: Record<string, string>;
}

/** Columns of a file whose columns are not recognized. */
export interface FormatColumnsChoice {
  /** Names of all columns. */
  names: string[];
  /** Best candidates for the fields `prompt` and `completion`. */
  columns: Record<string, string>;
}

/** Column that could have the ID of the conversation, if each row is a message. */
export interface FormatGroupByChoice {
  /** Name of the column. */
  group_by: string;
}

/** A statistic that differs between two files. */
export interface FileDiffShift {
  /** What differs. */
  measure: "answer_characters" | "class" | "language" | "personal_data" | "question_characters" | "system_prompts" | "tools" | "turns";
  /** Language, class or kind of personal data; null for other measures. */
  name: string | null;
  /** Value in the first file. */
  before: number;
  /** Value in the second file. */
  after: number;
  /** Size of the difference, from 0 to 1. */
  size: number;
  /** The difference in words. */
  text: string;
}

/** Statistics of a file. All but `broken_rows` cover the valid rows only. */
export interface FileStatistics {
  /** Number of valid rows. */
  rows: number;
  /** Number of invalid rows. */
  broken_rows: number;
  /** Languages of the rows. */
  languages: ReportShare[];
  /** Characters of the questions per row; null if there are none. */
  question_characters: ReportDistribution | null;
  /** Characters of the answers per row; null if there are none. */
  answer_characters: ReportDistribution | null;
  /** Turns per row; null if there are none. */
  turns: ReportDistribution | null;
  /** Statistics on system prompts. */
  system_prompts: ReportSystemPrompts;
  /** Number of rows with tools. */
  tool_rows: number;
  /** Classes that rows are sorted into, or labels of labeled rows. */
  classes: ReportShare[];
  /** Number of findings of personal data, by kind. */
  personal_data: Record<string, number>;
  /** Number of rows with personal data. */
  personal_rows: number;
}

/** Report on a data set. Line numbers refer to the file as uploaded. */
export interface DatasetReportContent {
  /** Version of the report format. */
  version: number;
  /** Detected properties of the file. */
  source: ReportSource;
  /** Result of the validation. */
  validation: ReportValidation;
  /** Number of rows. */
  rows: number;
  /** Turns per row; null if there are no rows with turns. */
  turns: ReportDistribution | null;
  /** Characters per row; null if there are no rows. */
  characters: ReportDistribution | null;
  /** Characters of the answers per row; null if there are no answers. */
  answer_characters: ReportDistribution | null;
  /** Token counts, one entry per base model. */
  tokens: ReportTokens[];
  /** Efficiency of each tokenizer for the languages of the file. */
  tokenizer_fit: ReportTokenizerFit[];
  /** Languages of the rows, most common first. */
  languages: ReportShare[];
  /** Scripts of the rows, most common first. */
  scripts: ReportShare[];
  /** Identical rows. */
  exact_duplicates: ReportGroups;
  /** Rows that mean the same. */
  near_duplicates: ReportGroups;
  /** Rows with the same question and different answers. */
  contradictions: ReportGroups;
  /** Rows of the validation file that also appear in this file; null without a validation file. */
  overlap: ReportOverlap | null;
  /** Detected personal data, by kind. */
  personal_data: ReportPersonalData[];
  /** Statistics on system prompts. */
  system_prompts: ReportSystemPrompts;
  /** Issues found in the rows. Capped; `finding_counts` has all. */
  findings: ReportIssue[];
  /** Number of all findings, by code. */
  finding_counts: Record<string, number>;
  /** Recommended actions, the most urgent first. */
  advice: ReportAdvice[];
  /** Rows that differ in a word, a number, a name or a sign, and are not copies. */
  same_form?: ReportGroups;
  /** Examples of similar rows, with their texts. */
  pairs?: ReportRowPair[];
  /** Numbers that could be personal data, but that no word nearby confirms. */
  possible_personal_data?: ReportPersonalData[];
  /** Quality scores of the rows; null in reports of earlier versions, and without rows. */
  scores?: ReportScores | null;
  /** Whether the data set is ready for training; null in reports of earlier versions. */
  suitability?: ReportSuitability | null;
  /** What a text encoder found; null except in reports of earlier versions. */
  meaning?: ReportMeanings | null;
  /** What the operator's model searched; null without one. */
  model_search?: string | null;
}

/** Preview of a file: its first rows as read, and the format options that it allows. */
export interface DatasetPreviewContent {
  /** Format in which the file was read; null if the container is unknown. */
  found: DetectedFormat | null;
  /** Reason why the file cannot be read; null if the preview encountered none. */
  error: ReportIssue | null;
  /** First rows. */
  rows: PreviewRow[];
  /** Issues of the file as a whole, or of lines before the first row. */
  findings: ReportIssue[];
  /** Other format options that the file allows. */
  alternatives: FormatAlternatives;
}

/** Difference between two files, from `before` to `after`. */
export interface DatasetDiffContent {
  /** The difference in one sentence. */
  summary: string;
  /** Number of rows that both files have. */
  unchanged: number;
  /** Number of rows that have the same questions, but differ otherwise. */
  changed: number;
  /** Number of rows that only the first file has. */
  removed: number;
  /** Number of rows that only the second file has. */
  added: number;
  /** Statistics that differ, the largest shift first. */
  drift: FileDiffShift[];
  /** Statistics of the first file. */
  before: FileStatistics;
  /** Statistics of the second file. */
  after: FileStatistics;
}
