"""Finds postal addresses by the words and the order that each country uses.

An address needs a number and a word for a street or district. The name of a city or street alone is
not an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from service.datasets.personal_data.kinds import (
    UNKNOWN,
    GuardedPattern,
    guards_of,
    patterns_of,
)


def _addresses(guard: str, pattern: str) -> GuardedPattern:
    return GuardedPattern(guard, pattern, flags=re.VERBOSE)


_NUMERAL: Final = r"(?:\d{1,4}|[一二三四五六七八九十]{1,3})"
_JA_BUILDING: Final = (
    r"(?:\ ?[一-龥ァ-ヶーA-Za-z]{1,15}(?:ビル|マンション|ハイツ|荘|コーポ|タワー|アパート|ハウス"
    r"|レジデンス)"
    r"(?:\ ?[A-Z]?\d{1,4}(?:号室?|F|階)?)?"
    r"|\ [一-龥ァ-ヶーA-Za-z]{1,12}(?:\ ?[一-龥ァ-ヶー]{1,8})?\ ?\d{3,4}"
    r"(?:号室?)?(?![\d年円個件名月]))?"
)
_JAPANESE: Final = _addresses(
    "都|道|府|県|丁目|番地|〒|[市区]..?.?.?.?.?.?[0-9]{1,4}-[0-9]",
    rf"""(?:〒\ ?\d{{3}}-?\d{{4}}\ {{0,2}})?
    (?:東京都|北海道|京都府|大阪府|(?:神奈川|和歌山|鹿児島|[一-龥]{{2}})県)
    [一-龥ぁ-んァ-ヶ々]{{1,8}}?[市区郡町村][一-龥ぁ-んァ-ヶ々\d-]{{0,20}}?
    {_NUMERAL}(?:丁目|番地?|号|-\d{{1,4}})(?:-?{_NUMERAL}(?:丁目|番地?|号)?){{0,4}}{_JA_BUILDING}
    |(?:〒\ ?\d{{3}}-?\d{{4}}\ {{0,2}})?(?:(?:(?![在于於到住至寄给給])[一-龥]){{1,4}}市
    (?:[一-龥]{{1,3}}区)?|[一-龥]{{1,3}}区)
    (?!域|間|分|画|別|切)[一-龥ァ-ヶ々](?:[一-龥ぁ-んァ-ヶ々]|\d{{1,2}}条){{0,9}}\d{{1,4}}
    (?:丁目|番地?|-\d{{1,4}}-\d{{1,4}})(?:-?\d{{1,4}}(?:番地?|号)?){{0,4}}{_JA_BUILDING}
    |〒\ ?\d{{3}}-?\d{{4}}(?:\ {{0,2}}[一-龥ぁ-んァ-ヶ々\d-]{{4,40}})?""",
)
_ZH_PLACES: Final = (
    r"北京市?|上海市?|天津市?|重庆市?|重慶市?|(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽"
    r"|福建|江西|山东|河南|湖北|湖南"
    r"|广东|海南|四川|贵州|云南|陕西|甘肃|青海)省?|(?:内蒙古|广西|西藏|宁夏|新疆)(?:自治区)?"
    r"|(?:[台臺][北中南]|新北|桃園|高雄|基隆|新竹|嘉義)[市縣]|(?:苗栗|彰化|南投|雲林|屏東"
    r"|宜蘭|花蓮|[台臺]東)縣"
    r"|香港|九龍|九龙|新界|(?<=[到至在于於：:是寄址住\s])[一-龥]{2,4}市"
)
_CHINESE: Final = _addresses(
    "[0-9][号號弄]",
    rf"""(?:{_ZH_PLACES})(?:[一-龥]{{2,5}}[市州])?(?:[一-龥]{{1,5}}?[区县區縣鎮镇乡鄉])?
    [一-龥\d]{{1,14}}?(?:路|街|道|巷|弄|胡同|大道|村|里)[东西南北中東]?(?:[一二三四五六七八九十]?段)?\d{{1,5}}(?:[-之]\d{{1,4}})?[号號弄]院?
    (?:[一-龥]{{2,8}}(?=[\dA-Z]{{1,4}}[号號栋棟幢座单單楼樓层層室期]))?
    (?:[\dA-Z]{{1,4}}[-\dA-Z]{{0,4}}(?:[号號][楼樓]|期|号|號|栋|棟|幢|座|单元|室|楼|樓|层|層|房)?(?:之\d)?){{0,5}}""",
)
_KOREAN: Final = _addresses(
    "로|길|동|번지",
    r"""(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청[남북]|충[남북]|전라[남북]|전[남북]|경상[남북]|경[남북]|제주)
    (?:특별시|광역시|특별자치[시도]|도|시)?\ (?:[가-힣]{1,6}[시군구]\ ){1,2}
    (?:[가-힣\d]{1,12}(?:읍|면|동|로|길|가|리)\ ?){1,3}\d{1,5}(?:-\d{1,4})?(?:번지|번길\ ?\d{1,4})?
    (?:,?\ [가-힣A-Z\d]{1,12}(?:아파트|빌라|빌딩|타워|오피스텔|맨션)|,?\ [가-힣A-Z\d]{2,12}
    (?=\ \d{1,4}[동호층]))?
    (?:,?\ ?\d{1,4}(?:동|호|층)){0,3}""",
)
_THAI: Final = _addresses(
    r"ถนน|ถ\.|ตำบล|ต\.|แขวง|เขต|อำเภอ|หมู่",
    r"""(?:(?:คอนโด|อาคาร|หอพัก|หมู่บ้าน)[ก-๙]{0,20}\ )?
    (?:(?:ห้อง|ชั้น|ตึก|อาคาร|ยูนิต)\ ?[A-Z]?\d{1,5}(?:/\d{1,4})?\ ){0,3}
    (?:บ้านเลขที่\ ?|เลขที่\ ?|ห้อง\ ?|ชั้น\ ?)?\d{1,4}(?:/\d{1,4})?\ ?
    (?:(?:หมู่บ้าน|หมู่ที่|หมู่|ม\.|ซอย|ซ\.|ถนน|ถ\.|ตำบล|ต\.|แขวง|อำเภอ|อ\.|เขต|จังหวัด|จ\.|กรุงเทพ|กทม\.?)
    \ ?[ก-๙ฯ\d]{0,30}\ ?(?:\d{1,3}\ )?){2,7}(?:\d{5})?""",
)
_VI_REST: Final = (
    r"(?:phường|xã|quận|huyện|thị\ xã|thị\ trấn|thành\ phố|tỉnh|[Pp]\.|[Qq]\.|TP\.?"
    r"|Tp\.?|Hà\ Nội|Đà\ Nẵng"
    r"|Hải\ Phòng|Cần\ Thơ|Sài\ Gòn|TPHCM|HCM)"
)
_VIETNAMESE: Final = _addresses(
    r"[Cc]ăn hộ|[Cc]hung cư|đường|phố|phường|quận|huyện|ngõ|hẻm|Phường|Quận|[PQ]\. ?[0-9]|thôn|ấp"
    r"|xã|TP",
    rf"""(?:(?:[Ss]ố\ (?:nhà\ )?)?\d{{1,4}}[A-Z]?(?:/\d{{1,4}}){{0,3}},?[ ]
    (?:(?:[Nn]gõ|[Nn]gách|[Hh]ẻm|[Kk]iệt)\ \d{{1,4}}(?:/\d{{1,4}}){{0,2}},?\ ){{0,2}}
    (?:(?:[Đđ]ường|[Pp]hố|[Nn]gõ|[Nn]gách|[Hh]ẻm)\ )?
    [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}(?:\ [\wÀ-ỹ]{{1,10}}){{0,4}}
    |(?:(?:[Cc]ăn\ hộ|[Pp]hòng|[Tt]ầng|[Tt]òa(?:\ nhà)?
    |[Ll]ô|[Bb]lock|[Cc]hung\ cư|KĐT)
    \ (?:[A-ZĐÀ-Ỹ\d][\w.À-ỹ-]{{0,10}}\ ?){{1,4}}
    (?:,\ |(?=,))){{1,4}}(?:\d{{1,4}}\ [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}(?:\ [\wÀ-ỹ]{{1,10}}){{0,3}})?
    |(?:[Tt]hôn|[Ấấ]p|[Xx]óm|[Tt]ổ|[Kk]hu\ phố)\ \d{{1,3}}(?=,\ (?:xã|phường|thị|[Pp]\.)))
    (?:,\ [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}(?:\ [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}){{0,3}}
    (?=,\ (?i:{_VI_REST}))){{0,2}}
    (?:,\ (?i:{_VI_REST})\.?\ ?[\wÀ-ỹ]{{0,10}}(?:\ [A-ZĐÀ-Ỹ\d][\wÀ-ỹ]{{0,10}}){{0,4}}){{1,4}}
    (?:,\ [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}(?:\ [A-ZĐÀ-Ỹ][\wÀ-ỹ]{{0,10}}){{0,2}})?""",
)
_INDONESIAN: Final = _addresses(
    "Jl|Jalan|Jln|Gang|Gg|Komp|Perum|Desa|Dusun|Kampung|Kp|Ruko|Apartemen|Cluster|Rusun|Gedung|Menara",
    r"""\b(?:(?:Jl\.?|Jalan|Jln\.?|Gg\.?|Gang|Komp(?:\.|leks?)|Perum(?:ahan)?|Ruko|Apartemen|Cluster|Rusun(?:awa)?|Gedung|Menara)
    \ [A-Z][\w.]{1,20}(?:\ (?:\d,\d|[\w.]{1,20})){0,4}?
    (?:,?\ (?:[Nn]o\.?|Nomor|Kav\.?|Blok|Lt\.?|Lantai|Unit)
    \ ?[A-Z]{0,2}\d{1,4}[A-Z]?(?:/\d{1,4})?){1,3}
    (?:,?\ (?:RT|RW)[ ./]?\d{1,3}(?:/(?:RW\ ?)?\d{1,3})?){0,2}
    |(?:Desa|Dusun|Kampung|Kp\.)\ [A-Z]\w{1,20}(?:\ [A-Z]\w{1,20}){0,2},?
    (?:\ (?:RT|RW)[ ./]?\d{1,3}(?:/(?:RW\ ?)?\d{1,3})?){1,2})
    (?:,\ (?:[A-Z][\w.]{1,20})(?:\ [A-Z]\w{1,20}){0,4}){0,6}(?:,?\ \d{5}\b)?""",
)
_EN_STREET: Final = (
    r"(?:Street|St\.?|Road|Rd\.?|Avenue|Ave\.?|Lane|Ln\.?|Drive|Dr\.?|Boulevard|Blvd\.?|Way"
    r"|Court|Ct\.?"
    r"|Place|Pl\.?|Square|Sq\.?|Terrace|Close|Crescent|Cres\.?|Grove|Mews|Parade|Circuit|Circle|Cir\.?|Trail|Highway|Hwy\.?|Parkway|Pkwy\.?)"
)
# Parts of addresses in India, Nigeria, the Philippines and Cambodia: a house or flat with its
# number, the parts of the town, and a word that only parts of towns have, or a PIN code.
_UNIT: Final = (
    r"(?:\d{1,3}/F|(?:Flat|Suite|Floor|Level|Rm\.?|House|Plot|Door|Unit|Shop|Room|Block|Blk\.?|Lot|Phase|Tower|Villa|Purok"
    r"|H\.?\ ?No\.?"
    r"|D\.?\ ?No\.?|No\.?)(?:\ ?(?:No\.?|\#))?\ ?[A-Z]{0,2}-?\d[\w/-]{0,11}|\#\ ?\d{1,5}[A-Z]?"
    r"|Block\ [A-Z])"
)
_PART: Final = (
    r"(?:(?:off|opp\.?|opposite|behind|beside|near|along|after)\ )?[A-Z\d][\w.'’/-]{0,20}"
    r"(?:\ (?:(?:del|de|of)\ )?[A-Z\d][\w.'’/-]{0,20}){0,4}"
)
_TOWN: Final = (
    r"(?:Street|St\.|Road|Rd\.?|Avenue|Ave\.?|Lane|Close|Crescent|Drive|Boulevard|Blvd\.?|Way|Nagar|Marg"
    r"|Colony|Layout|Sector|Apartments?|Residency|Towers?|Estate|Subd\.?|Subdivision|Brgy\.?|Barangay"
    r"|City|Hills|Cross|Vihar|Enclave|Puram|Society|Chowk|Salai|Phase|Lagos|Abuja|Sangkat|Khan"
    r"|Gardens?|Village|District|Kowloon|Hong\ Kong"
    r"|Jalan|Jln|Lorong|Taman|Persiaran|Kampung)"
)
_PIN: Final = r"[1-8]\d{2}\ ?\d{3}"
_BY_PARTS: Final = rf"""(?<![\w.#-])
    (?:Bl(?:k|oc?k)\.?\ \d{{1,4}}[A-Z]?\ (?:[A-Z][A-Za-z.’']{{1,15}}\ ){{1,4}}
    \d{{0,3}},?\ ?\#\d{{1,2}}-\d{{1,4}}
    (?:,?\ (?:Singapore|S)?\ ?\(?\d{{6}}\)?)?
    |{_UNIT}(?:,?\ {_UNIT}){{0,3}}(?:,?\ \d{{1,4}}[A-Z]?)?
    (?=[^\n;:?!]{{0,120}}\b{_TOWN}(?![\w])|[^\n;:?!]{{0,120}}[ -]{_PIN}\b)(?:,?\ {_PART}){{1,8}}
    (?:\ ?[,-]\ ?{_PIN}\b)?
    |(?:[A-Z]-?\d{{1,4}}|\d{{1,4}}(?:[/-](?:\d{{1,4}}|[A-Z])){{0,3}}
    |(?:Village|Vill\.|At|Near)\ [A-Z][a-z]{{2,20}}),
    (?=[^\n;:?!]{{0,160}}[ -]{_PIN}\b)
    (?:\ {_PART}(?=,|\ ?-|\ {_PIN}),?){{1,7}}(?:\ ?-\ ?|\ ){_PIN}\b
    |P\.?\ ?O\.?\ Box\ \d{{1,6}}(?:,\ {_PART}){{1,3}}(?:\ \d{{4,6}})?
    |(?:[A-Z]-?\d{{1,3}}(?:-\d{{1,3}}[A-Z]?){{1,2}},\ {_PART},\ |\d{{1,4}}[A-Z]?,?\ )?
    (?:Jalan|Jln\.?|Lorong|Persiaran|Taman|Kampung)\ {_PART}
    (?:,\ {_PART}){{0,3}},\ \d{{5}}\ [A-Z][a-z]{{2,15}}(?:\ [A-Z][a-z]{{2,15}}){{0,2}}
    (?:,\ [A-Z][a-z]{{2,15}}(?:\ [A-Z][a-z]{{2,15}})?)?
    |(?:Brgy\.?|Barangay)\ {_PART},\ (?:[A-Z][a-z]{{2,15}}\ ){{1,2}}City\b
    |(?:Sitio|Purok)\ [A-Z\d]\w{{0,20}},(?=\ (?:Brgy|Barangay|Bgy))(?:\ {_PART},?){{1,5}})"""
_ENGLISH_PARTS: Final = _addresses(
    r"[0-9]/F|P\.?O\.? Box|[0-9]{5} [A-Z]"
    r"|(?:Flat|Suite|Floor|Level|Rm|House|Plot|Door|Unit|Shop|Room|Block|Blk|Lot|Purok"
    r"|No)\.? ?(?:No\.?"
    r"|#)? ?[A-Z]?-?[0-9]"
    r"|Block [A-Z]|# ?[0-9]{1,5}[A-Z]?,? [A-Z0-9]|[0-9](?:/[A-Z])?, [A-Z]|Sitio|Purok|Brgy"
    r"|Barangay|Village"
    r"|Vill\.",
    _BY_PARTS,
)
_DEVANAGARI: Final = r"[ऀ-ॣॱ-ॿ]"
_HI_UNIT: Final = r"(?:मकान|फ्लैट|प्लॉट|दुकान|घर|वार्ड|गली|कमरा|हाउस|क्वार्टर)"
_HI_TOWN: Final = (
    r"(?:मार्ग|रोड|नगर|गली|कॉलोनी|कालोनी|मोहल्ला|सेक्टर|चौक|बाज़?ार|विहार|पुरम|अपार्टमेंट|जिला|ज़िला|ग्राम|पोस्ट"
    r"|तहसील|एन्क्लेव|सोसायटी|टावर|भवन|स्ट्रीट|गांव|गाँव)"
)
_HINDI: Final = _addresses(
    "मकान|फ्लैट|प्लॉट|वार्ड|हाउस|क्वार्टर|मार्ग|रोड|नगर|ग्राम|जिला|पोस्ट|गली",
    rf"""(?:{_HI_UNIT}(?:\ (?:नंबर|नं\.?|संख्या|क्रमांक))?\ ?[\w/-]{{0,6}}\d[\w/-]{{0,6}}
    |(?<![\d/])\d{{1,4}}(?:/\d{{1,4}}){{0,2}}(?=,)
    |(?<!{_DEVANAGARI})(?:ग्राम|गांव|गाँव)\ {_DEVANAGARI}{{2,20}})
    (?=[^\n।?!]{{0,120}}{_HI_TOWN}[^\n।?!]{{0,60}}(?:\d{{6}}|{_HI_TOWN}))
    (?:,\ {_DEVANAGARI}{{1,20}}(?:\ (?:{_DEVANAGARI}|[\d.]){{1,20}}){{0,4}}?
    (?=,|\ ?-|\ \d{{6}}|[।\n]|$|\ (?:पर|में|है)\b)){{1,7}}
    (?:\ ?-?\ ?\d{{6}}(?!\d))?""",
)
_KHMER: Final = _addresses(
    "ផ្ទះ|ភូមិ|សង្កាត់|ឃុំ",
    r"""(?:ផ្ទះ(?:លេខ)?\ ?\d{1,4}[A-Z]{0,2}\d{0,3}|ភូមិ\ ?[ក-៓\d]{1,20})
    (?:[,\ ]{1,2}(?:ផ្លូវ(?:លេខ)?|ភូមិ|ឃុំ|សង្កាត់|ស្រុក|ខណ្ឌ|ក្រុង|ខេត្ត|រាជធានី)\ ?[ក-៓\d]{1,24}){1,6}
    (?:[,\ ]{1,2}(?:ភ្នំពេញ|សៀមរាប|បាត់ដំបង))?""",
)
_ENGLISH: Final = _addresses(
    r"[0-9][A-Z]? (?:[A-Z0-9][^ ]* ){1,3}(?:St|Road|Rd|Ave|Lane|Ln|Dr|Boulevard|Blvd|Way|Court|Ct"
    "|Pl|Sq|Terrace|Close|Cres|Highway|Hwy|Parkway|Pkwy|Grove|Mews|Parade|Circuit|Cir|Trail)"
    "|[AFD]PO A[AEP] |, [A-Z][A-Z] [0-9][0-9][0-9][0-9][0-9]"
    "|[A-Z][0-9][A-Z0-9]? [0-9][A-Z][A-Z]",
    rf"""(?:PSC|CMR|Unit|USS)\ [A-Z\d][\w\ ]{{1,20}},?\ (?:Box\ \d{{1,5}},?\ )?
    [AFD]PO\ A[AEP]\ \d{{5}}
    |(?<![\d/])\b(?:Studio\ |Flat\ )?\d{{1,5}}[A-Z]?,?(?:\ [A-Z][\w'’.]{{1,20}}){{1,4}}
    (?:,?\ (?:Apt|Unit|Suite|Ste|Flat)\.?\ ?\w{{1,6}})?
    (?:,\ [A-Z][a-z]{{1,20}}(?:\ [A-Z][a-z]{{1,20}}){{0,2}}){{1,2}},
    \ (?:[A-Z]{{2}}\ \d{{5}}(?:-\d{{4}})?|[A-Z]{{1,2}}\d[A-Z\d]?\ \d[A-Z]{{2}})\b
    |(?:(?:Flat|Unit|Apartment)\ \w{{1,4}},\ )?(?<![\d/])\b\d{{1,4}}[A-Za-z]?
    (?:\ [A-Z][\w'’.]{{1,20}}){{1,4}}
    (?:,\ [A-Z][A-Za-z-]{{1,20}}(?:\ [A-Z][a-z]{{1,20}}){{0,2}}){{1,3}},?
    \ [A-Z]{{1,2}}\d[A-Z\d]?\ \d[A-Z]{{2}}\b
    |(?<![\d/])\b\d{{1,5}}(?:/\d{{1,4}})?[A-Z]?
    \ (?:(?:[A-Z][a-z'’.]{{1,20}}|\d{{1,3}}(?:st|nd|rd|th)|[NSEW]\.?)\ ){{1,3}}
    {_EN_STREET}(?!\w)(?:\ [NSEW]{{1,2}}\b\.?)?
    (?:,?\ (?:(?:Apt|Unit|Suite|Ste|Flat|Floor)\.?\ ?\w{{1,6}}|\#\ ?\w{{1,6}}(?:-\d{{1,4}}\w?)?))?
    (?:(?:\ [A-Z][a-z]{{1,15}}){{1,4}}(?=,\ Singapore))?
    (?:,\ (?:Brgy\.?|Barangay|Bgy\.?)\ \d{{1,4}}|,\ (?:Brgy\.?|Barangay|Bgy\.?)?
    \ ?[A-Z][A-Za-z.]{{1,20}}(?:\ [A-Z][a-z.]{{1,20}}){{0,2}}){{0,4}}
    (?:,?\ [A-Z]{{2}}\ \d{{5}}(?:-\d{{4}})?
    |,?\ [A-Z]{{1,2}}\d[A-Z\d]?\ \d[A-Z]{{2}}|,?\ (?:[A-Z]{{2}}\ )?[A-Z]\d[A-Z]\ ?\d[A-Z]\d
    |,?\ (?:NSW|VIC|QLD|WA|SA|TAS|ACT|NT)\ \d{{4}}|(?:,?\ |-)\d{{4,6}}\b)?""",
)
_EU_TOWN: Final = (
    r"(?:(?:St|S)\.\ )?[A-ZÀ-Ý][\wÀ-ÿ'’-]{1,24}"
    r"(?:\ (?:(?:am|an|im|in|bei|der|de|la|le|sur|en|del|di|do|da"
    r"|dos)\ ){0,2}[A-ZÀ-Ý][\wÀ-ÿ'’-]{1,20}){0,2}"
)
_EUROPEAN: Final = _addresses(
    r"(?:Am|An der|Im|In der|Zum|Zur|Auf de[rm]) [A-Z][^0-9\n]{0,60}[0-9]|(?i:stra(?:ß|ss)e|str\."
    r"|platz|weg"
    r"|allee|gasse|ring|ufer|gracht|straat|laan|plein|kade|dijk|singel) [0-9]"
    r"|[0-9](?: ?bis| ?ter)?,? (?i:rue|avenue|boulevard|chemin|place|impasse|allée|quai) "
    r"|(?:Calle|C/|Avenida|Av\.|Plaza|Paseo|Camino|Rua|R\.|Travessa|Alameda|Via|Viale"
    r"|Piazza) [^0-9\n]{3,46}[0-9]",
    rf"""(?:[A-ZÄÖÜ][\wÄÖÜäöüß-]{{1,24}}(?:stra(?:ß|ss)e|str\.|platz|weg|allee|gasse|ring|ufer)
    |[A-ZÄÖÜ][\wäöüß-]{{2,20}}[\ -](?:Stra(?:ß|ss)e|Str\.|Platz|Weg|Allee|Gasse|Ring))
    \ \d{{1,4}}\ ?[a-z]?\b
    (?:,?\s{{1,2}}(?:D-)?\d{{4,5}}\ {_EU_TOWN})?
    |(?:Am|An\ der|Im|In\ der|Zum|Zur|Auf\ de[rm])\ {_EU_TOWN}\ \d{{1,3}}\ ?[a-z]?,?\s{{1,2}}
    (?:D-)?\d{{4,5}}\ {_EU_TOWN}
    |[A-Z][a-z]{{2,20}}(?:gracht|straat|laan|plein|kade|dijk|singel)
    \ \d{{1,4}}(?:-?\w{{1,3}})?,\s\d{{4}}\ ?[A-Z]{{2}}\ {_EU_TOWN}
    |\d{{1,4}}(?:\ ?(?:bis|ter))?,?\ (?i:rue|avenue|boulevard|chemin|place|impasse|allée|quai)
    \ [^\n,;.]{{3,40}}
    (?:,\s\d{{5}}\ {_EU_TOWN})?
    |(?:Calle|C/|Avenida|Av\.|Plaza|Paseo|Camino|Rua|R\.|Travessa|Alameda|Via|Viale|Piazza)
    \ [^\n,;.\d]{{3,40}},?
    \ (?:n[.º°o]{{1,2}}\ ?)?\d{{1,5}}(?:,\ (?!\d{{4,5}}\b)[^\n,;]{{2,30}}(?=,)){{0,4}}
    (?:,\ {_EU_TOWN})?
    (?:,?\ \d{{4,5}}(?:-\d{{3}})?(?:\ {_EU_TOWN})?)?""",
)
_BY_LANGUAGE: Final[dict[str, tuple[GuardedPattern, ...]]] = {
    **dict.fromkeys(("de", "es", "fr", "it", "nl", "pt"), (_EUROPEAN,)),
    "ja": (_JAPANESE,),
    "zh-Hans": (_CHINESE, _JAPANESE),  # a Japanese address without kana looks Chinese
    "zh-Hant": (_CHINESE, _JAPANESE),
    "ko": (_KOREAN,),
    "th": (_THAI,),
    "vi": (_VIETNAMESE,),
    "id": (_INDONESIAN,),
    "ms": (_ENGLISH_PARTS, _INDONESIAN),
    "tl": (_ENGLISH_PARTS, _ENGLISH),
    "en": (_ENGLISH_PARTS, _ENGLISH),
    "hi": (_HINDI,),
    "km": (_KHMER,),
}
_IN_ALL: Final = ("en",)
"""Addresses are written in the way of this language in texts of any language."""
LANGUAGES: Final = tuple(_BY_LANGUAGE)
"""Codes of the languages whose addresses are detected."""
_BY_LANGUAGE[UNKNOWN] = tuple(dict.fromkeys(chain.from_iterable(_BY_LANGUAGE.values())))
_BY_LANGUAGE["mr"] = _BY_LANGUAGE["hi"]


def address_signs(languages: Iterable[str]) -> str:
    """Return a pattern of words in addresses of the languages. It may be empty."""
    return guards_of(_BY_LANGUAGE, (*languages, *_IN_ALL))


def find_addresses(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of addresses in a text with ASCII digits and marks: `text[start:end]`."""
    for addresses in patterns_of(_BY_LANGUAGE, (*languages, *_IN_ALL)):
        for match in addresses.finditer(text):
            start, end = match.span()
            yield start, start + len(text[start:end].rstrip(" ,.-"))
