"""Versions of a data set: what differs between two files, and several files merged into one."""
