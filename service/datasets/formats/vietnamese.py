"""The single-byte Vietnamese encodings TCVN 5712 and VISCII, which Python does not provide."""

from __future__ import annotations

import codecs
import unicodedata

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
    """Whether `decode` has a table for the codec."""
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
