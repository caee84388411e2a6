"""Names of persons that stand by themselves, found by lists of names."""
