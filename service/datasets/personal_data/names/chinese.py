"""Finds Chinese names of persons.

A family name and one or two characters of given names. Words have no boundaries and the same form,
so what is before or after a name must be a word for a person, or for what persons do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from service.datasets.personal_data.names.word_lists import listed

FAMILIES: Final = (
    "王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何林罗羅郑鄭梁谢謝宋唐许許韩韓冯馮邓鄧曹彭曾肖蕭田董潘袁蔡"
    "蒋蔣余于杜叶葉程魏苏蘇吕呂丁任卢盧姚沈钟鍾姜崔谭譚陆陸范汪廖石金贾賈韦韋夏付方邹鄒熊白孟秦邱侯江尹薛闫段雷"
    "龙龍黎史陶贺賀毛郝顾顧龚龔邵万萬覃武钱錢戴严嚴莫孔向汤湯洪施游游柯詹簡简莊庄涂凌齐齊乔喬赖賴翁伍殷倪樊兰蘭颜顏"
    "高牛古祁鲁魯邬鄔萧司席阎閻耿巩傅冉焦阮查安柏曲常邢俞甄康葛尤岑季穆毕苗宁寧温溫欧歐骆駱蓝藍池巫卓柳佘廖包祝梅盛童麦麥管舒屈项祖桑鲍鮑霍闵解佟裴路费費岳房柴辛左尚"
)
FAMILY: Final = rf"(?:欧阳|歐陽|司马|司馬|上官|诸葛|諸葛|皇甫|尉迟|慕容|[{FAMILIES}])"
"""Chinese family names."""
TITLE: Final = r"(?:先生|女士|小姐|老师|老師|经理|經理|太太|同学|同學|医生|醫生|教授|主任)"
"""Titles after a Chinese name."""
_ROLE: Final = (
    "客[户戶人]|[专專][员員]|[业業][务務][员員]?|助理|秘[书書]|主任|[组組队隊里村][长長]|工程[师師]|[会會][计計]|[護护]理[師师]|社工|醫師|管家|保姆|买家|買家|卖家|賣家|顾客|顧客|用户|用戶|患者|病人|员工|員工|职员|職員|同事|老师|老師|学生|學生|会员|會員|快递员|快遞員|外卖员|司机|司機"
    "|保安|护士|護士|医生|醫生|律师|律師|经理|經理|主管|客服|店长|店長|房东|房東|租客|业主|業主|室友|邻居|鄰居|朋友|同学|同學"
    "|(?:报案|報案|申请|申請|当事|當事|联系|聯絡|聯繫|负责|負責|委托|委託|担保|擔保|借款|投保|被保险|被保險|受益|经办|經辦|承办|承辦"
    "|法定代表|收件|寄件|收货|收貨|发件|投诉|投訴|代理|推荐|推薦|监护|監護)人|原告|被告|代表|本人|户主|戶主"
    "|(?:我|我的|他|她|我们|我們|你)?(?:太太|老婆|老公|妻子|丈夫|女儿|女兒|儿子|兒子|妈妈|媽媽|爸爸|父亲|父親|母亲|母親|哥哥|姐姐|弟弟|妹妹"
    "|老板|老闆|领导|領導|爷爷|奶奶|外公|外婆|孩子|爱人|愛人|妈|爸)|我先生|师傅|師傅|班主任|家属|家屬|乘客|车主|車主|旅客|顾问|顧問|教练|教練|店员|志愿者"
    "|[甲乙丙]方|签名|簽名|姓名|名字|[户戶]名|持卡人|车主|[^本别有个]人[：:\\s]|(?:参会|參會)人[员員]|抬头写|改成|我是|我叫|名叫"
)
_TO: Final = (
    "转告|轉告|转交|轉交|交给|交給|发给|發給|寄给|寄給|送给|送給|转给|轉給|通知|联系|聯絡|聯繫|感谢|感謝|请问|請問|叫做|找"
    '|昨天|今天|刚才|剛才|由|请|請|和|跟|与|與|给|給|叫|让|讓|[（(「“"，,。！!？?：:；;、\\s]|^'
)
_DOES: Final = (
    "签收|簽收|联系(?:电话|方式)|聯絡(?:電話|方式)|签字|簽字|反映|打过|打過|已[经經]?(?:付|签|簽|下单|下單|收|到|取|完成)|来电|來電|打电话|打電話|打来|打來|致电|致電|投诉|投訴|提交|提出|申请了|申請了|下单|下單|付款|咨询|諮詢|询问|詢問"
    "|预约|預約|预订|預訂|要求|表示|说|說|称|稱|回复|回覆|您好|你好|代收|代[签簽]|代[领領]|在吗|在嗎|在不在|已签|已簽|已付|收到|取件|收件|联系不|聯絡不|没来|沒來|入住|报名|報名"
    "|的(?:订单|訂單|账号|帳號|電話|电话|地址|快递|快遞|包裹|护照|護照|身份证|身分證|病历|病歷|手机|手機)"
)
_NEXT: Final = (
    "[今明昨本上下前去刚剛已还還没沒不在的说說称稱反签簽打提申要将將和与與约約订訂请請让讓取等退改女男]"
    "|先生|女士|小姐|经理|經理"
)
_GIVEN: Final = "(?!先生|女士|小姐|老师|老師|太太|同学|同學|医生|醫生)([一-龥]{1,2})"
_NEAR: Final = re.compile(
    rf"(?:(?P<role>(?:{_ROLE})(?:是|叫|为|為|[：:\s（(])?\s?)|(?:{_TO}))({FAMILY}){_GIVEN}"
)
_SIGNED: Final = re.compile(
    rf"^\s*({FAMILY}){_GIVEN}(?= ?(?:敬上|谨上|謹上|敬启|敬啟|上)?\s*$)", re.MULTILINE
)
_LABELED: Final = re.compile("(?:[：:\\s（(]|[名字]是|我叫)$")
_WORD_END: Final = re.compile("(?![一-龥])")
_FEW_CHARS: Final = 2  # of a name that is also a word as often as not
_ACTS: Final = re.compile(_DOES)
_ENDS: Final = re.compile(rf"(?![一-龥])|{_NEXT}")
_TITLED: Final = re.compile(
    r"(?:(?<![一-龥])|(?<=[约約找请請给給跟问問让讓见見谢謝感帮幫是叫交告])|(?<=[您你]好)|(?<=收件人))"
    rf"(?!向|和|于|任|全|应){FAMILY}(?=(?:{TITLE}|律[师師]|师傅|師傅|阿姨|叔叔|太(?![一-龥]))(?![们們妹]))"
    rf"|(?<![一-龥])[小老](?!米|马|馬|白|黄|黃|高|龙|龍|万|田|乔|石|牛|熊|金|梅|尚|向|包|祝|明|时|童|管|池)"
    rf"[{FAMILIES}](?=[，,、。！!：:\s在]|$)"
)
_CLOSE: Final = re.compile("此致|敬[礼禮]|敬祝|谢谢|謝謝|感谢|感謝|祝好|商祺|[谨謹敬]上")


def signs() -> str:
    """Return a pattern of a family name with given names, next to a person or to what one does."""
    family, given = f"[{FAMILIES}]", "".join(sorted(_characters("given")))
    return (
        rf"{family}[{given}]{{2}}|{family}[{given}](?:{_DOES})"
        rf"|{family}(?:{TITLE}|律|师|師|阿姨|叔叔|太)|[小老]{family}"
        rf"|(?:{_ROLE})(?:[是叫为為：:\s（(]\s?)?{FAMILY}|{_CLOSE.pattern}\s+{family}"
    )


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Chinese names: `text[start:end]`."""
    for match in _NEAR.finditer(text):
        role, family, given = match["role"], match[2], match[3]
        size = _given_chars(text, match.end(2), family, near_role=role is not None)
        if not size and role and _LABELED.search(role) and _WORD_END.match(text, match.end()):
            # After a label, any characters are a given name.
            size = (
                len(given)
                if len(family + given) > _FEW_CHARS and not _is_word(family + given)
                else 0
            )
        if size:
            yield match.start(2), match.end(2) + size
    for match in _TITLED.finditer(text):
        yield match.span()
    if _CLOSE.search(text):
        for match in _SIGNED.finditer(text):
            if _is_given(match[2], match[1], len(match[2])):
                yield match.start(1), match.end(2)


def _given_chars(text: str, at: int, family: str, *, near_role: bool) -> int:
    """Return the number of characters of a given name at a position of a text, or 0.

    Next to a role, such as "customer", anything may follow two characters of given names.
    """
    for size in (2, 1):
        if not _is_given(text[at : at + size], family, size):
            continue
        if _ACTS.match(text, at + size) is not None:
            return size
        if (near_role or size + len(family) > _FEW_CHARS) and _ENDS.match(text, at + size):
            return size
    return 2 if near_role and _is_given(text[at : at + 2], family, 2) else 0


def _is_given(given: str, family: str, size: int) -> bool:
    """Return whether `size` characters are a given name, and no word with the family name."""
    known = _characters("given")
    return (
        len(given) == size
        and known.issuperset(given)
        and (size > 1 or given not in _characters("never_alone"))
        and not _is_word(family + given)
    )


def _is_word(name: str) -> bool:
    """Return whether a name is a word, or begins with one that no name begins with."""
    words = listed("chinese", "words")
    return name in words or (name[:2] in words and name[:2] not in listed("chinese", "begin_names"))


@cache
def _characters(which: str) -> frozenset[str]:
    return frozenset("".join(listed("chinese", which)))
