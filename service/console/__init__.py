"""Serves the web console: the files in `static/`, which are built from clients/console.

It knows nothing of the API. The console calls the API as any page of the same origin does.
"""
