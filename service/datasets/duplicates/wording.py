"""Removes punctuation, greetings, thanks, and politeness from a text, to compare meanings.

Two texts with the same wording mean the same. Wordings are never shown, so they need not be
well-formed, but texts with different meanings must not become equal: negations, numbers, and names
stay.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

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
magandang (?:umaga|hapon|gabi|araw)|kumusta|pwede (?:po )?(?:bang )?magtanong
नमस्ते|नमस्कार|कृपया|मुझे बताइए|बताइए|बताएं|बताएँ|क्या आप बता सकते हैं(?: कि)?
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
have a (?:nice|good|great|lovely) (?:day|evening|weekend)|(?:i )?hope (?:this|that) helps
bonne (?:journée|soirée)|(?:einen )?schönen tag(?: noch)?|(?:que tenga (?:un )?)?buen día
tenha um bom dia|semoga membantu|sana makatulong|chúc (?:bạn|anh|chị|quý khách) một ngày tốt lành
po|opo|maraming salamat|salamat|pakisuyo|कृपया|धन्यवाद|शुक्रिया|जी
với ạ|vậy(?= |$)|por favor|gracias|s il vous plaît|merci|bitte|danke
안녕하세요|감사합니다|고맙습니다|감사|고맙|혹시|부탁드립니다|부탁드려요|부탁합니다|부탁드려|부탁
""".strip().replace("\n", "|")
LEADING = re.compile(rf"^(?:{_LEADING})(?: |$)")
CALLS = re.compile(rf" (?:{_ANYWHERE})(?= |$)")  # `re` finds its first character fast


def _first_words(phrases: str) -> frozenset[str]:
    starts = (re.match(r"[^\s()?]+", one.replace("(?:", "", 1)) for one in phrases.split("|"))
    return frozenset(start[0] for start in starts if start)


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

# Each alternative of the patterns below begins with a literal character: `re` then skips positions
# without any of these characters, which makes a search three times as fast.
_THAI_ENDING = "ครับผม|ครับ|ค่ะ|คะ(?![\u0e01-\u0e2e\u0e40-\u0e44])"
_JAPANESE_REQUEST = (
    "いただけ(?:ます|ません|ない)(?:でしょう)?か?|頂けますか|くださいません?か|ください(?:ませ)?|下さい|もらえますか|"
    "もらえませんか|いただきたい(?:の)?です(?:が)?|いただき|欲しいです|ほしいです"
)


class Replacement(NamedTuple):
    """A pattern of polite phrases or endings, and its replacement.

    Each text that the pattern matches contains one of `signs`. Searching for these takes a tenth of
    the time of searching for the pattern.
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
        re.compile("(?m)(?:หรือเปล่า|หรือไม่|รึเปล่า|ไหม|มั้ย|หรือยัง)(?= |$)"),
        "ไหม",
        ("หรือ", "รึเ", "ไหม", "มั้ย"),
    ),
    Replacement(re.compile("(?<=[\u0e00-\u0e7f]) +(?=[\u0e00-\u0e7f])"), "", (" ",)),
)
JAPANESE: Replacements = (
    Replacement(
        re.compile(
            "(?m)お世話になっております|お世話になります|こんにちは|こんばんは|おはようございます?|はじめまして|もしもし|恐れ入りますが|恐縮ですが|"
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
            "(?m)您好|你好|哈喽|早上好|下午好|晚上好|请问(?:一下)?|請問(?:一下)?|麻烦(?:您|你)?(?:问一下|问下|一下)?|"
            "麻煩(?:您|你)?(?:問一下|一下)?|想问一下|想請問|想问|谢谢(?:您|你|啦)?|謝謝(?:您|你)?|多谢|感谢(?:您|你)?|劳驾|"
            "不好意思|打扰了|打扰一下|(?<![申邀聘])[请請](?!求|假|客|願|愿)|"
            "(?<=[\u4e00-\u9fff])(?<!你(?=呢))[呢呀哦喔啊啦哈嘛吧吗嗎的哟噢耶]+(?= |$)"
        ),
        "",
    ),
    Replacement(
        re.compile("([可能是会會要对對好行想])不\1|(有)[没沒]有"), r"\1\2", ("不", "没", "沒")
    ),
    Replacement(re.compile("已经|已經"), "已", ("已经", "已經")),
    Replacement(
        re.compile("即可|就(?:可以|行|好)了?(?= |$)|好了(?= |$)"), "", ("即可", "就", "好了")
    ),
    Replacement(re.compile("里面|里(?=[点选找查看可])"), "中", ("里",)),
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
    "กลอน|นิทาน|มุกตลก|เรื่องตลก|บทกวี|คำขวัญ|"
    # A choice, an example or an idea of many
    r"^(?:pick|choose|guess|roll|flip|toss|name|suggest|recommend|invent|imagine|write|compose)\b|"
    r"\b(?:random|fun fact|examples?|ideas?|acak|contoh|ide|rekomendasi|ngẫu nhiên|ví dụ|ý tưởng"
    r"|gợi ý)\b|"
    "ランダム|適当|サイコロ|例を|アイデア|おすすめ|随机|隨機|随便|隨便|骰子|举例|例子|舉例|点子|點子|推荐|推薦|"
    "랜덤|아무|주사위|예를|예시|아이디어|추천|สุ่ม|ตัวอย่าง|ไอเดีย|แนะนำ|उदाहरण|सुझाव|ឧទាហរណ៍"
)


_UNIT_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS, _TENS = _UNIT_WORDS.split(), _TEN_WORDS.split()
_NUMBER = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?: ({'|'.join(_UNITS[1:10])}))?|({'|'.join(_UNITS)}))\b"
)
_VALUES = {word: value for value, word in enumerate(_UNITS)}
_VALUES |= {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
# The words of a line mean the same as its first one.
_SYNONYMS = """
large big
small little
gray grey
% percent pct
$ dollars dollar usd
€ euros euro eur
软件 应用
buy purchase
bought purchased
shop store
shops stores
parcel package
photo picture
photos pictures
phone telephone
begin start
begins starts
tidak nggak enggak gak ga ndak
saya aku
sudah udah
anda kamu
bagaimana gimana
không ko
können kannst
ihr dein
ihre deine
ihren deinen
votre ton ta
vos tes
pouvez peux
cliquez clique
puede puedes
tiene tienes
debe debes
pulse pulsa
entre entra
seleccione selecciona
""".strip().split("\n")
_SAME = {word: words.split()[0] for words in _SYNONYMS for word in words.split()[1:]}
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
# British to American spellings, in words that are long enough not to be other words.
_VARIANTS = (
    (re.compile(r"(?<=\w{2})our"), "or"),
    (re.compile(r"(?<=\w{3})is(?=(?:e[ds]?|ers?|ing|ations?)$)"), "iz"),
    (re.compile(r"(?<=\w{3})ys(?=(?:e[dsr]?|ing)$)"), "yz"),
    (re.compile(r"(?<=\w{2})tre(?=s?$)"), "ter"),
    (re.compile(r"(?<=\w{3})ogue(?=s?$)"), "og"),
    (re.compile(r"(?<=\w{4})ll(?=(?:ed|ing|ers?)$)"), "l"),
    (re.compile(r"(?<=\w{3})ence$"), "ense"),
    # Hindi imperatives, by politeness
    (re.compile("(?<=[\u0900-\u097f]{2})(?:ि[एये]+|ें|ो)$"), ""),
)


_TRIGGERS = frozenset([*_VALUES, *_SAME])


def normalize_words(words: list[str]) -> list[str]:
    """Return words with number words as ASCII digits, and synonyms as the same word."""
    if not _VALUES.keys().isdisjoint(words):
        words = _NUMBER.sub(_in_digits, " ".join(words)).split()
    if not _SAME.keys().isdisjoint(words):
        words = [_SAME.get(word, word) for word in words]
    return words


def ascii_digits(text: str) -> str:
    """Return a text with the digits of other scripts as ASCII."""
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _in_digits(match: re.Match[str]) -> str:
    return str(sum(_VALUES[word] for word in match.groups() if word))


def are_same(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Return whether two runs of words or characters differ at most in spelling."""
    one, other = "".join(old), "".join(new)
    return one == other or normalize_spelling(one) == normalize_spelling(other)


@lru_cache(maxsize=4096)
def normalize_spelling(word: str) -> str:
    """Return one spelling, not always a correct one, for all spellings of a word."""
    for pattern, replacement in _VARIANTS:
        word = pattern.sub(replacement, word)
    return _SAME.get(word, word)


# ASCII and general punctuation, CJK punctuation without 々 and 〇, full-width forms, dandas, Arabic
# and Thai punctuation, lines, shapes, and emoji. Spaces are not included, because splitting at them
# is faster. Signs with a meaning stay: + < = > %, currencies, arrows, 👍 and 👎.
_PUNCTUATION = re.compile(
    "[!-#&-*,-/:;?@\\[-`{-~\u00a0-\u00a1\u00a6-\u00a9\u00ab-\u00af\u00b4\u00b6-\u00b8\u00bb\u00bf"
    "\u2000-\u200b\u200e-\u206f\u2500-\u2604\u2607-\u260f\u2613-\u26ff"
    "\u3000-\u3004\u3008-\u3020\u3030\u30fb\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff5f-\uff65\u0964\u0965"
    "\u060c\u061b\u061f\u0e2f\u0e46\u0e5a\u0e5b\ufe0f\u2728\u2763\u2764\u2b50\U0001f000-\U0001f43f"
    "\U0001f444-\U0001f44c\U0001f44f-\U0001f4c7\U0001f4ca-\U0001f4ff\U0001f600-\U0001f60f\U0001f642\U0001f64b-\U0001f64f\U0001f680\U0001f917\U0001f970]+"
)


@lru_cache(maxsize=1)
def _plain_characters() -> tuple[
    np.ndarray[Any, np.dtype[np.uint32]], np.ndarray[Any, np.dtype[np.uint8]]
]:
    """Return tables of code points: their plain form, and their script if it has own rules.

    Punctuation becomes a space, and a digit an ASCII digit.
    """
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    every = "".join(map(chr, range(_LAST_OF_TABLE)))
    for match in _PUNCTUATION.finditer(every):
        table[match.start() : match.end()] = ord(" ")
    for match in _OTHER_DIGIT.finditer(every):
        table[match.start()] = ord("0") + unicodedata.decimal(match.group())
    scripts = np.zeros(len(table), dtype=np.uint8)
    for script, first, last in _SCRIPT_RANGES:
        scripts[first : last + 1] = script
    return table, scripts


# Punctuation and digits are below this code point, and characters from it on remain unchanged.
_LAST_OF_TABLE = 0x20000
_LINE_BREAK = ord("\n")
# Characters that are not punctuation in context: the sign of a number, 1,000, C#, operators, and
# the underscore of a private name. Full hours become "9 am" in any spelling.
_SIGNS = (
    ("-", re.compile(r"-(?<![\w)\]]-)(?=\d)"), "\u2212"),
    (",", re.compile(r",(?<=\d,)(?=\d{3}(?!\d))"), ""),
    (":00", re.compile(r":00(?<=\d:00)(?= ?[ap]m\b)"), ""),
    ("am", re.compile(r"am(?<=\dam)\b"), " am"),
    ("pm", re.compile(r"pm(?<=\dpm)\b"), " pm"),
    ("#", re.compile(r"#(?<=\b[a-z]#)"), "\u266f"),
    ("!=", re.compile("!="), "\u2260"),
    ("&&", re.compile("&&"), "\u2227"),
    ("||", re.compile(r"\|\|"), "\u2228"),
    ("*", re.compile(r"(?<=\d )\*(?= \w)|(?<=\d)\*(?=\d)"), "\u00d7"),
    ("/", re.compile(r"(?<=\d )/(?= \w)"), "\u00f7"),
    ("_", re.compile(r"_(?<!\w_)(?=[a-z]\w*(?<!_)\b)"), "\u02cd"),
)
# An operator between operands, or a sign before a word, which begins an option such as `-v`. Each
# begins with a space, which `re` finds fast.
_OPERATOR = re.compile(r" (?:([-*/&|@^%<>]{1,2}=?) (?=\w)|[-~](?=[a-z]))")
# A single sign can also be a dash or "and" in prose, if its left operand is an ordinary word.
_IN_PROSE = frozenset(["--", *"-*/&|"])
_LEFT_OPERAND = re.compile(r"(?:^|\W)(?:\w|self|other)$")
_OPERAND_CHARS = 6  # the longest match: a space and a word
_OPERATOR_LETTERS = str.maketrans("-*/&|@^~", "\u2212\u00d7\u00f7\u2227\u2228\u2218\u22bb\u223c")
_NOT = re.compile(r"\b(?:can)?n[’']t\b|n[’']t\b|\bcannot\b")
_NUMBERS = re.compile(r"([0-9]+)")  # other digits are ASCII in a wording
_THAI, _KANA, _HAN, _HANGUL = 1, 2, 4, 8
_SCRIPT_RANGES = (
    (_THAI, 0x0E00, 0x0E7F),
    (_KANA, 0x3040, 0x30FF),
    (_HAN, 0x4E00, 0x9FFF),
    (_HANGUL, 0xAC00, 0xD7A3),
)


def wording(normal: str) -> str:
    """Return the wording of a normalized text. It is empty if the text is only polite."""
    return wordings([normal])[0]


def wordings(normals: Sequence[str]) -> list[str]:
    """Return the wordings of normalized texts, in half the time of one after the other.

    Normalized texts have no line breaks, so all texts are searched at once as lines of one text.
    """
    spelled_out = list(map(_without_contractions, normals))
    plain, scripts = _without_punctuation(spelled_out)
    words = [text.split() for text in plain]
    texts: list[str] = []
    for at, one in enumerate(words):
        if not _TRIGGERS.isdisjoint(one):
            words[at] = one = normalize_words(one)
        texts.append(" ".join(one))
    for has_rules, replacements in _OF_SCRIPTS:
        chosen = [at for at, found in enumerate(scripts) if found and has_rules(found)]
        if not chosen:
            continue
        whole = "\n".join([texts[at] for at in chosen])
        for pattern, replacement, signs in replacements:
            if any(sign in whole for sign in signs):
                whole = pattern.sub(replacement, whole)
        for at, text in zip(chosen, whole.split("\n"), strict=True):
            words[at] = text.split()
            texts[at] = " ".join(words[at])
    for at, one in enumerate(words):
        if not POLITE_WORDS.isdisjoint(one):
            texts[at] = _without_calls(texts[at], one)
        if scripts[at] & _HANGUL:
            texts[at] = _korean_stems(texts[at])
    return texts


def _korean_stems(text: str) -> str:
    """Return a Korean text without endings of politeness: 걸립니다 and 걸려요 become 걸리."""
    words = HANGUL_ENDINGS.sub("", text)
    words = _FORMAL.sub(_without_formal_ending, words)
    return _CONTRACTED.sub(lambda found: _CONTRACTIONS[found[0]], words)


# The final consonant ㅂ of 니다 is part of the syllable before. 요 contracts the vowel before it.
_FORMAL = re.compile("([가-힣])니[다까](?= |$)")
_HANGUL_FIRST, _FINALS, _FINAL_B = 0xAC00, 28, 17
_CONTRACTIONS = dict(
    zip("려켜겨쳐져펴여해돼와봐워줘둬", "리키기치지피이하되오보우주두", strict=True)
)
_CONTRACTED = re.compile(f"[{''.join(_CONTRACTIONS)}](?= |$)")


def _without_formal_ending(found: re.Match[str]) -> str:
    """Return the syllable before 니다, without the final ㅂ."""
    point = ord(found[1])
    has_b = (point - _HANGUL_FIRST) % _FINALS == _FINAL_B
    return chr(point - _FINAL_B) if has_b else found[1]


_OF_SCRIPTS: tuple[tuple[Callable[[int], int | bool], Replacements], ...] = (
    (lambda found: found & _THAI, THAI),
    (lambda found: found & _KANA, JAPANESE),
    (lambda found: found & (_HAN | _KANA) == _HAN, CHINESE),
)


def strip_punctuation(normal: str) -> str:
    """Return a normalized text without punctuation and symbols."""
    (plain,), _ = _without_punctuation([normal])
    return " ".join(plain.split())


def _without_punctuation(normals: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return texts with spaces for punctuation, and the scripts of each that have own rules."""
    whole = "\n ".join(["", *normals])
    for sign, pattern, replacement in _SIGNS:
        if sign in whole:
            whole = pattern.sub(replacement, whole)
    whole = _OPERATOR.sub(_keep_operator, whole)
    points = code_points(whole)
    table, scripts = _plain_characters()
    plain = as_text(table[points])
    lines = np.flatnonzero(points == _LINE_BREAK)
    return plain.split("\n")[1:], np.bitwise_or.reduceat(scripts[points], lines).tolist()


def code_points(text: str) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def as_text(points: np.ndarray[Any, np.dtype[np.uint32]]) -> str:
    """Return the text of code points."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")


def _keep_operator(match: re.Match[str]) -> str:
    operator, start = match[1], match.start()
    if operator:
        left = match.string[max(start - _OPERAND_CHARS, 0) : start]
        is_kept = _LEFT_OPERAND.search(left) if operator in _IN_PROSE else left[-1:].isalnum()
        if not is_kept:
            return match[0]
    return match[0].translate(_OPERATOR_LETTERS)


def _without_contractions(text: str) -> str:
    if "n't" in text or "n’t" in text or "cannot" in text:
        return _NOT.sub(_spelled_out, text)
    return text


def _spelled_out(match: re.Match[str]) -> str:
    return "can not" if match.group().startswith("ca") else " not"


def _without_calls(text: str, words: list[str]) -> str:
    while match := LEADING.match(text):  # "hi there good morning" has several
        text = text[match.end() :]
    if CALL_WORDS.isdisjoint(words):
        return text
    return " ".join(CALLS.sub(" ", f" {text}").split())


def split_numbers(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return wordings with each number replaced by 0, and the numbers of each wording in order."""
    points = code_points("\n".join([*texts, ""]))
    is_digit = (points >= ord("0")) & (points <= ord("9"))
    follows = np.zeros_like(is_digit)  # a character after a digit
    follows[1:] = is_digit[:-1]
    forms = np.where(is_digit, np.uint32(ord("0")), points)[~is_digit | ~follows]
    is_line_break = points == _LINE_BREAK
    figures = np.where(is_digit | is_line_break, points, np.uint32(ord(" ")))
    figures = figures[is_digit | follows | is_line_break]
    return as_text(forms).split("\n")[:-1], as_text(figures).split("\n")[:-1]


def numbers(text: str) -> list[str]:
    """Return the numbers of a wording in order."""
    return _NUMBERS.findall(text)


def is_open(text: str) -> bool:
    """Return whether a wording asks for something with many right answers, such as a poem."""
    return OPEN_REQUESTS.search(text) is not None
