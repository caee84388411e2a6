"""Finds telephone numbers by numbering plans, and classifies the words around numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from service.datasets.personal_data.kinds import TURN_END, GuardedPattern, guard_of

Clue = Literal["own", "phone", "other"]
"""The kind of number that the nearest word announces: the given kind, a phone, or another."""

BEFORE: Final = 48  # characters before a number that are searched for a word
_AFTER: Final = 14
_CLOSE: Final = 8
_NEAR: Final = 16


# Names of fields join words: phone_number, mobileNumber.
_BOUNDARY: Final = r"\b"
_EDGE: Final = r"(?:\b|(?<=_)|(?=_)|(?-i:(?<=[a-z])(?=[A-Z])))"


class Words:
    """Words that announce a kind of number, in any case."""

    def __init__(self, *alternatives: str) -> None:
        every = "|".join(alternatives)
        # To find that there is no word takes RE2 a twentieth of the time.
        self._pattern = GuardedPattern(
            f"(?i:{guard_of(every.replace(_BOUNDARY, ''))})",
            every.replace(_BOUNDARY, _EDGE),
            flags=re.IGNORECASE,
        )

    def last(self, window: str) -> int:
        """Return where the last match ends, or -1."""
        return max((match.end() for match in self._pattern.finditer(window)), default=-1)


PHONE: Final = Words(
    r"\b(?:my|his|her|our|mera|meri) (?:(?:gcash|jio|airtel|mtn|smart|globe"
    r"|home|office|work|new|old|other|second|personal) )?number\b"
    r"|(?<!philsys )(?<!order )(?<!tracking )(?<!account )(?<!card )(?<!id )(?<!tin )"
    r"(?<!sss )(?<!license )number (?:ko|niya)|numero (?:ko"
    r"|niya)(?! sa)|लैंडलाइन"
    r"|दूरभाष|(?:वा|वॉ|व्हा)ट्स"
    r"|\bmy no\b|मो\.|दूरसंचार|លេខខ្ញុំ|លេខទាក់ទង"
    r"|nomor (?:saya|aku)|제 번호|내 번호"
    r"|我的号码|我的號碼|私の番号|微信|打[俾给給]|số (?:của|máy|em|tôi|mình)|เบอร",
    r"\b(?:tele)?phones?\b|\btel(?:e|p)?\b|\bmobiles?\b|\bcell(?:phone)?s?\b|\bwhats ?app\b|\bwa\b",
    r"\bcall(?:ing|ed| me| us)?\b(?! (?:stack|center|duration|log|id)\b)|\bring\b|\bdial\b"
    r"|\breach (?:me|us|him|her)\b|\banswer(?:ing|s)? at\b|\b(?:i-?)?text (?:me|mo|ko)\b"
    r"|\bsms\b|\bgsm\b|\bph\b|\bmob\b|\b(?:gcash|(?:pay)?maya|ovo|gopay|dana|shopeepay|linkaja"
    r"|bkash|nagad|paytm|phonepe|momo|promptpay)\b|พร้อมเพย์|\btelegram\b|\b(?:land|office |home "
    r"|direct )line\b",
    r"\bfax\b|\bhotline\b|\bcontact(?: no\.?| number)?\b|\bviber\b|\bline id\b",
    r"電話|携帯|ﾃﾙ|℡|連絡先|ダイヤル|ファックス|ケータイ|スマホ",
    r"电话|手机|拨打|致电|联系|座机|來電|电联|電話|手機|撥打|聯絡|致電|傳真|传真",
    r"전화|휴대폰|핸드폰|연락|폰번호|팩스|휴대전화",
    r"โทร|เบอร์|มือถือ|ติดต่อ|แฟกซ์|แฟ็กซ์",
    r"điện thoại|\bsđt\b|\bđt\b|\bgọi\b|liên hệ|di động|\bzalo\b|\bhotline\b|số máy",
    r"telepon|telpon|\btelp\b|\bhp\b|ponsel|hubungi|handphone|kontak|\bno\.? ?wa\b",
    r"telefon|telepono|tawag(?:an|in)?|numero ko|selpon|kontakin|i-text",
    r"தொலைபேசி|போன்|மொபைல்|கைபேசி|அலைபேசி|தொடர்பு|\bm[óo]vil\b|\bfone\b|\bcp\b|joindre|joignable"
    r"|erreichbar"
    r"|téléphone|portable|appelez|teléfono|celular|\bzap\b|ll[aá]m[ae]|telefone|ligue|telefono"
    r"|cellulare",
    r"ទូរ(?:ស័ព្ទ|សព្ទ)|ទំនាក់ទំនង|ទាក់ទង|ហៅ|តេឡេក្រាម|តេលេក្រាម|rufnummer|handy|anruf|rufen"
    r"|फ़?ोन|मोबाइल|कॉल|संपर्क|(?:मेरा|अपना|आपका|इस) नंबर|ফোন|মোবাইল|নম্বর|ဖုန်း|هاتف|جوال|موبايل"
    r"|واتس",
)
OTHER: Final = Words(
    r"\border(?:s|ed)?\b|\binvoices?\b|\bbills?\b|\breceipts?\b|\btrack(?:ing)?\b"
    r"|\bparcel\b|\bsku\b",
    r"\bserial\b|\bpart (?:no|number)|\bproduct\b|\bitem\b|\bmodel\b|\breference\b|\bref\b"
    r"|\btickets?\b",
    r"\bcase\b|\btransaction\b|\btxn\b|\bpurchase\b|(?-i:\bPO|\bP\.O\.)|\bp\.?o\.? (?:no|number|#)|"
    r"\bbooking\b|\breservation\b"
    r"|\bshipment\b",
    r"\bid(?=[ :=#]*\d)|[_-]id\b|\b(?:quote|customer|member|batch|lot|policy|contract"
    r"|claim) (?:id|no|number)",
    r"\btimestamp\b|\bbarcode\b|\bisbn\b|\bean\b|\bupc\b|\bgtin\b|\bimei\b|\bversion\b"
    r"|(?<!card )#\s*$|\bcode\b|\blog\b",
    r"\bcommit\b|\blot\b|\bbatch\b|\brequest\b|\bsession\b|\bprice\b|\btotal\b"
    r"|\bamount\b|\baccount\b"
    r"|\bwaybill\b|\bawb\b",
    r"注文|請求書|伝票|追跡|問い?合わ?せ番号|お問い合わせ番号|会員(?!様)|受付|予約(?!者|様)|型番"
    r"|品番|商品"
    r"|製造|シリアル|コード",
    r"管理番号|契約|整理番号|取引|領収|配送番号|発送番号|送り状|発注|見積|納品|顧客番号|番号札"
    r"|ロット|合計|金額|口座",
    r"订单|发票|快递|单号|运单|商品|编号|流水|合同|型号|序列|批次|交易|收据|总价|金额|会员"
    r"|工单|货号|条码",
    r"訂單|發票|追蹤|單號|產品|編號|合約|型號|序號|交易|收據|貨號|會員|總價|金額|條碼|包裹",
    r"주문(?!자)|송장|운송장|상품|접수|예약(?!자)|제품|모델|일련|거래|영수증|계약|회원(?!님)"
    r"|고객번호|합계"
    r"|금액|배송번호|바코드|코드",
    r"คำสั่งซื้อ|ใบแจ้งหนี้|พัสดุ|สินค้า|ออเดอร์|ใบเสร็จ|ใบสั่ง|อ้างอิง|รายการ|สมาชิก|รหัส"
    r"|ซีเรียล|ราคา|บิล",
    r"đơn hàng|hóa đơn|hoá đơn|vận đơn|sản phẩm|giao dịch|tham chiếu|mã (?:số|đơn"
    r"|vận|khách|hàng)|\bmã\b|biên lai",
    r"pesanan|faktur|\bresi\b|produk|transaksi|kwitansi|\bkode\b|referensi|\bstruk\b"
    r"|pembelian|tagihan|\bseri\b",
    r"resibo|bestell|rechnung|sendung|artikel|commande|facture|colis|pedido|factura|fatura"
    r"|ordine|fattura",
    r"ऑर्डर|चालान|इनवॉइस|बिल|ट्रैकिंग|उत्पाद|संदर्भ|पीएनआर|आईडी|रेफ़?रेंस|शिकायत संख्या|खाता"
    r"|टिकट|यूटीआर"
    r"|\bpnr\b|\butr\b|\bmeter\b|\bref(?:erence)? no|បញ្ជាទិញ|វិក្កយបត្រ|លេខកូដ|តម្លៃ|គណនី"
    r"|ប្រតិបត្តិការ",
)
CARD: Final = Words(
    r"\bcards?\b|\bcc\b|\bvisa\b|master ?card|\bamex\b|american express|\bjcb\b|union ?pay"
    r"|\bdebit\b|\bcredit\b",
    r"カード|卡|카드|บัตรเครดิต|บัตรเดบิต|thẻ|kartu|tarjeta|\bkarte\b|\bcarte\b|कार्ड",
)
_PHONE_AFTER: Final = Words(
    r"^\W{0,2}(?:に|へ|まで)?(?:お?電話|ご?連絡|おかけ)|^\W{0,2}(?:으?로)?\s?(?:전화|연락|문자)",
    r"^\W{0,2}(?:is|as) my (?:mobile|phone|cell|number)|^\W{0,2}(?:联系|聯絡|找我)",
    r"^ (?:office|mobile|cell|fax|home)\b|^\W{0,3}\((?:mobile|cell|phone|携帯|直通|代表)\)",
)


def phone_clue(text: str, start: int, end: int) -> Clue | None:
    """Return what the words around a possible telephone number announce, or None."""
    if _last(_PHONE_AFTER, text[end : end + _AFTER]) >= 0:
        return "phone"
    return clue(text, start)


def clue(text: str, start: int, own: Words | None = None) -> Clue | None:
    """Return what the nearest word before a number announces, or None if there is no word."""
    window = text[max(start - BEFORE, 0) : start]
    other, phone = _last(OTHER, window), _last(PHONE, window)
    nearest = max(other, phone)
    # "My Number" is also a phrase for a telephone number.
    if own is not None and _last(own, window) >= max(nearest, 0):
        return "own"
    return None if nearest < 0 else "phone" if phone >= other else "other"


def is_labeled_other(text: str, start: int, own: Words) -> bool:
    """Return whether the word right before a number announces another kind, such as `SKU: …`."""
    window = text[max(start - BEFORE, 0) : start]
    other = _last(OTHER, window)
    return other > _last(own, window) and len(window) - other <= _CLOSE


def is_labeled(text: str, start: int, own: Words) -> bool:
    """Return whether a word for the given kind is right before a number, such as `NIK: …`."""
    window = text[max(start - BEFORE, 0) : start]
    place = _last(own, window)
    is_near = len(window) - place <= _NEAR or window.endswith(TURN_END)
    return place >= 0 and is_near and place >= _last(OTHER, window)


@lru_cache(maxsize=256)  # all rules for a number search the same words before it
def _last(words: Words, window: str) -> int:
    return words.last(window)


# Spellings of a telephone number with fewer digits are not searched for.
_MIN_DIGITS: Final = 8
_END: Final = r"(?![\w-]|\.\d)"
_START: Final = r"(?<![\w\-/#])(?<!\d\.)(?<!\w\()"
# Numbers with a country code or a leading zero; then numbers without either, which need a word
# before them, except for mobile numbers in China and India.
_PHONE: Final = re.compile(
    _START
    + r"(?:(?:\+\d|\(?0)(?:[ \-.()]{0,2}\d){6,14}|0\d{2,4} ?/(?: ?\d){4,9}"
    + r"|\([2-9]\d\d\) ?\d{3}[-.]\d{4})"
    + _END,
    re.ASCII,
)
_SHORT: Final = re.compile(_START + r"\(?[1-9](?:[ \-.()]{0,2}\d){7,12}" + _END, re.ASCII)
_MOBILE: Final = re.compile(r"1[3-9]\d[ -]?\d{4}[ -]?\d{4}|[6-9]\d{4}[ -]?\d{5}", re.ASCII)
_ZERO: Final = re.compile(r"(\+\d{1,3}[ \-.]?)\(0\)")
_DIALED: Final = re.compile(r"(?:001[03]?|002|008|009|0011|010|011|00)[ \-.]?(?=[1-9])")
_DATE: Final = re.compile(
    r"0?\d{1,2}[-. ]\d{1,2}[-. ](?:19|20)\d\d(?: \d{1,2}){0,2}|(?:19|20)\d\d-[01]\d-[0-3]\d"
    r"|[012]\d[03]0 ?- ?[012]\d[03]0|20\d\d-?[01]\d-?[0-3]\d(?: [0-2]\d)?|0 +\d{8,}"
)

_REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "ja": ("JP",),
    "ko": ("KR",),
    "zh-Hans": ("CN",),
    "zh-Hant": ("TW", "HK"),
    "th": ("TH",),
    "vi": ("VN",),
    "id": ("ID",),
    "ms": ("MY",),
    "tl": ("PH",),
    "hi": ("IN",),
    "mr": ("IN",),
    "ar": ("SA", "AE", "EG"),
    "bn": ("BD", "IN"),
    "my": ("MM",),
    "ne": ("NP",),
    "km": ("KH",),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR",),
    "es": ("ES",),
    "it": ("IT",),
    "nl": ("NL",),
    "pt": ("BR", "PT"),
}
# English is used everywhere, so a national number in an English text is valid if it is valid
# in any of these regions.
_ENGLISH: Final = ("GB", "SG", "IN", "MY", "PH", "AU", "US", "NG", "KH")
_ALL: Final = tuple(
    dict.fromkeys(region for regions in (*_REGIONS.values(), _ENGLISH) for region in regions)
)


class Phone(NamedTuple):
    """A telephone number at `text[start:end]`. `possible`: no word or form confirms it."""

    start: int
    end: int
    possible: bool


# Numbers of organizations: free of charge, at a shared cost or at extra cost.
_HOTLINE: Final = re.compile(
    r"\(?(?:0120|0570|0800)[ )-]{1,2}\d|(?:\+?1[ .-]?)?\(?8(?:00|33|44|55|66|77"
    r"|88)\)?[ .-]\d{3}[ .-]\d{4}$"
    r"|400[ -]?\d{3}[ -]?\d{4}$|1[5-8]\d\d[ -]\d{4}$|1[- ]?[389]00[ -]\d",
    re.ASCII,
)
_ORGANIZATION: Final = re.compile(
    r"(?:call cent(?:er|re)|hotline|customer (?:care|service|support)|helpline|\bhalo|toll[- ]free"
    r"|สายด่วน|คอลเซ็นเตอร์|tổng đài|客[服戶户](?:中心|热线|熱線|电话|電話)|고객 ?센터|大代表"
    r"|お客様)\W{0,3}$",
    re.IGNORECASE,
)
"""Words right before the number of an organization."""
_UNIT: Final = re.compile(
    r"\s?(?:bytes?|[kmgt]i?b|ms|secs?|seconds|px|rows|items|points|usd|vnd|idr|php|ngn|inr|thb"
    r"|rupees|naira|pesos"
    r"|rupiah|baht|đồng|円|元|원|บาท)(?![a-z])",
    re.IGNORECASE,
)
"""Units after amounts, which are no telephone numbers."""
_DECIMAL: Final = re.compile(r"0\.\d+(?:[. ]+\d+)*|\+?\d+\.\d", re.ASCII)


def find_phones(text: str, languages: tuple[str, ...]) -> Iterator[Phone]:
    """Find telephone numbers in a text with ASCII digits and marks.

    After a word such as "phone", a number counts if it is valid in any known region. After a word
    such as "order", it does not count. Without such a word, it counts if it has a country code or
    is grouped, and is only possible if it is a plain run of digits.
    """
    at_home = regions_of(languages)
    inland = not {"zh-Hans", "hi"}.isdisjoint(languages)
    for pattern in (_PHONE, _SHORT):
        for match in pattern.finditer(text):
            start, end = match.span()
            written = match.group()
            clue = phone_clue(text, start, end)
            if _UNIT.match(text, end) or _ORGANIZATION.search(text, max(start - 20, 0), start):
                continue
            own = text.endswith("フリーダイヤル", 0, start)
            if clue == "other" or (_HOTLINE.match(written) and not own):
                continue
            if _DATE.fullmatch(written) or _DECIMAL.fullmatch(written):
                continue
            if clue == "phone":
                if (
                    forms_of(written, at_home)
                    or forms_of(written, _ALL)
                    or (pattern is _SHORT and forms_of("+" + written, at_home))
                ):
                    yield Phone(start, end, possible=False)
            elif pattern is _PHONE or (inland and _MOBILE.fullmatch(written)):
                if forms_of(written, at_home):
                    yield Phone(start, end, possible=written.isdigit())
                elif not written.isdigit() and forms_of(written, _ALL):
                    yield Phone(start, end, possible=True)


def regions_of(languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the regions whose numbering plans apply to a text in these languages."""
    named = [_REGIONS.get(language, _ENGLISH) for language in languages or ("und",)]
    return tuple(dict.fromkeys(region for regions in named for region in regions))


def phone_forms(written: str, languages: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of a telephone number in each form, or nothing if it is invalid."""
    return forms_of(written, regions_of(languages)) or forms_of(written, _ALL)


@lru_cache(maxsize=8192)
def forms_of(written: str, regions: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of a telephone number in each form if it is valid in one of `regions`."""
    plain = _ZERO.sub(r"\1", written)
    forms = _valid_forms(plain, regions)
    if not forms and (dialed := _DIALED.match(plain)):
        forms = _valid_forms("+" + plain[dialed.end() :], ())
    if not forms:
        return frozenset()
    digits = re.sub(r"\D", "", written)
    return frozenset(form for form in {*forms, digits} if len(form) >= _MIN_DIGITS)


def _valid_forms(written: str, regions: tuple[str, ...]) -> set[str]:
    import phonenumbers  # most data sets contain nothing that looks like a telephone number

    for region in ("ZZ",) if written.startswith("+") else regions:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            own = phonenumbers.national_significant_number(number)
            inland = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            code = number.country_code
            return {f"{code}{own}", f"{code}0{own}", re.sub(r"\D", "", inland), own}
    return set()
