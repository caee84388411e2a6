"""Imports of adapters that were trained elsewhere."""
