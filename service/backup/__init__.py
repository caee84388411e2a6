"""Backups and restores of records and objects, while the service runs.

`backup.py` decides what a backup contains, `snapshot.py` reads Redis as of one point in time, and
`restore.py` decides when a restore may begin. `journal.py` copies Redis to storage in the
background, and `replay.py` rebuilds a lost Redis from it. `contents.py` is the format of a backup,
`target.py` its place.
"""
