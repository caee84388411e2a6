"""The engine of all background work: records with attempts, their store, tasks and recovery.

A kind of work declares three classes: a record with its `Kind` (names, queue, final statuses), a
store, and a task that does the work. Whatever differs from other kinds is an overridden hook.

Life of a record:

1. `WorkStore.create` writes it with attempt 1, then adds the attempt to the queue.
2. A worker takes the queue entry, holds the lease of the work, and does it. Each of its writes is
   fenced: it is refused unless the record still has this attempt and no final status.
3. The attempt ends with a final status, which is written once, or with the next attempt: after a
   hand-back (the worker stops on purpose), a loss (it died) or a restart (a user asked for it).
4. After too many losses, the record fails.

Where each of this is decided:

- when a lost attempt is followed by another, and when work is given up: `lose_attempt` in
  `records.py`; how many losses are allowed: the setting `max_attempts_without_progress`
- which writes are fenced off: `require_attempt` in `records.py`; the store's `change_own` calls it
- what a transaction that creates, ends or deletes a record also writes: the hooks of `store.py`
- which errors fail the work, which are transient, and when a worker hands it back: `task.py`
- when an attempt is lost, and what is enqueued again: `recovery.py`
- what expired, deleted and ended work leaves behind: `leftovers` and `clean_up` of a store, for
  `recovery.py`
- how results are stored before the work ends: `parts.py`
- how much unfinished work a project may have: `check_room` in `unfinished.py`

This package knows Redis, queues, leases and storage from `core`. It knows no domain and no HTTP.
Jobs have a lifecycle of their own (`service.jobs.lifecycle`), because they wait for GPUs.
"""
