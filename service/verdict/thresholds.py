"""Thresholds of verdicts and advice, each with its reason. Scores range from 0 to 1."""

from __future__ import annotations

# A gain below 5 points is not worth an adapter, which must be trained again for each new base
# model. It is also what 60 rows of chrF can show: with differences of a standard deviation of 20
# points, their interval is 5 points to each side.
SMALLEST_DIFFERENCE = 0.05

# Level of all tests, on p-values after Holm's correction.
ALPHA = 0.05

# Different prompts that it takes to call a model better, or no better. With fewer, an outcome that
# was not observed may have a share of more than 17%.
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

# An answer is a fact if facts are at least this share of the words that it adds to the question.
# From the second share, it says little else.
FACT_DENSITY = 0.12
ONLY_FACT_DENSITY = 0.5
# The answers of a data set are facts if at least half of the references are.
FACTS_SHARE = 0.5
# Overlap of words (F1) from which an answer says the same as the row's own. The second holds for
# answers that contain all facts of the row's own.
RIGHT_F1 = 0.6
SAME_FACT_F1 = 0.3
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

# A continuation copies a row verbatim if they share a run of this many words, or of the row's own
# text if that is shorter, and nearly if it contains this share of the own text in order. A match of
# less own text than the third may be chance.
VERBATIM_WORDS = 8.0
NEAR_COPY_SHARE = 0.8
LEAST_OWN_WORDS = 5.0

# Fewer tokens saved are within the noise of what a prompt adds.
LEAST_SAVED_SHARE = 0.1

# The least share of the training's effect by which the engine's two models must differ. An engine
# whose base model has the adapter in it shows none.
LEAST_FOLLOWED = 0.5

# Krippendorff's alpha from which one can rely on labels, and from which they support tentative
# conclusions (Krippendorff, Content Analysis, 2004, page 241).
RELIABLE_ALPHA = 0.8
TENTATIVE_ALPHA = 0.667

# Rows that a job needs, and from which a training has a clear effect.
LEAST_JOB_ROWS = 10
FEW_ROWS = 50

# Models that were evaluated before, from which a gain can be expected.
LEAST_EARLIER_MODELS = 3

# Verdicts never ask for fewer than 10 more rows.
LEAST_MORE_ROWS = 10
# Standard deviation of differences, assumed if there are too few rows to measure it.
ASSUMED_DEVIATION = 0.3
