"""The engine of all background work: records with attempts, their store, tasks and recovery.

A kind of work declares a record (`records.py`) with its `Kind`, a store (`store.py`) and a task
(`task.py`) that does the work under a lease. `recovery.py` continues what no worker does. This
package knows Redis, queues and leases from `core`; it knows no domain, no engine and no HTTP.
"""
