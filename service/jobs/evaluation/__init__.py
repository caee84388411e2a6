"""Evaluation of finished jobs: base, best prompt, tuned model and checkpoints on held-out rows.

`task.py` does the work; `job_data.py` decides which rows can judge a model, `checkpoints.py` which
checkpoints are evaluated, and `prompt_search.py` which prompt is the best. `measure.py` measures by
the rows' own answers and `rewards.py` by the job's grader. What follows from the figures is decided
in `service.verdict`. Advice before a training (`jobs.advice`) uses the same engine and scoring.
"""
