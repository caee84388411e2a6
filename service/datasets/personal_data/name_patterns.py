"""Names of persons in languages other than Japanese, where the words around them prove one.

A name counts after a title (Mr., คุณ, Bapak) or a phrase (my name is, 我叫), or before a title
(先生, 님). In Chinese, Korean and Vietnamese it must also start with a common family name.
Names by themselves are found by lists of names (`bare_names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Final

from service.datasets.personal_data.bare_names.indonesian import EATERIES


class _Names:
    """Patterns whose group 1 is a name, and a word that a text must contain for them to match."""

    def __init__(self, needs: str, *patterns: str) -> None:
        self.needs = re.compile(needs)
        self._patterns = patterns

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """All patterns as one. It is compiled on first use, because that takes milliseconds."""
        return re.compile("|".join(f"(?:{p})" for p in self._patterns))


_CAP: Final = r"[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿA-Z'’-]{1,20}"
_NOT_NAMES: Final = (
    r"(?!(?:Excel|Word|Office|Pepper|Windows|Teams|Access|Outlook|Customer|Support|Service"
    r"|Sir|Madam"
    r"|Mr|Mrs|Ms|Bapak|Ibu|Pak|Bu|Saudara|Kota|Negara|Pertiwi|Mayor|Hall|Not|The|A|An|In|On|At)\b)"
)
_NAME: Final = rf"{_NOT_NAMES}{_CAP}(?:(?: [A-Z]\.)? {_NOT_NAMES}{_CAP}){{0,3}}"
_FULL_NAME: Final = rf"{_NOT_NAMES}{_CAP}(?:(?: [A-Z]\.)? {_NOT_NAMES}{_CAP}){{1,3}}"

_VI_WORD: Final = r"[A-ZĐĂÂÊÔƠƯÀ-ÝẠ-Ỹ][a-zà-ýđăơưạ-ỹ]{0,6}"
_VI_FAMILY: Final = (
    r"(?:Nguyễn|Trần|Lê|Phạm|Hoàng|Huỳnh|Phan|Vũ|Võ|Đặng|Bùi|Đỗ|Hồ|Ngô|Dương|Lý|Đinh"
    r"|Đoàn|Trịnh|Mai"
    r"|Tô|Cao|Lâm|Đào|Lương|Trương|Hà|Tạ|Thái|Châu|Quách|La|Phùng|Vương|Tống|Kiều|Chu|Tăng)"
)

_ZH_FAMILY: Final = (
    r"(?:欧阳|歐陽|司马|司馬|上官|诸葛|諸葛"
    r"|[王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何林罗羅郑鄭梁谢謝宋唐许許"
    r"韩韓冯馮邓鄧曹彭曾肖蕭田董潘袁蔡蒋蔣余于杜叶葉程魏苏蘇吕呂丁任卢盧姚沈钟鍾姜崔谭譚陆陸范汪廖石金贾賈韦韋夏付方邹鄒"
    r"熊白孟秦邱侯江尹薛闫段雷龙龍黎史陶贺賀毛郝顾顧龚龔邵万萬覃武钱錢戴严嚴莫孔向汤湯])"
)
_ZH_GIVEN: Final = r"(?![先小女老经經])[一-龥]{1,2}"
_ZH_TITLE: Final = r"(?:先生|女士|小姐|老师|老師|经理|經理|太太|同学|同學|医生|醫生|教授|主任)"

_KO_FAMILY: Final = (
    r"(?:남궁|황보|선우"
    r"|[김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진나지엄채원천방공현"
    r"변염추도소석설길연위표명기반라왕금옥])"
)
_KO_NOT: Final = r"(?![가-힣]{2}자|고객사|임직원|한국인|여러분|우리들|이분들|조합원|전문가)"
_KO_NAME: Final = rf"{_KO_NOT}{_KO_FAMILY}[가-힣]{{2}}"

_TH_TITLE: Final = r"(?:นางสาว|นาย|นาง|น\.ส\.|(?<!ขอบ)คุณ|ด\.ช\.|ด\.ญ\.|ดร\.)"
# คุณ is also "you", and starts other words.
_TH_NOT: Final = (
    r"(?!ภาพ|สมบัติ|ลูกค้า|ครู|ค่า|ธรรม|หน้า|จ้าง|ประโยชน์|แม่|พ่อ|หมอ|สินค้า|เป็น|สามารถ|ต้อง"
    r"|ค่ะ|ครับ|คะ|จะ|มี|ได้|อยู่|ซื้อ|เลือก|ลืม|คือ|ชอบ|อยาก|ไม่|ก็|และ|ที่|กำลัง|เคย|ควร|คิด|รู้"
    r"|ทำ|ไป|ใช้|ขอ|พูด|เห็น|ส่ง|สั่ง|แจ้ง|ชื่อ|ว่า|กับ|ให้|หรือ|ยัง|พบ|ติด|โทร|เอง|รับ|จ่าย|เข้า)"
)
# The words after a name follow without a space.
_TH_NEXT: Final = r"(?=เป็น|ค่ะ|ครับ|คะ|นะคะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|เบอร์)"
_TH_FAMILY: Final = (
    r"(?!เลข|เบอร์|โทร|อายุ|ที่|อยู่|บ้าน|สั่ง|ขอ|จาก|ค่ะ|ครับ|คะ|นะ|อีเมล|รหัส|เป็น|มา|ได้|จะ|และ)"
    rf"(?:[ก-๙]{{3,20}}?{_TH_NEXT}|[ก-๙]{{3,16}}(?![ก-๙]))"
)
_TH_NAME: Final = rf"{_TH_NOT}[ก-๙]{{2,15}} {_TH_FAMILY}"


# The name after a title is that of an eatery.
_ID_NOT_AFTER: Final = "".join(
    f"(?<!{word.title()} )" for word in (*EATERIES, "mie", "makan", "bebek", "gudeg")
)

_ENGLISH: Final = _Names(
    r"Mr|Ms|Miss|Dr|Prof|Name|name|I am|I'm|his is|Sincerely|egards|stomer:|cipient:",
    rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? ({_NAME})",
    rf"\b(?:[Mm]y name is|[Nn]ame's) ({_NAME})",
    rf"\b(?:I am|I'm|[Tt]his is|[Nn]ame: ?|[Cc]ustomer: ?|[Rr]ecipient: ?) ?({_FULL_NAME})",
    rf"\b(?:[Rr]egards|Sincerely),\s{{1,3}}({_FULL_NAME})",
)
_BY_LANGUAGE: Final[dict[str, tuple[_Names, ...]]] = {
    "en": (_ENGLISH,),
    "tl": (
        _ENGLISH,
        _Names(
            r"[Ss]i |pangalan|\b[Kk]ay\b|\b(?:Gng|Bb|G)\.",
            rf"\b(?:[Aa]ko si|[Aa]ng pangalan ko ay|[Pp]angalan:) ({_NAME})",
            rf"\b(?:G|Gng|Bb)\. ({_NAME})|\b(?:Ginoong|Ginang|Binibining|Aling|Mang|Kuya"
            rf"|Ate) ({_NAME})",
            rf"\b(?:[Ss]i|[Kk]ay|ni) ({_FULL_NAME})",
        ),
    ),
    "id": (
        _Names(
            r"(?:[Bb]apak|[Pp]ak|[Ii]bu|[Bb]u|Sdri?|Kak|Mas|Mbak|[Nn]ama|[Ss]aya|[Tt]uan|Nyonya|a\.n)\b",
            # Few words begin with these letters, and to look for each word before takes long.
            rf"\b(?=[BIKMNPSTbip]){_ID_NOT_AFTER}(?:[Bb]apak|[Pp]ak|[Ii]bu|[Bb]u|Sdri?\.?|Saudari?"
            rf"|Kak|Mas|Mbak|Tuan|Nyonya) ({_NAME})",
            rf"\b[Ss]aya ({_FULL_NAME})(?=[,.]| dari)",
            rf"\b(?:[Nn]ama saya|[Aa]tas nama|[Nn]ama lengkap:?|[Nn]ama:|a\.n\.?) ({_NAME})",
        ),
    ),
    "vi": (
        _Names(
            _VI_FAMILY,
            r"\b(?:[Aa]nh|[Cc]hị|[Ôô]ng|[Bb]à|[Cc]ô|[Cc]hú|[Bb]ác|[Ee]m|[Bb]ạn|tên(?: là)?"
            r"|[Tt]ôi là|[Gg]ửi"
            rf"|[Kk]hách hàng:?|[Hh]ọ (?:và )?tên:?|[Cc]hào) ({_VI_FAMILY}(?: {_VI_WORD}){{1,4}})",
        ),
    ),
    "th": (
        _Names(
            r"นาย|นาง|น\.ส\.|คุณ|ด\.ช\.|ด\.ญ\.|ดร\.|ชื่อ",
            rf"{_TH_TITLE} ?({_TH_NAME})",
            rf"(?:ผม|ฉัน|หนู|เรา)ชื่อ ?({_TH_NAME})|ชื่อ(?:-นามสกุล|ผู้รับ"
            rf"|ลูกค้า) ?:? ?({_TH_NAME})",
        ),
    ),
    "ko": (
        _Names(
            r"님|씨|이름|저는|성함|성명|입니다",
            rf"(?<![가-힣])({_KO_NAME})(?= ?(?:고객님|선생님|과장님|부장님|대리님|님"
            rf"|씨)(?![가-힣]{{3}}))",
            rf"(?:^|안녕하세요[,.]? )({_KO_NAME})(?=입니다)",
            rf"저는 ({_KO_NAME})(?=이?라고 (?:합니다|해요|하는데))",
            rf"(?:이름은|성함은|성명:?|이름:) ?({_KO_NAME})(?=입니다|이에요|예요|이고|이?라고"
            r"|\W|$)",
        ),
    ),
    "zh": (
        _Names(
            rf"{_ZH_TITLE}|我叫|我是|姓名|人[：:]|名字",
            rf"({_ZH_FAMILY}{_ZH_GIVEN})(?={_ZH_TITLE}(?![一-龥]{{0,2}}(?:活动|花)))",
            rf"(?:我叫|我是|姓名(?:是|[：:])|名字(?:是|叫)|(?:联系|聯絡|收件|收货|收貨)人(?:是"
            rf"|[：:]))"
            rf" ?({_ZH_FAMILY}{_ZH_GIVEN})(?![一-龥]|$)",
            rf"(?:我叫|我是|姓名[：:]|人[：:]) ?({_ZH_FAMILY}{_ZH_GIVEN})$",
        ),
    ),
}
_BY_LANGUAGE["ms"] = _BY_LANGUAGE["id"]
_BY_LANGUAGE["zh-Hans"] = _BY_LANGUAGE["zh-Hant"] = _BY_LANGUAGE["zh"]

_ALL: Final = tuple({id(one): one for some in _BY_LANGUAGE.values() for one in some}.values())

LANGUAGES: Final = tuple(sorted({*_BY_LANGUAGE} - {"zh"}))
"""Codes of the languages whose names are detected by patterns."""


def find_names_by_pattern(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of persons in a text: `text[start:end]`, without the title."""
    for names in _patterns_of(tuple(languages)):
        if names.needs.search(text) is not None:
            for match in names.pattern.finditer(text):
                yield match.span(match.lastindex or 0)


@lru_cache(maxsize=256)
def _patterns_of(languages: tuple[str, ...]) -> tuple[_Names, ...]:
    found = {id(one): one for code in languages for one in _BY_LANGUAGE.get(code, ())}
    return tuple(found.values())


def name_signs(languages: Iterable[str]) -> str:
    """Return a pattern of the words that the languages write next to names. It may be empty."""
    return "|".join(names.needs.pattern for names in _patterns_of(tuple(languages)))


def may_name_someone(text: str) -> bool:
    """Whether a text, in any language, contains a word that can be next to a name."""
    return any(names.needs.search(text) for names in _ALL)
