"""File formats: from bytes to rows.

`convert.py` unpacks a file, detects its format (`detect.py`, `encoding_detection.py`), and reads
records with one module per format. `columns.py` decides what the columns mean, and `shapes.py`
makes rows of them.
"""
