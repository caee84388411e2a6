"""Writes the mixed-language chat file used by the data set benchmark.

Rows are drawn with a fixed seed from sentences in twelve languages, so that all runs and all
machines measure the same bytes. About one row in a thousand is broken in one of several ways, since
a validator that finds nothing is easy to make fast.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

SENTENCES: dict[str, list[str]] = {
    "en": [
        "How do I change the delivery address of an order that has already been paid?",
        "Our support desk answers within one working day, weekends and holidays excluded.",
        "Please keep the invoice number at hand when you call the accounting department.",
        "The replacement part ships from the regional warehouse on the next morning.",
    ],
    "ja": [
        "注文した商品の配送先住所を変更するにはどうすればよいですか。",
        "サポート窓口は営業日の午前九時から午後六時まで対応しております。",
        "請求書番号をお手元にご用意のうえ、経理部までお問い合わせください。",
        "交換部品は翌朝に地域の倉庫から発送されます。",
    ],
    "zh": [
        "已经付款的订单如何修改收货地址？",
        "客服中心在工作日上午九点到下午六点提供服务。",
        "致电财务部门时，请准备好您的发票号码。",
        "更换的零件将于第二天早上从区域仓库发出。",
    ],
    "zh-hant": ["已經付款的訂單如何修改收件地址？", "客服中心於工作日上午九點至下午六點提供服務。"],
    "ko": [
        "이미 결제한 주문의 배송지를 어떻게 변경하나요?",
        "고객 지원 센터는 영업일 오전 아홉 시부터 오후 여섯 시까지 운영합니다.",
        "회계 부서에 전화하실 때 청구서 번호를 준비해 주세요.",
    ],
    "th": [
        "ฉันจะเปลี่ยนที่อยู่จัดส่งของคำสั่งซื้อที่ชำระเงินแล้วได้อย่างไร",
        "ศูนย์บริการลูกค้าเปิดทำการในวันทำการตั้งแต่เก้าโมงเช้าถึงหกโมงเย็น",
    ],
    "vi": [
        "Làm thế nào để thay đổi địa chỉ giao hàng của đơn hàng đã thanh toán?",
        "Bộ phận hỗ trợ trả lời trong vòng một ngày làm việc, trừ ngày lễ.",
    ],
    "id": [
        "Bagaimana cara mengubah alamat pengiriman pesanan yang sudah dibayar?",
        "Pusat bantuan menjawab dalam satu hari kerja, kecuali hari libur.",
    ],
    "hi": [
        "पहले से भुगतान किए गए ऑर्डर का डिलीवरी पता मैं कैसे बदलूँ?",
        "सहायता केंद्र कार्यदिवसों में सुबह नौ बजे से शाम छह बजे तक खुला रहता है।",
    ],
    "de": ["Wie ändere ich die Lieferadresse einer bereits bezahlten Bestellung?"],
    "fr": ["Comment modifier l’adresse de livraison d’une commande déjà payée ?"],
    "ar": ["كيف يمكنني تغيير عنوان التسليم لطلب تم دفعه بالفعل؟"],
}

# Functions that turn a valid row into a broken one.
BREAKERS = (
    lambda row: row[:-2],
    lambda row: row.replace('"assistant"', '"assistent"', 1),
    lambda row: row.replace('"content"', '"contents"', 1),
    lambda row: row.replace('"role": "user", ', "", 1),
    lambda _row: '{"prompt": "a", "completion": "b"}',
)


def text(pick: random.Random, language: str, sentences: int) -> str:
    """Return a paragraph of `sentences` sentences, with a number so that few repeat."""
    body = " ".join(pick.choice(SENTENCES[language]) for _ in range(sentences))
    return f"{body} #{pick.randrange(10**6)}"


def rows(count: int, *, seed: int = 7, broken_per_mille: float = 1.0) -> Iterator[str]:
    """Yield `count` JSON lines, without newlines."""
    pick = random.Random(seed)
    languages = list(SENTENCES)
    for _ in range(count):
        language = pick.choice(languages)
        messages: list[dict[str, object]] = []
        if pick.random() < 0.6:
            messages.append({"role": "system", "content": text(pick, language, 1)})
        for _ in range(pick.choice((1, 1, 1, 2, 3))):
            messages.append({"role": "user", "content": text(pick, language, 1)})
            answer = text(pick, language, pick.choice((1, 2, 3)))
            messages.append({"role": "assistant", "content": answer})
        row = json.dumps({"messages": messages}, ensure_ascii=False)
        if pick.random() * 1000 < broken_per_mille:
            row = pick.choice(BREAKERS)(row)
        yield row


def write(path: Path, *, megabytes: int, seed: int = 7) -> int:
    """Fill `path` up to about `megabytes` (10^6 bytes) and return the number of rows."""
    limit, written, count = megabytes * 10**6, 0, 0
    with path.open("wb") as out:
        for row in rows(10**9, seed=seed):
            data = row.encode() + b"\n"
            written += out.write(data)
            count += 1
            if written >= limit:
                return count
    return count
