"""Properties of a text: language and script, units of reading, and tokens."""
