"""Draws conclusions from scores: statistics, verdict, gate, advice, and report.

Pure: knows rows and graders, but no stores, settings, engines or HTTP. A `Comparison` goes in.
`verdict.py` decides about a trained model and `advice.py` about a training; all their thresholds
are in `thresholds.py`. `evidence.py` defines "better" and "worse", and `gate.py` decides whether
figures meet a gate.
"""
