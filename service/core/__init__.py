"""What every room stands on: errors, ids, records, storage, queue, auth, http, metrics, logs."""
