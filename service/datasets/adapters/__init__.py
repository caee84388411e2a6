"""Adapters that were trained elsewhere: their archives are unpacked and checked."""
