"""Searches for rows with a text in all files and stored chats of a project, and their erasure.

`task.py` decides what is searched and how files are replaced; `text_scan.py` finds the text in all
other records and objects of the project.
"""
