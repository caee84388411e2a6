"""Leave OpenAI: record an account's fine-tuning, train it again here, and compare the answers."""

from finetuned.leaving.archive import Archive
from finetuned.leaving.estimate import Estimate
from finetuned.leaving.plan import Plan, Planner
from finetuned.leaving.prompts import Prompts
from finetuned.leaving.record import Recorder, Settings, Summary
from finetuned.leaving.report import Compared, Reporter
from finetuned.leaving.retrain import Retrained, Retraining
from finetuned.leaving.source import Source

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
