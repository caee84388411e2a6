"""Detects a text's legacy encoding from the characters that each encoding yields.

UTF-8 is certain: text of any length in another encoding is almost never valid UTF-8. To
distinguish the other encodings, a sample is decoded with each of them. A decoding is
plausible if enough of its characters are common in the encoding's languages. The 100 most
common characters make up a third or more of a genuine text in Chinese, Japanese, or Korean,
but only a few percent of a false decoding. Single-byte encodings use the same bytes for
different letters, so among those the decoding whose letter frequencies are the most likely
wins.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from service.datasets.formats.encodings import decode

# About 100 of the most common characters, in no particular order.
SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开"
    "但因只从想实日者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手"
    "应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教"
    "请您货单付款号码服务客系电址订址保修退换品质价格询"
)
TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過"
    "發後作裡用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開"
    "但因只從想實日者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手"
    "應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教"
    "請您貨單付款號碼服務客系電址訂址保修退換品質價格詢"
)
HANGUL = (
    "이다는에을가의고하지도로를은한나사리기어그대서시자으해아수일라인있들안만여과정보게세오부것제거내"
    "면주니무스전우상소조공구원장마없시적성습까요네합비동모러든당실화때문야되신연용님입였했세요어떻주문"
)
KANA = "".join(map(chr, range(0x3041, 0x30FD))) + "、。ー「」"
CJK_MARKS = "，。！？、；：（）「」《》“”…"

# Non-ASCII letters of each language, most frequent first.
WESTERN = {
    "en": "é",
    "fr": "éèàêùçîôœûâëïü",
    "es": "áúñóíéü",
    "pt": "ãáéíúçâõóêàô",
    "de": "üäöß",
    "it": "èàùìòé",
    "nl": "ëéèïöüó",
    "nordic": "åäöøæé",
    "is": "ðíáæóúþöéý",
    "ca": "òéçíóàúèüï",
    "et": "üäõö",
    "several": "éäöüáíóàèñçêãåøßúîâôæìòûõùëï",
}
CENTRAL = {
    "pl": "ęłąśóżćńź",
    "cs": "áíčřžšýéěňťůúóď",
    "hu": "áőéíóöüűú",
    "ro": "ăâîşţ",
    "hr": "čžćšđ",
    "sk": "áťčúýšéížôňďľäóĺŕ",
}
TURKISH = {"tr": "ıüçşöğâî"}
BALTIC = {"lt": "ėšąųįžčūę", "lv": "āēšīūņļžģķč", "et": "üäõöšž"}
VIETNAMESE = {"vi": "àđáưôếộạêảợấệâờểớủốịìềơậóíãứựồừọúầụùữăắổặởẩéèýửòỉẹẽỗ"}
CYRILLIC = {
    "ru": "аеотнвисурмклыйдпьзчюяжэбгцшщхёъф",
    "uk": "ианвотеіурсмкдлпйзчягьюхбцжщєшфї",
    "bg": "аитоменсвркъядуйлпзчхбжюцгшщфь",
}
GREEK = {"el": "ετοαρμσόνπυιλκηάςχδέώίγύθφωξήβζψ"}
HEBREW = {"he": "יהורלאתמשבנקדעםחטסכגפצןזףךץ"}
ARABIC = {"ar": "المرتيونبعةقفدسهكحشجزذطأئثصغىضإءؤخظآ", "fa": "ایردمهنتوسقبشچکگفعزلپجخطثآغظذصحژضئ"}
THAI = {"th": "นา่อ้งเัลรดวีกมยทปไหิสตบใพขแุคชืูะำ็์โจถณฉซศษฟภึฝญผฮฐ๊"}


_SAMPLE_BYTES = 64 * 1024
_FOREIGN = re.compile(r"[^\x00-\x7f]")
# Characters with plausible neighbors: an accented letter is next to an ASCII letter, a Thai
# letter is next to other Thai letters only, its marks follow a consonant, and a Chinese character
# is not between two ASCII letters.
_COMPANY = {
    "latin": re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]+|[^\x00-\x7f]+(?=[A-Za-z])"),
    "own": re.compile(
        r"(?<=[^\x00-\x7f])[^\x00-\x7f](?![A-Za-z])|(?<![A-Za-z])[^\x00-\x7f](?=[^\x00-\x7f])"
    ),
    "thai": re.compile(
        "[\u0e01-\u0e2e][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]{1,2}"
        "|(?<=[\u0e01-\u0e5b])[\u0e01-\u0e30\u0e32\u0e33\u0e3f-\u0e46\u0e4f-\u0e5b]"
        "|[\u0e01-\u0e30\u0e32\u0e33\u0e3f-\u0e46\u0e4f-\u0e5b](?=[\u0e01-\u0e5b])"
    ),
    "wide": re.compile(r"(?<![A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?![A-Za-z])"),
}
_HIGH = bytes(range(0x80, 0x100))
_MARKS = frozenset("’‘“”–—…€°«»¿¡·")
_MARK, _UPPER, _NEVER = math.log(0.02), math.log(0.1), math.log(0.0005)
# If the likelihoods of two decodings differ by less than this factor, both are possible.
_DOUBT = math.log(1000)
# Western text is by far the most common, so a little of it must be sufficient evidence.
_WESTERN = math.log(50)
_RARE = math.log(1000)
# The mean log-likelihood of a character is about -3.7 in genuine text, and below -5.6 in junk.
_FLOOR = -5.5


class Guess(NamedTuple):
    """The best codec for a text, and a rival that fits nearly as well but reads it differently."""

    codec: str
    rival: str | None = None


class _Family(NamedTuple):
    """A codec with the letters of each of its languages, and the kind of neighbors they have.

    `usual` is the share of common characters among the non-ASCII characters of a genuine
    text. A decoding is plausible only if its share is at least `least` times `usual`, and if
    it has at least `enough` non-ASCII characters. `cost` reduces the likelihood of what is rare.
    """

    codec: str
    languages: tuple[str, ...]
    company: Literal["wide", "latin", "own", "thai"]
    usual: float
    least: float = 0.5
    enough: int = 1
    cost: float = 0.0


def _family(
    codec: str,
    company: Literal["latin", "own", "thai"],
    letters: dict[str, str],
    *,
    often_met: bool = False,
) -> _Family:
    languages = tuple(letters.values())
    if often_met:
        return _Family(codec, languages, company, 0.9)
    return _Family(codec, languages, company, 0.9, 0.7, 3 if company == "latin" else 10)


def _rare(codec: str, company: Literal["latin", "own"], letters: dict[str, str]) -> _Family:
    """Return a family that is rare in practice. Accented letters may stand alone, as in “à”."""
    family = _family(codec, company, letters)
    return family._replace(least=0.45 if company == "latin" else family.least, cost=_RARE)


# Each codec is the most inclusive of its family. If several fit equally well, the first wins.
_FAMILIES = (
    _Family("gb18030", (SIMPLIFIED + CJK_MARKS,), "wide", 0.2),
    _Family("big5hkscs", (TRADITIONAL + CJK_MARKS,), "wide", 0.2),
    _Family("cp932", (KANA,), "wide", 0.25),
    _Family("euc_jp", (KANA,), "wide", 0.25),
    _Family("cp949", (HANGUL,), "wide", 0.25),
    _Family("johab", (HANGUL,), "wide", 0.25),
    _family("cp874", "thai", THAI, often_met=True),
    _family("cp1252", "latin", WESTERN, often_met=True),
    _family("cp1258", "latin", VIETNAMESE),
    _family("viscii", "latin", VIETNAMESE),
    _family("tcvn", "latin", VIETNAMESE),
    _family("cp1250", "latin", CENTRAL),
    _family("iso8859_2", "latin", CENTRAL),
    _family("cp1254", "latin", TURKISH),
    _family("cp1257", "latin", BALTIC),
    _family("cp1251", "own", CYRILLIC),
    _rare("iso8859_5", "own", CYRILLIC),
    _rare("cp866", "own", CYRILLIC),
    _rare("mac_cyrillic", "own", CYRILLIC),
    _family("koi8_u", "own", CYRILLIC),
    _family("cp1253", "own", GREEK),
    _family("cp1255", "own", HEBREW),
    _family("cp1256", "own", ARABIC),
    _rare("iso8859_6", "own", ARABIC),
    _rare("mac_roman", "latin", WESTERN),
    _rare("cp850", "latin", WESTERN),
)


class _Fit(NamedTuple):
    """How well a codec fits.

    `share` is the share of common characters relative to the usual share. `likelihood` is
    the log-likelihood of all non-ASCII characters, and `mean` that of one.
    """

    family: _Family
    foreign: int
    share: float
    likelihood: float
    mean: float = 0.0


def guess_legacy(lines: Iterable[bytes]) -> Guess | None:
    """Guess the encoding of lines that are not UTF-8. Returns None if no codec is plausible.

    Lines that a codec cannot decode count against it but do not rule it out, because the
    lines may be in several encodings.
    """
    sample = _sampled([line for line in lines if not line.isascii()])
    believable = _plausible(sample)
    narrow = [fit for fit in believable if fit.family.company != "wide"]
    ideographs = [fit for fit in believable if fit.family.company == "wide"]
    letters = max(narrow, key=lambda fit: fit.likelihood, default=None)
    if ideographs:
        best = max(ideographs, key=lambda fit: fit.share)
        if letters is None or best.share > letters.share:
            return Guess(best.family.codec)
    if letters is None:
        return None
    codec, least = letters.family.codec, letters.likelihood - _DOUBT
    near = [fit.family.codec for fit in narrow if fit.likelihood > least]
    return Guess(codec, next((rival for rival in near if _differ(sample, codec, rival)), None))


def plausible_codecs(lines: Iterable[bytes]) -> list[str]:
    """Return the plausible codecs of lines that are not UTF-8, the guessed one first.

    Of codecs that decode the lines alike, only one is returned.
    """
    sample = _sampled([line for line in lines if not line.isascii()])
    guess = guess_legacy(sample)
    found = [] if guess is None else [guess.codec, *filter(None, [guess.rival])]
    for fit in sorted(_plausible(sample), key=lambda fit: -fit.share):
        codec = fit.family.codec
        if all(_differ(sample, codec, other) for other in found):
            found.append(codec)
    return found


def _plausible(sample: list[bytes]) -> list[_Fit]:
    return [fit for family in _FAMILIES if _is_plausible(fit := _fit(sample, family))]


def _is_plausible(fit: _Fit) -> bool:
    family = fit.family
    if fit.share < family.least or fit.foreign < family.enough:
        return False
    return family.company not in ("own", "thai") or fit.mean >= _FLOOR


def _sampled(lines: list[bytes]) -> list[bytes]:
    """Return lines spread over all the given ones, about 64 KiB in total."""
    step = max(1, sum(map(len, lines)) // _SAMPLE_BYTES)
    return lines[::step]


def _fit(sample: list[bytes], family: _Family) -> _Fit:
    shares, foreign = 0.0, 0
    found: Counter[str] = Counter()
    common = frozenset("".join(family.languages)) | (_MARKS if family.company != "wide" else set())
    for line in sample:
        try:
            text = decode(line, family.codec)
        except UnicodeDecodeError:
            foreign += len(line) - len(line.translate(None, _HIGH))
            continue
        all_of_it = len(_FOREIGN.findall(text))
        good = "".join(_COMPANY[family.company].findall(text))
        found.update(good)
        foreign += all_of_it
        hits = sum(char in common or char.lower() in common for char in good)
        shares += hits / all_of_it if all_of_it else 0.0
    share = shares / (len(sample) or 1) / family.usual
    likelihood = max(_likelihood(found, foreign, letters) for letters in family.languages)
    mean = likelihood / (foreign or 1)
    prior = _WESTERN if family.codec == "cp1252" else -family.cost
    return _Fit(family, foreign, share, likelihood + prior, mean)


def _likelihood(found: Counter[str], foreign: int, letters: str) -> float:
    """Return the log-likelihood of the characters, with letter frequencies by Zipf's law."""
    whole = sum(1 / place for place in range(1, len(letters) + 1))
    chances = {char: math.log(0.95 / (n * whole)) for n, char in enumerate(letters, 1)}
    total, seen = 0.0, 0
    for char, count in found.items():
        seen += count
        if char in chances:
            total += count * chances[char]
        elif char.lower() in chances:
            total += count * (chances[char.lower()] + _UPPER)
        else:
            total += count * (_MARK if char in _MARKS else _NEVER)
    return total + (foreign - seen) * _NEVER


def _differ(sample: list[bytes], one: str, other: str) -> bool:
    """Return whether two codecs decode any line of a sample differently."""
    for line in sample:
        try:
            if decode(line, one) != decode(line, other):
                return True
        except UnicodeDecodeError:
            continue
    return False


_LEAST_COMMON = 0.15
_ESCAPES = (
    (re.compile(rb"\x1b\$[@B]|\x1b\([IJ]"), "iso2022_jp_ext", KANA),
    (re.compile(rb"\A[^\n]{0,200}\x1b\$\)C"), "iso2022_kr", HANGUL),
    (re.compile(rb"~\{[!-w][!-~]"), "hz", SIMPLIFIED + CJK_MARKS),
)


def codec_by_escapes(head: bytes) -> str | None:
    """Return the encoding whose escape sequences the start of a text contains, or None."""
    if not head.isascii():
        return None
    whole = head[: head.rfind(b"\n") + 1] or head
    for mark, codec, common in _ESCAPES:
        if mark.search(whole) is None:
            continue
        try:
            text = whole.decode(codec)
        except UnicodeDecodeError:
            continue
        foreign = [char for char in text if not char.isascii()]
        known = sum(char in common for char in foreign)
        if foreign and "\x1b" not in text and known >= _LEAST_COMMON * len(foreign):
            return codec
    return None
