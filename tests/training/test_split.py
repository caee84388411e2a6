import json

import pytest

from service.training.data.held_out import choose_validation_rows, prompt_key
from service.training.data.rows import read_chats, read_preferences

KEYS = [b"%d" % (n // 3) for n in range(300)]  # threes of one prompt


def test_rows_of_one_prompt_are_on_one_side_and_the_seed_decides():
    aside = choose_validation_rows(KEYS, 0.1, seed=1)
    assert len(aside) == 30
    assert not {KEYS[row] for row in aside} & {KEYS[row] for row in set(range(300)) - aside}
    assert aside == choose_validation_rows(KEYS, 0.1, seed=1)
    assert aside != choose_validation_rows(KEYS, 0.1, seed=2)


def test_new_rows_leave_the_old_ones_where_they_are():
    few, more = (
        choose_validation_rows([b"%d" % n for n in range(count)], 0.5, 7) for count in (20, 24)
    )
    assert len(few & more) >= 8


def test_at_least_one_row_is_set_aside_and_one_is_left():
    assert len(choose_validation_rows([b"a", b"b"], 0.01, 0)) == 1
    assert choose_validation_rows([b"a"] * 9 + [b"b"], 0.01, 0) == {9}
    # A share smaller than any group takes the smallest.
    assert choose_validation_rows([b"a"] * 6 + [b"b"] * 4, 0.1, 0) == {6, 7, 8, 9}


@pytest.mark.parametrize("keys", [[], [b"a"], [b"a"] * 50])
def test_rows_of_one_prompt_alone_cannot_be_divided(keys):
    assert choose_validation_rows(keys, 0.2, 0) == frozenset()


def row(*turns, system="s", **more):
    roles = ["user", "assistant"]
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return {"messages": [{"role": "system", "content": system}, *messages]} | more


def keys(path, read, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [prompt_key(one) for one in read(path, param="p")]


def test_the_prompt_is_all_before_the_first_answer(tmp_path):
    tools = [{"type": "function", "function": {"name": "f"}}]
    same, longer, other, instructed, equipped = keys(
        tmp_path / "a.jsonl",
        read_chats,
        row("hi", "yes"),
        row("hi", "no", "why?", "so"),
        row("ho", "yes"),
        row("hi", "yes", system="t"),
        row("hi", "yes", tools=tools),
    )
    assert same == longer
    assert len({same, other, instructed, equipped}) == 4


def test_preferences_of_one_input_have_one_prompt(tmp_path):
    def preference(better):
        answers = [[{"role": "assistant", "content": text}] for text in (better, "no")]
        return {
            "input": row("hi"),
            "preferred_output": answers[0],
            "non_preferred_output": answers[1],
        }

    one, other = keys(tmp_path / "a.jsonl", read_preferences, preference("a"), preference("b"))
    assert one == other
