"""Decodes text in any named encoding, including VISCII and TCVN, and recognizes Unicode."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterable, Iterator

# The characters for bytes 0x80 to 0xFF, and for the bytes below 0x20 that encode letters.
# Source: the tables of the GNU C library's iconv.
_VISCII = (
    "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯ"
    "ÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ"
)
_VISCII_LOW = {0x02: "Ẳ", 0x05: "Ẵ", 0x06: "Ẫ", 0x14: "Ỷ", 0x19: "Ỹ", 0x1E: "Ỵ"}
_TCVN = (
    "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\xa0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323"
    "àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịòỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ"
)
_TCVN_LOW = {
    0x01: "Ú", 0x02: "Ụ", 0x04: "Ừ", 0x05: "Ử", 0x06: "Ữ", 0x11: "Ứ", 0x12: "Ự", 0x13: "Ỳ",
    0x14: "Ỷ", 0x15: "Ỹ", 0x16: "Ý", 0x17: "Ỵ",
}  # fmt: skip


def _table(low: dict[int, str], high: str) -> str:
    return "".join(low.get(byte, chr(byte)) for byte in range(128)) + high


_TABLES = {"viscii": _table(_VISCII_LOW, _VISCII), "tcvn": _table(_TCVN_LOW, _TCVN)}
_COMPOSED = frozenset(("cp1258", "tcvn"))


def has_table(codec: str) -> bool:
    """Return whether `decode` has a table for the codec."""
    return codec in _TABLES


def decode(data: bytes, codec: str) -> str:
    """Decode bytes with any codec. Raises UnicodeDecodeError.

    A letter and its tone mark, which two of the Vietnamese encodings store separately, are
    composed into one character.
    """
    if codec in _TABLES:
        text = codecs.charmap_decode(data, "strict", _TABLES[codec])[0]
    else:
        text = data.decode(codec)
    return unicodedata.normalize("NFC", text) if codec in _COMPOSED else text


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
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "cp1252": "Windows-1252",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
    "cp1257": "Windows-1257",
    "cp1258": "Windows-1258",
    "iso8859_2": "ISO 8859-2",
    "koi8_u": "KOI8-U",
    "iso8859_5": "ISO 8859-5",
    "iso8859_6": "ISO 8859-6",
    "cp850": "IBM 850",
    "cp866": "IBM 866",
    "hz": "HZ",
    "iso2022_jp_ext": "ISO-2022-JP",
    "iso2022_kr": "ISO-2022-KR",
    "johab": "Johab",
    "mac_cyrillic": "Mac Cyrillic",
    "mac_roman": "Mac Roman",
    "tcvn": "TCVN",
    "viscii": "VISCII",
}
# Encodings with several bytes per character, which other text rarely fits.
WIDE = frozenset(("gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "johab"))
# Name written by the user -> codec that reads it.
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
    "koi8_r": "koi8_u",
    "tcvn3": "tcvn",
    "tcvn5712_1": "tcvn",
    "tcvn_5712": "tcvn",
    "utf_8_sig": "utf-8-sig",
    "utf_8": "utf-8",
    "utf8": "utf-8",
}


def codec_for(name: str) -> str | None:
    """Return the codec for an encoding name as written by the user, or None if unknown."""
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    wanted = _ALIASES.get(wanted, wanted)
    if has_table(wanted):
        return wanted
    try:
        found = codecs.lookup(wanted)
        "".encode(found.name)
    except (LookupError, UnicodeError):
        return None
    return _ALIASES.get(wanted, found.name)


def codec_by_mark(head: bytes) -> str | None:
    """Return the Unicode encoding that a byte order mark or the pattern of zero bytes shows."""
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


def is_damaged_utf8(line: bytes) -> bool:
    """Return whether a line is damaged UTF-8: most of its non-ASCII characters are valid."""
    text = line.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    return sum(not char.isascii() for char in text) > 2 * damaged


def invalid_utf8_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that are not valid UTF-8."""
    for line in lines:
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                yield line
