"""Which encoding a text has, found by what its characters would be.

UTF-8 is certain: text of any length in another encoding is next to never valid UTF-8. The
others are told apart by reading a sample in each and counting the characters that are
common in the language it is for: the hundred commonest characters make up a third or more
of any true text, and a few in a hundred of a false one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开"
    "但因只从想实日者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手"
    "应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教"
    "请您货单付款号码服务客系电址订址保修退换品质价格询"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過"
    "發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開"
    "但因只從想實日者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手"
    "應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教"
    "請您貨單付款號碼服務客系電址訂址保修退換品質價格詢"
)
_HANGUL = (
    "이다는에을가의고하지도로를은한나사리기어그대서시자으해아수일라인있들안만여과정보게세오부것제거내"
    "면주니무스전우상소조공구원장마없시적성습까요네합비동모러든당실화때문야되신연용님입였했세요어떻주문"
)
_KANA = "".join(map(chr, range(0x3041, 0x30FD))) + "、。ー「」"
_THAI = "".join(map(chr, range(0x0E01, 0x0E3B))) + "".join(map(chr, range(0x0E40, 0x0E50)))
_ACCENTED = "àâäáãåéèêëíìîïóòôöõúùûüçñßæøÀÂÄÁÉÈÊÍÓÔÖÚÜÇÑØ’‘“”–—…€°«»¿¡·"
_CJK_MARKS = "，。！？、；：（）「」《》“”…"

# Codec, the characters common in its texts, and the share of them (of all that is not
# ASCII) under which a reading is not believed. Codecs are the widest of each family.
_CANDIDATES: tuple[tuple[str, frozenset[str], float], ...] = (
    ("gb18030", frozenset(_SIMPLIFIED + _CJK_MARKS), 0.2),
    ("big5hkscs", frozenset(_TRADITIONAL + _CJK_MARKS), 0.2),
    ("cp932", frozenset(_KANA), 0.25),
    ("euc_jp", frozenset(_KANA), 0.25),
    ("cp949", frozenset(_HANGUL), 0.25),
    ("cp874", frozenset(_THAI), 0.9),
    ("cp1252", frozenset(_ACCENTED), 0.9),
)
NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with BOM",
    "utf-16": "UTF-16",
    "utf-32": "UTF-32",
    "utf-16-le": "UTF-16 LE",
    "utf-16-be": "UTF-16 BE",
    "gb18030": "GB18030",
    "big5hkscs": "Big5",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "cp949": "EUC-KR",
    "cp874": "TIS-620",
    "cp1252": "Windows-1252",
}
# What users write -> the codec that reads it.
_ALIASES = {
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "euc_kr": "cp949",
    "tis_620": "cp874",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "utf_8_sig": "utf-8-sig",
    "utf_8": "utf-8",
    "utf8": "utf-8",
}


def codec_for(name: str) -> str | None:
    """The codec for an encoding's name as users write it; None if there is none."""
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    try:
        found = codecs.lookup(_ALIASES.get(wanted, wanted))
        "".encode(found.name)
    except (LookupError, UnicodeError):
        return None
    return _ALIASES.get(wanted, found.name)


def by_mark(head: bytes) -> str | None:
    """The encoding that a byte order mark, or the pattern of zeros, shows."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) >= 4 and head[0] and head[2] and not (head[1] or head[3]):
        return "utf-16-le"
    if len(head) >= 4 and head[1] and head[3] and not (head[0] or head[2]):
        return "utf-16-be"
    return None


def guess_legacy(lines: Iterable[bytes]) -> str | None:
    """The encoding of lines that are not UTF-8; None where no reading is believable.

    Lines that a candidate cannot read count against it, but do not rule it out: the lines
    may be of several encodings.
    """
    sample = [line for line in lines if not line.isascii()]
    best, best_score = None, 0.0
    for codec, common, least in _CANDIDATES:
        score = sum(_score(line, codec, common) for line in sample) / (len(sample) or 1)
        if score >= least * 0.5 and score / least > best_score:
            best, best_score = codec, score / least
    return best


def _score(line: bytes, codec: str, common: frozenset[str]) -> float:
    """The share of the characters beyond ASCII that are common, 0 to 1."""
    try:
        text = line.decode(codec)
    except UnicodeDecodeError:
        return 0.0
    foreign = [at for at, char in enumerate(text) if not char.isascii()]
    hits = [at for at in foreign if text[at] in common]
    # The two alphabets of one byte a character are told apart by company: an accented
    # letter stands in a word of ASCII letters, a Thai one beside another Thai one.
    if codec == "cp1252":
        hits = [at for at in hits if any(_is_latin(c) for c in _beside(text, at))]
    elif codec == "cp874":
        hits = [at for at in hits if any(c in common for c in _beside(text, at))]
    return len(hits) / len(foreign) if foreign else 0.0


def _beside(text: str, at: int) -> str:
    return text[max(at - 1, 0) : at] + text[at + 1 : at + 2]


def _is_latin(char: str) -> bool:
    return char.isascii() and char.isalpha()


def not_utf8(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Those of the lines that are not valid UTF-8."""
    for line in lines:
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                yield line
