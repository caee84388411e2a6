"""Conclusions of an evaluation: comparison, statistics, verdict, gate and report."""
