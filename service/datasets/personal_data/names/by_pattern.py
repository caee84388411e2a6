"""Finds names of persons by context: titles and phrases that announce a name, in each language.

Word taggers have too many false positives, as measured in `docs/data-sets.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from service.datasets.personal_data.kinds import (
    UNKNOWN,
    GuardedPattern,
    Guards,
    patterns_of,
)
from service.datasets.personal_data.names import chinese, korean
from service.datasets.personal_data.names.alone import is_given
from service.datasets.personal_data.names.indonesian import EATERIES
from service.datasets.personal_data.names.latin import find_latin_names
from service.datasets.personal_data.tables import find_cells

_CAP: Final = r"[A-ZÀ-ÖØ-ÞĆČĐĞİŁŚŠŞŻŽ][a-zà-öø-ÿĀ-ɏḀ-ỿA-Z'’-]{1,20}"
_NOT_NAMES: Final = (
    r"(?!(?:Excel|Word|Office|Pepper|Martens|Fields|Coffee|Clean|Muscle|Potato|Oetker|Scholl|Robot"
    r"|Windows|Teams|Access|Outlook|Customer|Support|Service|Team|Sir|Madam|New|Here|Required|Executive"
    r"|Hiring|Manager|Department|Page|Ltd|Inc|LLC|Corp|Company|Industries|Pvt|Limited|Bank|Store|Group|Services"
    r"|Solutions|Technologies|Enterprises|Trading|Payable|Receivable|World|All|Everyone|Folks|Friends"
    r"|Guys|Valued|Bean|Doubtfire|Strange|Seuss|Both|Sales|Desk|Center|Centre|Form|Number|Details|Information|Admin|Looking|Very"
    r"|Financial|Operating|Technology|Justice|Minister|Officer"
    r"|CV|PT|UD|PD|Firma|Toko|Koperasi|Yayasan|Guru|Polisi|Presiden|Dokter|Dosen|Lurah|Camat|Kasir|Satpam|Bos"
    r"|Hakim|Menteri|Gubernur|Bupati|Direktur|Kepala|Kawin|Sekalian|Tani|Haji|RT|RW"
    r"|Mr|Mrs|Ms|Dr|Prof|Who|Bapak|Ibu|Pak|Bu|Saudara|Kota|Negara|Pertiwi|Mayor|Hall|Not|The|A|An|In|On|At)\b)"
)
_MORE: Final = (
    rf"(?:(?: [A-Z]\.)? (?:(?:de la|dela|de los|delos|del|de|da|van der|van|von|bin|binti) )?"
    rf"{_NOT_NAMES}{_CAP})"
)
_INITIALS: Final = r"(?: [B-HJ-Z](?![\w.'’&/-])){0,2}"
_NAME: Final = rf"(?:Ma\. |(?:[A-Z]\.? ){{1,2}})?{_NOT_NAMES}{_CAP}{_MORE}{{0,3}}{_INITIALS}"
_PARTICLE: Final = r"(?:(?:de la|de|del|da|dos|van der|van|von|al|el)[ -])?"
_FULL_NAME: Final = rf"(?:Ma\. |(?:[A-Z]\.? ){{1,2}})?{_NOT_NAMES}{_CAP}{_MORE}{{1,3}}{_INITIALS}"

_VI_WORD: Final = r"[A-ZĐĂÂÊÔƠƯÀ-ÝẠ-Ỹ][a-zà-ýđăơưạ-ỹ]{0,6}"
_VI_FAMILY: Final = (
    r"(?:Nguyễn|Trần|Lê|Phạm|Hoàng|Huỳnh|Phan|Vũ|Võ|Đặng|Bùi|Đỗ|Hồ|Ngô|Dương|Lý|Đinh"
    r"|Đoàn|Trịnh|Mai"
    r"|Tô|Cao|Lâm|Đào|Lương|Trương|Hà|Tạ|Thái|Châu|Quách|La|Phùng|Vương|Tống|Kiều|Chu|Tăng)"
)

_ZH_GIVEN: Final = r"(?![先小女老经經])[一-龥]{1,2}"

_KO_FAMILY: Final = rf"(?:남궁|황보|선우|[{korean.FAMILIES}])"
_KO_NOT: Final = r"(?![가-힣]{2}자|고객사|임직원|한국인|여러분|우리들|이분들|조합원|전문가)"
_KO_NAME: Final = rf"{_KO_NOT}{_KO_FAMILY}[가-힣]{{2}}"

_HI_PARTICLE: Final = (
    "(?:जी|का|की|के|को|से|ने|है|हैं|हूँ|हूं|था|थी|थे|और|या|व|एवं|बोल|में|मैं|पर|तक|द्वारा|नहीं|क्या|यह|वह|सही|गलत|अभी|भी|तो|कौन|मेरा|आपका"
    "|कब|कहाँ|कहां|कैसे|क्यों|कितना|कितने|अस्पताल|मार्ग|रोड|नगर|विश्वविद्यालय|कॉलेज|स्टेडियम|भवन|चौक|पार्क|आयु|उम्र|नंबर|कंपनी|संस्था|मंदिर|अनिवार्य)"
)
_HI_WORD: Final = rf"(?!{_HI_PARTICLE}(?![ऀ-ॿ]))[ऀ-ॣॱ-ॿ]{{2,16}}"
_HI_END: Final = r"(?![ऀ-ॣॱ-ॿ])"
_HI_NAME: Final = rf"{_HI_WORD}(?: {_HI_WORD}){{1,3}}{_HI_END}"

_TH_TITLE: Final = r"(?:นางสาว|นาย|นาง|น\.ส\.|(?<!ขอบ)คุณ|ด\.ช\.|ด\.ญ\.|ดร\.)"
# คุณ also means "you", and starts other words.
_TH_NOT: Final = (
    r"(?!ภาพ|สมบัติ|ลูกค้า|ครู|ค่า|ธรรม|หน้า|จ้าง|ประโยชน์|แม่|พ่อ|หมอ|สินค้า|เป็น|สามารถ|ต้อง"
    r"|ค่ะ|ครับ|คะ|จะ|มี|ได้|อยู่|ซื้อ|เลือก|ลืม|คือ|ชอบ|อยาก|ไม่|ก็|และ|ที่|กำลัง|เคย|ควร|คิด|รู้"
    r"|ทำ|ไป|ใช้|ขอ|พูด|เห็น|ส่ง|สั่ง|แจ้ง|ชื่อ|ว่า|กับ|ให้|หรือ|ยัง|พบ|ติด|โทร|เอง|รับ|จ่าย|เข้า)"
)
# Words that follow a name without a space.
_TH_NEXT: Final = r"(?=เป็น|ค่ะ|ครับ|คะ|นะคะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|เบอร์)"
_TH_FAMILY: Final = (
    r"(?!เลข|เบอร์|โทร|อายุ|ที่|อยู่|บ้าน|สั่ง|ขอ|จาก|ค่ะ|ครับ|คะ|นะ|อีเมล|รหัส|เป็น|มา|ได้|จะ|และ)"
    rf"(?:[ก-๙]{{3,20}}?{_TH_NEXT}|[ก-๙]{{3,16}}(?![ก-๙]))"
)
_TH_NAME: Final = rf"{_TH_NOT}[ก-๙]{{2,15}} {_TH_FAMILY}"


# Words before a title: what follows is the name of an eatery.
_ID_NOT_AFTER: Final = "".join(
    f"(?<![{word[0].upper()}{word[0]}]{word[1:]} )"
    for word in (*EATERIES, "mie", "makan", "bebek", "gudeg")
)

_PERSONS: Final = (
    "[Cc]ustomer|[Rr]ecipient|[Pp]atient|[Cc]lient|[Ee]mployee|[Pp]assenger|[Gg]uest|[Ss]tudent|[Ss]ender"
    "|[Cc]ardholder|[Cc]ontact [Pp]erson|[Aa]ssigned to|[Cc]c|[Nn]ame on card|[Ss]hip to"
    "|[Dd]eliver to|[Aa]ttn|[Cc]ontact|[Tt]enant"
    "|[Bb]eneficiary|[Nn]ext of [Kk]in"
)
_RELATIVES: Final = (
    "cousin|aunt|uncle|niece|nephew|grandma|grandpa|flatmate|roommate|housemate|maid|wife|husband|spouse|son|daughter|mother|father|mom|mum|dad|brother|sister|friend|colleague|boss"
    "|manager|doctor|lawyer|landlord|neighbou?r|partner|assistant|nanny|teacher"
)
_PARTIES: Final = (
    "beneficiary|payee|claimant|borrower|guarantor|nominee|policyholder|account holder"
)
_KM_WORD: Final = "(?!គ្រូ|ស្រី|ប្រុស|និង|អ្នក|គឺ|សូម|ខ្ញុំ|ដែល|មាន|ជា|អាច|បាន|នៅ)[ក-៓]{3,12}"
_KM_NAME: Final = r"(?!និង|អ្នក|គឺ|សូម)[ក-៓]{2,12} [ក-៓]{2,14}(?![ក-៓])"

_ENGLISH: Final = GuardedPattern(
    r"(?:ame (?:is|na)|ame's|naam|ame[\"')]{0,2} ?(?:=>|[:=])) ?[\"'(]{0,3}[A-ZÀ-Þ]|NAME ?:|bol rah"
    r"|(?:I am|I'm|his is) {1,2}[A-ZÀ-Þ][^ \n]* (?:[A-ZÀ-Þ]|[dvb][aei]|from|calling|here)"
    rf"|(?:{_PERSONS})(?: \d{{1,2}})?: {{0,2}}[A-ZÀ-Þ]|(?:igned|pproved|repared"
    r"|eviewed) by [A-ZÀ-Þ]"
    rf"|(?:[Mm]y|[Hh]is|[Hh]er) (?:{_RELATIVES}),? [A-ZÀ-Þ]|(?:{_PARTIES}),? [A-ZÀ-Þ]"
    r"|(?m:^)(?:Hi|Hello|Dear) [A-ZÀ-Þ]|[A-ZÀ-Þ][^ \n]* here[.,!]"
    r"|(?:egards|incerely|hanks|hank you|Yours|Cheers|ruly|igned|est|armly|espectfully),"
    r"[^!-~]{1,3}[A-ZÀ-Þ]",
    rf"\b(?:[Mm]y (?:full )?name (?:is|na)|[Nn]ame's|[Mm]era naam|[Tt]his is(?= {_CAP} (?:from"
    rf"|calling"
    rf"|here)\b)"
    rf"|(?:[Ff]irst|[Ll]ast|[Gg]iven|[Ss]ur|[Ff]amily"
    rf"|[Mm]iddle)[ _]?[Nn]ame[\"']?:) ?[\"']?({_NAME})",
    rf"\b(?:I am|I'm|[Tt]his is|(?:{_PERSONS})(?: \d{{1,2}})?: ?"
    rf"|(?<!Brand )(?<!Product )(?<!File )[Nn]ame: ?"
    rf"|(?:[Ff]ull|[Cc]ustomer|[Pp]atient|[Cc]ontact|[Aa]ccount|[Rr]ecipient|[Ee]mployee"
    rf"|[Ss]tudent)[ _]?"
    rf"[Nn]ame[\"')]{{0,2}} ?(?:=>|[:=]) ?[\"'(]{{0,2}}) ?({_FULL_NAME})",
    r"\bNAME ?: ?([A-Z][A-Z'’-]+(?: [A-Z][A-Z'’-]+){1,3})(?=\s*(?:$|[\n,;|]))",
    rf"\b(?:[Ss]igned|[Aa]pproved|[Pp]repared|[Rr]eviewed) by ({_FULL_NAME})",
    rf"^(?:Hi|Hello|Dear) ({_NAME}),\s*\n",
    rf"\b[Mm]ain ({_FULL_NAME})(?= bol rah[aei])|(?:^|[.,!] )({_FULL_NAME})(?= here[.,!])",
    rf"\b(?:[Mm]y|[Hh]is|[Hh]er) (?:{_RELATIVES}),? (?:({_FULL_NAME})|({_NAME})(?=[,.;:)!?\n]"
    r"|['’]s|$| \())",
    rf"\b(?:{_PARTIES}),? ({_FULL_NAME})",
    rf"\b(?:[Rr]egards|[Ss]incerely|[Tt]hanks|[Tt]hank you|Yours|Cheers"
    rf"|[Tt]ruly|[Ss]igned|[Bb]est|[Ww]armly|[Rr]espectfully),\s{{1,3}}({_FULL_NAME})",
)
# In a text of any language: after an English title, and before an email address.
_ANY: Final = GuardedPattern(
    r"Mr|Ms|Mdm|Madam|Miss|Dr|Prof|Alhaj|Shri|Smt|Mallam|Chief|Engr|Barr|Pastor|Rev|Atty|Khun"
    r"|Kuya|Tito|Tita|Aunt|Oga|Hajiya|Encik|Puan|Cik|Usta|Datin|<[^ <>@]+@",
    rf"\b(?:Mr|Mrs|Ms|Mdm|Madam|Miss|Dr|Prof|Alhaj[ia]|Shri|Smt|Mallam|Chief|Engr|Barr|Pastor|Rev"
    r"|Atty|Khun|Kuya|Tito|Tita|Aunty|Auntie|Oga|Hajiya|Encik|Puan|Cik|Cikgu|Ustazah?"
    rf"|Datin)\.? (?:(?:Dr|Prof|Engr)\.? )?({_PARTICLE}{_NAME})",
    r"(?:^|[:,;] ?|\n)[\"']?([^\Wa-z\d_][^\s\d<>@:,;\"]{0,24}(?: [^\s\d<>@:,;\"]{1,24}){1,3}"
    r"|[^\x00-\x7f]{2,12})[\"']? ?(?=<[^\s<>@]+@)",
)
_IN_ALL: Final = (_ANY, _ENGLISH)
# Names in lists and tables, in a text of any language.
_LIST_OF_PERSONS: Final = (
    "Attendees|Participants|Apologies|Invitees|Witnesses|Peserta rapat|Asistentes|Participantes"
    "|Teilnehmer(?:innen)?|Anwesend|Présents|Excusés"
)
_PERSON_COLUMN: Final = (
    "name|employee|customer|patient|student|tenant|member|guest|passenger|staff|teacher|owner|driver|insured|holder"
    "|applicant|beneficiary|contact|agent|assignee|reporter|requester|nurse|doctor|rider|guardian|parent|candidate"
    "|attendee|participant|recipient|sender|buyer|seller|nama|karyawan|siswa|nombre|nom"
    "|nome|cliente|client|mitarbeiter(?:in)?|kunde|họ tên|họ và tên"
)
_LIST_NAME: Final = (
    rf"{_NOT_NAMES}[A-ZÀ-ÖØ-ÞĐ][^\W\d_]*(?:['’-][^\W\d_]+)?"
    rf"(?: (?:(?:de la|de|del|da|van der|van|von|bin|binti|al"
    rf"|el) )?{_NOT_NAMES}[A-ZÀ-ÖØ-ÞĐ][^\W\d_]*(?:['’.-][^\W\d_]*)?){{1,4}}"
)
_IN_LIST: Final = re.compile(_LIST_NAME)
_LISTED: Final = GuardedPattern(
    rf"(?:{_LIST_OF_PERSONS}): ?[A-ZÀ-Þ]",
    rf"\b(?:{_LIST_OF_PERSONS}): ?({_LIST_NAME}(?:(?:, (?:and )?|; | and "
    rf"| & ){_LIST_NAME}){{0,30}})(?=[.\n;(]|$)",
)
_OF_PERSONS: Final = re.compile(
    rf"(?:(?:full|first|last|customer|employee|patient"
    rf"|student) )?(?:{_PERSON_COLUMN})(?: name)?",
    re.IGNORECASE,
)
_CELL: Final = r"[^\n.?!:=(){}<>0-9|,;\t]*"
_PERSON_HEADER: Final = rf"[*\"' ]*(?:[a-z]+[ _])?(?:{_PERSON_COLUMN})(?:[ _]?name)?[*\"' ]*"
_TABLE: Final = Guards(
    rf"(?im:^(?:{_CELL}[|,;\t])+{_PERSON_HEADER}(?:[|,;\t]{_CELL})*\r?$"
    rf"|^{_PERSON_HEADER}(?:[|,;\t]{_CELL})+\r?$)|(?i:\bvalues\s*\()"
)
"""The header of a column for persons."""
_AR: Final = "[ء-ي]{2,14}"
_AR_GIVEN: Final = (
    "خالد|محمد|أحمد|احمد|علي|عمر|عثمان|حسن|حسين|سعيد|سعد|فهد|فيصل|سلطان|ناصر|ماجد|يوسف|إبراهيم|عبد|عبدالله|عبدالرحمن|طارق|وليد"
    "|سامي|زياد|كريم|رامي|محمود|مصطفى|نورة|فاطمة|مريم|عائشة|سارة|ليلى|هدى|منى|أمل|ريم|هند|نوال|سلمى|دانة|لطيفة|حصة|رنا|رانيا|دينا|هالة|زينب"
)
_AR_NAME: Final = rf"{_AR}(?: (?:بن|بنت|آل|عبد|أبو))? {_AR}(?![ء-ي])"
_TA_WORD: Final = "(?!ஐயா|அம்மா|சார்|நண்ப|வாடிக்கை|உங்கள்|எங்கள்|அனைவ|மிக்க|நான்|என்)[஀-௿]{3,20}"
_TA_NAME: Final = (
    rf"(?:{_TA_WORD}\. )?{_TA_WORD}(?: (?!அவர்|ஆகும்|என|எனக்|பேசு|வணக்|மற்றும்){_TA_WORD})?(?![஀-௿])"
)
_BN_NAME: Final = "[ঀ-৺]{2,16} [ঀ-৺]{2,16}(?: (?:খাতুন|বেগম|ইসলাম|রহমান|হোসেন|আক্তার))?(?![ঀ-৺])"


def _european(*, titles: str, told: str, labels: str, relatives: str) -> tuple[GuardedPattern]:
    """Return the pattern of names after words for persons in a European language."""
    return (
        GuardedPattern(
            rf"\b(?:{titles}) |{told}|(?:{labels}) ?:|{relatives}",
            rf"\b(?:{titles})(?: (?:Dr|Prof)\.)* ({_NAME})",
            rf"\b(?:(?:{labels}) ?:|{relatives},?) ({_FULL_NAME})",
            rf"\b(?:{told}) ({_NAME})",
        ),
    )


_BY_LANGUAGE: Final[dict[str, tuple[GuardedPattern, ...]]] = {
    "ar": (
        GuardedPattern(
            "مرحبا|أهلا|يا |سم|أنا |انا |معك|تحياتي|السيد|دكتور|أستاذ|عميل|مريض",
            rf"(?:أنا|انا|معك|معكم|تحياتي،?) ((?:{_AR_GIVEN})(?! الله)(?: (?:بن|عبد"
            rf"|أبو))?(?: {_AR}){{0,2}} ال[ء-ي]{{3,12}})",
            rf"(?:اسمي|(?:ال)?(?:سيد|دكتور|أستاذ|مهندس|عميل|مريض)ة?"
            rf"|(?:ال)?اسم(?: الكامل)? ?[::]) ({_AR_NAME})",
            r"(?:أنا|انا|اسمي|معك|(?:مرحبا|أهلا)ً?(?: يا)?|يا|(?:ال)?(?:سيد|دكتور|أستاذ|مهندس"
            rf"|آنس)ة?)،? ({_AR_GIVEN})"
            r"(?! الله)(?![ء-ي])",
        ),
    ),
    "bn": (
        GuardedPattern(
            "নাম|জনাব|গ্রাহক|বেগম|রোগী",
            r"(?:আমার নাম|আমি) ([ঀ-৺]{2,16})(?=[,।]| বলছি)",
            rf"(?:আমার নাম|জনাবা?|গ্রাহক|নাম ?[::]|মিসেস|ডা\.|ডাঃ|রোগী) ({_BN_NAME})",
        ),
    ),
    "my": (
        GuardedPattern(
            "ဦး|ဒေါ်|နာမည်",
            "(?:(?<![က-႟])(?:ဦး|ဒေါ်|ဒေါက်တာ) ?|နာမည်(?:က|မှာ)? ?[::]? ?)([က-ဪါ-႟]{4,28})(?= |၊|။|$)",
        ),
    ),
    "de": _european(
        titles=r"Herrn?|Frau",
        told="[Mm]ein Name ist|[Ii]ch heiße|[Hh]ier spricht",
        labels="Kundi?n?e?|Patient(?:in)?|Name|Empfänger(?:in)?",
        relatives="[Mm]eine?[mnrs]? (?:Frau|Mann|Tochter|Sohn|Mutter|Vater|Schwester|Bruder)",
    ),
    "fr": _european(
        titles=r"Monsieur|Madame|Mademoiselle|M\.|Mme|Mlle|Me",
        told="m['’]appelle|[Mm]on nom est",
        labels="Cliente?|Patiente?|Nom|Destinataire",
        relatives=(
            "(?:mon|ma) (?:mari|femme|fille|fils|mère|père|sœur|frère|conjointe?|tante|oncle"
            "|cousine?|voisine?|grand-mère|grand-père|amie?|collègue)"
        ),
    ),
    "nl": _european(
        titles=r"[Mm]eneer|[Mm]evrouw|[Dd]hr\.|[Mm]evr\.|[Mm]w\.",
        told="[Mm]ijn naam is|[Ii]k ben|[Ii]k heet",
        labels="Klant|Naam|Patiënt|Ontvanger",
        relatives="[Mm]ijn (?:vrouw|man|zoon|dochter|moeder|vader|zus|broer|vriend(?:in)?|collega)",
    ),
    "es": _european(
        titles=r"[Ss]eñora?|[Ss]eñorita|Sra?\.|Don|Doña",
        told="[Mm]e llamo|[Mm]i nombre es",
        labels="Clienta?e?|Paciente|Nombre|Destinatario",
        relatives=(
            "(?:mi|su) (?:espos[oa]|marido|mujer|hij[oa]|madre|padre|mam[áa]|pap[áa]|abuel[oa]"
            "|tí[oa]|prim[oa]|sobrin[oa]|suegr[oa]|novi[oa]|amig[oa]|vecin[oa]|jef[ea]|herman[oa])"
        ),
    ),
    "pt": _european(
        titles=r"[Ss]enhora?|Sra?\.|Dona|[Dd]ra?\.|[Dd]outora?|[Tt]écnic[oa]|[Aa]tendente",
        told="[Mm]eu nome é|[Mm]e chamo|[Aa]qui é [oa]",
        labels="Cliente|Paciente|Nome|Destinatário",
        relatives=(
            "(?:meu|minha) (?:espos[oa]|marido|mulher|filh[oa]|mãe|pai|av[óô]|ti[oa]|prim[oa]"
            "|sobrinh[oa]|sogr[oa]|namorad[oa]|amig[oa]|vizinh[oa]|chefe|irmão|irmã)"
        ),
    ),
    "it": _european(
        titles=r"[Ss]ignora?|Sig\.|Sig\.ra|[Dd]ott\.(?:ssa)?|[Dd]ottor(?:essa)?",
        told="[Mm]i chiamo",
        labels="Cliente|Paziente|Nome|Destinatario",
        relatives=(
            "mi[oa] (?:moglie|marito|figli[oa]|madre|padre|mamma|papà|nonn[oa]|zi[oa]|cugin[oa]"
            "|amic[oa]|vicin[oa]|sorella|fratello)"
        ),
    ),
    "en": (_ENGLISH,),
    "tl": (
        _ENGLISH,
        GuardedPattern(
            r"[Ss]i |[Pp]angalan|\b[Kk]ay\b|\b(?:Gng|Bb|G)\.|[Ss]alamat",
            rf"\b(?:[Aa]ko (?:po )?si|[Aa]ng pangalan (?:ko|niya|ng (?:anak|asawa|nanay|tatay"
            rf"|kapatid) ko)"
            rf" ay|[Pp]angalan(?: ng \w{{3,15}})?:) ({_NAME})",
            rf"\b[Ss]alamat(?: po)?,\s{{1,3}}({_FULL_NAME})",
            rf"\b(?:G|Gng|Bb)\. ({_NAME})|\b(?:Ginoong|Ginang|Binibining|Aling|Mang|Kuya"
            rf"|Ate) ({_NAME})",
            rf"\b(?:[Ss]i|[Kk]ay|ni) ({_FULL_NAME})",
        ),
    ),
    "id": (
        GuardedPattern(
            r"\b(?:[Bb]apak|[Pp]ak|[Ii]bu|[Bb]u|Sdri?|Saudari?|Kak|Mas|Mbak|[Nn]ama|[Ss]aya|Tuan"
            r"|Nyonya|a[./]n|[Bb]ernama)\b|Pe(?:langgan|mohon)|Pasien|Nasabah|Karyawan|Siswa|Wali",
            # Few words begin with these letters, and the lookbehinds are slow.
            rf"\b(?=[BIKMNPSTbip]){_ID_NOT_AFTER}(?:[Bb]apak|[Pp]ak|[Ii]bu|[Bb]u|Sdri?\.?|Saudari?"
            rf"|Kak|Mas|Mbak|Tuan|Nyonya) ({_NAME})",
            rf"\b[Ss]aya ({_FULL_NAME})(?=[,.]| dari)",
            rf"\b(?:[Nn]ama saya|[Aa]tas nama|[Nn]ama (?:lengkap|penuh):?|[Nn]ama:|a[./]n\.?"
            rf"|[Bb]ernama) ({_NAME})",
            rf"\b(?:Pelanggan|Pasien|Pemohon|Nasabah|Karyawan|Siswa|Wali(?: murid)?)"
            rf" ?: ?((?:I |(?:Hj?|Drs?|Ir)\. )?{_NAME})",
        ),
    ),
    "vi": (
        GuardedPattern(
            _VI_FAMILY,
            r"\b(?:[Aa]nh|[Cc]hị|[Ôô]ng|[Bb]à|[Cc]ô|[Cc]hú|[Bb]ác|[Ee]m|[Bb]ạn|tên(?: là)?"
            r"|[Tt]ôi là|[Gg]ửi"
            rf"|[Kk]hách hàng:?|[Hh]ọ (?:và )?tên:?|[Cc]hào) ({_VI_FAMILY}(?: {_VI_WORD}){{1,4}})",
        ),
        GuardedPattern(
            " tên ",
            rf"\b(?:[Ee]m|[Mm]ình|[Tt]ôi|[Cc]on|[Cc]háu|[Cc]hị|[Aa]nh|[Bb]ạn) tên (?:là )?"
            rf"({_VI_WORD}(?: {_VI_WORD}){{1,3}})",
        ),
    ),
    "th": (
        GuardedPattern(
            r"นาย|นาง|น\.ส\.|คุณ|ด\.ช\.|ด\.ญ\.|ดร\.|ชื่อ",
            rf"{_TH_TITLE} ?({_TH_NAME})",
            rf"(?<!ขอบ)คุณ ?({_TH_NOT}[ก-๙]{{4,12}}) (?=โทร|สั่ง|ติดต่อ|แจ้ง|บอก|ส่ง|ขอ|รับ)",
            rf"(?:ผม|ฉัน|หนู|เรา)ชื่อ ?({_TH_NAME})|ชื่อ(?:-นามสกุล|ผู้รับ"
            rf"|ลูกค้า) ?:? ?({_TH_NAME})",
        ),
    ),
    "ko": (
        GuardedPattern(
            r"님|씨|이름|저는|성함|성명|입니다",
            rf"(?<![가-힣])({_KO_NAME})(?= ?(?:고객님|선생님|과장님|부장님|대리님|님"
            rf"|씨)(?![가-힣]{{3}}))",
            rf"(?:^|안녕하세요[,.]? )({_KO_NAME})(?=입니다)",
            rf"저는 ({_KO_NAME})(?=이?라고 (?:합니다|해요|하는데))",
            rf"(?:이름은|성함은|성명:?|이름:) ?({_KO_NAME})(?=입니다|이에요|예요|이고|이?라고"
            r"|\W|$)",
        ),
    ),
    "hi": (
        GuardedPattern(
            "मैडम|मैम|दीदी|भैया|नाम|श्री|कुमारी|सुश्री|डॉ|प्रिय|धन्यवाद|खाताधारक|आवेदक|ग्राहक|रोगी|मरीज"
            "|बोल रह",
            rf"(?:मेरा|मेरी|मेरो|उनका|उसका|(?:बच्चे|बेटे|बेटी|पति|पत्नी|पिता|माता|भाई|बहन|मरीज"
            rf"|ग्राहक) का)(?: पूरा)? नाम ({_HI_WORD}(?: {_HI_WORD}){{0,3}})(?= (?:है|हो))",
            rf"(?<![ऀ-ॿ])(?:श्री|श्रीमती|सुश्री|कुमारी|डॉ\.?|डॉक्टर) (?!कृष्ण|राम |गणेश|हनुमान"
            rf"|सत्य |गुरु )({_HI_NAME})"
            rf"(?= {_HI_PARTICLE}|[,।.:\n]|$)",
            rf"(?:नाम|खाताधारक|आवेदक|ग्राहक|रोगी|मरीज|प्राप्तकर्ता|प्रेषक) ?[:：–-]\s?({_HI_NAME})",
            rf"प्रिय ({_HI_WORD}(?: {_HI_WORD}){{0,2}})(?= जी)",
            rf"मैं ({_HI_WORD}(?: {_HI_WORD}){{0,2}})(?= बोल रह[ाीे])",
            rf"धन्यवाद,?\s{{1,3}}({_HI_NAME})$",
            rf"(?:^|[,।.!?] )({_HI_WORD}(?: {_HI_WORD})?)(?= (?:मैडम|मैम|दीदी|भैया)(?![ऀ-ॿ]))",
        ),
    ),
    "ja": (
        GuardedPattern(
            "カナ|がな|名義|[ァ-ヶー]・[ァ-ヶー]|ローマ字|英字",
            r"(?:ローマ字"
            r"|英字)(?:表記)?[)）]?[:：は\s]?\s?([A-Z]{2,12}[ \u3000][A-Z]{2,12})(?![A-Z])",
            "([ァ-ヶー]{2,10}(?:・[ァ-ヶー]{1,10}){1,3})(?=さん|様|氏|です|と申|くん)",
            r"(?:(?:フリ|ふり)(?:ガナ|がな)|カナ\)?"
            r"|名義人?)[:：\s]\s?([ァ-ヶーぁ-ん]{2,8}[ \u3000][ァ-ヶーぁ-ん]{2,8})",
        ),
    ),
    "km": (
        GuardedPattern(
            "សួស្តី|ជម្រាបសួរ|បង|អ្នកគ្រូ|អតិថិជន|ឈ្មោះ|៖|លោក|អ្នកស្រី|កញ្ញា",
            rf"(?:(?:ខ្ញុំ|អតិថិជន|គាត់|នាង)ឈ្មោះ|ឈ្មោះ(?:របស់ខ្ញុំ|អតិថិជន|អ្នកទទួល)?(?:គឺ|៖|:)|(?<=\d )ឈ្មោះ"
            rf"|(?:អតិថិជន|អ្នកទទួល)៖?|លោកស្រី|លោក|អ្នកស្រី|កញ្ញា) ({_KM_NAME})",
            rf"(?:(?:ខ្ញុំ|គាត់|នាង|កូន)ឈ្មោះ|(?:សួស្តី|ជម្រាបសួរ|អរគុណ)(?:បង|លោក|អ្នកស្រី)|បង(?:ស្រី|ប្រុស)"
            rf"|លោកគ្រូ|អ្នកគ្រូ) ?({_KM_WORD})(?= |។|,|$)",
        ),
    ),
    "ta": (
        GuardedPattern(
            "அக்கா|அண்ணா|சார்|மேடம்|பெயர்|வணக்கம்|நான் |திரு|நன்றி|டாக்டர்|வாடிக்கையாளர்|நோயாளி|அன்புள்ள",
            rf"(?:என்(?:னுடைய)? பெயர்|(?:[஀-௿]{{2,12}} )?பெயர்[:：]|(?:வாடிக்கையாளர்|நோயாளி|பெறுநர்"
            r"|அனுப்புநர்)[:：]"
            rf"|(?<![஀-௿])(?:திருமதி|திரு|செல்வி|டாக்டர்|ஆசிரியர்)(?:\.| (?=[஀-௿]))) ?({_TA_NAME})",
            rf"(?:வணக்கம்|நன்றி|அன்புள்ள) ({_TA_WORD}(?: {_TA_WORD})?)(?=[,!.])",
            rf"(?:^|[.!?,] )({_TA_WORD})(?= (?:அக்கா|அண்ணா|சார்|மேடம்|அம்மா|ஐயா|தம்பி)(?![஀-௿]))",
            rf"நான் ({_TA_WORD}(?: {_TA_WORD})?)(?= பேசுகிறேன்)",
        ),
    ),
    "zh": (
        GuardedPattern(
            chinese.TITLE,
            rf"({chinese.FAMILY}{_ZH_GIVEN})(?={chinese.TITLE}(?![一-龥]{{0,2}}(?:活动|花)))",
        ),
    ),
}
_BY_LANGUAGE["ms"] = _BY_LANGUAGE["id"]
_BY_LANGUAGE["zh-Hans"] = _BY_LANGUAGE["zh-Hant"] = _BY_LANGUAGE.pop("zh")

LANGUAGES: Final = tuple(sorted(_BY_LANGUAGE))
"""Codes of the languages whose names are detected by patterns."""
_BY_LANGUAGE[UNKNOWN] = tuple(dict.fromkeys(chain.from_iterable(_BY_LANGUAGE.values())))
_BY_LANGUAGE["mr"] = _BY_LANGUAGE["ne"] = _BY_LANGUAGE["hi"]


def find_names_by_pattern(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of persons in a text: `text[start:end]`, without the title."""
    for listed in _LISTED.finditer(text):
        for name in _IN_LIST.finditer(text, *listed.span(1)):
            yield name.span()
    yield from _names_in_tables(text)
    for names in dict.fromkeys((*_IN_ALL, *patterns_of(_BY_LANGUAGE, languages))):
        for match in names.finditer(text):
            yield match.span(match.lastindex or 0)


def _names_in_tables(text: str) -> Iterator[tuple[int, int]]:
    """Yield the names in the columns for persons of tables.

    A column with a name that a list has is full of names.
    """
    columns: dict[str, list[tuple[int, int]]] = {}
    for cell in find_cells(text) if _TABLE.search(text) else ():
        if _OF_PERSONS.fullmatch(cell.header):
            columns.setdefault(cell.header, []).append((cell.start, cell.end))
    for cells in columns.values():
        given = [span for span in cells if is_given(text[slice(*span)])]
        full = any(next(find_latin_names(text[start:end]), None) for start, end in cells)
        if full or len(given) * 2 > len(cells):
            yield from given
        if full:
            yield from (span for span in cells if _IN_LIST.fullmatch(text, *span))


def name_signs(languages: Iterable[str]) -> str:
    """Return a pattern of words next to names in the languages."""
    every = (*_IN_ALL, _LISTED, *patterns_of(_BY_LANGUAGE, languages))
    return "|".join((_TABLE.patterns[0], *(one.guard.patterns[0] for one in every)))


def may_name_someone(text: str) -> bool:
    """Return whether a text in any language contains a word that can be next to a name."""
    every = (*_IN_ALL, *patterns_of(_BY_LANGUAGE, _BY_LANGUAGE))
    return any(names.guard.search(text) for names in every)
