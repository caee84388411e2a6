"""Reports of an evaluation as Markdown and as one self-contained HTML page."""
