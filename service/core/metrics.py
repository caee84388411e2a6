"""Every Prometheus metric of the service, declared in this one file.

Labels are bounded: route templates, status codes, names from the catalogue, states, and
the names of the first so many projects. No raw path, no user text, no id of a file, job or
key, no adapter's name.
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
    "1 for each living process, with its version; process is api, worker or inference.",
    ["process", "version"],
)
LOOP_FAILURES = Counter(
    "finetuned_loop_failures_total",
    "Times that a background loop of this process failed on a fault and started again.",
    ["loop"],
)

HTTP_REQUESTS = LocalCounter(
    "finetuned_http_requests_total",
    "Requests answered by the api.",
    ["method", "route", "status"],
)
HTTP_SECONDS = LocalHistogram(
    "finetuned_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["method", "route"],
    buckets=_SECONDS,
)
UPLOADED_BYTES = Counter("finetuned_uploaded_bytes_total", "Bytes of files taken in.")

# Of inference: cells that the meter keeps (see local_metrics), since they are written on
# every request. `project` is a project's name, or `other` past the first so many.
SERVED_REQUESTS = LocalCounter(
    "finetuned_inference_requests_total",
    "Requests to the inference gateway, by base model, project and outcome; 499: the client left.",
    ["base_model", "kind", "project", "status"],
)
SERVED_TOKENS = LocalCounter(
    "finetuned_inference_tokens_total",
    "Tokens of inference. Direction `in` is the whole prompt, `cached` the part of it that the "
    "engine had in its cache, `out` the completion.",
    ["base_model", "kind", "project", "direction"],
)
FIRST_BYTE_SECONDS = LocalHistogram(
    "finetuned_inference_first_byte_seconds",
    "Time from a request's arrival to the first byte of the engine's answer; of a stream "
    "(streamed=yes) it is the time to the first token.",
    ["base_model", "kind", "project", "streamed"],
    buckets=_SECONDS,
)
OUTPUT_TOKEN_SECONDS = LocalHistogram(
    "finetuned_inference_output_token_seconds",
    "Seconds per output token of streams, after the first.",
    ["base_model", "kind", "project"],
    buckets=_TOKEN_SECONDS,
)
IN_FLIGHT = LocalGauge("finetuned_inference_in_flight", "Requests now being answered.", ["project"])
LIMITED = LocalCounter(
    "finetuned_inference_limited_total",
    "Requests refused with 429, by the limit that refused and whose it is (key or project).",
    ["limit", "scope", "project"],
)
USAGE_ROWS_DROPPED = Counter(
    "finetuned_usage_rows_dropped_total",
    "Rows of usage that found no room while Redis was away; minutes go before hours.",
    ["width"],
)

ENGINE_REPLICAS = Gauge(
    "finetuned_engine_replicas",
    "Engines as this process sees them, by base model (or merged model) and state: starting, "
    "warming (its share grows), serving, ejected, leaving (gone from DNS, its last requests run).",
    ["base_model", "state"],
)
ENGINE_EJECTIONS = Counter(
    "finetuned_engine_ejections_total",
    "Times that an engine was left out, by why: unreachable, lost, silent, garbage, "
    "unhealthy (its health check failed).",
    ["base_model", "reason"],
)
ENGINE_SPILLED_REQUESTS = Counter(
    "finetuned_engine_spilled_requests_total",
    "Requests that went to another engine than their adapter's own, which had its share.",
    ["base_model"],
)
ENGINE_RESENT_REQUESTS = Counter(
    "finetuned_engine_resent_requests_total",
    "Times that an engine took no connection and the request went to another.",
    ["base_model"],
)

# Of an engine: inside vLLM's server, on vLLM's own /metrics. Local cells alone, for vLLM's
# registry would not show prometheus-client's where it gathers several processes.
ADAPTER_REQUESTS = LocalCounter(
    "finetuned_adapter_requests_total",
    "Requests that needed an adapter, by outcome: held (its files were here or came), unknown "
    "(deleted meanwhile), unavailable (registry or storage is away), broken.",
    ["outcome"],
)
ADAPTER_WAIT_SECONDS = LocalHistogram(
    "finetuned_adapter_wait_seconds",
    "Time that a request waited for its adapter's files; next to nothing for a warm one.",
    [],
    buckets=_WAIT_SECONDS,
)
ADAPTER_ARRIVALS = LocalCounter(
    "finetuned_adapter_arrivals_total",
    "Cold adapters that became warm, by where their files came from: storage, or disk (left by "
    "an earlier run and checked). The other requests were hits.",
    ["source"],
)
ADAPTER_REMOVALS = LocalCounter(
    "finetuned_adapter_removals_total",
    "Adapters dropped from the engine's disk: for room, or since they were deleted.",
    [],
)
ADAPTERS = LocalGauge(
    "finetuned_adapters",
    "Adapters that this engine has, by place: disk (its cache), memory (vLLM, loaded).",
    ["place"],
)
ADAPTER_CACHE_BYTES = LocalGauge(
    "finetuned_adapter_cache_bytes", "Bytes of the adapters on this engine's disk.", []
)
ADAPTER_CACHE_LIMIT_BYTES = LocalGauge(
    "finetuned_adapter_cache_limit_bytes", "FINETUNED_ADAPTER_CACHE_BYTES of this engine.", []
)

JOBS = Counter("finetuned_jobs_total", "Fine-tuning jobs that reached a final state.", ["status"])
# Set from the records by the reconciler of every worker: the same numbers in each, so take
# the max over workers, not the sum.
JOBS_UNFINISHED = Gauge(
    "finetuned_jobs_unfinished", "Fine-tuning jobs of the installation, by status.", ["status"]
)
OLDEST_QUEUED_JOB_SECONDS = LocalGauge(
    "finetuned_oldest_queued_job_seconds", "How long the job that waits longest has waited.", []
)
JOB_SECONDS = Histogram(
    "finetuned_job_phase_seconds",
    "Time a job spent in a phase: preparing (creation to queue), queued; of each attempt: loading "
    "(libraries, model, data), training (steps), registering (check, upload, parity), and attempt "
    "(all of it).",
    ["phase"],
    buckets=_LONG_SECONDS,
)
JOB_ATTEMPTS_LOST = Counter(
    "finetuned_job_attempts_lost_total",
    "Attempts that ended without a result and were followed by another.",
    ["reason"],
)
JOBS_RUNNING = Gauge("finetuned_worker_jobs_running", "Trainings running in this worker.")
TRAINED_TOKENS = Counter("finetuned_trained_tokens_total", "Tokens trained in this worker.")
# Absent while nothing trains.
TRAIN_TOKENS_PER_SECOND = LocalGauge(
    "finetuned_train_tokens_per_second", "Speed of the training that runs in this worker.", []
)
TRAIN_LOSS = LocalGauge(
    "finetuned_train_loss", "Loss of the training that runs in this worker.", []
)
# Asked of Redis at a scrape, by the api and by each worker: the same numbers, take the max.
QUEUE_DEPTH = LocalGauge(
    "finetuned_queue_depth", "Tasks that wait in a queue; those that run do not count.", ["queue"]
)
QUEUE_OLDEST_SECONDS = LocalGauge(
    "finetuned_queue_oldest_seconds",
    "How long the task that waits longest has waited; 0 in an empty queue.",
    ["queue"],
)
WORKERS = LocalGauge("finetuned_workers", "Living workers that take from a queue.", ["queue"])
GPU_WORKERS_FREE = LocalGauge(
    "finetuned_gpu_workers_free", "Living workers of the gpu queue that train nothing.", []
)
GPU_MEMORY_USED_BYTES = LocalGauge(
    "finetuned_gpu_memory_used_bytes",
    "Memory in use on a GPU of this worker, by whomever; gpu is its place among them.",
    ["gpu"],
)
GPU_MEMORY_BYTES = LocalGauge(
    "finetuned_gpu_memory_bytes", "Memory that a GPU of this worker has.", ["gpu"]
)
GPU_UTILIZATION = LocalGauge(
    "finetuned_gpu_utilization_ratio",
    "Part of the last moment in which a GPU of this worker computed, 0 to 1.",
    ["gpu"],
)
FILES_CHECKED = Counter(
    "finetuned_files_checked_total", "Files whose content was checked.", ["status"]
)
FILE_TASKS = Counter(
    "finetuned_file_tasks_total", "Reports and cleanings of files that ended.", ["kind", "outcome"]
)

WEBHOOK_DELIVERIES = Counter(
    "finetuned_webhook_deliveries_total",
    "Attempts to deliver a webhook event, by outcome: delivered, retrying (failed, to be tried "
    "again), failed (the last attempt), disabled (the endpoint answered 410).",
    ["outcome"],
)
# Read from Redis by every worker of the cpu queue: the same number in each, take the max.
WEBHOOK_PENDING = LocalGauge(
    "finetuned_webhook_pending", "Webhook deliveries that wait for their next attempt.", []
)

RECORDS_UNREADABLE = Counter(
    "finetuned_records_unreadable_total",
    "Times that a record was read which this version does not understand, by kind. A newer version "
    "may have written it. Lists and background loops skip it.",
    ["kind"],
)
LOOKUPS_STALE = Counter(
    "finetuned_lookups_stale_total",
    "Keys and models that were answered from memory because Redis did not answer.",
)
INVALIDATIONS = Counter(
    "finetuned_invalidations_total",
    "Messages of other processes by which remembered keys and models were dropped.",
    ["kind"],
)
INVALIDATION_SUBSCRIPTIONS = Counter(
    "finetuned_invalidation_subscriptions_total",
    "Times that this process subscribed to invalidations: 1, and 1 for each lost connection.",
)

STORAGE_SECONDS = LocalHistogram(
    "finetuned_storage_operation_seconds",
    "Time of one operation on storage, failed ones too.",
    ["operation"],
    buckets=_STORAGE_SECONDS,
)
STORAGE_ERRORS = LocalCounter(
    "finetuned_storage_errors_total",
    "Operations on storage that failed, by why: missing (no such object; often no fault), full, "
    "corrupt, refused (credentials or bucket are wrong), away (all else).",
    ["operation", "kind"],
)
REDIS_UP = LocalGauge("finetuned_redis_up", "Whether Redis answered at the last scrape.", [])
REDIS_ROUND_TRIP_SECONDS = LocalGauge(
    "finetuned_redis_round_trip_seconds", "Time of a PING at the last scrape.", []
)
REDIS_RECONNECTS = LocalCounter(
    "finetuned_redis_reconnects_total", "Times that a connection to Redis was made anew.", []
)


def begin(process: str, version: str) -> None:
    """Say that a process lives, and show what alerts count from 0 on.

    A counter that appears with its first event has no growth to Prometheus, so that a lone
    event would alert nobody.
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
