"""Thresholds of the verdict, each with its reason. Scores and differences are from 0 to 1."""

from __future__ import annotations

# A gain below 5 points is not worth an adapter, which must be trained again for each new base
# model. It is also what 60 rows of chrF can show: with differences of a standard deviation of 20
# points, their interval is 5 points to each side.
SMALLEST_DIFFERENCE = 0.05

# Level of all tests, on p-values after Holm's correction.
ALPHA = 0.05

# A model is called better, or no better, on this many different prompts or more. With fewer, an
# outcome that was not seen may have a share of more than 17%.
LEAST_CLUSTERS = 20

# An answer that loses 20 points got much worse: it is another answer, not another wording. The
# share of such answers is part of the verdict, because a mean hides it.
MUCH_WORSE = 0.2

# A column is at the ceiling if no better answer could gain the smallest difference. The lower limit
# requires at least 17 right answers of 17.
CEILING = 1 - SMALLEST_DIFFERENCE
CEILING_LOW = 0.8

# A language needs 6 rows before a test can find a difference at all: 2 * 0.5^6 < 0.05.
LEAST_LANGUAGE_ROWS = 6

# The answers are facts if at least half of the references are.
FACTS_SHARE = 0.5
# Unseen facts count as wrong if fewer than half are right, and as not generalized if the share of
# right answers is at least 30 points lower than on trained rows, or than what a search finds. That
# is not required if at least half of the references add little but facts: a model that learned only
# the form of such answers gets trained facts wrong, too.
UNSEEN_RIGHT_SHARE = 0.5
SEEN_GAP = 0.3

# Points lost on the general set. From 10, the model is unfit for anything but its own task; 2 is
# the usual noise of the general set's 95% interval.
FORGOT = 0.10
FORGETTING_WARNING = 0.02

# Held-out loss rises by a few percent at the end of many good trainings, while the answers improve.
LOSS_RISE = 1.10
# Nats per token. A smaller rise changes the probability of a token by less than a twentieth.
LEAST_LOSS_RISE = 0.05

# More than 1 in 20 answers missing may hide a difference of the smallest size that matters.
MISSING_SHARE = 0.05

# Advice to collect rows is never below 10 more.
LEAST_MORE_ROWS = 10
# Standard deviation of differences, assumed if there are too few rows to measure it.
ASSUMED_DEVIATION = 0.3
