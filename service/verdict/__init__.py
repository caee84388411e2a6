"""Conclusions from the scores of an evaluation: statistics, verdict, gate, advice, and report.

Pure: knows rows and graders, and neither stores, settings, engines nor HTTP. A `Comparison` goes
in; `verdict.py` applies `rules.py`, whose thresholds are in `thresholds.py`.
"""
