"""Names that a project gives to its models: promoted, split and rolled back in one call."""
