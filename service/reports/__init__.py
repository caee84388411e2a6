"""Renders reports as HTML pages and as Markdown, from Jinja2 templates.

Knows no domain: each brings its own templates and the values to show. Every value is escaped for
its format, so only templates can write markup.
"""
