"""Leave OpenAI: record an account's fine-tuning, train it again here, and compare the answers."""

from finetuned_migrate.openai.archive import Archive
from finetuned_migrate.openai.estimate import Estimate
from finetuned_migrate.openai.plan import Plan, Planner
from finetuned_migrate.openai.prompts import Prompts
from finetuned_migrate.openai.record import Recorder, Settings, Summary
from finetuned_migrate.openai.report import Compared, Reporter
from finetuned_migrate.openai.retrain import Retrained, Retraining
from finetuned_migrate.openai.source import Source

__all__ = [
    "Archive",
    "Compared",
    "Estimate",
    "Plan",
    "Planner",
    "Prompts",
    "Recorder",
    "Reporter",
    "Retrained",
    "Retraining",
    "Settings",
    "Source",
    "Summary",
]
