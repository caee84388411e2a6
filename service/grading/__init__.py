"""Grades answers: scores of one item by OpenAI's graders and ours, and their definitions.

Pure: models that judge and the sandbox for Python sources come from the caller (`GraderTools`).
"""
