"""A general set in 12 languages, which shows what a training made a model forget.

It was written for this project and copies no benchmark. Each item has a right answer and three
wrong choices, which are scored by their log probabilities.
"""

from service.evaluation.general.choices import ChoiceScore, score_choices
from service.evaluation.general.forgetting import forgetting
from service.evaluation.general.items import LANGUAGES, Item, items

__all__ = [
    "LANGUAGES",
    "ChoiceScore",
    "Item",
    "forgetting",
    "items",
    "score_choices",
]
