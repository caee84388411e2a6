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
    "Engines as this process sees them, by base model and state: starting, warming (its share "
    "grows), serving, ejected, leaving (gone from DNS, its last requests run).",
    ["base_model", "state"],
)
ENGINE_EJECTIONS = Counter(
    "finetuned_engine_ejections_total",
    "Times that an engine was left out, by why: unreachable, lost, silent, garbage, errors, "
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

JOBS = Counter("finetuned_jobs_total", "Fine-tuning jobs that reached a final state.", ["status"])
# Set from the records by the reconciler of every worker: the same numbers in each, so take
# the max over workers, not the sum.
JOBS_UNFINISHED = Gauge(
    "finetuned_jobs_unfinished", "Fine-tuning jobs of the installation, by status.", ["status"]
)
OLDEST_QUEUED_JOB_SECONDS = Gauge(
    "finetuned_oldest_queued_job_seconds", "How long the job that waits longest has waited."
)
JOB_SECONDS = Histogram(
    "finetuned_job_phase_seconds",
    "Time a job spent in a phase.",
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
TRAIN_TOKENS_PER_SECOND = Gauge(
    "finetuned_train_tokens_per_second",
    "Speed of the training that runs in this worker.",
)
TRAIN_LOSS = Gauge("finetuned_train_loss", "Loss of the training that runs in this worker.")
QUEUE_DEPTH = Gauge("finetuned_queue_depth", "Tasks that wait in a queue.", ["queue"])
FILES_CHECKED = Counter(
    "finetuned_files_checked_total", "Files whose content was checked.", ["status"]
)
FILE_TASKS = Counter(
    "finetuned_file_tasks_total", "Reports and cleanings of files that ended.", ["kind", "outcome"]
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
