"""Files in the legacy encodings of many languages, as JSON Lines and CSV, long and short."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator

from service.datasets.formats.encodings import decode
from tests.datasets.file_cases.cases import Case, Pairs, chats, jsonl

TEXTS: dict[str, Pairs] = {
    "ja": [
        ("営業時間は何時までですか？", "平日は十八時まで、土日は休みです。"),
        ("注文をキャンセルしたいのですが。", "発送前であればマイページから取り消せます。"),
        ("領収書は発行できますか？", "はい、商品と一緒にお送りしています。"),
    ],
    "ja-short": [("送料は？", "五百円です。")],
    "ja-kana": [
        ("ﾓﾃﾞﾙﾊﾞﾝｺﾞｳﾊ？", "ﾎﾝﾀｲﾉｳﾗﾆｱﾘﾏｽ。"),
        ("サイズは①と②のどちら？", "②の方が大きいです。"),
    ],
    "th": [
        ("ร้านเปิดกี่โมงคะ", "เปิดเก้าโมงเช้าถึงหกโมงเย็นทุกวันค่ะ"),
        ("ส่งของไปต่างจังหวัดไหม", "ส่งครับ ใช้เวลาประมาณสามวัน"),
    ],
    "th-short": [("ราคาเท่าไร", "ห้าร้อยบาท")],
    "ko": [
        ("배송은 얼마나 걸리나요?", "보통 이틀 정도 걸립니다."),
        ("주문을 취소하고 싶어요.", "발송 전에는 내 정보에서 취소할 수 있습니다."),
    ],
    "ko-short": [("영업시간?", "아홉 시부터요.")],
    "ko-uhc": [
        ("햏자님 뷁 글자도 되나요?", "네, 쌰와 뷁 모두 읽을 수 있습니다."),
        ("똠방각하는 언제 와요?", "다음 주에 배송됩니다."),
    ],
    "zh": [
        ("你们几点开门？", "我们每天早上九点开门，周一休息。"),
        ("怎么修改收货地址？", "付款后请联系客服，我们会帮您修改。"),
    ],
    "zh-short": [("包邮吗？", "满百包邮。")],
    "zh-tw": [
        ("請問幾點開門？", "我們每天早上九點開門，週一休息。"),
        ("如何修改收件地址？", "付款後請聯絡客服，我們會幫您修改。"),
    ],
    "zh-hk": [
        ("你哋幾點開門㗎？", "我哋朝早九點開，禮拜一唔開嘅。"),
        ("可唔可以改送貨地址？", "得嘅，俾咗錢之後搵我哋客服就得。"),
    ],
    "zh-tw-short": [("有現貨嗎？", "有的，歡迎下單。")],
    "vi": [
        ("Cửa hàng mở cửa lúc mấy giờ?", "Chúng tôi mở cửa từ chín giờ sáng mỗi ngày."),
        ("Tôi muốn đổi địa chỉ giao hàng.", "Bạn vui lòng liên hệ bộ phận hỗ trợ để được đổi."),
    ],
    "vi-short": [("Giá bao nhiêu?", "Năm trăm nghìn đồng.")],
    "ar": [
        ("متى تفتحون المحل؟", "نفتح كل يوم من الساعة التاسعة صباحا."),
        ("كيف يمكنني تغيير العنوان؟", "اتصل بخدمة العملاء وسنقوم بتغييره."),
    ],
    "fa": [
        ("ساعت کاري فروشگاه چيست؟", "هر روز از ساعت نه صبح باز هستيم."),
        ("چگونه آدرس را تغيير دهم؟", "لطفا با پشتيباني تماس بگيريد."),
    ],
    "ru": [
        ("Когда вы открываетесь?", "Каждый день в девять часов, кроме понедельника."),
        ("Как изменить адрес доставки?", "Напишите нам номер заказа, и мы его изменим."),
    ],
    "ru-short": [("Сколько стоит?", "Пятьсот рублей.")],
    "uk": [
        ("Коли ви відчиняєтеся?", "Щодня о дев'ятій, крім понеділка."),
        ("Як змінити адресу доставки?", "Напишіть нам номер замовлення, і ми її змінимо."),
    ],
    "el": [
        ("Πότε ανοίγετε;", "Κάθε μέρα στις εννέα, εκτός από Δευτέρα."),
        ("Πώς αλλάζω τη διεύθυνση;", "Γράψτε μας τον αριθμό της παραγγελίας."),
    ],
    "he": [
        ("מתי אתם פותחים?", "כל יום בתשע בבוקר, חוץ מיום שני."),
        ("איך משנים את כתובת המשלוח?", "כתבו לנו את מספר ההזמנה ונשנה אותה."),
    ],
    "tr": [
        ("Mağaza saat kaçta açılıyor?", "Pazartesi dışında her gün saat dokuzda açılıyoruz."),
        ("Adresimi nasıl değiştiririm?", "Sipariş numaranızı yazın, değiştirelim."),
    ],
    "pl": [
        ("O której otwieracie sklep?", "Codziennie o dziewiątej, oprócz poniedziałku."),
        ("Jak zmienić datę dostawy?", "Proszę do nas napisać, a my ją zmienimy."),
    ],
    "cs": [
        ("V kolik hodin otevíráte?", "Každý den v devět, kromě pondělí."),
        ("Jak změním doručovací adresu?", "Napište nám číslo objednávky a my ji změníme."),
    ],
    "lt": [
        ("Kada atidarote parduotuvę?", "Kasdien devintą valandą, išskyrus pirmadienį."),
        ("Kaip pakeisti pristatymo adresą?", "Parašykite užsakymo numerį ir mes jį pakeisime."),
    ],
    "fr": [
        ("À quelle heure ouvrez-vous ?", "Tous les jours à neuf heures, sauf le lundi."),
        ("Où êtes-vous situés ?", "Près du théâtre, à côté de la forêt."),
    ],
    "de": [
        ("Wann öffnen Sie?", "Täglich um neun, außer montags – bis später!"),
        ("Können Sie größere Möbel liefern?", "Natürlich, für einen Aufpreis."),
    ],
    "de-plain": [("Können Sie größere Möbel liefern?", "Natürlich, für einen Aufpreis.")],
}
# Language, encoding, and container. Where one is missing, the file is JSON Lines.
_FILES = """
ja cp932
ja cp932 csv
ja-short cp932
ja-short cp932 csv
ja-kana cp932
ja euc_jp
ja-short euc_jp csv
ja iso2022_jp
ja iso2022_jp csv
ja-short iso2022_jp
ja utf-16-le csv
ja utf-16-be
ja utf-16 csv
ja utf-8-sig csv
th cp874
th iso8859_11 csv
th-short tis_620 csv
th-short tis_620
ko cp949
ko-uhc cp949 csv
ko-short euc_kr
ko-short euc_kr csv
ko johab
ko iso2022_kr
ko utf-16-le csv
zh gbk
zh gbk csv
zh-short gbk csv
zh-short gb18030
zh hz
zh utf-16-be csv
zh-tw big5
zh-tw-short cp950 csv
zh-tw-short big5
zh-hk big5hkscs
zh-hk big5hkscs csv
vi cp1258 csv
vi viscii
vi tcvn csv
vi-short cp1258
vi-short tcvn csv
vi utf-16-le csv
ar cp1256
ar iso8859_6 csv
fa cp1256 csv
ru cp1251
ru cp1251 csv
ru-short cp1251 csv
ru koi8_r
ru cp866 csv
ru iso8859_5
ru mac_cyrillic csv
ru utf-16-le csv
uk cp1251 csv
uk koi8_u
el cp1253
el iso8859_7 csv
he cp1255
he iso8859_8 csv
tr cp1254
tr iso8859_9 csv
pl cp1250
pl iso8859_2 csv
cs cp1250 csv
lt cp1257
lt iso8859_13 csv
fr cp1252
fr iso8859_15 csv
fr mac_roman csv
fr cp850
de cp1252 csv
de mac_roman
de-plain cp437 csv
"""


def cases() -> Iterator[Case]:
    """Yield a case of each file."""
    for line in _FILES.split("\n"):
        if not line:
            continue
        language, codec, *container = line.split()
        pairs = TEXTS[language]
        if container:
            text = table([("prompt", "completion"), *pairs])
        else:
            text = jsonl([{"prompt": p, "completion": c} for p, c in pairs]).decode()
        yield Case("encodings", line, encoded(text, codec), chats(pairs))


def table(rows: list[tuple[str, ...]], delimiter: str = ",") -> str:
    """The text of a CSV file."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue()


def encoded(text: str, codec: str) -> bytes:
    """Encode text, in the Vietnamese encodings too, which may separate a letter from its tone."""
    if codec in ("viscii", "tcvn"):
        letters = "".join(decode(bytes([byte]), codec) for byte in range(256))
        return bytes(letters.index(char) for char in text)
    if codec != "cp1258":
        return text.encode(codec)
    made = b""
    for char in text:
        try:
            made += char.encode(codec)
        except UnicodeEncodeError:
            whole = unicodedata.normalize("NFD", char)
            tone = next(mark for mark in whole if mark in "\u0300\u0301\u0303\u0309\u0323")
            base = unicodedata.normalize("NFC", whole.replace(tone, ""))
            made += base.encode(codec) + tone.encode(codec)
    return made
