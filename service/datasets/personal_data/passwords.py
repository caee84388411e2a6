"""Finds passwords, PINs and codes: after their word, in commands and URLs, and in answers.

A password with a digit counts wherever its word announces it. One of letters alone looks like any
other word ("my password is incorrect"), so it must be quoted or end its line after a separator, or
be no word that says what a password is like ("my password is mangoshake").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from service.datasets.personal_data.kinds import TURN_END, Guards, guard_of

_NATIVE: Final = "[\u0900-\u0dff\u0e00-\u0e7f\u1780-\u17ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
"""A letter of a script without capitals."""
_LONG_WORDS: Final = (
    r"(?:chang|updat|reset|set)[^\n.]{1,30}password to"
    r"|\b(?:ssid|network|wlan|hotspot)\b[^\n]{1,40}\bkey(?=:)"
    r"|(?:ไวไฟ|wi-?fi)[^\n]{0,20}?รหัส"
)
_SHORT_WORDS: Final = (
    r"passw(?:or)?d|passphrase"
    r"|passcode|passwort|kennwort|wachtwoord|\bparola(?=:| è\b)|(?<![a-z])p/w(?![a-z])"
    r"|(?<![a-z])(?:db_pass|pwd)(?![a-z])"
    r"|(?<![a-z])pw(?= ?[:=は]| is\b| (?:wi-?fi \w+ )?\S{0,20}\d)"
    r"|(?<=[a-z]_)pwd"
    r"|_pass(?= ?[:=])|(?<![a-z])pass(?=[:=])"
    r"|(?:\bthe|\bmy|,|/) pass(?= is\b|: ?| (?=[A-Za-z]{0,20}(?:[0-9]|(?-i:[a-z][A-Z]))))"
    r"|(?<![a-z])pass (?:for|to|of) (?:(?:the|my|our) )?[\w-]{2,20}(?=:)"
    r"|\buser(?:name)?[ :=]{1,3}\S{1,40}[ ,;/]{1,3}pass(?= )"
    r"|(?:code|pass|mdp|clave|key|mk) (?:(?:du|del|de la|của|ng) )?wi-?fi"
    r"|wi-?fi (?:code|key|pass)(?= ?:| is\b| (?:at|in)\b)"
    r"|\bwlan-?(?:schlüssel|key)|clé wi-?fi"
    r"|\bwpa[23]?(?:-psk)? (?:key|passphrase)(?=:)|\bpsk(?=[=:])"
    r"|(?<!\w)mk(?= ?[:=]| (?:\w+ ){0,3}là\b| \S{0,20}\d)"
    r"|(?<![ァ-ヶー])パス(?=[は:：が])|パスコード|パスワード|パスフレーズ|暗証番号|合言葉|密[码碼]"
    r"|口令|비밀번호|패스워드|암호|비번"
    r"|รหัสผ่าน|รหัสลับ|พาสเวิร์ด|พาสเวิด|พาสเวิร์ส|รหัส(?= ?wi-?fi| ?ไวไฟ| ?:)(?: ?wi-?fi| ?ไวไฟ)?"
    r"|mật khẩu|(?:kata ?)?(?:\bsandi|laluan)|(?:ពាក្យ|លេខ)សម្ងាត់|पासवर्ड|पासकोड|கடவுச்சொல்"
    r"|பாஸ்வேர்ட்"
    r"|contraseña|mot de passe|\bsenha|\bclave(?= es\b|:| de\b| del\b)|пароль"
)
_WORDS: Final = f"{_LONG_WORDS}|{_SHORT_WORDS}"
# What a password is of, and whose it is. Other words say something else about passwords.
_IS: Final = "は|が|を|是|[为為]|은|는|이|가|[을를]|คือ|เป็น|ใช้|है|គឺ"
_NOT_OF: Final = (
    r"(?!(?:and|or|but|if|when|because|which|who|must|should|can|cannot|could|may|will(?! be)|would"
    r"|not|never|as|than|is|has|does|field|policy|policies|manager|reset|link|length|strength"
    r"|hash\w*"
    r"|hint|generator|rules?|requirements?|protection|order|number|code|id|harus|minimal|tidak"
    r"|telah|sudah|yang|dan|untuk|phải"
    r"|dapat|muss|debe|doit|deve)\b)"
)
_OF: Final = (
    rf"(?:ku|mu|nya|-nya|s)?(?: (?:{_NOT_OF}[^\W\d][\w'’-]{{0,19}}(?!\w)|\d{{1,3}}\b)){{0,6}}?"
    rf"(?:{_NATIVE}(?:{_NATIVE}|[ A-Z]){{0,30}}?(?=[:： A-Za-z]|{_IS}))?"
)
_WHOSE: Final = (
    r"(?:ku|mu|nya|-nya)|(?: (?:(?:wi-?fi(?: (?:kantor|rumah|toko|kafe|nhà|mình|po))?|akun|email"
    r"|login|atm|app|lama|baru)(?:ku|mu|nya)?|ng|sa|fb|facebook|gmail|ig|ko|mo|po|saya|aku|gue|gw"
    r"|kami|kamu|anda|adik|nya|awak|niya|namin|natin|yata|ka|hai|mera|của"
    r"|tôi|em|mình|anh|chị))+"
)
_GIVEN: Final = (
    r"(?:\s{0,3}(?:[:=!]{1,2}=|=>|->|→|=|：)(?!\s*$)[ \t]{0,3}|\s{0,3}(?::|value="
    r"|\b(?:is|was|will be|(?:has been )?(?:changed|updated|reset|set) to|là|adalah|ialah|yaitu|ay"
    r"|ist|lautet|est|c'est|es|è|é|mới|baru)(?!\w)"
    rf"|{_IS}|[改换換][成为為]|设[置为]*|設[定為]*|ใหม่|नया)[\s:]{{0,3}})"
)
_TRAILING: Final = "\"'`,.;:)」』”"
_QUOTES: Final = "\"'`「『“"
_WORD: Final = re.compile(_WORDS, re.IGNORECASE)
_VALUE: Final = rf"[{_QUOTES}]{{0,2}}(?P<value>[!-~]{{4,64}})"
# How a value follows its word, and whether it may be of letters alone.
_FOLLOWING: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), may_be_letters)
    for pattern, may_be_letters in (
        (rf"[\"'`]{{0,2}}{_OF}[\"'`]{{0,2}}(?P<given>{_GIVEN}{{1,3}}){_VALUE}", True),
        (rf"(?:{_WHOSE}) {_VALUE}", True),
        (rf"[\"'`]{{0,2}} ?{_VALUE}(?= (?:hai|है|h)\b)", True),
        (rf"[\"'`]{{0,2}}(?: ?{_NATIVE}(?:{_NATIVE}| ){{0,30}}?)?\s{{0,3}}{_VALUE}", False),
    )
)
_CHANGED: Final = re.compile(
    r"[^\n.]{1,40}?(?:เปลี่ยนเป็น|\b(?:changed?|updated?|reset|set) (?:it )?to"
    r"|(?:di)?ganti (?:jadi|ke|menjadi)|đổi (?:thành|sang)|改[成为為]|바꿔서|に変え|palitan ng)"
    rf" ?[{_QUOTES}]?(?=[!-~]{{0,30}}[0-9])(?=[!-~]{{0,30}}[A-Za-z])([!-~]{{6,64}}?)"
    rf"(?=[{_TRAILING}]?(?:\s|$|{_NATIVE}))",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(
    r"(?:passphrase|passw(?:or)?d|pass)\w{0,8}[\"']?\s?[:= ]\s?([\"'])([^\"'\n]{6,64})\1"
    r"|<([\w:.-]{0,20}(?:password|passwd|pwd|pass))>([^<\s]{4,64})</\3>"
    r"|\b(?:try|use|set|enter|type|using) [\"'“]?([!-~]{6,64}?)[\"'”]?(?: [^.\n]{0,60}?)? (?:as"
    r"|when (?:it|you|they|prompted|asked)[^.\n]{0,30}?) "
    r"(?:(?:the|your|my|a) )?(?:\w{2,12} )?password"
    r"|password[\"']\)*(?:, ?|\)?\.\w{2,12}\()[\"']([^\"'\s]{6,64})[\"']"
    r"|\bpassphrase(?: is|:) ((?:[a-z]{3,10} ){2,7}[a-z]{3,10})\.?$",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE: Final = re.compile(
    r"\b(?:must|should|least|is|are|the|your|an?|enter|field|characters?|please|not|for|of|to|in"
    r"|with)\b",
    re.IGNORECASE,
)
"""Words of messages about passwords, which are quoted as often as passphrases are."""
# A password of letters alone is one where a separator or a quote announces it, and its line or
# quote ends after it: "password: sunflower", but not "Password: at least eight characters".
_ANNOUNCED: Final = re.compile(r"(?:[:=：は是은는]|คือ)[\s\"'`「『]*$|[\"'`「『]$")
_OWN: Final = re.compile(r"wi-?fi|\bmy ", re.IGNORECASE)
_WORDS_WITH_HYPHENS: Final = re.compile(
    r"(?!(?:not|case|too|auto|well|self|user|non|hard|two|one|up|out|re|pre)-)"
    r"[a-z]{4,}(?:-[a-z]{2,})*-[a-z]{3,}",
    re.IGNORECASE,
)
_ENDS: Final = re.compile(
    rf"[\"'`」』]|[,;.]?[ \t]*(?:$|[\r\n])|[,;，。、；]? ?{_NATIVE}|[，。、；]"
)
_NO_PASSWORD: Final = re.compile(
    "required|optional|missing|strong|weak|secured?|safe|valid|locked|working|broken|compromised"
    "|leaked|stolen|blocked|accepted|rejected|visible|simple|unique|saved|shared|needed|printed"
    "|written|available|(?:in)?correct|invalid|wrong|unknown|expire[ds]|forgotten|hidden"
    "|changed?|resets?|strings?|secrets?|passwords?|numbers?|letters|default|manual|disabled"
    "|enabled|encrypted|hashed|masked|redacted|removed|protected|polic(?:y|ies)|settings|security"
    "|strength|manager|verification|confirm(?:ation)?|repeat|updated?|created?|username|account"
    "|log(?:in|out)|e?mail|please|prompt|returns?|undefined|integer|boolean|varchar|fields?"
    "|values?|credentials?|authentication|tokens?|private|public|system|nothing"
    "|(?:any|some|every)thing|(?:any|some|every)(?:one|body|where)|\\w*password\\w*"
    "|(?-i:[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+)"
    "|whatever|whichever|always|already|actually|another|because|between|exactly|instead|without"
    "|through|correctly"
    "|currently|(?:in)?consistent|(?:in)?dependent|different|(?:in)?sufficient|frequent|apparent"
    "|identical|important|redundant|relevant|significant|elegant|probably|supposed|together"
    "|underneath|written"
    "|somewhere|sometimes|everyone|outdated|yesterday|tomorrow|uppercase|lowercase"
    "|alphanumeric|gibberish|plaintext|insecure|sensitive|temporary|permanent|confidential"
    "|administrator|facebook|instagram|microsoft|telegram|whatsapp|linkedin|bluetooth|internet"
    "|kadaluarsa|kedaluwarsa|sederhana|otomatis|rahasia|sementara|aplikasi|rekening|langsung"
    "|misalnya|kembali|pelanggan|kombinasi|komputer|tanggal|tersebut|seharusnya|sepertinya"
    "|kailangan|nakalimutan|palaging|lamang|importante|ulit",
    re.IGNORECASE,
)
# Ends and starts of words that say what a password is like: "obligatorio", "abgelaufen".
_ORDINARY: Final = re.compile(
    r"[a-z]*(?:ed|ing|ly|able|ible|ive|ous|ful|less|ary|ory|ical|tion|ment|ness|ized|ised"
    r"|[ai]d[ao]s?|[cr]t[ao]s?|ori[ao]|iv[ao]|ros[ao]|ente|oire|euse|eux|lich|isch|sam|haft|ig"
    r"|sicher|ari[ao])"
    r"|(?:ge|ver|ab|be|un|zu|ent)[a-z]+(?:t|en|ig)|(?:ter|di|ber|me|pe|se|ke)[a-z]{4,9}"
    r"|(?:naka|naki|maka|maha|mali|nali|nawa|kaila)[a-z]*",
    re.IGNORECASE,
)
_MOST_DIGITS: Final = 10
_COUNTED: Final = re.compile(
    r" ?(?:char|digit|letter|symbol|karakter|angka|ký tự|chữ|ตัว|หลัก|文字|桁|位|个|個|次|回"
    r"|자리|글자|अक्षर|अंक|time|day|min|sec|%|/|-|\.\d)"
)
_MOST_OF_A_WORD: Final = 12  # letters of one word; more are several words in a row
_INVENTED: Final = re.compile(
    r"[a-z]{4,}(?:-(?!to-|of-|the-|and-)[a-z]{2,}){2,6}|[a-z]{8,64}"
    r"|[A-Z]?[a-z]+(?:[A-Z][a-z]+){1,8}|[A-Z][a-z]{9,64}"
)
_BRAND: Final = re.compile("[A-Z][a-z]+|[a-z][A-Z][a-z]+")
_THEN_NATIVE: Final = re.compile(f" ?{_NATIVE}")
_WORD_CHAR: Final = re.compile("[A-Za-z0-9]")
_ACCENTED: Final = re.compile("[À-ɏḀ-ỿ]")
# Codes that are sent or known by heart. "PIN code" is also what India calls a postal code.
_B: Final = r"(?a:\b)"  # also between an ASCII letter and one of another script
_CODE_WORDS: Final = (
    rf"{_B}otp{_B}|one[- ]time (?:code|password|passcode|pin)|\btac (?:code|number)|\btac(?= ?[:=]|"
    rf" (?:is|saya|ialah)\b)|{_B}cv[vc]2?{_B}"
    r"|(?:verification|security|confirmation|authentication|login|log-in|sms|access|unlock"
    r"|(?:2fa|mfa)(?: backup)?) codes?|(?:backup|recovery) codes?(?=:| is)"
    r"|(?:gate|door|entry|alarm|locker|safe|garage|keypad|building|lockbox) (?:code|pin)(?:['’]s)?"
    r"|(?:apple(?: id)?|google|whatsapp|telegram|facebook|instagram|steam|netflix|paypal) code"
    r"|code (?:to|for) (?:the|my|our) (?:[a-z]{2,12} )?(?:gate|door|safe|alarm|locker|garage|house)"
    r"|kode (?:otp|verifikasi|keamanan|akses|pintu|pagar|gerbang)(?: pintu)?"
    r"|mã (?:otp|pin|xác (?:minh|nhận|thực)|bảo mật)"
    r"|\b(?:(?:atm|upi|m|sim|card|debit|gcash|maya|e-?wallet)[ -]?)pin\b(?! ?codes?)"
    r"|\bm?pin(?! ?code)(?: number| for (?:the|my) [a-z]{2,20})?"
    r"(?= {0,2}[:=はが은는]|['s]{0,2} (?:is|ng|sa|saya|adalah|ko|ay|của|ist|est|es|é|atm|kartu|thẻ"
    r"|nya)\b)"
    r"|\bpin (?:de|of|for|para|da|do|untuk|ng|của|du|der) [^\d\n.?!]{1,24}"
    r"(?= (?:is|es|é|est|ist|ay|là) \d)"
    r"|(?-i:\bPIN)(?=[,:]? ?\(?\d{4}(?!\d))|\bpass ?code (?:is|to|on)(?= \d)"
    r"|認証(?:コード|番号)|確認コード|セキュリティコード|ワンタイムパスワード|暗証番号|验证码|驗證碼"
    r"|校验码|动态码|(?:支付|取款|交易|付款|提款)密[码碼]|인증 ?(?:번호|코드)|보안 ?코드|핀 ?번호"
    r"|รหัส(?:บัตร)? ?(?:otp|โอทีพี|ยืนยัน|pin|พิน|เอทีเอ็ม|atm|ลับ)|(?:พิน|pin) ?(?:การ์ด|บัตร)"
    r"|โอทีพี"
    r"|ओटीपी|पिन(?! ?कोड)|ஓடிபி|código de (?:verifica|segur|confirma)\w{2,6}"
    r"|code de (?:vérification|sécurité|confirmation)|(?:bestätigungs|sicherheits)code|លេខកូដ otp"
)
_CODE_VALUE: Final = (
    r"((?:G-)?[0-9]{3,4}(?:[ -][0-9]{3,4}|[0-9]{0,4}))(?![A-Za-z0-9_-]|[.:/][0-9]|,[0-9]{3})"
)
_CODE: Final = re.compile(
    rf"(?:{_CODE_WORDS})(?:[ -]?(?:aaya|mila|masuk|received|आया|मिला|hai|to(?= \d)|saya"
    r"|anda|kamu|ko|mo|niyo|nya|ku|po|sa|ng|ya|bank|kartu"
    r"|atm|gcash|(?-i:[A-Z]{2,8})))*"
    rf"(?:[^\d\n.?!。]{{0,24}}?(?::|=|：|\b(?:is|ist|est|es|é)\b|{_IS}"
    rf"|\b(?:là|adalah|ialah|ay)\b))?[\s\[「『【\"'(,]{{0,3}}{_CODE_VALUE}"
    rf"|{_B}otp (?!in\b|within|for|after|of\b|to\b)[a-z]{{2,10}} ([0-9]{{6}})(?![\w.,-])"
    r"|\b(?:got|received|entered|typed|sent me|texted me)(?: the| a| this)?(?: \w{2,8})? code:? "
    rf"{_CODE_VALUE}"
    r"|(?<![\w.,])(?:G-)?([0-9]{3}[ -][0-9]{3}|[0-9]{4,8})(?= to (?:verify|confirm|log ?in"
    r"|sign in|reset|activate)\b| (?:is|as) your [^.\n]{0,30}?"
    r"(?:code|otp|pin\b|password)| adalah kode | là mã |は(?:認証|確認)コード|은 인증번호"
    r"|是您的(?:验证码|登录码))",
    re.IGNORECASE,
)
_THEN_CODE: Final = (
    r"(?:got|received|entered|typed|me)(?: the| a| this)?(?: \w{2,8})? code:? \d"
    r"|\d (?:is|as) your |\d to (?:verify|confirm|log|sign|reset|activate)"
    r"|\d adalah kode |\d là mã "
    r"|\dは(?:認証|確認)コード|\d은 인증번호|\d是您的"
)
_COMMANDS: Final = (
    r"\bcred(?:ential)?s?\b|\blog ?ins?\b|curl|mysql|mariadb|sshpass|redis-cli|docker login"
    r"|securestring|htpasswd|/user:|auth ?= ?\(|identified by"
)
_COMMAND: Final = re.compile(
    r"\bcred(?:ential)?s?(?: are| is)?[: ]{1,2}[\w.@-]{2,40} ?[:/|,] ?([^\s\"'/]{6,64})"
    r"|\blog ?ins?(?: is)?[: ]{1,2}[\w.@-]{2,40} ?[/|] ?(?=\S*\d)([^\s\"'/]{6,64})"
    r"|\bcurl\b[^\n|;&]{0,400}?\s(?:-u|--user)[ =]{0,3}[\"']?[^\s:\"']{0,64}[\"']?:[\"']?"
    r"([^\s\"']{3,128})"
    r"|\b(?:mysql|mariadb)[a-z]{0,6}\b[^\n|;&]{0,200}?\s-p([^\s\"'-][^\s\"']{3,64})"
    r"|\b(?:sshpass -p|redis-cli\b[^\n|;&]{0,100}?\s-a|docker login\b[^\n|;&]{0,100}?\s-p)"
    r"[ =]?[\"']?([^\s\"'-][^\s\"']{3,64})"
    r"|\bhtpasswd -[a-zA-Z]*b\S* \S+ \S+ (\S{6,64})|/user:\S{1,40} (?!/)([^\s/]{6,64})"
    r"|\bConvertTo-SecureString\s{1,3}(?:-String\s{1,3})?[\"']([^\s\"']{4,64})[\"']"
    r"|\bidentified by [\"']([^\s\"']{4,64})[\"']"
    r"|\b(?:mysqli?(?:_connect)?|log_?in|auth ?=)\s?\((?:[\"'][^\"'\n]{1,64}[\"'], ?){1,2}"
    r"[\"']([^\"'\n]{6,64})[\"']",
    re.IGNORECASE,
)
_URL_PASSWORD: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,64}:(?!\d{2,5};)([^\s/@]{3,128})@"
)
# A question for a password or a code, and an answer that is little more than the value.
_ASKED: Final = re.compile(
    r"\?|？|\b(?:what|which|tell|give|send|share|read|provide|confirm|enter|need|have)\b|berapa"
    r"|\bapa\b|minta|kirim|sebut|tolong|อะไร|ขอ|แจ้ง|บอก|何|教え|お知らせ|入力|\bgì\b|đọc|\bcho\b"
    r"|cung cấp|nhập|\bano\b|क्या|बता|알려|뭐|몇|말씀|什么|什麼|多少|提供|告[诉訴]|输入|輸入|伝え"
    r"|ください|下さい|お願い|부탁|주세요|주시|불러|ด้วย|หน่อย"
    r"|\bxin\b|bao nhiêu|\b(?:mohon|dong|bataiye|batao)\b|दीजिए|दें|दे दो|சொல்லுங்கள்|என்ன",
    re.IGNORECASE,
)
_NOT_ASKED: Final = re.compile(
    r"\b(?:why|how|when|where|who|kenapa|bagaimana|gimana|tại sao|bakit|paano|warum|wie kann)\b"
    r"|ทำไม|なぜ|どうして|怎么|怎麼|为什么|왜|어떻게|क्यों|कैसे",
    re.IGNORECASE,
)
_ASKED_FOR: Final = (
    r"\bpin\b(?! ?code)|(?:digit|sent you a|got a|received a) code"
    r"|code (?:that )?(?:we|i|you) (?:just )?(?:sent|texted|e?mailed|got|received)"
)
_ASKED_CODE: Final = re.compile(f"{_CODE_WORDS}|{_ASKED_FOR}", re.IGNORECASE)
_ASKED_CARD_CODE: Final = re.compile(r"cv[vc]|security code|セキュリティコード|安全[码碼]", re.I)
_CARD_DIGITS: Final = 3
_ASKED_PASSWORD: Final = re.compile(rf"(?:{_WORDS}|\bpass\b)(?= {_NOT_OF}|[^ ]|$)", re.IGNORECASE)
_ANSWERED_CODE: Final = re.compile(
    rf"[^\d\n]{{0,25}}?(?<![\w.,/]){_CODE_VALUE}"
    r"(?! ?(?:sec|min|hour|day|digit|time|detik|menit|jam|phút|giây|วินาที|นาที|秒|分|초|분))"
    r"[^\d\n]{0,30}$"
)
_ANSWERED_PASSWORD: Final = re.compile(
    r"(?:(?:it'?s|it is|is|sure|ok(?:ay)?|yes|yeah|yep|hi|hello|the|my|password|pass|i think"
    r"|that'?s|should be|iya|ya|ini|itu|nya|kak|dạ|vâng|là|của|em|opo|po|ay|haan|ji|คือ|es|la|el"
    rf"|c'est|das|ist|é|a)[ ,.:]{{1,3}}){{0,6}}[{_QUOTES}]?([!-~]{{6,64}})"
    rf"(?:[ ,]\D{{0,24}}|{_NATIVE}.*)?$",
    re.IGNORECASE,
)
_NOTHING_ELSE: Final = re.compile(
    rf"[{_TRAILING}!]*(?: (?:po|thanks?|thank you|please|pls|ya|kak|nha|nhé|ạ|em|ji|hai|na))*[.!]*"
    rf"|{_NATIVE}+[.!。]?",
    re.IGNORECASE,
)
_GUARDS: Final = Guards(
    *(
        f"(?i:{words})"
        for words in (
            guard_of(_SHORT_WORDS) + r"|\bkey:|รหัส|<[a-z:.-]*pass|passphrase",
            guard_of(_CODE_WORDS.replace(_B, r"\b")) + f"|{_THEN_CODE}|{guard_of(_ASKED_FOR)}",
            _COMMANDS,
            "://",
            TURN_END,
        )
    )
)
_PASSWORD_WORD, _CODE_WORD, _COMMAND_WORD, _URL, _TURN = range(5)
SIGNS: Final = "|".join(_GUARDS.patterns[:-1])
"""Words before passwords and codes."""
PLACEHOLDER: Final = re.compile(
    r"^(?:[<\[{$%*.,/]|\\\\|x{2,8}(?:[-_]|$)|xxx|yyy|arn:|#[a-z-]+$)|\*{3}|your[_-]|example|placeholder|changeme"
    r"|^(?:(?:my)?(?:password|passwd|pass|pwd)|token|test)[>\"']?$",
    re.I,
)
_CODE_LIKE: Final = re.compile(
    r"^\(?[A-Za-z_]\w*(?:\.\w+)*(?:\(|\[)|^[A-Za-z_]\w*\.[A-Za-z_.]+$|^--|^[\d/.,:-]+$|^[)\]}]"
    r"|^[a-z_]+[|]|^(?i:sha|md|aes|rsa|utf|wpa|tls|base|iso)-?\d+$"
)


def find_passwords(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of passwords after their word, in logins and URLs, and of codes."""
    found = _GUARDS.search(text)
    if _PASSWORD_WORD in found:
        yield from _named(text)
    if _CODE_WORD in found:
        yield from (match.span(match.lastindex or 0) for match in _CODE.finditer(text))
    if _URL in found:
        yield from _logins(_URL_PASSWORD, text)
    if _COMMAND_WORD in found:
        yield from _logins(_COMMAND, text)
    if _TURN in found:
        yield from _answers(text)


def _named(text: str) -> Iterator[tuple[int, int]]:
    for match in _QUOTED.finditer(text):
        value = match[match.lastindex or 0]
        if " " in value:
            is_password = not (_SENTENCE.search(value) or PLACEHOLDER.search(value))
        else:
            is_password = is_like_password(value, announced=match[4] is not None)
        if is_password:
            yield match.span(match.lastindex or 0)
    for word in _WORD.finditer(text):
        for pattern, may_be_letters in _FOLLOWING:
            given = pattern.match(text, word.end())
            place = _value(text, word, given, may_be_letters) if given else None
            if place:
                yield place
                if changed := _CHANGED.match(text, place[1]):
                    yield changed.span(1)
                break


def _value(
    text: str, word: re.Match[str], match: re.Match[str], may_be_letters: bool
) -> tuple[int, int] | None:
    """Return the position of the value after the word for passwords, if it is a password."""
    start, value = match.start("value"), match["value"]
    if text[start - 1] in _QUOTES:
        value = value.partition(text[start - 1])[0]
    value = value.rstrip(_TRAILING)
    end = start + len(value)
    if _WORD_CHAR.match(text, start - 1) or _ACCENTED.match(text, end):
        return None  # part of a word or a URL, such as PASSWORD@host
    is_own = _OWN.search(text, max(word.start() - 5, 0), start)
    announced = (
        _ANNOUNCED.search(text, word.start(), start)
        or (is_own and _ORDINARY.fullmatch(value) is None)
        or _WORDS_WITH_HYPHENS.fullmatch(value)
    ) and _ENDS.match(text, end)
    if _BRAND.fullmatch(value) and _THEN_NATIVE.match(text, end):
        return None
    may_be_letters |= word[0].endswith(" pass") or not (
        word[0].isascii() or word[0].startswith("รหัส")
    )
    ambiguous = word[0].lower() in ("clave", "_pass", "pwd")
    likely = announced is not None or (may_be_letters and not ambiguous and _is_invented(value))
    if value.isdigit():  # as on a keypad
        is_code = (
            match.groupdict().get("given")
            and len(value) <= _MOST_DIGITS
            and not _COUNTED.match(text, end)
        )
        return (start, end) if is_code else None
    return (start, end) if is_like_password(value, announced=likely) else None


def _answers(text: str) -> Iterator[tuple[int, int]]:
    """Yield a password or a code in an answer to the message before it."""
    asked, _, answer = text.partition(TURN_END)
    if not _ASKED.search(asked) or _NOT_ASKED.search(asked):
        return
    at = len(text) - len(answer)
    if _ASKED_CODE.search(asked) and (code := _ANSWERED_CODE.match(text, at)):
        if len(code[1]) > _CARD_DIGITS or _ASKED_CARD_CODE.search(asked):
            yield code.span(1)
    elif _ASKED_PASSWORD.search(asked) and (said := _ANSWERED_PASSWORD.match(text, at)):
        value = said[1].rstrip(_TRAILING + "!?")
        alone = value.isalpha() and not (value.isupper() or _ORDINARY.fullmatch(value))
        alone = alone and _NOTHING_ELSE.fullmatch(text, said.start(1) + len(value)) is not None
        if is_like_password(value, announced=alone):
            yield said.start(1), said.start(1) + len(value)


def _logins(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Yield the passwords that follow a user name and a colon, or the option of a command."""
    for match in pattern.finditer(text):
        value = match[match.lastindex or 0]
        if not (PLACEHOLDER.search(value) or value.startswith((")", "]", "}"))):
            yield match.span(match.lastindex or 0)


def _is_invented(value: str) -> bool:
    """Return whether letters are no word that says what a password is like."""
    if not _INVENTED.fullmatch(value) or _NO_PASSWORD.fullmatch(value):
        return False
    return len(value) > _MOST_OF_A_WORD or _ORDINARY.fullmatch(value) is None


def is_like_password(value: str, *, announced: bool) -> bool:
    """Return whether a word looks like a password: a digit, and something else.

    A word that is `announced` needs no digit.
    """
    if len(value) < _LEAST or PLACEHOLDER.search(value) or _CODE_LIKE.search(value):
        return False
    if "://" in value:
        return False
    if any(c.isdigit() for c in value):
        return not value.isdigit()
    return announced and _NO_PASSWORD.fullmatch(value) is None


_LEAST: Final = 6  # characters
