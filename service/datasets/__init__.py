"""Reads, checks, analyzes, cleans, compares, and merges files of training rows.

A worker runs each task in a child process, `python -m service.datasets`, which imports only what
its file needs. `contract/` has the types that both sides share. The package takes local paths and
returns local paths and plain values. It uses no HTTP, Redis, storage or torch, and imports no other
domain.

| decision | file |
|---|---|
| how a file of any format becomes rows | `formats/` |
| what makes a row invalid or suspicious | `checks/`; the messages: `checks/issue_codes.py` |
| which answers are poor; row scores | `quality.py` |
| when two rows mean the same, or contradict | `duplicates/`; its threshold: `limits.py` |
| what is personal data, and how it is redacted | `personal_data/` |
| which rows a cleaning drops, changes, or holds out | `cleaning/` |
| what a chat template can render | `chat_templates.py` |
| the findings and advice of a report | `report/` |
"""
