"""Finds postal addresses by the words and the order that each country uses.

An address needs a number and a word for a street or district. The name of a city or street alone is
not an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from service.datasets.personal_data.kinds import (
    GuardedPattern,
    PatternsByLanguage,
    guards_of,
    patterns_of,
)


def _addresses(guard: str, pattern: str) -> GuardedPattern:
    return GuardedPattern(guard, pattern, flags=re.VERBOSE)


_NUMERAL: Final = r"(?:\d{1,4}|[一二三四五六七八九十]{1,3})"
_JAPANESE: Final = _addresses(
    "都|道|府|県|丁目|番地|〒",
    rf"""(?:〒\ ?\d{{3}}-?\d{{4}}\ {{0,2}})?
    (?:東京都|北海道|京都府|大阪府|(?:神奈川|和歌山|鹿児島|[一-龥]{{2}})県)
    [一-龥ぁ-んァ-ヶ々]{{1,8}}?[市区郡町村][一-龥ぁ-んァ-ヶ々\d-]{{0,20}}?
    {_NUMERAL}(?:丁目|番地?|号|-\d{{1,4}})(?:-?{_NUMERAL}(?:丁目|番地?|号)?){{0,4}}
    |〒\ ?\d{{3}}-?\d{{4}}(?:\ {{0,2}}[一-龥ぁ-んァ-ヶ々\d-]{{4,40}})?""",
)
_ZH_PLACES: Final = (
    r"北京市?|上海市?|天津市?|重庆市?|重慶市?|(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽"
    r"|福建|江西|山东|河南|湖北|湖南"
    r"|广东|海南|四川|贵州|云南|陕西|甘肃|青海)省?|(?:内蒙古|广西|西藏|宁夏|新疆)(?:自治区)?"
    r"|(?:[台臺][北中南]|新北|桃園|高雄|基隆|新竹|嘉義)[市縣]|(?:苗栗|彰化|南投|雲林|屏東"
    r"|宜蘭|花蓮|[台臺]東)縣"
    r"|香港|九龍|九龙|新界|(?<=[到至在于於：:是寄])[一-龥]{2,4}市"
)
_CHINESE: Final = _addresses(
    "号|號|室",
    rf"""(?:{_ZH_PLACES})(?:[一-龥]{{2,5}}[市州])?(?:[一-龥]{{1,5}}?[区县區縣鎮镇乡鄉])?
    [一-龥\d]{{1,14}}?(?:路|街|道|巷|弄|胡同|大道|村)(?:[一二三四五六七八九十]段)?\d{{1,5}}(?:[-之]\d{{1,4}})?[号號弄]
    (?:[\dA-Z]{{1,4}}[-\dA-Z]{{0,4}}(?:号|號|栋|棟|幢|座|单元|室|楼|樓|层|層|房)?(?:之\d)?){{0,5}}""",
)
_KOREAN: Final = _addresses(
    "로|길|동|번지",
    r"""(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청[남북]|충[남북]|전라[남북]|전[남북]|경상[남북]|경[남북]|제주)
    (?:특별시|광역시|특별자치[시도]|도|시)?\ (?:[가-힣]{1,6}[시군구]\ ){1,2}
    (?:[가-힣\d]{1,12}(?:읍|면|동|로|길|가|리)\ ?){1,3}\d{1,5}(?:-\d{1,4})?(?:번지|번길\ ?\d{1,4})?
    (?:,?\ ?\d{1,4}(?:동|호|층)){0,3}""",
)
_THAI: Final = _addresses(
    r"ถนน|ถ\.|ตำบล|ต\.|แขวง|เขต|อำเภอ|หมู่",
    r"""(?:บ้านเลขที่\ ?|เลขที่\ ?)?\d{1,4}(?:/\d{1,4})?\ ?
    (?:(?:หมู่บ้าน|หมู่ที่|หมู่|ม\.|ซอย|ซ\.|ถนน|ถ\.|ตำบล|ต\.|แขวง|อำเภอ|อ\.|เขต|จังหวัด|จ\.|กรุงเทพ)
    \ ?[ก-๙ฯ\d]{0,30}\ ?(?:\d{1,3}\ )?){2,7}(?:\d{5})?""",
)
_VI_REST: Final = (
    r"(?:phường|xã|quận|huyện|thị\ xã|thị\ trấn|thành\ phố|tỉnh|[Pp]\.|[Qq]\.|TP\.?"
    r"|Tp\.?|Hà\ Nội|Đà\ Nẵng"
    r"|Hải\ Phòng|Cần\ Thơ|Sài\ Gòn)"
)
_VIETNAMESE: Final = _addresses(
    "đường|phố|phường|quận|huyện|ngõ|hẻm|Phường|Quận",
    rf"""(?:[Ss]ố\ (?:nhà\ )?)?\d{{1,4}}[A-Z]?(?:/\d{{1,4}}){{0,3}},?[ ]
    (?:(?:[Đđ]ường|[Pp]hố|[Nn]gõ|[Nn]gách|[Hh]ẻm)\ )?
    [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}(?:\ [\wÀ-ỹ]{{1,10}}){{0,4}}
    (?:,\ (?i:{_VI_REST})\.?\ ?[\wÀ-ỹ]{{0,10}}(?:\ [A-ZĐÀ-Ỹ\d][\wÀ-ỹ]{{0,10}}){{0,4}}){{1,4}}""",
)
_INDONESIAN: Final = _addresses(
    "Jl|Jalan|Jln|Gang|Gg|Komplek|Perum",
    r"""\b(?:Jl\.?|Jalan|Jln\.?|Gg\.?|Gang|Komplek|Perum(?:ahan)?)
    \ [A-Z][\w.]{1,20}(?:\ [\w.]{1,20}){0,4}?,?
    \ (?:[Nn]o\.?|Nomor|Kav\.?|Blok)\ ?[A-Z]?\d{1,4}[A-Z]?
    (?:,?\ (?:RT|RW)[ ./]?\d{1,3}(?:/(?:RW\ ?)?\d{1,3})?){0,2}
    (?:,\ (?:[A-Z][\w.]{1,20})(?:\ [A-Z]\w{1,20}){0,2}){0,4}(?:,?\ \d{5}\b)?""",
)
_EN_STREET: Final = (
    r"(?:Street|St\.?|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Dr\.?|Boulevard|Blvd\.?|Way"
    r"|Court|Ct\.?"
    r"|Place|Pl\.?|Square|Sq\.?|Terrace|Close|Crescent|Cres\.?|Highway|Hwy\.?|Parkway|Pkwy\.?)"
)
_ENGLISH: Final = _addresses(
    "St|Road|Rd|Ave|Lane|Ln|Dr|Boulevard|Blvd|Way|Court|Ct|Pl|Sq|Terrace|Close|Cres"
    "|Highway|Hwy|Parkway|Pkwy",
    rf"""\b\d{{1,5}}[A-Z]?
    \ (?:(?:[A-Z][a-z'’.]{{1,20}}|\d{{1,3}}(?:st|nd|rd|th)|[NSEW]\.?)\ ){{1,3}}{_EN_STREET}(?!\w)
    (?:,?\ (?:Apt|Unit|Suite|Ste|Flat|Floor|\#)\.?\ ?\w{{1,6}})?
    (?:,\ (?:Brgy\.?|Barangay|Bgy\.?)?
    \ ?[A-Z][A-Za-z.]{{1,20}}(?:\ [A-Z][a-z.]{{1,20}}){{0,2}}){{0,4}}
    (?:,?\ [A-Z]{{2}}\ \d{{5}}(?:-\d{{4}})?
    |,?\ [A-Z]{{1,2}}\d[A-Z\d]?\ \d[A-Z]{{2}}|,?\ \d{{4,6}}\b)?""",
)
_BY_LANGUAGE: Final[PatternsByLanguage] = {
    "ja": (_JAPANESE,),
    "zh-Hans": (_CHINESE,),
    "zh-Hant": (_CHINESE,),
    "ko": (_KOREAN,),
    "th": (_THAI,),
    "vi": (_VIETNAMESE,),
    "id": (_INDONESIAN,),
    "ms": (_INDONESIAN,),
    "tl": (_ENGLISH,),
    "en": (_ENGLISH,),
}
LANGUAGES: Final = tuple(_BY_LANGUAGE)
"""Codes of the languages whose addresses are detected."""


def address_signs(languages: Iterable[str]) -> str:
    """Return a pattern of words in addresses of the languages. It may be empty."""
    return guards_of(_BY_LANGUAGE, languages)


def find_addresses(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of addresses in a text with ASCII digits and marks: `text[start:end]`."""
    for addresses in patterns_of(_BY_LANGUAGE, languages):
        for match in addresses.finditer(text):
            start, end = match.span()
            yield start, start + len(text[start:end].rstrip(" ,.-"))
