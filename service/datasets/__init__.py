"""Reading, checking, cleaning, and reporting on training files.

This package is pure: it takes local paths and returns local paths and plain values. It uses
no HTTP, Redis, storage, or torch, and imports no other service package.
"""
