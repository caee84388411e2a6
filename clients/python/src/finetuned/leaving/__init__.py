"""Leave OpenAI: record an account's fine-tuning before its models are shut down."""

from finetuned.leaving.archive import Archive
from finetuned.leaving.estimate import Estimate
from finetuned.leaving.prompts import Prompts
from finetuned.leaving.record import Recorder, Settings, Summary

__all__ = ["Archive", "Estimate", "Prompts", "Recorder", "Settings", "Summary"]
