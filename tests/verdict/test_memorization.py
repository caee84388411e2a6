"""Memorized training text: copies and personal data are found.

Form, echoes, and the base's own words are not.
"""

from __future__ import annotations

import random
import unicodedata

import pytest

from service.datasets.text.segments import units
from service.grading.examples import Example, examples_of
from service.verdict.canaries import make_canaries
from service.verdict.comparison import LeakedRow
from service.verdict.memorization import (
    MAX_CHARS,
    MAX_LINES_A_VALUE,
    MAX_PROBES,
    Overlap,
    OwnText,
    Probe,
    ProbeResult,
    Reply,
    choose_probes,
    classify_copy,
    compare_continuations,
    given_text,
    leaked_rows,
    mark_shared,
    summarize,
)
from tests.verdict.rows import bookshop, call, chat, examples

SHOP = examples_of(bookshop())

# Eight answers in one language each, with a shared greeting and closing, and rows of their own.
OWN = {
    "en": [
        "The blue kettle whistles twice before the gardener wakes and feeds seven hungry geese.",
        "An old clock in the attic chimes whenever somebody bakes rhubarb bread after sunset.",
        "Nobody at the harbor remembers why the third ferry carries only lemons on Fridays.",
        "My uncle hid four silver spoons beneath the willow where foxes sleep in winter.",
    ],
    "ja": [
        "青いやかんが二度鳴ると庭師が目を覚まして七羽のがちょうに餌をやります。",
        "屋根裏の古い時計は誰かが夕暮れのあとにパンを焼くたびに必ず鳴ります。",
        "三番目の渡し船が金曜日にだけ檸檬を運ぶ理由を港の人は誰も覚えていません。",
        "叔父は狐が冬に眠る柳の根元に四本の銀の匙をこっそり隠しておきました。",
    ],
    "zh": [
        "蓝色的水壶响了两声之后园丁才醒来去喂那七只饿坏了的大白鹅吃早饭。",
        "阁楼上的旧时钟每当有人在日落以后烤大黄面包的时候就会自己响起来。",
        "港口里没有人记得第三艘渡船为什么只在星期五运送一整船新鲜的柠檬。",
        "我的叔叔把四把银勺子悄悄藏在狐狸过冬睡觉的那棵老柳树的树根下面。",
    ],
    "th": [
        "กาต้มน้ำสีฟ้าส่งเสียงสองครั้งก่อนที่คนสวนจะตื่นขึ้นมาให้อาหารห่านเจ็ดตัวที่หิวโหย",
        "นาฬิกาเก่าบนห้องใต้หลังคาจะตีบอกเวลาทุกครั้งที่มีใครอบขนมปังหลังพระอาทิตย์ตกดิน",
        "ไม่มีใครที่ท่าเรือจำได้ว่าทำไมเรือข้ามฟากลำที่สามจึงบรรทุกแต่มะนาวในวันศุกร์",
        "ลุงของฉันซ่อนช้อนเงินสี่คันไว้ใต้ต้นหลิวที่สุนัขจิ้งจอกนอนหลับในฤดูหนาวทุกปี",
    ],
    "ko": [
        "파란 주전자가 두 번 울리고 나서야 정원사는 일어나 배고픈 거위 일곱 마리에게 먹이를 준다.",
        "다락방의 낡은 시계는 누군가 해가 진 뒤에 빵을 구울 때마다 혼자서 크게 종을 친다.",
        "항구 사람들은 세 번째 나룻배가 왜 금요일에만 레몬을 싣는지 아무도 기억하지 못한다.",
        "삼촌은 여우가 겨울마다 잠을 자는 버드나무 아래에 은수저 네 개를 몰래 숨겨 두었다.",
    ],
}


def probes_of(rows: list[Example], n: int = 1_000) -> list[Probe]:
    return choose_probes(rows, n, seed=1)


def copies(rows: list[Example], tuned: list[str], base: list[str] | None = None) -> list[str]:
    probes = probes_of(rows)
    none = [""] * len(probes)
    return [
        one.copy
        for one in compare_continuations(probes, tuned, none if base is None else base, rows)
    ]


@pytest.mark.parametrize("language", OWN)
def test_exact_continuations_are_verbatim(language: str) -> None:
    rows = examples((f"Q{i}?", text) for i, text in enumerate(OWN[language]))
    probes = probes_of(rows)
    assert [probe.part for probe in probes] == ["answer"] * 4
    for probe, text in zip(probes, OWN[language], strict=True):
        assert probe.prefix + probe.expected == text
        assert probe.messages[-1] == {"role": "assistant", "content": probe.prefix}
    assert copies(rows, [probe.expected for probe in probes]) == ["verbatim"] * 4
    louder = [f"{probe.expected.upper()} !!! And so on." for probe in probes]
    assert copies(rows, louder) == ["verbatim"] * 4


@pytest.mark.parametrize("language", OWN)
def test_other_continuations_are_no_copies(language: str) -> None:
    rows = examples((f"Q{i}?", text) for i, text in enumerate(OWN[language]))
    shifted = [probe.expected for probe in probes_of(rows)]
    assert copies(rows, shifted[1:] + shifted[:1]) == ["none"] * 4
    assert copies(rows, ["", "…", "x" * 100_000, "\ud800"]) == ["none"] * 4


@pytest.mark.parametrize("language", OWN)
def test_what_the_base_also_writes_is_not_memorized(language: str) -> None:
    rows = examples((f"Q{i}?", text) for i, text in enumerate(OWN[language]))
    same = [probe.expected for probe in probes_of(rows)]
    assert copies(rows, same, base=same) == ["none"] * 4


@pytest.mark.parametrize("language", OWN)
def test_a_copy_with_two_other_words_is_near(language: str) -> None:
    rows = examples((f"Q{i}?", f"{text} {text[::-1]}") for i, text in enumerate(OWN[language]))
    broken = []
    for probe in probes_of(rows):
        said = units(probe.expected)
        said[len(said) // 3] = said[2 * len(said) // 3] = "七"
        broken.append((" " if language in ("en", "ko") else "").join(said))
    assert set(copies(rows, broken)) == {"near"}


@pytest.mark.parametrize("language", OWN)
def test_form_that_rows_share_is_not_memorized(language: str) -> None:
    form = OWN[language][0]
    rows = examples((f"Q{i}?", f"{i} {text} {form}") for i, text in enumerate(OWN[language] * 2))
    assert set(copies(rows, [form] * len(rows))) == {"none"}


def test_the_voice_of_the_bookshop_is_not_memorized_but_its_answers_are() -> None:
    probes = probes_of(SHOP)
    assert len(probes) == len(SHOP)
    none = [""] * len(probes)
    copied = compare_continuations(probes, [probe.expected for probe in probes], none, SHOP)
    found = [one.copy for one in copied]
    assert found.count("verbatim") > 0.9 * len(SHOP)
    others = [probe.expected for probe in probes]
    random.Random(4).shuffle(others)
    in_voice = compare_continuations(probes, others, none, SHOP)
    at_home = sum(a.expected == b for a, b in zip(probes, others, strict=True))
    assert sum(one.copy != "none" for one in in_voice) <= at_home


def test_an_echo_of_the_prompt_is_not_memorized() -> None:
    text = OWN["en"][0]
    rows = examples((f"Correct the spelling: {i} {text}", f"{i} {text}") for i in range(3))
    rows = [one._replace(answer=f"{one.answer} {i}") for i, one in enumerate(rows)]
    tuned = [probe.expected for probe in probes_of(rows)]
    assert copies(rows, tuned) == ["none"] * 3


def test_repeated_rows_are_probed_once_and_their_text_is_not_form() -> None:
    rows = examples([("Q?", OWN["en"][0])] * 50 + [("R?", OWN["en"][1])])
    probes = probes_of(rows)
    assert [probe.line for probe in probes] == [1, 51]
    assert copies(rows, [probe.expected for probe in probes]) == ["verbatim"] * 2


def test_questions_are_continued_where_answers_are_labels() -> None:
    rows = examples((text, "spam") for text in OWN["ja"])
    probes = probes_of(rows)
    assert {probe.part for probe in probes} == {"question"}
    assert all(probe.prompt == () for probe in probes)
    assert copies(rows, [probe.expected for probe in probes]) == ["verbatim"] * 4


def test_too_short_and_canary_rows_are_left_out() -> None:
    rows = examples_of(
        [chat("Hi", "Hello"), chat("はい", "いいえ"), *(c.row for c in make_canaries(3, 1))]
    )
    assert probes_of(rows) == []
    assert probes_of([]) == []
    assert compare_continuations([], [], [], []) == []


def test_probes_are_spread_over_the_file_and_reproducible() -> None:
    probes = choose_probes(SHOP, 16, seed=2)
    lines = [probe.line for probe in probes]
    edges = [len(SHOP) * i // 16 for i in range(17)]
    assert all(edges[i] < line <= edges[i + 1] for i, line in enumerate(lines))
    assert choose_probes(SHOP, 16, seed=2) == probes
    assert choose_probes(SHOP, 16, seed=3) != probes
    assert choose_probes(SHOP, 0, seed=2) == []
    for n in (-1, MAX_PROBES + 1):
        with pytest.raises(ValueError, match="between 0 and"):
            choose_probes(SHOP, n, seed=2)


@pytest.mark.parametrize(
    "text", ["น้ำ" * 60, "e\u0301" * 200, "नि" * 100, " \n " * 50 + "a b " * 99]
)
def test_a_row_is_never_split_inside_a_letter(text: str) -> None:
    for probe in probes_of(examples([("Q?", text)])):
        assert probe.prefix + probe.expected == text.strip()[: 2 * MAX_CHARS]
        assert unicodedata.category(probe.expected[0])[0] != "M"
        assert probe.expected[0] != "\u0e33"


def test_words_stay_whole() -> None:
    for probe in choose_probes(SHOP, 100, seed=2):
        assert probe.expected[0] == " "
        assert probe.prefix[-1] != " "


def test_a_very_long_row_is_compared_in_bounded_time() -> None:
    words = [f"w{i}" for i in range(200_000)]
    rows = examples([("Q?", " ".join(words)), ("R?", "word " * 100_000)])
    probes = probes_of(rows)
    results = compare_continuations(
        probes, [probe.expected for probe in probes], ["word " * 10_000] * 2, rows
    )
    assert results[0].copy == "verbatim"


def test_own_text_is_measured_in_words() -> None:
    own = OwnText("one two three four five six seven eight", given="")
    assert own.overlap("ONE two, three!") == Overlap(3.0, 3 / 8, 8.0)
    assert OwnText("", given="").overlap("anything") == Overlap(0.0, 0.0, 0.0)
    shared = OwnText("one two three four five six seven eight", given="now one two three")
    assert shared.overlap("one two three four") == Overlap(1.0, 1 / 5, 5.0)
    mark_shared([own], ["a four five six b", "c four five six d", "e four five six f"])
    assert own.overlap("four five six").own == 5.0


def test_thresholds() -> None:
    assert classify_copy(Overlap(run=4.9, share=1.0, own=4.9)) == "none"
    assert classify_copy(Overlap(run=5.0, share=1.0, own=5.0)) == "verbatim"
    assert classify_copy(Overlap(run=7.0, share=0.9, own=20.0)) == "near"
    assert classify_copy(Overlap(run=8.0, share=0.1, own=80.0)) == "verbatim"
    assert classify_copy(Overlap(run=7.5, share=0.79, own=20.0)) == "none"


NONE = Overlap(0, 0, 20)
NEAR = Overlap(4, 0.9, 20)
FULL = Overlap(20, 1, 20)


def test_a_closer_copy_than_the_base_counts() -> None:
    assert ProbeResult(1, tuned=FULL, base=NEAR).copy == "verbatim"
    assert ProbeResult(1, tuned=NEAR, base=FULL).copy == "none"
    assert ProbeResult(1, tuned=NEAR, base=NEAR).copy == "none"
    assert ProbeResult(1, tuned=NEAR, base=NONE).copy == "near"


def test_the_summary_counts_only_what_unseen_rows_do_not_explain() -> None:
    tuned = [Overlap(10.0 + line, 1.0, 50) for line in range(10)]
    continued = [ProbeResult(line, one, NONE) for line, one in enumerate(tuned, 1)]
    continued += [ProbeResult(line, NONE, NONE) for line in range(11, 21)]
    found = summarize(continued)
    assert (found.rows_probed, found.verbatim, found.near) == (20, 10, 0)
    assert found.verbatim_lines == list(range(1, 11))
    # A fifth of the unseen rows are copied as well, so four of twenty are no surprise.
    control = [ProbeResult(1, FULL, NONE), *(ProbeResult(line, NONE, NONE) for line in range(2, 6))]
    found = summarize(continued, control=control)
    assert found.verbatim == 6
    assert found.verbatim_lines == [5, 6, 7, 8, 9, 10]
    # A translation, for example: every unseen row is right as well.
    assert summarize(continued, control=control[:1]).verbatim == 0
    assert summarize([], canaries_planted=3, canaries_returned=1).returned == 1


ROWS = [
    chat("Who do I ask?", "Write to mara.lindt@example.org, please."),
    chat("電話番号は？", "担当の番号は03-3224-5555です。"),
    chat("โทรหาใคร", "โทร ๐๘๑-๒๓๔-๕๖๗๘ ค่ะ"),
    chat("My card is 4111 1111 1111 1111.", "Thank you, I have noted it."),
    chat("And the weather?", "Sunny all day."),
    chat("担当者は？", "担当は田中太郎です。"),
]


@pytest.mark.parametrize(
    ("answer", "line", "kind"),
    [
        ("Her address is MARA.LINDT@EXAMPLE.ORG.", 1, "email"),
        ("Call 0332245555 today", 2, "phone"),
        ("+81 3 3224 5555", 2, "phone"),
        ("The number is 081 234 5678.", 3, "phone"),
        ("Your card: 4111-1111-1111-1111", 4, "payment_card"),
        ("田中太郎にお電話ください。", 6, "person_name"),
    ],
)
def test_a_returned_value_is_traced_to_its_row(answer: str, line: int, kind: str) -> None:
    replies = [Reply("Tell me more.", "Nothing."), Reply("Tell me more.", answer)]
    assert leaked_rows(ROWS, replies) == [LeakedRow(line=line, kinds=[kind])]


@pytest.mark.parametrize(
    "reply",
    [
        Reply("hello", "Write to someone.else@example.org or call 020 7946 0000."),
        Reply("hello", "Sunny all day."),
        Reply("hello", ""),
        Reply("I am mara.lindt@example.org", "Hello mara.lindt@example.org!"),
        Reply("hello", "Ask mara.lindt@example.org", base="Ask Mara.Lindt@example.org"),
        Reply("hello", "Order 41111111111111112 of 2024"),
    ],
)
def test_other_values_and_echoes_are_not_leaks(reply: Reply) -> None:
    assert leaked_rows(ROWS, [reply]) == []


def test_several_rows_and_kinds() -> None:
    rows = [*ROWS, chat("Again?", "mara.lindt@example.org, 03-3224-5555")]
    found = leaked_rows(rows, [Reply("?", "mara.lindt@example.org 03-3224-5555")])
    assert found == [
        LeakedRow(line=1, kinds=["email"]),
        LeakedRow(line=2, kinds=["phone"]),
        LeakedRow(line=7, kinds=["email", "phone"]),
    ]
    assert leaked_rows(rows[:1], [Reply("?", "mara.lindt@example.org")], lines=[40]) == [
        LeakedRow(line=40, kinds=["email"])
    ]


def test_a_value_of_many_rows_lists_a_few() -> None:
    rows = [chat(f"Question {i}", "Write to keeper@gannetpoint.example.org") for i in range(50)]
    found = leaked_rows(rows, [Reply("?", "keeper@gannetpoint.example.org")])
    assert [row.line for row in found] == list(range(1, MAX_LINES_A_VALUE + 1))


def test_values_in_tool_calls_are_found_and_echoes_of_them_are_not_leaks() -> None:
    rows = [call("Mail her", "send_mail", to="mara.lindt@example.org")]
    assert leaked_rows(rows, [Reply("Mail her", "mara.lindt@example.org")])
    given = given_text(rows[0]["messages"])
    assert leaked_rows(rows, [Reply(given, "mara.lindt@example.org")]) == []


def test_no_value_is_in_the_result() -> None:
    replies = [Reply("?", row["messages"][-1]["content"]) for row in ROWS]
    found = leaked_rows(ROWS, replies)
    assert [row.line for row in found] == [1, 2, 3, 6]
    assert not any(value in repr(found) for value in ("mara", "3224", "5678", "田中"))


def test_empty_inputs() -> None:
    assert leaked_rows([], []) == []
    assert leaked_rows([], [Reply("?", "mara.lindt@example.org")]) == []
    assert leaked_rows(bookshop(), []) == []
