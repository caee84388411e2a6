"""Files: upload, storage, download, and the tasks on them. `service.datasets` reads their content.

`body.py` reads the body of an upload, and `upload.py` streams it to storage. `records.py` decides
what a file is and how it is deleted. `uploads/` has uploads in parts, `curation/` checks, reports
and cleanings, and `stored_chats/` chat completions that a project keeps. Knows models and projects.
"""
