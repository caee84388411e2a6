"""Documents (plain text, Markdown, HTML) cut into passages that a model can read at once."""
