"""Grades answers with OpenAI's graders and ours.

Pure: models that judge and the sandbox for Python sources come from the caller (`GraderTools`).
`schemas.py` defines the graders, `check.py` decides whether a definition is valid, `grade.py`
scores one item, and `default_graders.py` chooses graders for a data set.
"""
