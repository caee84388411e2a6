"""Detects and redacts personal data.

`detect.py` combines one module per kind of data: names (`names/by_pattern.py` by context,
`names/by_list.py` without, with a module per language), addresses, phones, emails, IDs, and
credentials. `kinds.py` lists the kinds, and runs the patterns of projects. `redact.py` replaces
every value that is confirmed anywhere in a file, which `known_values.py` finds in any spelling.
"""
