"""Properties of a text: language, script, and tokens."""
