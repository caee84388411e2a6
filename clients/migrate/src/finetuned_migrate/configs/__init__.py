"""Configurations of other trainers, read as requests for fine-tuning jobs."""

from finetuned_migrate.configs.mapping import ImportedConfig, Place
from finetuned_migrate.configs.read import read_config

__all__ = ["ImportedConfig", "Place", "read_config"]
