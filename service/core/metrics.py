"""All Prometheus metrics of the service, declared in this file.

Label values are bounded: route templates, status codes, names from the catalog, states, and the
names of a limited number of projects and aliases. Raw paths, user text, file, job and key IDs, and
adapter names are not used.
"""

from __future__ import annotations

from typing import Any

from service.core.metric_types import Group, Metric, Process

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
_LONG_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_STORAGE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
_WAIT_SECONDS = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60)

_API, _WORKER, _ENGINE = Process
_EVERY = (_API, _WORKER, _ENGINE)
_SHARED = "same in each: use the max"
_PROCESSES = Group("Processes", _EVERY)
_HTTP = Group("HTTP", (_API,))
_GATEWAY = Group("Inference gateway", (_API, _WORKER), note="in workers, evaluations")
_CAPTURE = Group("Inference gateway", (_API,))
_UPSTREAMS = Group("Engines, as seen by their callers", (_API, _WORKER))
_ADAPTERS = Group("Engines", (_ENGINE,))
_ENDED_JOBS = Group("Jobs and training", (_API, _WORKER), note=_SHARED)
_JOBS = Group("Jobs and training", (_WORKER,))
_ALL_JOBS = Group("Jobs and training", (_WORKER,), note=_SHARED)
_QUEUES = Group("Queues and workers", (_API, _WORKER), note=_SHARED, is_read_from_redis=True)
_GPUS = Group("GPUs", (_WORKER,), note="with a GPU and `nvidia-ml-py`")
_FILES = Group("Files", (_WORKER,))
_ENDED_RUNS = Group("Evaluations", (_API, _WORKER), note=_SHARED)
_RUNS = Group("Evaluations", (_WORKER,))
_ALL_RUNS = Group("Evaluations", (_WORKER,), note=_SHARED)
_ENDED_BATCHES = Group("Batches", (_API, _WORKER), note=_SHARED)
_ENDED_OPERATIONS = Group("Operations", (_API, _WORKER), note=_SHARED)
_ALL_BATCHES = Group("Batches", (_WORKER,), note=_SHARED)
_ALIASES = Group("Aliases", (_WORKER,), note=_SHARED)
_WEBHOOKS = Group("Webhooks", (_WORKER,))
_ALL_WEBHOOKS = Group("Webhooks", (_WORKER,), note=_SHARED)
_BACKUPS = Group("Backups", (_WORKER,), note=_SHARED)
_ALL_AUDITS = Group("Audit log", (_WORKER,), note=_SHARED)
_RECORDS = Group("Records", _EVERY)
_LOOKUPS = Group("Cached keys and models", (_API,))
_STORAGE = Group("Storage", _EVERY)
_ALL_STORAGE = Group("Storage", (_WORKER,), note=_SHARED)
_REDIS = Group("Redis", (_API, _WORKER))
_SCRAPED_REDIS = Group("Redis", (_API, _WORKER), is_read_from_redis=True)
_ALL_REDIS = Group("Redis", (_WORKER,), note=_SHARED)
_CONNECTIONS = Group("Redis", _EVERY)

BUILD = _PROCESSES.gauge(
    "finetuned_build_info",
    "1 for each running process, with its version; process is api, worker or inference.",
    ["process", "version"],
)
LOOP_FAILURES = _PROCESSES.counter(
    "finetuned_loop_failures_total",
    "Times that a background loop of this process failed unexpectedly and was restarted.",
    ["loop"],
)

HTTP_REQUESTS = _HTTP.counter(
    "finetuned_http_requests_total",
    "Requests answered by the API.",
    ["method", "route", "status"],
)
HTTP_SECONDS = _HTTP.histogram(
    "finetuned_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["method", "route"],
    buckets=_SECONDS,
)

# The meter keeps the cells of these, because every request writes them. `project` is a project's
# name, or `other` above the limit on projects.
SERVED_REQUESTS = _GATEWAY.counter(
    "finetuned_inference_requests_total",
    "Requests to the inference gateway, by base model, project and outcome; 499: the client "
    "disconnected.",
    ["base_model", "kind", "project", "status"],
)
SERVED_TOKENS = _GATEWAY.counter(
    "finetuned_inference_tokens_total",
    "Inference tokens. Direction `in` is the full prompt, `cached` the part of it that was in the "
    "engine's cache, `out` the completion.",
    ["base_model", "kind", "project", "direction"],
)
FIRST_BYTE_SECONDS = _GATEWAY.histogram(
    "finetuned_inference_first_byte_seconds",
    "Time from a request's arrival to the first byte of the engine's answer; for a stream "
    "(streamed=yes), the time to the first token.",
    ["base_model", "kind", "project", "streamed"],
    buckets=_SECONDS,
)
OUTPUT_TOKEN_SECONDS = _GATEWAY.histogram(
    "finetuned_inference_output_token_seconds",
    "Seconds per output token of a stream, after the first token.",
    ["base_model", "kind", "project"],
    buckets=_TOKEN_SECONDS,
)
IN_FLIGHT = _GATEWAY.gauge("finetuned_inference_in_flight", "Requests in progress.", ["project"])
LIMITED = _GATEWAY.counter(
    "finetuned_inference_limited_total",
    "Requests refused with 429, by the limit that was exceeded and its scope (key or project).",
    ["limit", "scope", "project"],
)
LIMIT_WAITING_REQUESTS = _GATEWAY.gauge(
    "finetuned_limit_waiting_requests",
    "Requests that wait in this process because their key or project is at its limit of concurrent "
    "requests.",
    ["project"],
)
QUEUE_SECONDS = _GATEWAY.histogram(
    "finetuned_queue_seconds",
    "Time that a request waited: `limit` (until its key or project was below its limit) or "
    "`engine` (until an engine had room).",
    ["queue"],
    buckets=_SECONDS,
)
CAPTURES = _CAPTURE.counter(
    "finetuned_captures_total",
    "Chats to store, by outcome: stored, or dropped: buffer_full, too_large, "
    "quota_exceeded, storage_full, project_full (it has the maximum number of chats), unavailable "
    "(Redis or storage is), unsupported (not only text, or the answer is incomplete), duplicate "
    "(the ID exists), switched_off (since the chat), shut_down, failed.",
    ["outcome"],
    from_zero=[("stored",), ("buffer_full",), ("unavailable",), ("failed",)],
)

USAGE_ROWS_DROPPED = _GATEWAY.counter(
    "finetuned_usage_rows_dropped_total",
    "Usage rows dropped because the buffer was full while Redis was unavailable; minute rows are "
    "dropped before hour rows.",
    ["width"],
    from_zero=[("1m",), ("1h",)],
)

ENGINE_REPLICAS = _UPSTREAMS.gauge(
    "finetuned_engine_replicas",
    "Engines as seen by this process, by base model and state: starting, "
    "warming (its share grows), serving, ejected, leaving (gone from DNS, finishing its last "
    "requests).",
    ["base_model", "state"],
)
ENGINE_EJECTIONS = _UPSTREAMS.counter(
    "finetuned_engine_ejections_total",
    "Times that an engine was ejected, by reason: unreachable, lost, silent, garbage, "
    "unhealthy (its health check failed).",
    ["base_model", "reason"],
)
ENGINE_WAITING_REQUESTS = _UPSTREAMS.gauge(
    "finetuned_engine_waiting_requests",
    "Requests that wait in this process until the engines have room for them, or until one starts.",
    ["base_model"],
)
ENGINE_SPILLED_REQUESTS = _UPSTREAMS.counter(
    "finetuned_engine_spilled_requests_total",
    "Requests sent to an engine other than their adapter's own, which had reached its share.",
    ["base_model"],
)
ENGINE_RESENT_REQUESTS = _UPSTREAMS.counter(
    "finetuned_engine_resent_requests_total",
    "Requests sent to another engine because the first one accepted no connection.",
    ["base_model"],
)

# Inside vLLM's server and on vLLM's own /metrics.
ADAPTER_REQUESTS = _ADAPTERS.counter(
    "finetuned_adapter_requests_total",
    "Requests that needed an adapter, by outcome: held (its files were present or fetched), "
    "unknown (since deleted), unavailable (registry or storage is unavailable), broken.",
    ["outcome"],
    from_zero=[("held",), ("unknown",), ("unavailable",), ("broken",)],
)
ADAPTER_WAIT_SECONDS = _ADAPTERS.histogram(
    "finetuned_adapter_wait_seconds",
    "Time that a request waited for its adapter's files; close to 0 for a warm adapter.",
    buckets=_WAIT_SECONDS,
)
ADAPTER_ARRIVALS = _ADAPTERS.counter(
    "finetuned_adapter_arrivals_total",
    "Cold adapters that became warm, by source of their files: storage, or disk (left by an "
    "earlier run and checked). All other requests were hits.",
    ["source"],
    from_zero=[("storage",), ("disk",)],
)
ADAPTER_REMOVALS = _ADAPTERS.counter(
    "finetuned_adapter_removals_total",
    "Adapters removed from the engine's disk, to free space or because they were deleted.",
)
ADAPTERS = _ADAPTERS.gauge(
    "finetuned_adapters",
    "Adapters on this engine, by place: disk (its cache), memory (loaded in vLLM).",
    ["place"],
)
ADAPTER_CACHE_BYTES = _ADAPTERS.gauge(
    "finetuned_adapter_cache_bytes", "Bytes of the adapters on this engine's disk."
)
ENGINE_GPUS = _ADAPTERS.gauge(
    "finetuned_engine_gpus", "GPUs that this engine uses; 0 on the CPU.", ["base_model"]
)
ADAPTER_CACHE_LIMIT_BYTES = _ADAPTERS.gauge(
    "finetuned_adapter_cache_limit_bytes", "FINETUNED_ADAPTER_CACHE_BYTES of this engine."
)

JOBS = _ENDED_JOBS.event_counter(
    "finetuned_jobs_total",
    "Fine-tuning jobs of the installation that reached a final state.",
    ["status"],
    {
        ("succeeded",): "fine_tuning.job.succeeded",
        ("failed",): "fine_tuning.job.failed",
        ("cancelled",): "fine_tuning.job.cancelled",
    },
)
# Set from the records by the reconciler, on every worker.
JOBS_UNFINISHED = _ALL_JOBS.gauge(
    "finetuned_jobs_unfinished", "Fine-tuning jobs of the installation, by status.", ["status"]
)
OLDEST_QUEUED_JOB_SECONDS = _ALL_JOBS.gauge(
    "finetuned_oldest_queued_job_seconds", "Waiting time of the longest-waiting job."
)
JOB_SECONDS = _JOBS.histogram(
    "finetuned_job_phase_seconds",
    "Time a job spent in a phase: preparing (creation to queue), queued; for each attempt: loading "
    "(libraries, model, data), training (steps), registering (check, upload, parity), and attempt "
    "(total).",
    ["phase"],
    buckets=_LONG_SECONDS,
    from_zero=[
        (phase,)
        for phase in ("preparing", "queued", "attempt", "loading", "training", "registering")
    ],
)
JOB_ATTEMPTS_LOST = _JOBS.counter(
    "finetuned_job_attempts_lost_total",
    "Attempts that ended without a result and were followed by another.",
    ["reason"],
    from_zero=[("worker_died",), ("trainer_died",), ("out_of_memory",)],
)
JOBS_RUNNING = _JOBS.gauge(
    "finetuned_worker_jobs_running",
    "Training jobs running on this worker.",
    from_zero=[()],
)
TRAINED_TOKENS = _JOBS.counter("finetuned_trained_tokens_total", "Tokens trained on this worker.")
# Absent while no training runs.
TRAIN_TOKENS_PER_SECOND = _JOBS.gauge(
    "finetuned_train_tokens_per_second", "Speed of the training job running on this worker."
)
TRAIN_LOSS = _JOBS.gauge("finetuned_train_loss", "Loss of the training job running on this worker.")
TRAIN_REWARD = _JOBS.gauge(
    "finetuned_train_reward",
    "Mean reward of the answers of the last step of the reinforcement training running on this "
    "worker.",
)
# By project and base model, for costs.
TRAINING_GPU_SECONDS = _JOBS.counter(
    "finetuned_training_gpu_seconds_total",
    "Time that training jobs held GPUs of this worker, times the number of GPUs.",
    ["project", "base_model"],
)
# With FINETUNED_TRAIN_SLO_MS.
TRAIN_RESTED_SECONDS = _JOBS.counter(
    "finetuned_train_rested_seconds_total",
    "Time that paced trainings of this worker gave to chats.",
)
CHAT_LATENCY_SECONDS = _JOBS.gauge(
    "finetuned_train_chat_latency_seconds",
    "95th percentile of the latency of chats in the last 15 s, as seen by a paced training; 0 if "
    "there were none, absent while no training is paced.",
)
QUEUE_DEPTH = _QUEUES.gauge(
    "finetuned_queue_depth", "Tasks waiting in a queue, not counting running ones.", ["queue"]
)
QUEUE_OLDEST_SECONDS = _QUEUES.gauge(
    "finetuned_queue_oldest_seconds",
    "Waiting time of the longest-waiting task; 0 if the queue is empty.",
    ["queue"],
)
WORKERS = _QUEUES.gauge(
    "finetuned_workers", "Live workers that take tasks from a queue.", ["queue"]
)
GPU_WORKERS_FREE = _QUEUES.gauge(
    "finetuned_gpu_workers_free", "Live workers of the gpu queue that are not training."
)
GPU_MEMORY_USED_BYTES = _GPUS.gauge(
    "finetuned_gpu_memory_used_bytes",
    "Memory in use on a GPU of this worker, by any process; gpu is its index.",
    ["gpu"],
)
GPU_MEMORY_BYTES = _GPUS.gauge(
    "finetuned_gpu_memory_bytes", "Total memory of a GPU of this worker.", ["gpu"]
)
GPU_UTILIZATION = _GPUS.gauge(
    "finetuned_gpu_utilization_ratio",
    "Fraction of the last sampling period in which a GPU of this worker was busy, 0 to 1.",
    ["gpu"],
)
GPU_SLOWED = _GPUS.gauge(
    "finetuned_gpu_slowed",
    "1 if a GPU of this worker lowers its clocks because of heat or its power supply.",
    ["gpu"],
)
GPU_FAULT = _GPUS.gauge(
    "finetuned_gpu_fault",
    "1 if a GPU of this worker cannot be used, such as one that fell off the bus. The worker then "
    "takes no trainings.",
    ["gpu"],
)
FILES_CHECKED = _FILES.counter(
    "finetuned_files_checked_total", "Files whose content was checked.", ["status"]
)
FILE_TASKS = _FILES.counter(
    "finetuned_file_tasks_total",
    "Finished tasks on files, such as reports and cleanings, by kind.",
    ["kind", "outcome"],
)
JOB_EVALUATIONS = _JOBS.counter(
    "finetuned_job_evaluations_total",
    "Evaluations of finished jobs that ended, by status: completed, failed, skipped.",
    ["status"],
    from_zero=[("completed",), ("failed",), ("skipped",)],
)
JOB_EVALUATIONS_UNFINISHED = _ALL_JOBS.gauge(
    "finetuned_job_evaluations_unfinished", "Evaluations of finished jobs that have not ended."
)
# Set from the records by every worker's reconciler.
ALIAS_GAIN_POINTS = _ALIASES.gauge(
    "finetuned_alias_gain_points",
    "Gain of the primary metric that the last evaluation measured for the alias's model, in points "
    "(0 to 100), over the base model; for a split, the mean by share of requests. Absent for base "
    "models and models without an evaluation.",
    ["project", "alias"],
)

EVAL_RUNS = _ENDED_RUNS.event_counter(
    "finetuned_eval_runs_total",
    "Evaluation runs of the installation that reached a final state.",
    ["status"],
    {
        ("completed",): "eval.run.succeeded",
        ("failed",): "eval.run.failed",
        ("canceled",): "eval.run.canceled",
    },
)
EVAL_RUNS_RUNNING = _RUNS.gauge(
    "finetuned_eval_runs_running", "Evaluation runs in progress on this worker."
)
EVAL_RUNS_UNFINISHED = _ALL_RUNS.gauge(
    "finetuned_eval_runs_unfinished", "Evaluation runs of the installation, by status.", ["status"]
)
EVAL_ITEMS = _RUNS.counter(
    "finetuned_eval_items_total",
    "Items of evaluation runs, by outcome: pass, fail, error (not sampled or not graded).",
    ["outcome"],
    from_zero=[("pass",), ("fail",), ("error",)],
)

_OPERATIONS = (
    *("advice", "sweep", "model.import", "model.export", "organization.erasure"),
    *("dataset.report", "dataset.preview", "dataset.cleaning", "dataset.diff", "dataset.merge"),
    *("dataset.generation", "alias.check"),
)
_OPERATION_EVENTS = {"sweep": "fine_tuning.sweep", "model.export": "export"}  # others: the object
OPERATIONS = _ENDED_OPERATIONS.event_counter(
    "finetuned_operations_total",
    "Long-running operations of the installation that reached a final state, by kind of object.",
    ["object", "status"],
    {
        (kind, status): (
            f"{_OPERATION_EVENTS[kind]}.{status.replace('completed', 'succeeded')}"
            if kind in _OPERATION_EVENTS
            else f"{kind}.{status}"
        )
        for kind in _OPERATIONS
        for status in ("completed", "failed", "cancelled")
    },
)

BATCHES = _ENDED_BATCHES.event_counter(
    "finetuned_batches_total",
    "Batches of the installation that reached a final state.",
    ["status"],
    {
        ("completed",): "batch.completed",
        ("failed",): "batch.failed",
        ("expired",): "batch.expired",
        ("cancelled",): "batch.cancelled",
    },
)
BATCHES_UNFINISHED = _ALL_BATCHES.gauge(
    "finetuned_batches_unfinished", "Batches of the installation that have not ended."
)

WEBHOOK_DELIVERIES = _WEBHOOKS.counter(
    "finetuned_webhook_deliveries_total",
    "Attempts to deliver a webhook event, by outcome: delivered, retrying (failed, will be "
    "retried), failed (the last attempt failed), disabled (the endpoint answered 410).",
    ["outcome"],
    from_zero=[("delivered",), ("retrying",), ("failed",), ("disabled",)],
)
# Read from Redis by every worker of the cpu queue.
WEBHOOK_PENDING = _ALL_WEBHOOKS.gauge(
    "finetuned_webhook_pending", "Webhook deliveries waiting for their next attempt."
)

RECORDS_UNREADABLE = _RECORDS.counter(
    "finetuned_records_unreadable_total",
    "Times that this version read a record that it does not understand, by kind. A newer version "
    "may have written it. Lists and background loops skip it.",
    ["kind"],
)
AUTHENTICATION_FAILURES = _HTTP.counter(
    "finetuned_authentication_failures_total",
    "Requests refused because of their key, by reason: missing, unknown, expired, archived (its "
    "project), address (the key is not valid from it), throttled (too many from one address), "
    "permission (of the key's role), cross_origin and csrf (of the session of a browser), sign_in "
    "(through the identity provider).",
    ["reason"],
    from_zero=[
        *(("missing",), ("unknown",), ("expired",)),
        *(("archived",), ("address",), ("throttled",), ("permission",)),
        *(("cross_origin",), ("csrf",), ("sign_in",)),
    ],
)

AUDIT_UNSEALED = _ALL_AUDITS.gauge(
    "finetuned_audit_unsealed_entries",
    "Entries of the audit log that are not sealed in storage yet.",
)
AUDIT_OVERDUE = _ALL_AUDITS.gauge(
    "finetuned_audit_overdue_seconds",
    "How late the sealing of the oldest entry of the audit log is. 0: no entry is late.",
)
AUDIT_TO_WITNESS = _ALL_AUDITS.gauge(
    "finetuned_audit_checkpoints_waiting",
    "Checkpoints of the audit log that its witness has not accepted yet.",
)

LOOKUPS_STALE = _LOOKUPS.counter(
    "finetuned_lookups_stale_total",
    "Keys and models served from memory because Redis did not answer.",
)

# Set by every worker's reconciler.
BACKUP_TIMESTAMP_SECONDS = _BACKUPS.gauge(
    "finetuned_backup_timestamp_seconds",
    "Unix time of the records in the newest complete backup. Absent before the first backup.",
)
JOURNAL_TIMESTAMP_SECONDS = _BACKUPS.gauge(
    "finetuned_journal_timestamp_seconds",
    "Unix time until which the journal in storage has all changes of records. Absent without a "
    "journal.",
)

PROJECT_STORAGE_BYTES = _ALL_STORAGE.gauge(
    "finetuned_project_storage_bytes",
    "Bytes that a project has in storage, with those of writes in progress. Quotas apply to them.",
    ["project"],
)
STORAGE_SECONDS = _STORAGE.histogram(
    "finetuned_storage_operation_seconds",
    "Time of one storage operation, including failed ones.",
    ["operation"],
    buckets=_STORAGE_SECONDS,
)
STORAGE_ERRORS = _STORAGE.counter(
    "finetuned_storage_errors_total",
    "Failed storage operations, by reason: missing (no such object; often not an error), full, "
    "corrupt, refused (wrong credentials or bucket), away (unavailable: everything else).",
    ["operation", "kind"],
    from_zero=[("put", "full"), ("write", "full"), ("commit", "full"), ("read", "corrupt")],
)
REDIS_UP = _REDIS.gauge("finetuned_redis_up", "Whether Redis answered at the last scrape.")
REDIS_ROUND_TRIP_SECONDS = _SCRAPED_REDIS.gauge(
    "finetuned_redis_round_trip_seconds", "Time of a PING at the last scrape."
)
REDIS_MEMORY_BYTES = _SCRAPED_REDIS.gauge(
    "finetuned_redis_memory_bytes", "Memory that Redis used at the last scrape."
)
REDIS_MEMORY_LIMIT_BYTES = _SCRAPED_REDIS.gauge(
    "finetuned_redis_memory_limit_bytes",
    "Memory at which Redis rejects writes (maxmemory). Absent without a limit.",
)
PROJECT_RECORD_BYTES = _ALL_REDIS.gauge(
    "finetuned_project_record_bytes",
    "Bytes that the objects of a project take in Redis. Quotas apply to them.",
    ["project"],
)
RECORDS_REFUSED = _REDIS.counter(
    "finetuned_records_refused_total",
    "New objects refused: quota (of their project), memory (Redis has only its reserve left).",
    ["reason"],
    from_zero=[("quota",), ("memory",)],
)
REDIS_RECONNECTS = _CONNECTIONS.counter(
    "finetuned_redis_reconnects_total", "Times that a connection to Redis was re-established."
)


def declared() -> list[Metric[Any]]:
    """Return all metrics, in the order of their declarations."""
    return [value for value in globals().values() if isinstance(value, Metric)]


def begin(process: Process, version: str) -> None:
    """Report that a process is alive, and export its metrics that start at 0."""
    BUILD.cell(process, version).set(1)
    for metric in declared():
        if process in metric.group.processes:
            metric.begin()
