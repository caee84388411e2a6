"""Reading of files as people make them, whose rows are known."""

from __future__ import annotations

from collections import Counter

from tests.datasets.file_cases.score import verdicts

# Most files of a topic that may be refused or misread.
MOST_MISSED = {"encodings": 0, "tables": 1, "json_shapes": 0, "repairs": 12}


def test_files_as_people_make_them_are_read_as_they_were_meant() -> None:
    made = verdicts()
    assert len({(case.topic, case.name) for case, _, _ in made}) == len(made) >= 224
    wrong = [(case.topic, case.name, what) for case, what, _ in made if what != "right"]
    missed = Counter(topic for topic, _, _ in wrong)
    more = {topic for topic, most in MOST_MISSED.items() if missed[topic] > most}
    assert not more, wrong
