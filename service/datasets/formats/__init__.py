"""Reads files of any format as rows.

`convert.py` runs all steps: it unpacks a file (`decompression.py`), detects the container
(`detect.py`) and the encoding (`encoding_detection.py`), and reads records with one module per
format. `markup_values.py` reads XML, YAML, pages and databases as JSON, and `faq_texts.py` finds
questions with answers in texts. `columns.py` decides which shape the columns form,
`table_layout.py` which row of a table names the columns, and `shapes.py` converts records to rows.
"""
