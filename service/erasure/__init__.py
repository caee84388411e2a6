"""Erasure: what a deletion removes, which models know it, and signed receipts."""
