"""Makes the report on a file from the features of its rows (`datasets/file_features.py`).

`analysis.py` runs all steps: `statistics.py` has distributions and outliers, `pairs.py` similar
rows, and `advice.py` the rules of the advice. `render.py` writes Markdown and HTML, with the rows
that `row_section.py` selects. `row_index.py` stores all rows for the API.
"""
