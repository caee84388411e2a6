"""Finds values that a word before them makes personal, such as a date of birth or a bank account.

The value alone says nothing: "12 May 1990" can be any date. Devices' and wallets' addresses are
recognizable by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from service.datasets.personal_data.kinds import Guards, guard_of


class _Labeled(NamedTuple):
    """A kind: the words that announce it, and what a value looks like."""

    kind: str
    words: str
    value: str


# The first letters of months in European languages, Indonesian and Filipino; others in full.
_MONTH: Final = (
    "(?:jan|gen|ene|feb|f[ée]v|peb|m[aä][rijyg]|mei|apr|abr|avr|giu|lug|hun|hul|ju[ilnu]|a[gu][ogu]"
    "|ao[uû]|sep|set|o[ckt]t|out|nov|nob|d[eé][cszk]|di[cs]|ogo|mac)[a-zûéç]{0,8}(?:\\.(?= \\d))?"
    "|มกราคม|กุมภาพันธ์|มีนาคม|เมษายน|พฤษภาคม|มิถุนายน|กรกฎาคม|สิงหาคม|กันยายน|ตุลาคม|พฤศจิกายน"
    "|ธันวาคม|[ก-ฮ]{1,2}\\.[ก-ฮ]{1,2}\\.|tháng \\d{1,2}"
    "|जनवरी|फ़?रवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर"
)
_DATE: Final = (
    r"(?:19|20|25)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:19|20|25)?\d\d"
    rf"|\d{{1,2}}[-/.](?i:{_MONTH})[-/.]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd|th|\.)?(?: of"
    rf"| ng| de)? (?i:{_MONTH})(?:,? (?:de |del |năm |พ\.ศ\. ?)?\d{{4}})?"
    rf"|(?i:{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?"
    r"|(?:\d{4}|(?:明治|大正|昭和|平成|令和) ?\d{1,2}|民國 ?\d{2,3})"
    r" ?[年년] ?\d{1,2} ?[月월](?: ?\d{1,2} ?[日일])?"
    r"|(?:19|20)\d{6}|\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])|\d{1,2}[月월] ?\d{1,2}[日일]"
)
_NO_HOME: Final = re.compile(
    r"(?:ip|mail|mac|web|wallet|memory|host|server|bind|bitcoin|btc|listen|crypto|deposit|return"
    r"|public"
    r"|network|base|target|source|destination|start|end|邮箱|邮件|网站|ip|メール|이메일"
    r"|อีเมล)[ _-]?$",
    re.IGNORECASE,
)
"""Words before an address that is nobody's home."""
_LONG_AGO: Final = re.compile(r"(?<!\d)1[0-8]\d\d(?!\d)|明治")
"""Years in which nobody was born who is still alive."""
_NOBODY: Final = re.compile(
    r"\b(?:app|band|brand|company|firm|idea|project|startup)(?:['’]s| was) $"
)
_PLATE: Final = (
    r"[A-Z]{2}[ -]?\d{1,2}[A-Z]?[ -]?[A-Z]{1,3}[ -]?\d{4}|[A-Z]{2}\d{2} [A-Z]{3}|\d[A-Z]{3}\d{3}"
    r"|[A-Z]{3}[ -]?\d{2,3}[ -]?[A-Z]{2}|\d{2}-?[A-Z]{1,2}\d?[ -]?\d{3}\.?\d{2}"
    r"|[A-Z]{1,3}[ -]?\d{1,4}(?:[ -]?[A-Z]{1,3})?|\d{1,4}[ -]?[A-Z]{2,3}"
    r"|[一-鿿][A-Z] ?[·・]? ?[A-Z0-9]{5,6}|[一-鿿]{1,4} ?\d{2,3} ?[ぁ-ん] ?\d{1,2}-?\d{2}"
    r"|\d{2,3}[가-힣] ?\d{4}|\d?[ก-ฮ]{2}[ -]?\d{1,4}(?: กรุงเทพ(?:มหานคร|ฯ)?| กทม\.?)?"
    r"|[A-Z]{1,3}[ -][A-Z]{1,2}[ -]\d{1,4}[EH]?"
    r"|\d{2} ?[A-Z]{1,3} ?\d{2,5}"
)
_BANK: Final = (
    r"(?:\b(?:gtb(?:ank)?|fcmb|first bank|access bank|zenith bank|uba|bdo|bpi|metrobank|landbank"
    r"|bca|bni|bri|mandiri|bsi|cimb|hdfc|icici|axis bank|sbi|dbs|posb|ocbc|uob|maybank"
    r"|vietcombank|vcb|techcombank|bidv|vietinbank|kbank|scb|opay|palmpay|moniepoint|kuda)\b"
    r"|(?:工商|农业|中国|建设|交通|招商|邮储|民生|浦发|中信|光大|平安|兴业)银行"
    r"|[가-힣]{2,4}(?:은행|뱅크)|농협)"
)
_IN_TOWN: Final = r"(?: ?:? ?[A-Z][a-z]{2,20}(?: [A-Z][a-z]{2,20})?,)?"
_DEGREES: Final = r"\d{1,3}° ?\d{1,2}['′] ?\d{1,2}(?:\.\d+)?[\"″]?"
_PLACE: Final = (
    rf"{_DEGREES} ?[NS],? ?{_DEGREES} ?[EW]|[NS] ?{_DEGREES},? ?[EW] ?{_DEGREES}"
    r"|\d{1,2}\.\d{3,}°? ?[NS][, ]{1,2}\d{1,3}\.\d{3,}°? ?[EW]"
)
_LABELED: Final = (
    _Labeled(
        "bank_account",
        r"bank (?:account|acct?|a/c)(?: (?:no|number))?|\ba/c(?: no| number)?"
        r"|\b(?:account|acct?) (?:no|number|#)|\bacct\b|\brouting.{0,24}(?:checking|savings"
        r"|account)\b|\brouting (?:no|number|#)|(?:checking|savings) account"
        r"|\bifsc(?: code)?|\bsort(?: code|:|(?= \d\d-\d\d))"
        r"|口座番号|口座|(?:[农工建交招中]行|储蓄|借记)卡号?|银行卡号?|银行账[号户]|账号"
        r"|銀行帳號|帳號|계좌(?: ?번호)?|เลข(?:ที่)?บัญชี"
        r"|(?:tài khoản|\bstk)(?: ngân hàng)?|(?:nomor|no\.?) ?rek(?:ening)?|\brek(?:ening)?\b"
        r"|konto(?:nummer|-?nr\.?)|rekeningnummer|número de (?:cuenta|conta)|numéro de compte"
        r"|खाता (?:संख्या|नंबर)|account ko|लेखा संख्या|आईएफएससी|គណនី"
        r"|, acc(?:oun)?t|(?:支店|銀行|口座番号[はが:：]?) ?(?:普通|当座)(?:預金)?"
        r"|ゆうちょ(?:銀行)? ?記号|記号 ?\d{5} ?番号|ゆうちょ.{0,12}番号"
        r"|บัญชี(?:ธนาคาร)?",
        r"(?i:[a-z]{4}0[a-z0-9]{6})|\d{2}-\d{2}-\d{2}(?!-?\d)"
        r"|(?!(?:19|20)\d\d-\d\d-\d\d(?!\d))\d(?:[ -]?\d){5,18}",
    ),
    _Labeled(
        "bank_account",
        rf"{_BANK}(?: (?:savings|current|acc(?:oun)?t|a/c|rek(?:ening)?|stk|no\.?))?|\btk\b"
        rf"|收款[账帳][户戶]"
        r"|\b(?:to|into|from|my|which|what) (?:bank )?account",
        r"(?!(?:19|20)\d\d-\d\d-\d\d(?!\d))\d(?:[ -]?\d){7,18}",
    ),
    _Labeled("bank_account", r"\bsort code [\d-]{6,8},? (?:account|acct)", r"\d{6,12}"),
    _Labeled("iban", r"\biban\b", r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?"),
    _Labeled(
        "birth_date",
        r"date of birth|birth ?date|birthday|\bd\.?o\.?b\b\.?|生年月日|誕生日|生まれ"
        r"|\bborn(?: in [A-Z][a-z]{2,20}(?: [A-Z][a-z]{2,20})?,?)?(?: on)?|\(b\. "
        r"|出生(?:日期|年月日?|于|於)?|生日|생년월일|생일"
        r"|วัน(?: เดือน ปี)?เกิด|เกิด(?!อุบัติ|เหตุ|ปัญหา|ขึ้น|ข้อ|การ|ไฟ|ความ|จาก|น้ำ"
        r"|แผ่น)(?:วันที่|เมื่อ)?"
        r"|ngày sinh|sinh (?:ngày|nhật)|(?:tanggal|tarikh|tgl\.?|\b) ?lahir(?: tanggal)?"
        rf"(?:(?: di)?{_IN_TOWN})?|\bttl\b{_IN_TOWN}"
        r"|பிறந்த ?(?:தேதி|நாள்)"
        r"|जन्म ?(?:तिथि|तारीख|दिन|दिनांक)?|kaarawan|kapanganakan"
        r"|ipinanganak(?: (?:po|ako|siya|kami))*(?: noong)?"
        r"|ថ្ងៃ(?:ខែឆ្នាំ)?កំណើត|জন্ম ?(?:তারিখ|দিন)|تاريخ (?:الميلاد|الولادة)|မွေး(?:သက္ကရာဇ်|နေ့)"
        r"|geburtsdatum|geb(?:oren|\.)(?: am| op)?|geboortedatum|nat[oa] il|data di nascita"
        r"|né(?:e)? le|date de naissance|fecha de nacimiento"
        r"|nac(?:id[oa]|í|ió) el"
        r"|data de nascimento|nasc(?:i|id[oa]) em|\bturn(?:ed|s|ing)? \d{1,3} on",
        _DATE,
    ),
    _Labeled(
        "drivers_license",
        r"(?:driver'?s?|driving) licen[cs]e|\bdl(?: no| number|:|#)|運転免許証?(?:番号)?|免許証番号"
        r"|驾驶?[证照]号?码?|駕[照駛]執?照?|(?:운전)?면허"
        r"|ใบ(?:อนุญาต)?ขับ(?:ขี่|รถ)|(?:giấy phép|bằng) lái(?: xe)?|\bgplx|\bsim [abc]\b"
        r"|ड्राइविंग लाइसेंस"
        r"|lisensya|führerschein(?:nummer)?|fahrerlaubnis|permis de conduire|licencia de conducir",
        r"[A-Z]{2}\d{2}[ -]?\d{11}|[A-Z]{3}\d{5}[A-Z]{2}\d{2}|\d{17}[\dX]|[A-Z]{2}\d{7,8}[A-Z]"
        r"|[A-Z]{2}\d{2} \d{4} ?\d{7}|[A-Z]{5}\d{6}[A-Z]{2}\d[A-Z]{2}|[A-Z]\d{3}(?:-\d{3,4}){3}"
        r"|(?:[A-Z]{1,3}[ -]?)?\d(?:[ -]?\d){5,15}"
        r"|[A-Z]\d{2}-\d{2}-\d{6}|[A-Z]\d{3}(?:-\d{4}){2}|[A-Z]\d{2}[A-Z\d]{6}\d[A-Z\d]"
        r"|[A-Z]\d{4}(?:-\d{5}){2}|(?=(?:[A-Z]*\d){3})[A-Z0-9]{7,18}",
    ),
    _Labeled(
        "license_plate",
        r"(?:licen[cs]e|car|vehicle|number) plates?|plates? ?(?:no\.?|number|:)|\bplate\b"
        r"|(?:vehicle|car|bike|van|truck|scooter)(?:'?s)? (?:no\.?|number|reg(?:istration)?)"
        r"(?: (?:no\.?|number))?\b|\breg\.? no\b|\bplaka(?:sı)?(?: numarası)?|kennzeichen"
        r"|車號|车号"
        r"|फ़?लाइसेंस प्लेट|ស្លាកលេខ"
        r"|ナンバー(?:プレート)?|車両番号|车牌(?:号码?)?|車牌(?:號碼?)?|차량 ?번호|번호판"
        r"|ทะเบียน(?:รถ)?|biển (?:số|kiểm soát)(?: xe)?"
        r"|\bplat\b(?: (?:nomor|mobil|motor))*(?: (?:saya|nya))?"
        r"|\bnopol|(?:nomor|no\.?) polisi|(?:गाड़ी|वाहन)(?: का)? नंबर",
        _PLATE,
    ),
    _Labeled(
        "license_plate",
        r"\b(?:vehicle|car|kereta|van|truck|(?:motor)?bike|taxi|scooter|reg|auto|wagen|coche|carro"
        r"|voiture|mobil"
        r"|motor"
        r"|parking (?:permit|ticket|fine))s?\b,?|immatriculation"
        r"|matr[íi]cula|\bplaca\b|\btarga\b|차량?|\bstnk\b"
        r"|\bxe\b|गाड़ी|वाहन|कार\s|รถ|車",
        r"[A-Z]{2}[ -]?\d{1,2}[A-Z]?[ -]?[A-Z]{1,3}[ -]?\d{4}|[A-Z]{2}\d{2} [A-Z]{3}"
        r"|\d{2,3}[가-힣] ?\d{4}|[A-Z]{3}[ -]\d{3} ?[A-Z]{2}"
        r"|[A-Z]{1,2} \d{1,4} [A-Z]{2,3}|\d{2}[A-Z]\d?-\d{3}\.?\d{2}"
        r"|[A-ZÄÖÜ]{1,3}-[A-Z]{1,2} \d{1,4}[EH]?|[A-Z]{2}-\d{3}-[A-Z]{2}|[A-Z]{3} ?\d{4} ?[A-Z]"
        r"|\d{4} ?[A-Z]{3}|[A-Z]{3}\d[A-Z]\d\d"
        r"|[A-Z]{3}[ -]?\d{4}|\d{2}-[A-Z]\d \d{3}\.\d{2}|\d[ก-ฮ]{2} \d{1,4}"
        r"|[一-鿿]{1,4} ?\d{2,3} ?[ぁ-ん] ?\d{1,2}-?\d{2}",
    ),
    _Labeled(
        "coordinates",
        r"\bgps\b|coordinates?|\blat(?:itude)?\b(?:[/,;]\s?lo?ng?(?:itude)?\b)?|\blocation(?: pin)?"
        r"|(?:\bi'?m|i am|located|seen|live|camp(?:ed|ing)|stay(?:ed|ing)|meet(?: me)?|house"
        r"|home|parked) (?:at"
        r"|near|around|by)"
        r"|\bpin\b|緯度(?:経度|經度)?|北[緯纬]|座標|位置|坐标|纬度|緯度|위도|좌표|위치|(?:พิกัด"
        r"|ตำแหน่ง)[ก-๙]{0,16}"
        r"|tọa độ|toạ độ|vị trí|koordinat|\b(?:titik|lokasi)(?: rumah)?\b|ubicación|standort"
        r"|निर्देशांक|स्थान",
        r"-?\d{1,3}\.\d{3,}°?(?: ?[NS])?[\"']?\s{0,2}[,;/、，]?\s{0,2}"
        r"[\"']?(?i:lon(?:g(?:itude)?)?|lng|経度|经度|經度"
        r"|[東东][経经經])?[\"':= ]{0,4}-?\d{1,3}\.\d{3,}(?:°? ?[EW])?"
        rf"|{_PLACE}",
    ),
    _Labeled(
        "address",
        r"(?:\baddress|地址|住所|お届け先|配送先|ที่อยู่|địa chỉ|\balamat|पता|주소|배송지|ঠিকানা|முகவரி"
        r"|العنوان|အာသယ်|လိပ်စာ|អាសយដ្ឋាន"
        r"|adresse|anschrift|dirección|endereço|tirahan|lieferadresse)"
        r"(?: \([^()\d]{1,20}\))?[\"']?[:：=]",
        r"(?=[^\n;|]{0,80}(?<![A-Za-z])\d)(?=[!-~]+ [^ ]|[^\n]{0,3}[^\x00-\x7f])(?!\S*@|\S*:|/"
        r"|[a-z\d-]+(?:\.[a-z\d-]+)+[\"',;\s]"
        r"|0x|\d{1,3}\.\d)[^\s;|\"<>{}=@?!][^\n;|\"<>{}=@?!]{7,110}?"
        r"(?=\s*(?:$|[\n;|\"।।]|(?:[.,]? |[,，])(?:phone|tel|mob|email|contact"
        r"|dob|电话|電話|手机|โทร"
        r"|เบอร์|ผู้รับ|sđt|hp|no\. hp"
        r"|फ़?ोन|मोबाइल|전화|연락처|받는 ?(?:분|사람)|수령인"
        r"|name|收件人|電話番号|please|thanks)|(?<=[a-z\d]{4})\. [A-Z]"
        r"|。))",
    ),
    _Labeled(
        "us_ssn",
        r"\bssn\b|social security(?: (?:no|number))?|\b(?:full|my|his|her|your) social\b"
        r"|seguro social",
        r"\d{3}[- ]?\d{2}[- ]?\d{4}",
    ),
    _Labeled("us_ssn", r"\bssn\b[^\n]{0,30}", r"\d{3}-\d{2}-\d{4}"),
    _Labeled("bank_account", "記号", r"\d{5}(?= ?番号)"),
    _Labeled("ng_nin", r"\bnin\b|national identification number", r"\d{4}[ -]?\d{3}[ -]?\d{4}"),
    _Labeled("ng_bvn", r"\bbvn\b|bank verification number", r"\d{4}[ -]?\d{3}[ -]?\d{4}"),
    _Labeled(
        "in_gstin",
        r"\bgst(?:in)?\b",
        r"(?i:(?:0[1-9]|[12]\d|3[0-7]|9[79])[a-z]{5}\d{4}[a-z][1-9a-z]z[0-9a-z])",
    ),
    _Labeled(
        "crypto_address",
        r"\b(?:bitcoin|btc|eth|usdt|trx|tron|xrp|ripple|doge(?:coin)?|litecoin|solana|sol|cardano"
        r"|ada|wallet|deposit)\b(?: (?:wallet|deposit))?(?: addr(?:ess)?)?|ウォレット|钱包(?:地址)?"
        r"|錢包(?:地址)?|지갑(?: ?주소)?|กระเป๋า|địa chỉ ví|dompet",
        r"(?=[A-Za-z]{0,40}\d)(?=[1-9A-Z]{0,40}[a-z])(?=[1-9a-z]{0,40}[A-Z])"
        r"[1-9A-HJ-NP-Za-km-z]{25,64}|addr1[0-9a-z]{50,110}",
    ),
    _Labeled(
        "mac_address",
        r"\bmac\b(?: addr(?:ess)?)?|\bbssid\b",
        r"(?=[\da-f]{0,11}[a-fA-F])[\da-fA-F]{12}",
    ),
    _Labeled(
        "id_npwp",
        r"\bnpwp\b",
        r"\d{2}\.?\d{3}\.?\d{3}\.?\d-?\d{3}\.?\d{3}|\d{16}|\d{4} \d{4} \d{4} \d{4}",
    ),
)
_NEXT_FIELD: Final = re.compile(r"[\"'], ?[\"'](?=[-\d])|[\"']?,\s{0,3}[\"'][a-z]+[\"']: ?[\"']?")
# Between a word and its value: "number", "is" and "my" in each language, marks, what the word is
# of, and the end of a question with the start of its answer.
_BETWEEN: Final = (
    r"(?: [-–—] |[\s:=：#*_|>📍\"'`「『（()]|\.\s|\([^()\d]{1,20}\)|no\.?|number|nomor|numero"
    r"|番号|号码?"
    r"|號碼?|번호"
    r"|เลขที่|số|['’]s|is|was|reads|says|on file|第|ist|est|es|é|na|slip|shows?|card|saya"
    r"|pribadi|kak|kamu|anda|nya|ko"
    r"|ay|adalah"
    r"|của (?:tôi|em|anh|chị|bạn)|là|ของ(?:คุณ|ฉัน|ผม)|คือ|の|は|が|是|为|為|은|는|है|मेरी|मेरा"
    r"|of|to|the|my|his"
    r"|her|on|bank|account|vào|ผม|ฉัน|code|po|kong|its|it['’]s|i['’]?m"
    r"|कोड|संख्या|नंबर|16[- ]digit|กสิกร(?:ไทย)?|ไทยพาณิชย์"
    r"|กรุง(?:ไทย|เทพ)"
    r"|(?:신한|국민|우리|하나|농협|기업|카카오|토스|새마을|케이)(?:은행|뱅크)?|ធនាគារ"
    r"|[一-鿿ァ-ヶー]{1,8}(?:[银銀]?行|支[行店])|នៃ|គឺ|៖|លេខ"
    r"|(?!order|invoice|ref|ticket)(?-i:[A-Z][A-Za-z]{1,14})(?![A-Za-z])"
    r"|(?:of|for|in|de|der|des|untuk|dari|của) (?!(?:the )?(?:order|invoice|ref|ticket|m[ai][xn]"
    r"|point))[^\W\d]{2,20}(?: [^\W\d]{2,20}){0,2}(?=:| (?:is|was|là|ay|est|es|é|ist)\b)"
    r"|[^\n\d?？]{0,40}(?:[?？]\s{0,3}\n|\x1e\n)"
    r"|[^\n\d]{0,60}\x1e\n|(?!คำสั่ง|ออเดอร์|พัสดุ|ใบ)[ก-๙]{1,20}|[ក-៿]{1,20}|[ऀ-ॿ]{1,12}"
    r"|[஀-௿]{1,15}|(?!주문|송장)[가-힣]{1,6}|full|(?:sure|yes|yeah|ok|okay|hi|it|that|oh|はい|是的|네|vâng|dạ"
    r"|ya"
    r"|opo|हाँ)[,.]?){0,8}?"
)
_OWN: Final = {
    "mac_address": r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}"
    r"(?![\w:-])|(?<![\w.:-])(?=[0-9.]{0,13}[a-fA-F])"
    r"[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}(?![\w.:-])",
    "coordinates": rf"(?<![\w.])(?:{_PLACE})(?!\w)"
    r"|(?:(?<=[?&]q=)|(?<=ll=)|(?<=/@)|(?<=geo:))-?\d{1,2}\.\d{4,},-?\d{1,3}\.\d{4,}",
    "birth_date": rf"(?<![\w/.-])(?:{_DATE})"
    r"(?= ?(?:生まれ|生(?![一-鿿])|geboren|出生(?![率地])|생(?:이|입|인|\W|$)))",
    "crypto_address": r"(?<!\w)(?:0x[0-9a-fA-F]{40}|(?:bc|ltc)1[ac-hj-np-z02-9]{25,59}"
    r"|[13][1-9A-HJ-NP-Za-km-z]{25,34}|T[1-9A-HJ-NP-Za-km-z]{33})(?!\w)",
    "bank_account": rf"(?<![\w.+-])\d{{10,16}}(?= ?[,(]? ?(?i:{_BANK}))",
    "drivers_license": r"(?<!\w)[A-Z]{2,5}9{0,3}(?<=\w{5})\d[0156]\d[0-3]\d\d"
    r"[A-Z9]{2}\d[A-Z]{2}(?!\w)",
    "us_ssn": r"(?<![\w-])\d{3}-\d{2}-\d{4}(?=\W{1,3}(?:is my |= ?)?(?i:ssn|social sec))",
    "in_gstin": r"(?<!\w)(?:0[1-9]|[12]\d|3[0-7]|9[79])[A-Z]{5}\d{4}[A-Z][1-9A-Z]Z[0-9A-Z](?!\w)",
}
"""Kinds whose values are recognizable without a word."""

_OWN_SIGNS: Final = {
    "mac_address": r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}"
    r"|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]",
    "coordinates": r"\d° ?\d|\d{3}°? ?[NS][, ]|(?:[?&]q=|ll=|/@|geo:)-?\d",
    "birth_date": r"\d ?日? ?(?:生|出生|geboren)|[일\d] ?생",
    "crypto_address": "[0-9A-Za-z]{26}",
    "bank_account": rf"[0-9]{{10}} ?[,(]? ?(?i:{_BANK})",
    "drivers_license": r"[A-Z9]\d[0156]\d[0-3]\d\d[A-Z9]{2}\d[A-Z]{2}",
    "us_ssn": r"\d-\d\d-\d{4}\W{1,3}(?:is my |= ?)?(?i:ssn|social)",
    "in_gstin": r"\d[A-Z]{5}\d{4}[A-Z]",
}


def _joined(words: str) -> str:
    """Return a pattern that also matches names of fields: date_of_birth, dateOfBirth, user_dob."""
    return words.replace(" ", "[ _-]?").replace(r"\b", r"(?:\b|_)")


_THEN_DIGIT: Final = "(?s:.*)[0-9]"
_GUARDS: Final = Guards(
    *(f"(?i:{_joined(guard_of(one.words))}){_THEN_DIGIT}" for one in _LABELED), *_OWN_SIGNS.values()
)
_EVERY_WORD: Final = _joined("|".join(guard_of(one.words) for one in _LABELED))
SIGNS: Final = "|".join([f"(?i:{_EVERY_WORD}){_THEN_DIGIT}", *_OWN_SIGNS.values()])
"""The words before a digit, and parts of values that need no word."""


def find_labeled(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the kind and the position of each value in a text with ASCII digits and marks."""
    found = _GUARDS.search(text)
    for kind, pattern in (
        _own_patterns()[at - len(_LABELED)] for at in found if at >= len(_LABELED)
    ):
        for match in pattern.finditer(text):
            if _is_own(kind, match.group()):
                yield kind, *match.span()
    for index in found:
        if index >= len(_LABELED):
            continue
        one = _LABELED[index]
        for match in _pattern(one).finditer(text):
            before = text[max(match.start() - 16, 0) : match.start()]
            if one.kind == "birth_date":
                wrong = _LONG_AGO.search(match[1]) or _NOBODY.search(before)
            else:
                wrong = _NO_HOME.search(before) if one.kind == "address" else None
            if wrong:
                continue
            parts = _NEXT_FIELD.split(match[1]) if one.kind == "coordinates" else [match[1]]
            yield one.kind, match.start(1), match.start(1) + len(parts[0])
            if len(parts) > 1:  # fields of JSON
                yield one.kind, match.end(1) - len(parts[-1]), match.end(1)


def _is_own(kind: str, value: str) -> bool:
    """Return whether a value has the check digits of its kind."""
    if kind == "mac_address":  # a broadcast, or no address
        return len({*value.upper()} - {*":-."}) > 1
    if kind != "crypto_address":
        return kind != "birth_date" or not _LONG_AGO.search(value)
    if kind == "crypto_address" and value[0] in "13":
        from stdnum import bitcoin

        return bool(bitcoin.is_valid(value))
    return any(c.isdigit() for c in value) and value.count("0") < _MANY_ZEROS


_MANY_ZEROS: Final = 20  # of an address that nobody owns


@lru_cache(maxsize=1)
def _own_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(_OWN[kind], re.ASCII)) for kind in _OWN_SIGNS)


@lru_cache(maxsize=len(_LABELED))
def _pattern(one: _Labeled) -> re.Pattern[str]:
    return re.compile(
        rf"(?i:(?:{_joined(one.words)}){_BETWEEN})(?<![A-Za-z0-9.])({one.value})(?![A-Za-z0-9]"
        rf"|[.,]\d)"
    )
