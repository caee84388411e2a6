"""All Prometheus metrics of the service, declared in this file.

Label values are bounded: route templates, status codes, names from the catalog, states, and the
names of a limited number of projects. Raw paths, user text, file, job and key IDs, and adapter
names are not used.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from service.core.local_metrics import LocalCounter, LocalGauge, LocalHistogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)
_LONG_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_STORAGE_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60)
_WAIT_SECONDS = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60)

BUILD = LocalGauge(
    "finetuned_build_info",
    "1 for each running process, with its version; process is api, worker or inference.",
    ["process", "version"],
)
LOOP_FAILURES = Counter(
    "finetuned_loop_failures_total",
    "Times that a background loop of this process failed unexpectedly and was restarted.",
    ["loop"],
)

HTTP_REQUESTS = LocalCounter(
    "finetuned_http_requests_total",
    "Requests answered by the API.",
    ["method", "route", "status"],
)
HTTP_SECONDS = LocalHistogram(
    "finetuned_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["method", "route"],
    buckets=_SECONDS,
)
UPLOADED_BYTES = Counter("finetuned_uploaded_bytes_total", "Bytes of uploaded files received.")

# Inference metrics. The meter keeps their cells (see local_metrics), because every request writes
# them. `project` is a project's name, or `other` above the limit on projects.
SERVED_REQUESTS = LocalCounter(
    "finetuned_inference_requests_total",
    "Requests to the inference gateway, by base model, project and outcome; 499: the client "
    "disconnected.",
    ["base_model", "kind", "project", "status"],
)
SERVED_TOKENS = LocalCounter(
    "finetuned_inference_tokens_total",
    "Inference tokens. Direction `in` is the full prompt, `cached` the part of it that was in the "
    "engine's cache, `out` the completion.",
    ["base_model", "kind", "project", "direction"],
)
FIRST_BYTE_SECONDS = LocalHistogram(
    "finetuned_inference_first_byte_seconds",
    "Time from a request's arrival to the first byte of the engine's answer; for a stream "
    "(streamed=yes), the time to the first token.",
    ["base_model", "kind", "project", "streamed"],
    buckets=_SECONDS,
)
OUTPUT_TOKEN_SECONDS = LocalHistogram(
    "finetuned_inference_output_token_seconds",
    "Seconds per output token of a stream, after the first token.",
    ["base_model", "kind", "project"],
    buckets=_TOKEN_SECONDS,
)
IN_FLIGHT = LocalGauge("finetuned_inference_in_flight", "Requests in progress.", ["project"])
LIMITED = LocalCounter(
    "finetuned_inference_limited_total",
    "Requests refused with 429, by the limit that was exceeded and its scope (key or project).",
    ["limit", "scope", "project"],
)
USAGE_ROWS_DROPPED = Counter(
    "finetuned_usage_rows_dropped_total",
    "Usage rows dropped because the buffer was full while Redis was unavailable; minute rows are "
    "dropped before hour rows.",
    ["width"],
)

ENGINE_REPLICAS = Gauge(
    "finetuned_engine_replicas",
    "Engines as seen by this process, by base model (or merged model) and state: starting, "
    "warming (its share grows), serving, ejected, leaving (gone from DNS, finishing its last "
    "requests).",
    ["base_model", "state"],
)
ENGINE_EJECTIONS = Counter(
    "finetuned_engine_ejections_total",
    "Times that an engine was ejected, by reason: unreachable, lost, silent, garbage, "
    "unhealthy (its health check failed).",
    ["base_model", "reason"],
)
ENGINE_SPILLED_REQUESTS = Counter(
    "finetuned_engine_spilled_requests_total",
    "Requests sent to an engine other than their adapter's own, which had reached its share.",
    ["base_model"],
)
ENGINE_RESENT_REQUESTS = Counter(
    "finetuned_engine_resent_requests_total",
    "Times that an engine accepted no connection and the request went to another engine.",
    ["base_model"],
)

# Engine metrics, inside vLLM's server and on vLLM's own /metrics. Only local cells, because vLLM's
# registry would not show prometheus-client's if it collects several processes.
ADAPTER_REQUESTS = LocalCounter(
    "finetuned_adapter_requests_total",
    "Requests that needed an adapter, by outcome: held (its files were present or fetched), "
    "unknown (since deleted), unavailable (registry or storage is unavailable), broken.",
    ["outcome"],
)
ADAPTER_WAIT_SECONDS = LocalHistogram(
    "finetuned_adapter_wait_seconds",
    "Time that a request waited for its adapter's files; close to 0 for a warm adapter.",
    [],
    buckets=_WAIT_SECONDS,
)
ADAPTER_ARRIVALS = LocalCounter(
    "finetuned_adapter_arrivals_total",
    "Cold adapters that became warm, by source of their files: storage, or disk (left by an "
    "earlier run and checked). All other requests were hits.",
    ["source"],
)
ADAPTER_REMOVALS = LocalCounter(
    "finetuned_adapter_removals_total",
    "Adapters removed from the engine's disk, to free space or because they were deleted.",
    [],
)
ADAPTERS = LocalGauge(
    "finetuned_adapters",
    "Adapters on this engine, by place: disk (its cache), memory (loaded in vLLM).",
    ["place"],
)
ADAPTER_CACHE_BYTES = LocalGauge(
    "finetuned_adapter_cache_bytes", "Bytes of the adapters on this engine's disk.", []
)
ADAPTER_CACHE_LIMIT_BYTES = LocalGauge(
    "finetuned_adapter_cache_limit_bytes", "FINETUNED_ADAPTER_CACHE_BYTES of this engine.", []
)

JOBS = Counter("finetuned_jobs_total", "Fine-tuning jobs that reached a final state.", ["status"])
# Set from the records by every worker's reconciler. All report the same numbers, so use the max
# over workers, not the sum.
JOBS_UNFINISHED = Gauge(
    "finetuned_jobs_unfinished", "Fine-tuning jobs of the installation, by status.", ["status"]
)
OLDEST_QUEUED_JOB_SECONDS = LocalGauge(
    "finetuned_oldest_queued_job_seconds", "Waiting time of the longest-waiting job.", []
)
JOB_SECONDS = Histogram(
    "finetuned_job_phase_seconds",
    "Time a job spent in a phase: preparing (creation to queue), queued; for each attempt: loading "
    "(libraries, model, data), training (steps), registering (check, upload, parity), and attempt "
    "(total).",
    ["phase"],
    buckets=_LONG_SECONDS,
)
JOB_ATTEMPTS_LOST = Counter(
    "finetuned_job_attempts_lost_total",
    "Attempts that ended without a result and were followed by another.",
    ["reason"],
)
JOBS_RUNNING = Gauge("finetuned_worker_jobs_running", "Training jobs running on this worker.")
TRAINED_TOKENS = Counter("finetuned_trained_tokens_total", "Tokens trained on this worker.")
# Absent while no training runs.
TRAIN_TOKENS_PER_SECOND = LocalGauge(
    "finetuned_train_tokens_per_second", "Speed of the training job running on this worker.", []
)
TRAIN_LOSS = LocalGauge(
    "finetuned_train_loss", "Loss of the training job running on this worker.", []
)
# Read from Redis at each scrape, by the API and by each worker. All report the same: use the max.
QUEUE_DEPTH = LocalGauge(
    "finetuned_queue_depth", "Tasks waiting in a queue, not counting running ones.", ["queue"]
)
QUEUE_OLDEST_SECONDS = LocalGauge(
    "finetuned_queue_oldest_seconds",
    "Waiting time of the longest-waiting task; 0 if the queue is empty.",
    ["queue"],
)
WORKERS = LocalGauge("finetuned_workers", "Live workers that take tasks from a queue.", ["queue"])
GPU_WORKERS_FREE = LocalGauge(
    "finetuned_gpu_workers_free", "Live workers of the gpu queue that are not training.", []
)
GPU_MEMORY_USED_BYTES = LocalGauge(
    "finetuned_gpu_memory_used_bytes",
    "Memory in use on a GPU of this worker, by any process; gpu is its index.",
    ["gpu"],
)
GPU_MEMORY_BYTES = LocalGauge(
    "finetuned_gpu_memory_bytes", "Total memory of a GPU of this worker.", ["gpu"]
)
GPU_UTILIZATION = LocalGauge(
    "finetuned_gpu_utilization_ratio",
    "Fraction of the last sampling period in which a GPU of this worker was busy, 0 to 1.",
    ["gpu"],
)
FILES_CHECKED = Counter(
    "finetuned_files_checked_total", "Files whose content was checked.", ["status"]
)
FILE_TASKS = Counter(
    "finetuned_file_tasks_total", "Finished reports and cleanings of files.", ["kind", "outcome"]
)

WEBHOOK_DELIVERIES = Counter(
    "finetuned_webhook_deliveries_total",
    "Attempts to deliver a webhook event, by outcome: delivered, retrying (failed, will be "
    "retried), failed (the last attempt failed), disabled (the endpoint answered 410).",
    ["outcome"],
)
# Read from Redis by every worker of the cpu queue. All report the same number: use the max.
WEBHOOK_PENDING = LocalGauge(
    "finetuned_webhook_pending", "Webhook deliveries waiting for their next attempt.", []
)

RECORDS_UNREADABLE = Counter(
    "finetuned_records_unreadable_total",
    "Times that this version read a record that it does not understand, by kind. A newer version "
    "may have written it. Lists and background loops skip it.",
    ["kind"],
)
LOOKUPS_STALE = Counter(
    "finetuned_lookups_stale_total",
    "Keys and models served from memory because Redis did not answer.",
)
INVALIDATIONS = Counter(
    "finetuned_invalidations_total",
    "Messages from other processes that invalidated cached keys and models.",
    ["kind"],
)
INVALIDATION_SUBSCRIPTIONS = Counter(
    "finetuned_invalidation_subscriptions_total",
    "Times that this process subscribed to invalidations: 1, plus 1 for each lost connection.",
)

STORAGE_SECONDS = LocalHistogram(
    "finetuned_storage_operation_seconds",
    "Time of one storage operation, including failed ones.",
    ["operation"],
    buckets=_STORAGE_SECONDS,
)
STORAGE_ERRORS = LocalCounter(
    "finetuned_storage_errors_total",
    "Failed storage operations, by reason: missing (no such object; often not an error), full, "
    "corrupt, refused (wrong credentials or bucket), away (everything else).",
    ["operation", "kind"],
)
REDIS_UP = LocalGauge("finetuned_redis_up", "Whether Redis answered at the last scrape.", [])
REDIS_ROUND_TRIP_SECONDS = LocalGauge(
    "finetuned_redis_round_trip_seconds", "Time of a PING at the last scrape.", []
)
REDIS_RECONNECTS = LocalCounter(
    "finetuned_redis_reconnects_total", "Times that a connection to Redis was re-established.", []
)


def begin(process: str, version: str) -> None:
    """Report that a process is alive, and export the counters used by alerts from 0 on.

    A counter that appears with its first event shows no increase to Prometheus, so a single event
    would not trigger an alert.
    """
    BUILD.cell(process, version).value = 1
    for operation in ("put", "write", "commit"):
        STORAGE_ERRORS.cell(operation, "full")
    STORAGE_ERRORS.cell("read", "corrupt")
    REDIS_RECONNECTS.cell()
    if process == "worker":
        for status in ("succeeded", "failed"):
            JOBS.labels(status)
        for reason in ("worker_died", "trainer_died", "out_of_memory"):
            JOB_ATTEMPTS_LOST.labels(reason)
        for outcome in ("delivered", "retrying", "failed", "disabled"):
            WEBHOOK_DELIVERIES.labels(outcome)
        for phase in ("preparing", "queued", "attempt", "loading", "training", "registering"):
            JOB_SECONDS.labels(phase)
    if process == "inference":
        for outcome in ("held", "unknown", "unavailable", "broken"):
            ADAPTER_REQUESTS.cell(outcome)
        for source in ("storage", "disk"):
            ADAPTER_ARRIVALS.cell(source)
        ADAPTER_REMOVALS.cell()
    if process == "api":
        for width in ("1m", "1h"):
            USAGE_ROWS_DROPPED.labels(width)
