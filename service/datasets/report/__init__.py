"""The report on a file.

`features.py` and `collect.py` compute features of each row, which cleaning and comparison use too.
`analysis.py` makes the report of them, `report.py` holds its types, and `render.py` writes it as
Markdown and HTML.
"""
