"""Reads chats that an app exported as text: WhatsApp, LINE, KakaoTalk, Discord and WeChat.

Each `TextChat` is a row of a table: the line that begins a message, and the one that names its day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from service.datasets.formats.chat_apps import KAKAO_NOTE, Post, conversations_of
from service.datasets.formats.options import Record
from service.datasets.formats.turn_forms import role_named
from service.datasets.rows.lines import read_lines

_HEAD_BYTES: Final = 64 * 1024
_HEAD_LINES: Final = 40
_MAX_TITLE_LINES: Final = 8  # before the first message
_LONGEST_NAME: Final = 80
_LONGEST_DAY: Final = 100  # of a line with a day, so that a pattern takes no time

_MARKS: Final = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# A day in figures, with the year first or last, Buddhist or of a Japanese era, and its weekday.
_DAY: Final = (
    r"R?\d{1,4} ?[./年년-] ?\d{1,2} ?[./月월-] ?\d{1,4}[.日일]?"
    r"(?: ?[(（][^()（）]{1,5}[)）])?"
)
_FORENOON: Final = r"[Aa]\.? ?[Mm]\.?|上午|午前|오전|ص|ق\.ظ|पूर्वाह्न|น\."
_AFTERNOON: Final = r"[Pp]\.? ?[Mm]\.?|下午|午後|오후|م|ب\.ظ|अपराह्न"
_HALF: Final = rf"(?:{_FORENOON}|{_AFTERNOON})"
_TIME: Final = (
    rf"(?P<before>{_HALF})? ?(?P<hour>\d{{1,2}})[:.](?P<minute>\d\d)(?:[:.]\d\d)?"
    rf"(?: ?(?P<after>{_HALF}))?"
)
_STAMP: Final = rf"(?P<day>{_DAY})[,.،]?(?: (?:klo|um|kl\.|à|às|at))? ?{_TIME}"
_CLOCK: Final = r"(?:\d{1,2}:)?\d{1,2}:\d\d(?:[.,]\d+)?"  # of a recording
_PROGRAM: Final = r"(?!(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL|CRITICAL)\w*\b)"  # logs of programs
_SAID: Final = rf"{_PROGRAM}(?:(?P<who>[^:]{{1,{_LONGEST_NAME}}}?) ?:(?: (?P<text>.*))?|.*)"

# What apps write in place of a message. On iOS, it begins with a left-to-right mark.
_NOTE: Final = re.compile(
    r"\u200e.*|<[^<>]+>|null|(?:Missed|Silenced) (?:group )?(?:voice|video) call.*"
    r"|location: https?://\S+|(?:This message was|You) deleted(?: this message)?\.?"
    r"|(?:Diese Nachricht wurde|Du hast diese Nachricht) gelöscht\.?"
    r"|(?:Ce message a été|Vous avez) supprimé(?: ce message)?\.?"
    r"|(?:Se eliminó|Eliminaste|Apagou|Você apagou|Hai eliminato) (?:este mensaje|esta mensagem"
    r"|questo messaggio)\.?|Esta mensagem foi apagada\.?|Mensagem apagada"
    r"|(?:Pesan ini telah|Pesan ini|Anda telah menghapus pesan ini)(?: dihapus)?\.?"
    r"|このメッセージは削除されました。?|(?:此消息已删除|你已删除此消息|此訊息已刪除|您已刪除此訊息)。?"
    r"|ข้อความนี้ถูกลบแล้ว|คุณลบข้อความนี้|यह मैसेज डिलीट किया गया|تم حذف هذه الرسالة\.?"
)


class TextChat(NamedTuple):
    """The form of a chat: its lines with a message and, if messages have only a time, with a day.

    The groups of a message are `hour` and `minute`, and `day`, `before` or `after` (noon), `who`
    and `text` where the line has them. A message without `who` is a note of the app.
    `note` is what an app writes in place of a message that is no text. `section` begins a part of
    a message that is left out.
    """

    message: re.Pattern[str]
    day: re.Pattern[str] | None = None
    note: re.Pattern[str] = _NOTE
    section: re.Pattern[str] | None = None


_LINE_DAY: Final = re.compile(rf"(?:[^\d\t:]{{1,16}})?{_DAY}(?:[^\d\t:]{{1,16}})?")
_LINE_NOTE: Final = re.compile(
    r"\[[^\[\]\d]{1,24}\]|☎.*|(?:Stickers?|Photos?|Videos?|写真|スタンプ|動画|รูป|สติกเกอร์|วิดีโอ|貼圖|照片|影片)"
)
_FORMS: Final = (
    # [LINE] Chat history; 2026/05/13(水); 09:01<tab>Ann<tab>Hello
    TextChat(re.compile(rf"{_TIME}\t(?:(?P<who>[^\t]+)\t(?P<text>.*)|.*)"), _LINE_DAY, _LINE_NOTE),
    # --------------- 2026년 5월 13일 수요일 ---------------; [Ann] [오전 9:01] Hello
    TextChat(
        re.compile(rf"\[(?P<who>[^\]]+)\] \[{_TIME}\] (?P<text>.*)"),
        re.compile(r"-{5,}.*\d.*-{5,}"),
        KAKAO_NOTE,
    ),
    # 2026년 5월 13일 오전 9:01, Ann : Hello
    TextChat(re.compile(rf"{_STAMP}(?:, (?P<who>[^:]+) : (?P<text>.*))?"), None, KAKAO_NOTE),
    # 12/05/2026, 09:12 - Ann: Hello; [12/05/2026, 09:12:33] Ann: Hello; 09:12, 12/05/2026 - Ann:
    TextChat(re.compile(rf"(\[)?{_STAMP}(?(1)\]|(?: -|:)) {_SAID}")),
    TextChat(re.compile(rf"{_TIME}, (?P<day>{_DAY}) - {_SAID}")),
    # [5/13/2026 9:01 AM] Ann, and the text below
    TextChat(
        re.compile(rf"\[{_STAMP}\] (?P<who>[^:]+?)(?: \(pinned\))?"),
        section=re.compile(r"\{\w[\w ]*\}|={20,}"),
    ),
    # 2026-05-13 09:01:00 Ann, and the text below
    TextChat(re.compile(rf"{_STAMP} {_PROGRAM}(?P<who>[^\s:\[][^:\[\]]{{0,40}})"), note=_LINE_NOTE),
    # 09:01:00 From Ann to Everyone:, and the text below
    TextChat(re.compile(rf"{_TIME}\s+From (?P<who>.{{1,60}}?) [tT]o .{{1,60}}:")),
    # Customer: Hello; [00:12] Agent: Hello
    TextChat(
        re.compile(rf"(?:[\[(]?{_CLOCK}[\])]? ?)?(?P<who>[^:\[\]]{{1,30}}?) ?[:：] ?(?P<text>.+)")
    ),
    # 2026.05.13 Wednesday; 09:01 Ann Hello
    TextChat(re.compile(rf"{_TIME} (?P<who>[^\s\d-]\S*) (?P<text>.+)"), _LINE_DAY, _LINE_NOTE),
)
_BY_ROLE: Final = _FORMS[-2]
# A file without its name, and a mark after the text.
_FILE: Final = re.compile(r"\A\u200e?[\w.-]+\.\w{2,5} \([^()\n]+\)(?:\n|\Z)")
_EDITED: Final = re.compile(r"\s*\u200e?<This message was edited>\Z")


def text_chat(path: Path) -> TextChat | None:
    """Return the form of a text that is a chat, or None."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    lines = [_plain(line) for line in head.split("\n") if line.strip()][:_HEAD_LINES]
    return next((form for form in _FORMS if _fits(form, lines)), None)


def read_text_chat(path: Path, form: TextChat, roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations of a chat. Raises DatasetError if nobody is the assistant."""
    yield from conversations_of(_posts(path, form), roles)


def _plain(line: str) -> str:
    """Return a line without marks of direction before its text, and with plain spaces."""
    line = line.rstrip().replace("\u202f", " ").replace("\xa0", " ")
    head, colon, text = line.partition(": ")  # a mark that begins the text says that it is a note
    return _MARKS.sub("", head) + colon + text


def _fits(form: TextChat, lines: list[str]) -> bool:
    found = [form.message.fullmatch(line) for line in lines]
    said = [match["who"] for match in found if match is not None and match["who"]]
    first = next((at for at, match in enumerate(found) if match is not None), len(lines))
    if len(said) < 2 or first > _MAX_TITLE_LINES:
        return False
    if form.day is not None and not any(
        form.day.fullmatch(line[:_LONGEST_DAY]) for line in lines[:first]
    ):
        return False
    if form is _BY_ROLE:
        roles = [role_named(who) for who in said]
        return {"user", "assistant"} == set(roles) and len(said) * 2 > len(lines)
    if form is _FORMS[-1]:  # an agenda has other words after each time
        return len(set(said)) * 2 <= len(said)
    if "<text>" not in form.message.pattern:  # the text is below, and someone speaks again
        below = sum(b is None for a, b in pairwise(found) if a is not None)
        return below * 2 > len(said) and len(set(said)) < len(said)
    return form.day is not None or first == 0 or len(said) * 3 >= len(lines)


def _posts(path: Path, form: TextChat) -> Iterator[Post]:
    post: Post | None = None
    day, days, is_left_out = "", dict[str, int](), False
    for number, data in read_lines(path):
        raw = (data or b"").decode("utf-8", "replace").removeprefix("\ufeff").rstrip()
        line = _plain(raw)
        found = form.message.fullmatch(line)
        if found is None:
            if form.day is not None and len(line) <= _LONGEST_DAY and form.day.fullmatch(line):
                day = line
            elif form.section is not None and form.section.fullmatch(line):
                is_left_out = True
            elif post is not None and not is_left_out:
                post = post._replace(text=f"{post.text}\n{raw}")
            continue
        if post is not None:
            yield _without_notes(post, form)
        groups = found.groupdict()
        if form is _BY_ROLE:
            is_bot = role_named(found["who"]) == "assistant"
            post = Post((found["who"],), found["text"], is_bot=is_bot, line=number)
            continue
        hour, is_left_out = int(found["hour"]), False
        if half := found["before"] or found["after"]:
            hour = hour % 12 + 12 * (re.fullmatch(_AFTERNOON, half) is not None)
        # The order of day and month is unknown, so the days only have numbers, far enough apart
        # that each begins a conversation.
        place = days.setdefault(groups.get("day") or day, len(days))
        at = place * 2 * 86_400.0 + hour * 3600 + int(found["minute"]) * 60
        who = found["who"]
        post = Post((who.strip(" ~"),), groups.get("text") or "", at, line=number) if who else None
    if post is not None:
        yield _without_notes(post, form)


def _without_notes(post: Post, form: TextChat) -> Post:
    text = _FILE.sub("", _EDITED.sub("", post.text.strip("\n\t")))
    inside = text[1:-1].replace('""', "")
    if "\n" in text and text[0] == text[-1] == '"' and '"' not in inside:
        text = text[1:-1].replace('""', '"')
    first, _, rest = text.partition("\n")
    is_note = _NOTE.fullmatch(first) or form.note.fullmatch(first)
    return post._replace(text=rest if is_note else text)
