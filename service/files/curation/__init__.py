"""Tasks on files: checks, reports, previews, cleanings, comparisons, merges and measurements.

A request stores a task (`records.py`). A worker runs it (`check.py` after an upload, `task.py`
otherwise) in a child process that reads the untrusted file (`dataset_process.py`). Results are
stored next to the file, or become new files (`outputs.py`). `service.datasets` computes them.
"""
