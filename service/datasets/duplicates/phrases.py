"""Greetings, thanks, and politeness in the languages of the service, as patterns.

Phrases are removed only where they are sure to carry no meaning: an ambiguous word ("pagi", which
is both a greeting and the morning) only at the start of a text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Removed at the start of a text, repeatedly.
_LEADING = """
hi|hello|hey|hiya|there|greetings|good morning|good afternoon|good evening|good day|dear|team
sir or madam|sir|madam
yes|yeah|sure|of course|certainly|absolutely|okay|ok|alright|right|well|so|and|no problem
excuse me|sorry to bother you
may i ask|can i ask|could i ask|i would like to know|i d like to know|i want to know
i have a question|quick question
(?:can|could|would|will) (?:you|u|someone) (?:please )?(?:tell|show|explain to|let) me(?: know)?
do you know|please
halo|hallo|hai|helo|permisi|selamat (?:pagi|siang|sore|malam)|pagi|siang|sore|malam
assalamualaikum|kak|kakak|min|admin
gan|sis|bro|baik|ya|iya|tentu|boleh tanya|mau tanya|saya mau tanya|numpang tanya
mohon info(?:rmasi)?|tolong|mohon
xin chào|chào (?:shop|bạn|anh|chị|em|ad|admin|bạn ơi|cả nhà|mọi người)|chào|shop ơi|ad ơi|shop|dạ
vâng|thưa|ạ
(?:cho|xin) (?:em|tôi|mình|anh|chị) hỏi|cho hỏi|xin hỏi|làm ơn|vui lòng|xin vui lòng
hola|buenos días|buenas tardes|por favor|bonjour|bonsoir|s il vous plaît|guten (?:tag|morgen
abend)|bitte
안녕하세요|안녕하십니까|네|예|혹시|실례지만|실례합니다|저기요
""".strip().replace("\n", "|")
# Removed everywhere.
_ANYWHERE = """
please|kindly|thanks a lot|thank you very much|thank you so much|thank you|thanks|many thanks
cheers
terima kasih(?: banyak| kak)?|makasih|trims|tolong|mohon|silakan|silahkan|dong|deh|sih|nih|kak
kakak|ya
cảm ơn(?: bạn| anh| chị| shop| em| rất nhiều| nhiều)?|cám ơn(?: bạn| anh| chị| shop| em)?
vui lòng|làm ơn|ạ|nhé|nha|dạ
với ạ|vậy(?= |$)|por favor|gracias|s il vous plaît|merci|bitte|danke
안녕하세요|감사합니다|고맙습니다|감사|고맙|혹시|부탁드립니다|부탁드려요|부탁합니다|부탁드려|부탁
""".strip().replace("\n", "|")
LEADING = re.compile(rf"^(?:{_LEADING})(?: |$)")
CALLS = re.compile(rf"(?:^| )(?:{_ANYWHERE})(?= |$)")


def _first_words(phrases: str) -> frozenset[str]:
    words = (re.sub(r"[^\w].*", "", one.replace("(?:", "", 1)) for one in phrases.split("|"))
    return frozenset(word for word in words if word)


CALL_WORDS = _first_words(_ANYWHERE)
"""First words of the phrases that are removed everywhere."""

POLITE_WORDS = (
    CALL_WORDS | _first_words(_LEADING) | frozenset(["can", "could", "would", "will", "cho", "xin"])
)
"""First words of all phrases."""


# Endings of politeness. What remains is the stem, which is enough to compare.
HANGUL_ENDINGS = re.compile(
    "(?:으?실 ?수 있을까요|해 ?주세요|해 ?주십시오|해 ?주실래요|을까요|ㄹ까요|나요|인가요|"
    "습니까|습니다|"
    "입니다|입니까|이에요|예요|"
    "어요|아요|세요|십시오|네요|데요|죠|요)(?= |$)"
)

# Each alternative of the patterns below begins with a character, since `re` skips all places where
# none of these characters is. This makes a search three times as fast.
_THAI_ENDING = "ครับผม|ครับ|ค่ะ|คะ(?![\u0e01-\u0e2e\u0e40-\u0e44])"
_JAPANESE_REQUEST = (
    "いただけ(?:ます|ません|ない)(?:でしょう)?か?|頂けますか|くださいません?か|ください(?:ませ)?|下さい|もらえますか|"
    "もらえませんか|いただきたい(?:の)?です(?:が)?|いただき|欲しいです|ほしいです"
)


class Replacement(NamedTuple):
    """Polite phrases or endings, and what they become, in texts that contain one of `signs`.

    To look for the signs takes a tenth of the time that a search for the pattern takes.
    """

    pattern: re.Pattern[str]
    replacement: str
    signs: tuple[str, ...] = ("",)


Replacements = tuple[Replacement, ...]


THAI: Replacements = (
    Replacement(
        re.compile(
            "สวัสดี(?:ตอนเช้า)?|ขอบคุณ(?:มาก)?|ขอบพระคุณ|รบกวน|ขอสอบถาม|อยากทราบว่า|อยากสอบถาม|ขอถาม|กรุณา|โปรด|"
            f"หน่อย|{_THAI_ENDING}|นะ(?:{_THAI_ENDING})|จ้ะ|จ้า|แอดมิน"
        ),
        "",
    ),
    Replacement(
        re.compile("(?:หรือเปล่า|หรือไม่|รึเปล่า|ไหม|มั้ย|หรือยัง)(?= |$)"),
        "ไหม",
        ("หรือ", "รึเ", "ไหม", "มั้ย"),
    ),
    Replacement(re.compile("(?<=[\u0e00-\u0e7f]) +(?=[\u0e00-\u0e7f])"), "", (" ",)),
)
JAPANESE: Replacements = (
    Replacement(
        re.compile(
            "お世話になっております|お世話になります|こんにちは|こんばんは|おはようございます?|はじめまして|もしもし|恐れ入りますが|恐縮ですが|"
            "失礼ですが|失礼します|すみません(?:が)?|すいません|申し訳ありませんが|ありがとうございま(?:す|した)|ありがとう|"
            "よろしくお願い(?:いた)?します|宜しくお願いします|どうか|どうぞ|ぜひ|"
            f"{_JAPANESE_REQUEST}|て(?:{_JAPANESE_REQUEST})|して(?:{_JAPANESE_REQUEST})|"
            "お願い(?:いた|致)?します|をお願い(?:いた|致)?します|"
            "でございます|となっております|になります|でしょうか|ですか|です|ます(?:か)?(?= |$)|"
            "おります|ております|いたします|致します|"
            "か(?<=[\u3040-\u9fff]か)(?= |$)|"
            "お(?=[\u4e00-\u9fff])|ご(?=[\u4e00-\u9fff])|御(?=[\u4e00-\u9fff])"
        ),
        "",
    ),
    Replacement(re.compile("(?<=[\u3040-\u9fff]) +(?=[\u3040-\u9fff])"), "", (" ",)),
)
CHINESE: Replacements = (
    Replacement(
        re.compile(
            "您好|你好|哈喽|早上好|下午好|晚上好|请问(?:一下)?|請問(?:一下)?|麻烦(?:您|你)?(?:问一下|问下|一下)?|"
            "麻煩(?:您|你)?(?:問一下|一下)?|想问一下|想請問|想问|谢谢(?:您|你|啦)?|謝謝(?:您|你)?|多谢|感谢(?:您|你)?|劳驾|"
            "不好意思|打扰了|打扰一下|(?<![申邀聘])[请請](?!求|假|客|願|愿)|"
            "(?<=[\u4e00-\u9fff])[呢呀哦喔啊啦哈嘛吧吗嗎的哟噢耶]+(?= |$)"
        ),
        "",
    ),
    Replacement(
        re.compile("([可能是会會要对對好行想])不\1|(有)[没沒]有"), r"\1\2", ("不", "没", "沒")
    ),
    Replacement(re.compile("如何|怎样|怎樣|怎麼"), "怎么", ("如", "怎")),
    Replacement(re.compile("您"), "你", ("您",)),
    Replacement(re.compile("(?<=[\u4e00-\u9fff]) +(?=[\u4e00-\u9fff])"), "", (" ",)),
)

OPEN_REQUESTS = re.compile(
    r"\b(?:poems?|haikus?|limericks?|jokes?|slogans?|taglines?|short story|fairy tale"
    r"|riddle|pun|brainstorm|puisi|pantun"
    r"|cerpen|lelucon|dongeng|bài thơ|câu chuyện|truyện cười|câu đố)\b|"
    "俳句|短歌|川柳|物語|小話|ダジャレ|なぞなぞ|"
    "笑话|笑話|故事|诗|詩|谜语|口号|시를|시 한|농담|이야기를|동화|슬로건|"
    "กลอน|นิทาน|มุกตลก|เรื่องตลก|บทกวี|คำขวัญ"
)
