"""Made-up values for the cases of personal data: right check digits, and nobody's.

Everything is built from counters and a seed. No value is written out in a file, so that secret
scanners have nothing to report. Telephone numbers end in runs of digits that are used in examples.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from random import Random

from stdnum import luhn, verhoeff
from stdnum.cn import ric
from stdnum.jp import in_ as my_number
from stdnum.th import pin

Maker = Callable[[Random], str]

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
_TAILS = ("1234", "5678", "4321", "2345", "3456", "1212", "5555")


def _digits(pick: Random, count: int) -> str:
    return "".join(pick.choice(string.digits) for _ in range(count))


def _date(pick: Random, form: str) -> str:
    day, month, year = pick.randint(1, 28), pick.randint(1, 12), pick.randint(1960, 1999)
    return form.format(d=day, m=month, y=year, yy=year % 100, d_w=day + 40)


def _grouped(digits: str, *lengths: int, mark: str = "-") -> str:
    parts, at = [], 0
    for length in lengths:
        parts.append(digits[at : at + length])
        at += length
    return mark.join(parts)


def _cn(*areas: str) -> Maker:
    def make(pick: Random) -> str:
        body = pick.choice(areas) + _date(pick, "{y}{m:02}{d:02}") + _digits(pick, 3)
        return body + ric.calc_check_digit(body + "0")

    return make


def _my_number(pick: Random) -> str:
    body = _digits(pick, 11)
    return body + my_number.calc_check_digit(body)


def _rrn(pick: Random) -> str:
    body = _date(pick, "{yy:02}{m:02}{d:02}") + pick.choice("12") + _digits(pick, 5)
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    total = sum(int(d) * w for d, w in zip(body, weights, strict=True))
    return body + str((11 - total % 11) % 10)


def _nric(pick: Random) -> str:
    first, body = pick.choice("STFG"), _digits(pick, 7)
    total = sum(int(d) * w for d, w in zip(body, (2, 7, 6, 5, 4, 3, 2), strict=True))
    total += 4 if first in "TG" else 0
    return first + body + ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[total % 11]


def _mykad(pick: Random) -> str:
    return (
        _date(pick, "{yy:02}{m:02}{d:02}")
        + pick.choice(("01", "07", "10", "14"))
        + _digits(pick, 4)
    )


def _thai(pick: Random) -> str:
    body = pick.choice("12345") + _digits(pick, 11)
    return body + pin.calc_check_digit(body)


def _aadhaar(pick: Random) -> str:
    while True:
        body = pick.choice("23456789") + _digits(pick, 10)
        if len(set(body)) > 4:
            return body + verhoeff.calc_check_digit(body)


def _pan(pick: Random) -> str:
    letters = "".join(pick.choice(string.ascii_uppercase) for _ in range(3))
    return f"{letters}P{pick.choice(string.ascii_uppercase)}{pick.randint(1, 9999):04}" + "K"


def _nik(pick: Random) -> str:
    area = pick.choice(("317406", "327312", "357801", "510301"))
    return (
        area + _date(pick, pick.choice(("{d:02}{m:02}{yy:02}", "{d_w:02}{m:02}{yy:02}"))) + "0001"
    )


def _taiwan(pick: Random) -> str:
    letter = pick.choice("ABCDEFGHJKLMNPQRSTUVXYWZIO")
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter) + 10
    body = pick.choice("12") + _digits(pick, 7)
    total = place // 10 + place % 10 * 9
    total += sum(int(d) * w for d, w in zip(body, (8, 7, 6, 5, 4, 3, 2, 1), strict=True))
    return letter + body + str(-total % 10)


def _hkid(pick: Random, *, check: str = "") -> str:
    while True:
        letter, body = pick.choice("ABCDEGHKPRVYZ"), _digits(pick, 6)
        numbers = [36, ord(letter) - 55, *map(int, body)]
        rest = -sum(n * w for n, w in zip(numbers, range(9, 1, -1), strict=True)) % 11
        made = "A" if rest == 10 else str(rest)
        if not check or made == check:
            return f"{letter}{body}({made})"


def _cccd(pick: Random) -> str:
    place = pick.choice(("001", "079", "048", "031", "092"))
    return f"{place}{pick.choice('01')}{pick.randint(60, 99)}{_digits(pick, 6)}"


def _card(pick: Random, first: str = "4", length: int = 16) -> str:
    body = first + _digits(pick, length - 1 - len(first))
    return body + luhn.calc_check_digit(body)


def _phone(*forms: str) -> Maker:
    """Make numbers of the forms: N is a digit from 2 to 8, and T four digits of an example."""

    def make(pick: Random) -> str:
        written = pick.choice(forms)
        while "T" in written:
            written = written.replace("T", pick.choice(_TAILS), 1)
        return "".join(pick.choice("2345678") if c == "N" else c for c in written)

    return make


def _token(prefix: str, count: int, alphabet: str = _LETTERS_AND_DIGITS, tail: str = "") -> Maker:
    def make(pick: Random) -> str:
        return prefix + "".join(pick.choice(alphabet) for _ in range(count)) + tail

    return make


_ALPHABETS = {
    "A": _LETTERS_AND_DIGITS,
    "D": string.digits,
    "B": _LETTERS_AND_DIGITS + "+/",
    "H": _HEX,
    "L": string.ascii_lowercase + string.digits,
    "U": _UPPER,
    "W": _LETTERS_AND_DIGITS + "_-",
}


def make_key(form: str) -> Maker:
    """Make keys of a form: parts with a separator between them, such as "gs|k_ A52".

    A part is literal, without its bar, or an alphabet's letter and a count.
    """

    def make(pick: Random) -> str:
        made = ""
        for part in form.split():
            if part[0] in _ALPHABETS and part[1:].isdigit():
                made += _token("", int(part[1:]), _ALPHABETS[part[0]])(pick)
            else:
                made += part.replace("|", "")
        return made

    return make


_VENDOR_KEYS = {
    "groq": "gs|k_ A52",
    "xai": "xa|i- A80",
    "replicate": "r|8_ A37",
    "perplexity": "ppl|x- A48",
    "anthropic": "sk|-ant-api03- W95",
    "pinecone": "pc|sk_ A60",
    "langfuse": "sk|-lf- H8 - H4 - H4 - H4 - H12",
    "google_oauth": "GOC|SPX- W28",
    "google_access": "ya|29. W120",
    "google_refresh": "1/|/0 W60",
    "twilio": "S|K H32",
    "mailgun": "ke|y- H32",
    "brevo": "xkey|sib- H64 - A16",
    "shopify": "shp|at_ H32",
    "shopify_secret": "shp|ss_ H32",
    "databricks": "da|pi H32",
    "notion": "nt|n_ A46",
    "notion_old": "sec|ret_ A43",
    "linear": "lin|_api_ A40",
    "airtable": "pa|t A14 . H64",
    "square": "EA|AA W60",
    "square_secret": "sq0|csp- W43",
    "vault": "hv|s. W95",
    "grafana": "gl|sa_ A32 _ H8",
    "grafana_cloud": "gl|c_ A60",
    "new_relic": "NR|AK- U27",
    "postman": "PM|AK- H24 - H34",
    "figma": "fi|gd_ W40",
    "discord": "MT A24 . W6 . W38",
    "discord_webhook": "discord.com/api/web|hooks/ D18 / W68",
    "slack_webhook": "hooks.slack.com/ser|vices/T U10 /B U10 / A24",
    "docker": "dckr|_pat_ W27",
    "digitalocean": "do|o_v1_ H64",
    "atlassian": "ATA|TT3 A180",
    "terraform": "A14 .atlas|v1. W67",
    "doppler": "dp|.pt. A43",
    "hubspot": "pa|t-na1- H8 - H4 - H4 - H4 - H12",
    "sentry": "snt|ryu_ H64",
    "alibaba": "LT|AI A20",
    "tencent": "AK|ID A32",
    "razorpay": "rz|p_live_ A14",
    "xendit": "xn|d_production_ A48",
    "omise": "sk|ey_test_ H19",
    "midtrans": "SB-M|id-server- W24",
    "planetscale": "psc|ale_tkn_ W43",
    "facebook": "EA|AM A150",
    "age": "AGE-SEC|RET-KEY-1 U58",
}
"""Forms of vendors' keys. A bar keeps scanners from matching."""


def _pem(pick: Random) -> str:
    label = pick.choice(("RSA ", "EC ", "OPENSSH ", "")) + "PRIVATE" + " KEY"
    lines = [_token("", 64)(pick) for _ in range(3)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"))


def _jwt(pick: Random) -> str:
    return ".".join(
        ("ey" + _token("J", 33)(pick), "ey" + _token("J", 60)(pick), _token("", 43)(pick))
    )


def _email(tail: str) -> Maker:
    return lambda pick: pick.choice(("ann.lee", "k_sato", "budi")) + str(pick.randint(1, 99)) + tail


def _time(pick: Random) -> str:
    month, day, hour = pick.randint(1, 12), pick.randint(1, 28), pick.randint(0, 23)
    return f"2026-{month:02}-{day:02}T{hour:02}:15:{pick.randint(0, 59):02}.{_digits(pick, 3)}Z"


def _stamp(pick: Random) -> str:
    return f"20260{pick.randint(1, 9)}{pick.randint(10, 28)}{pick.randint(10, 23)}1530"


def _ipv4(pick: Random) -> str:
    return pick.choice(("81.2.69.", "89.160.20.", "175.16.199.")) + str(pick.randint(1, 254))


def _ipv6(pick: Random) -> str:
    hexes = [f"{pick.randint(1, 65535):x}" for _ in range(3)]
    return "2a02:8071:" + pick.choice(
        (f"{hexes[0]}::{hexes[1]}", f"0:{hexes[0]}:{hexes[1]}:8a2e:370:{hexes[2]}")
    )


def _iban(pick: Random) -> str:
    body = "37040044" + _digits(pick, 10)
    check = 98 - int(body + "131400") % 97
    return f"DE{check:02}{body}"


def _wide(text: str) -> str:
    """Return a text in full-width characters."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _then(make: Maker, change: Callable[[str], str]) -> Maker:
    return lambda pick: change(make(pick))


def _split(make: Maker, *lengths: int, mark: str = "-") -> Maker:
    return lambda pick: _grouped(make(pick), *lengths, mark=mark)


_ANY_MOBILE = (*("090-T-T", "080-T-T"), "010-T-T", "0NN-T")


# name -> how to make it. The kind is what comes before the first dot.
def _like_names() -> dict[str, Maker]:
    """Return places, companies, products and words that look like names, by language and sort."""
    words = json.loads((Path(__file__).parent / "words_like_names.json").read_text())

    def choose(some: list[str]) -> Maker:
        return lambda pick: pick.choice(some)

    return {
        f"-{language}.{sort}": choose(some)
        for language, sorts in words.items()
        for sort, some in sorts.items()
    }


VALUES: dict[str, Maker] = {
    "cn_resident_id": _cn("110105", "440106", "310115", "510107"),
    # Chongwen, Xuanwu, Luwan and Nanhui, which were merged into other districts from 2009 to 2011.
    "cn_resident_id.old": _cn("110103", "110104", "310103", "310225", "512301", "422201"),
    "cn_resident_id.wide": _then(_cn("110105", "440106"), _wide),
    "jp_my_number": _my_number,
    "jp_my_number.grouped": _split(_my_number, 4, 4, 4),
    "jp_my_number.spaced": _split(_my_number, 4, 4, 4, mark=" "),
    "jp_my_number.wide": _then(_split(_my_number, 4, 4, 4), _wide),
    "jp_my_number.bar": _split(_my_number, 4, 4, 4, mark="―"),
    "kr_rrn": _split(_rrn, 6, 7),
    "kr_rrn.bare": _rrn,
    "kr_rrn.wide": _split(_rrn, 6, 7, mark="－"),
    "kr_rrn.spaced": _split(_rrn, 6, 7, mark=" - "),
    "sg_nric": _nric,
    "sg_nric.lower": _then(_nric, str.lower),
    "my_nric": _split(_mykad, 6, 2, 4),
    "my_nric.bare": _mykad,
    "th_national_id": _thai,
    "th_national_id.grouped": _split(_thai, 1, 4, 5, 2, 1),
    "th_national_id.spaced": _split(_thai, 1, 4, 5, 2, 1, mark=" "),
    "th_national_id.thai": _then(
        _split(_thai, 1, 4, 5, 2, 1), lambda t: t.translate({48 + n: 0xE50 + n for n in range(10)})
    ),
    "in_aadhaar": _split(_aadhaar, 4, 4, 4, mark=" "),
    "in_aadhaar.bare": _aadhaar,
    "in_pan": _pan,
    "id_nik": _nik,
    "id_nik.spaced": _split(_nik, 4, 4, 4, 4, mark=" "),
    "id_nik.dotted": _split(_nik, 6, 6, 4, mark="."),
    "tw_national_id": _taiwan,
    "tw_national_id.wide": _then(_taiwan, _wide),
    "hk_id": _hkid,
    "hk_id.a": lambda pick: _hkid(pick, check="A"),
    "hk_id.wide": _then(_hkid, lambda t: t.replace("(", "（").replace(")", "）")),
    "hk_id.bare": _then(_hkid, lambda t: t.replace("(", "").replace(")", "")),
    "hk_id.spaced": _then(_hkid, lambda t: t.replace("(", " (")),
    "vn_cccd": _cccd,
    "vn_cccd.spaced": _split(_cccd, 3, 3, 6, mark=" "),
    "ph_tin": lambda pick: (
        _grouped(str(pick.randint(100, 999)) + _digits(pick, 6), 3, 3, 3) + "-000"
    ),
    "ph_tin.short": lambda pick: _grouped(str(pick.randint(100, 999)) + _digits(pick, 6), 3, 3, 3),
    "ph_philsys": lambda pick: _grouped(_digits(pick, 16), 4, 4, 4, 4),
    "ph_philsys.bare": lambda pick: "5" + _digits(pick, 15),
    "ph_philsys.psn": lambda pick: _grouped(_digits(pick, 12), 4, 4, 4),
    "passport.jp": lambda pick: "TK" + _digits(pick, 7),
    "passport.cn": lambda pick: "E" + _digits(pick, 8),
    "passport.us": lambda pick: "5" + _digits(pick, 8),
    "passport.kr": lambda pick: "M" + _digits(pick, 3) + "A" + _digits(pick, 4),
    "passport.th": lambda pick: "AA" + _digits(pick, 7),
    "passport.vn": lambda pick: "C" + _digits(pick, 7),
    "passport.id": lambda pick: "X" + _digits(pick, 7),
    "passport.ph": lambda pick: "P" + _digits(pick, 7) + "A",
    "payment_card": _split(_card, 4, 4, 4, 4, mark=" "),
    "payment_card.bare": _card,
    "payment_card.amex": _split(lambda pick: _card(pick, "37", 15), 4, 6, 5),
    "iban": _iban,
    "phone.jp": _phone("090-T-T", "080-T-T", "03-3NNN-T", "06-6NNN-T"),
    "phone.jp_bare": _phone("090TT", "080TT"),
    "phone.jp_wide": _then(_phone("090-T-T", "03-3NNN-T"), _wide),
    "phone.jp_brackets": _phone("03（3NNN）T", "（03）3NNN-T", "03(3NNN)T"),
    "phone.jp_free": _phone("0120-NNN-NNN"),
    "phone.kr": _phone("010-T-T", "02-3NNN-T", "010.T.T", "010 T T"),
    "phone.kr_bare": _phone("010TT"),
    "phone.th": _phone("081-NNN-T", "02-2NN-T", "089 NNN T", "06-2NNN-T"),
    "phone.th_bare": _phone("081NNNT", "089NNNT"),
    "phone.vn": _phone("0912 NNN NNN", "0903.NNN.NNN", "(028) 38NN T", "098-NNN-T"),
    "phone.vn_bare": _phone("0912NNNNNN"),
    "phone.id": _phone("0812-NNNN-T", "(021) 5NN-T", "0857 NNNN T", "0813.NNNN.T"),
    "phone.id_bare": _phone("0812NNNNT"),
    "phone.ph": _phone("0917 NNN T", "0918-NNN-T", "(02) 8NNN T"),
    "phone.ph_bare": _phone("0917NNNT"),
    "phone.cn": _phone("138 T T", "139-T-T", "010-6NNN T"),
    "phone.cn_bare": _phone("138TT", "139TT"),
    "phone.tw": _phone("0912-NNN-NNN", "02-2NNN-T"),
    "phone.hk": _phone("9NNN T", "2NNN T"),
    "phone.sg": _phone("9NNN T", "6NNN T"),
    "phone.us": _phone("(415) 5NN-T", "212-5NN-T", "415.5NN.T"),
    "phone.gb": _phone("020 79NN T", "07700 900NNN"),
    "phone.international": _phone(
        "+81 90 T T",
        "+66 81 NNN T",
        "+84 912 NNN NNN",
        "+62 812-NNNN-T",
        "+63 917 NNN T",
        "+86 138 T T",
        "+82-10-T-T",
        "+65 9NNN T",
    ),
    "phone.zero": _phone("+66 (0)81 NNN T", "+44 (0)20 79NN T", "+81 (0)90 T T"),
    "phone.dialled": _phone("0066 81 NNN T", "0081 90 T T", "001 82 10 T T", "0084 912 NNN NNN"),
    "email": _email("@example.com"),
    "email.at": _email(" (at) example (dot) com"),
    "email.square": _email("[at]example[dot]com"),
    "email.words": _email(" at example dot com"),
    "email.half": _email("(at)example.co.jp"),
    "email.wide": _email("（アット）example.co.jp"),
    "email.upper": _email(" AT example DOT com"),
    "email.star": _email(" @ example . com"),
    "secret.aws": _token("AK" + "IA", 16, _UPPER),
    "secret.aws_secret": _token("", 40, _LETTERS_AND_DIGITS + "/+"),
    "secret.google": _token("AI" + "za", 35),
    "secret.github": _token("gh" + "p_", 36),
    "secret.gitlab": _token("gl" + "pat-", 20),
    "secret.slack": _token("xo" + "xb-1234567890-", 24),
    "secret.stripe": _token("sk" + "_live_", 24),
    "secret.openai": _token("sk" + "-proj-", 48),
    "secret.hub": _token("hf" + "_", 34, string.ascii_letters),
    "secret.package": _token("np" + "m_", 36),
    "secret.sendgrid": _then(_token("S" + "G.", 65), lambda t: t[:25] + "." + t[26:]),
    "secret.telegram": lambda pick: "61" + _digits(pick, 8) + ":AA" + _token("", 33)(pick),
    "secret.jwt": _jwt,
    "secret.bearer": _token("", 40),
    "secret.generic": _token("", 32, _HEX),
    "secret.azure": _token("", 86, _LETTERS_AND_DIGITS + "/+", "=="),
    "secret.pem": _pem,
    "secret.ours": _token("sk" + "-ft-", 43),
    **{f"secret.{vendor}": make_key(form) for vendor, form in _VENDOR_KEYS.items()},
    "password.words": lambda pick: pick.choice(
        ("sunflower", "correct-horse-battery", "Tr!angle", "OpenSesame", "sakura-hanabi")
    ),
    "password.pin": lambda pick: _digits(pick, 4),
    "password.otp": lambda pick: _digits(pick, 6),
    "password": lambda pick: (
        pick.choice(("Sunny", "tiger", "Kaze", "lotus")) + pick.choice("!@#$_") + _digits(pick, 4)
    ),
    "bank_account": lambda pick: _digits(pick, pick.choice((7, 10, 12))),
    "bank_account.grouped": lambda pick: _grouped(_digits(pick, 10), 3, 1, 5, 1),
    "bank_account.ifsc": make_key("ABCD 0 D6"),
    "birth_date": lambda pick: _date(pick, pick.choice(("{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}"))),
    "birth_date.words": lambda pick: _date(pick, "{d} May {y}"),
    "birth_date.cjk": lambda pick: _date(pick, "{y}年{m}月{d}日"),
    "birth_date.ko": lambda pick: _date(pick, "{y}년 {m}월 {d}일"),
    "drivers_license": lambda pick: _digits(pick, 12),
    "drivers_license.letter": lambda pick: "D" + _digits(pick, 7),
    "license_plate.in": lambda pick: "MH " + _digits(pick, 2) + " AB " + _digits(pick, 4),
    "license_plate.id": lambda pick: "B " + _digits(pick, 4) + " XYZ",
    "license_plate.jp": lambda pick: "品川 500 さ " + _grouped(_digits(pick, 4), 2, 2),
    "license_plate.cn": lambda pick: "京A" + _digits(pick, 5),
    "license_plate.kr": lambda pick: _digits(pick, 2) + "가 " + _digits(pick, 4),
    "license_plate.th": lambda pick: "1กข " + _digits(pick, 4),
    "license_plate.vn": lambda pick: "30A-" + _digits(pick, 3) + "." + _digits(pick, 2),
    "mac_address": lambda pick: _grouped(_token("", 12, _HEX)(pick), 2, 2, 2, 2, 2, 2, mark=":"),
    "crypto_address": make_key("0 x H40"),
    "crypto_address.bech": lambda pick: (
        "bc1q" + _token("", 38, "acdefghjklmnpqrstuvwxyz023456789")(pick)
    ),
    "coordinates": lambda pick: f"35.{_digits(pick, 5)}, 139.{_digits(pick, 5)}",
    "us_ssn": lambda pick: _grouped(_digits(pick, 9), 3, 2, 4),
    "ng_nin": lambda pick: _digits(pick, 11),
    "ng_bvn": lambda pick: "22" + _digits(pick, 9),
    "id_npwp": lambda pick: _date(pick, "09.254.294.3-407.000"),
    "in_gstin": lambda pick: "27" + _pan(pick) + "1Z5",
    "ip_address": _ipv4,
    "ip_address.six": _ipv6,
    # What is not personal.
    "-digits6": lambda pick: str(pick.randint(10**5, 10**6 - 1)),
    "-digits8": lambda pick: _digits(pick, 8),
    "-digits9": lambda pick: _digits(pick, 9),
    "-digits10": lambda pick: "0" + _digits(pick, 9),
    "-digits11": lambda pick: "0" + _digits(pick, 10),
    "-digits12": lambda pick: _digits(pick, 12),
    "-digits13": lambda pick: pick.choice("12345678") + _digits(pick, 12),
    "-digits16": lambda pick: pick.choice("345") + _digits(pick, 15),
    "-mobile": _phone("090TT", "010TT", "081NNNT", "0912NNNNNN", "0812NNNNT", "0917NNNT", "138TT"),
    "-dashed": _phone("090-T-T", "010-T-T", "081-NNN-T", "02-2NN-T", "0812-NNNN-T"),
    "-price": lambda pick: (
        f"{pick.randint(1, 999)},{pick.randint(0, 999):03},{pick.randint(0, 999):03}.00"
    ),
    "-time": _time,
    "-stamp": _stamp,
    "-epoch": lambda pick: "17" + _digits(pick, 8),
    "-epoch_ms": lambda pick: "17" + _digits(pick, 11),
    "-version": lambda pick: (
        f"{pick.randint(0, 30)}.{pick.randint(0, 30)}.{pick.randint(0, 255)}.{pick.randint(0, 255)}"
    ),
    "-sku": lambda pick: (
        _token("", 3, string.ascii_uppercase)(pick)
        + "-"
        + _digits(pick, 4)
        + "-"
        + _digits(pick, 6)
    ),
    "-tracking": lambda pick: "1Z" + _token("", 16, _UPPER)(pick),
    "-post": lambda pick: (
        pick.choice(("EE", "RR", "CP")) + _digits(pick, 9) + pick.choice(("JP", "TH", "VN"))
    ),
    "-iban_like": lambda pick: f"DE00{_digits(pick, 18)}",
    "-uuid": lambda pick: _grouped(_token("", 32, _HEX)(pick), 8, 4, 4, 4, 12),
    "-sha": _token("", 40, _HEX),
    "-isbn": lambda pick: (
        "978-4-" + _digits(pick, 2) + "-" + _digits(pick, 6) + "-" + _digits(pick, 1)
    ),
    "-decimal": lambda pick: f"{pick.randint(0, 9)}.{_digits(pick, 14)}",
    **_like_names(),
}
