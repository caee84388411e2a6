"""Finds secrets: keys and tokens of cloud services, private keys, and passwords."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Final, NamedTuple

from service.datasets.personal_data import passwords
from service.datasets.personal_data.kinds import Guards
from service.datasets.personal_data.passwords import PLACEHOLDER, find_passwords

# Keys that are recognizable by their prefix: each prefix, and the rest of the key. The formats are
# those that vendors publish for secret scanners. Each key ends where its alphabet ends.
_FORMATS: Final = {
    # clouds and identity
    "A(?:KIA|SIA|BIA|CCA)": "[A-Z0-9]{16}",
    "ABSK": "[A-Za-z0-9+/]{100,280}={0,2}",  # Bedrock
    "bedrock-api-key-": "[A-Za-z0-9+/=]{30,2000}",
    r"[\w~.]{3}[0-9]Q~": r"[\w~.-]{31,34}",  # Entra ID
    r"v1\.0-": "[a-f0-9]{24}-[a-f0-9]{146}",  # Cloudflare
    "cf(?:[au]t|k)_": "[A-Za-z0-9]{48}",
    "GOOG1E": "[A-Z0-9]{55,57}",
    "DO(?:00|801)": "[A-Z0-9]{16,20}",
    "HRKU-": r"[\w-]{36,64}",
    "AQVN": r"[\w-]{35,38}",  # Yandex
    r"t1\.": r"[\w-]{10,200}={0,2}\.[\w-]{86}={0,2}",
    "tskey-[a-z]{3,8}-": r"[\w-]{14,80}",
    "dnkey-": r"[\w=-]{26}-[\w=-]{52}",
    "fm[12][ar]?_": "[A-Za-z0-9+/=,_-]{100,1000}",  # Fly.io
    "fo1_": r"[\w-]{43}",
    "(?:rnd|nfp)_": "[A-Za-z0-9]{24,60}",
    "napi_": "[a-z0-9]{40,80}",
    "sb_secret_": r"[\w-]{20,60}",
    "4b1d": "[A-Za-z0-9]{38}",  # ClickHouse
    r"00D[A-Za-z0-9]{12}!": r"[\w.]{80,120}",  # Salesforce
    r"amzn\.mws\.": "[a-f0-9-]{36}",
    "ops_eyJ": "[A-Za-z0-9+/=_-]{200,2000}",  # 1Password
    "A3-[A-Z0-9]{6}-": "(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
    "p8e-": "[A-Za-z0-9-]{32}",  # Adobe
    "AIza": r"[\w-]{30,40}",
    "GOCSPX-": r"[\w-]{24,40}",
    r"ya29\.": r"[\w-]{20,1000}",
    "1//0": r"[\w-]{30,120}",
    "LTAI": "[A-Za-z0-9]{16,26}",
    "AKID": "[A-Za-z0-9]{32}",
    "dapi": "[a-z0-9]{30,40}(?:-[0-9])?",
    "do[opr]_v1_": "[a-z0-9]{40,80}",
    r"hv[bsr]\.": r"[\w-]{20,300}",
    "sha256~": r"[\w-]{43}",
    "eyJ": r"[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10,1000}",
    "eyJrIjoi": "[A-Za-z0-9]{40,400}={0,2}",  # Grafana's older keys
    # code and packages
    "gh[pousr]_": "[A-Za-z0-9]{28,251}",
    "github_pat_": r"\w{22,255}",
    "gl(?:pat|ptt|dt|rt|cbt|ft|ffct|soat|oas|agent|imt)-": r"[\w-]{20,64}(?:\.[0-9a-z]{2,20})*",
    "GR1348941": r"[\w-]{20}",
    "AT[AC]TT3": r"[\w\-=+/]{50,300}",
    "AKCp": "[A-Za-z0-9]{69}",  # Artifactory
    "cmVmd": "[A-Za-z0-9]{59}",
    "CLOJARS_": "[a-z0-9]{60}",
    "oy2": "[a-z0-9]{43}",  # NuGet
    "bkua_": "[a-z0-9]{40}",
    "CCIPAT_": "[A-Za-z0-9]{22}_[a-f0-9]{40}",
    "sgp_": "(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}",
    "slk_": "[a-f0-9]{64}",
    "sq[apu]_": "[A-Za-z0-9]{40}",  # SonarQube
    "API-": "[A-Z0-9]{26}",  # Octopus Deploy
    "(?:pat|sat)\\.": r"[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}",  # Harness
    "rdme_": "[a-z0-9]{70}",
    "waka_": "[a-f0-9-]{36}",
    # LaunchDarkly, PubNub
    "(?:sdk|api|mob|(?:pub|sub|sec)-c)-": "[a-z0-9]{8}-(?:[a-z0-9]{4}-){3}[a-z0-9]{12}",
    "ATBB": "[A-Za-z0-9]{28,40}",
    "npm_": "[A-Za-z0-9]{30,48}",
    "pypi-": r"[\w-]{32,250}",
    "rubygems_": "[a-z0-9]{32,60}",
    "dckr_[po]at_": r"[\w-]{24,64}",
    "(?:hf|api_org)_": "[A-Za-z0-9]{24,48}",
    "PMAK-": "[A-Za-z0-9]{20,26}-[A-Za-z0-9]{28,40}",
    "lin_(?:api|oauth)_": "[A-Za-z0-9]{24,80}",
    "fig[dp]_": r"[\w-]{30,60}",
    r"fio-u-": r"[\w-]{50,80}",
    "CFPAT-": r"[\w-]{40,70}",
    "pnu_": "[A-Za-z0-9]{36}",
    "ico-": "[A-Za-z0-9]{32}",
    "pscale_(?:tkn|oauth|pw)_": r"[\w=.-]{24,80}",
    "sbp_": "[a-z0-9]{36,48}",
    # language models
    "sk-": r"(?:[a-z0-9]{2,8}-){0,2}[\w-]{20,250}",
    "gsk_": "[A-Za-z0-9]{24,80}",
    "xai-": r"\w{32,120}",
    "nvapi-": r"[\w-]{32,100}",
    "csk-": "[a-z0-9]{32,64}",  # Cerebras
    "fw_": "[A-Za-z0-9]{20,40}",  # Fireworks
    "sk_[a-f0-9]": "[a-f0-9]{47}",  # ElevenLabs
    "wandb_v[0-9]_": r"\w{40,120}",
    "tvly-": r"[\w-]{24,60}",
    "jina_": r"[\w-]{28,80}",
    "apify_api_": r"[\w-]{30,44}",
    "aio_": "[A-Za-z0-9]{28}",  # Adafruit
    "r8_": "[A-Za-z0-9]{28,48}",
    "pplx-": "[A-Za-z0-9]{28,64}",
    "tgp_v1_": r"[\w-]{32,64}",
    "pcsk_": r"\w{30,100}",
    "lsv2_[ps][tk]_": "[a-f0-9]{32}_[a-f0-9]{10}",
    # payments and shops
    "(?:[sra]k|flb|pk)_(?:live|test|prod|dev)_": r"[\w-]{14,250}",
    "pi_[A-Za-z0-9]{24}_secret_": "[A-Za-z0-9]{25}",
    r"access_token\$production\$": r"[a-z0-9]{16}\$[a-f0-9]{32}",  # Braintree
    "access-(?:sandbox|development|production)-": "[a-f0-9-]{36}",  # Plaid
    "EZ[AT]K": "[A-Za-z0-9]{54}",
    "duffel_(?:test|live)_": r"[\w=-]{43}",
    "shippo_(?:live|test)_": "[a-fA-F0-9]{40}",
    "whsec_": "[A-Za-z0-9+/=]{16,120}",
    "EAAA": r"[\w-]{50,64}",
    "sq0(?:atp|csp|idp)-": r"[\w-]{22,60}",
    "shp(?:at|ca|pa|ss|ltm)_": r"[\w-]{28,40}",
    "rzp_(?:live|test)_": "[A-Za-z0-9]{14}",
    "skey_(?:test_)?": "[a-z0-9]{16,32}",
    "xnd_(?:development|production)_": "[A-Za-z0-9]{30,100}",
    "(?:SB-)?Mid-server-": r"[\w-]{16,40}",
    "FLWSECK(?:_TEST)?-": "[a-zA-Z0-9]{12,40}(?:-X)?",
    # mail, chat and telephones
    r"SG\.": r"[\w-]{16,32}\.[\w-]{16,64}",
    "key-": "[a-z0-9]{32}",
    "x(?:key|smtp)sib-": "[a-f0-9]{64}-[A-Za-z0-9]{16}",
    "[a-f0-9]{32}-us[0-9]": "[0-9]?",  # Mailchimp
    "[a-f0-9]{32}-[a-f0-9]{8}-": "[a-f0-9]{8}",  # Mailgun
    "re_[A-Za-z0-9]{6,12}_": "[A-Za-z0-9]{18,36}",  # Resend
    r"sk\.eyJ": r"[\w-]{40,200}\.[\w-]{20,40}",  # Mapbox
    "[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk": "",  # MaxMind
    r"(?:https://)?hooks\.zapier\.com/hooks/catch/": r"[\w/]{8,40}",
    "xox[abeprs]-": r"[\w-]{10,250}",
    "xapp-[0-9]-": r"[\w-]{20,250}",
    r"(?:https://)?hooks\.slack\.com/(?:services|workflows|triggers)/": r"[\w/-]{20,120}",
    r"(?:https://)?discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/": (
        r"[0-9]{17,20}/[\w-]{60,80}"
    ),
    r"(?:https://)?(?:[a-z0-9-]{1,60}\.)?webhook\.office\.com/webhookb2/": (
        r"[\w@-]{36,80}/IncomingWebhook/[\w-]{32}/[\w-]{36}"
    ),
    r"[MNO][\w-]{23,27}\.": r"[\w-]{6}\.[\w-]{27,40}",  # Discord's bots
    r"(?:bot)?[0-9]{8,10}:AA": r"[\w-]{33}",  # Telegram's bots
    "SK[a-fA-F0-9]": "[a-fA-F0-9]{31}",  # Twilio
    "EAA[A-Z]": "[A-Za-z0-9]{90,400}",  # Facebook
    # notes, tables and operations
    "(?:ntn_|secret_)": "[A-Za-z0-9]{40,60}",
    r"pat[A-Za-z0-9]{14}\.": "[a-z0-9]{32,80}",  # Airtable
    "pat-(?:na|eu)[0-9]-": "[a-f0-9-]{36}",
    "gl(?:sa|c)_": r"[\w+/]{32,400}={0,2}",
    "NRAK-": "[A-Z0-9]{20,40}",
    "NR(?:JS|II|IQ|BR|AA)-": r"[\w-]{19,40}",
    "[a-f0-9ux]{32}FFFFNRAL": "",  # New Relic
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.": r"[\w.-]{40,80}",
    "ph[xs]_": r"\w{40,50}",  # PostHog
    "dd[pw]_": "[A-Za-z0-9]{36}",
    "(?:alcht|bb_(?:pr|ma)|rootly)_": "[A-Za-z0-9]{30,64}",
    "[su]-s4t2(?:ud|af)-": "[a-f0-9]{64}",  # 42
    "tk-us-": r"[\w-]{48}",  # Scalingo
    "sm_[aps]at_": "[A-Za-z0-9]{16}",  # SettleMint
    r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-]": (
        r"[a-z0-9-]{10,32}\.[\w+/=-]{30,120}"
    ),
    "tfp_": r"[\w.=-]{40,64}",
    r"sl\.(?:u\.)?": r"[\w=-]{130,1500}",  # Dropbox
    "A{20}": "[A-Za-z0-9%]{80,110}",  # X, formerly Twitter
    r"dt0c01\.": r"[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}",
    r"live_[0-9]{6,12}_": "[A-Za-z0-9]{28,34}",  # Twitch
    r"pk_[0-9]{6,10}_": "[A-Z0-9]{30,34}",  # ClickUp
    r"tkn\.v1_": "[A-Za-z0-9+/=]{40,120}",  # Teamwork
    r"VF\.(?:DM|WS)\.": r"[a-f0-9]{24}\.[A-Za-z0-9]{16}",  # Voiceflow
    r"1000\.[a-f0-9]{32}\.": "[a-f0-9]{32}",  # Zoho
    "spu-": "[a-f0-9]{32}",  # Spectral
    "BBFF-": "[A-Za-z0-9]{30}",  # Ubidots
    "KEY0": r"[0-9A-F]{31}_\w{22}",  # Telnyx
    "[A-Za-z0-9]{76}AZDO": "[A-Za-z0-9]{4}",  # Azure DevOps
    r"1/[0-9]{10,20}(?:/[0-9]{10,20})?:": "[a-f0-9]{32}",  # Asana
    "sntry[aisu]_": r"[\w=+/]{40,400}",
    "pul-": "[a-f0-9]{40}",
    r"[A-Za-z0-9]{14}\.atlasv1\.": r"[\w=-]{60,70}",
    "AGE-SECRET-KEY-1": "[A-Z0-9]{58}",
    "AAAA[\\w-]{7}:APA91b": r"[\w-]{100,180}",  # Firebase
    r"AQ\.A": r"[\w-]{40,60}",  # Gemini
    "c[ks]_[a-f0-9]": "[a-f0-9]{39}",  # WooCommerce
    r"(?:https://)?hook\.[a-z0-9]{2,4}\.make\.com/": "[a-z0-9]{28,40}",
    "(?:[0-9]{6}-){7}": "[0-9]{6}",  # BitLocker
    "https://[a-f0-9]{32}@": r"[\w.-]{4,60}/[0-9]{1,20}",  # Sentry
}
_PREFIXED: Final = re.compile(
    "(?<![A-Za-z0-9])(?:"
    + "|".join(prefix + rest for prefix, rest in _FORMATS.items())
    + ")(?![A-Za-z0-9])",
    re.ASCII,
)
# A counted class at the start would take a second to search for in a new process.
_COUNTED: Final = re.compile(r"^(?:\[[^\]]+\]\{[\d,]+\}_?){1,2}(?=.{3})|^\(\?:\[.+?\)\?")
_PREFIXES: Final = "|".join(_COUNTED.sub("", prefix) for prefix in _FORMATS)
_DUMMY: Final = re.compile(r"EXAMPLE|([^A])\1{7}")
"""A part of keys in documentation. A run of A is zeros in Base64."""
_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]{16,16000}?"
    r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
)
# A value after a name such as api_key, with letters and digits.
_NAMED: Final = re.compile(
    r"(key(?:[ _-]?id)?|secret|token|authorization|bearer|ssws|_pat|auth|sig|code"
    r"|sess(?:ion)?[_-]?(?:id)?|sid|appid"
    r"|キー|トークン|シークレット|密[钥鑰]|令牌|키|토큰|khóa (?:api|bí mật)|kunci (?:api"
    r"|rahasia)|คีย์|โทเค็น"
    r"|कुंजी|टोकन|एपीआई की)[\"'`]{0,2}(?:\s{0,3}(?:=>|[:?]{0,3}=|:|is|は|是|는|은|คือ|là"
    r"|adalah|(?:[^\x00-\x7f]|[()]){1,12}[:：])\s{0,3}"
    r"|(?<=[\"']),\s?(?=[\"'])|\s)[\"'`「]{0,2}"
    r"((?:base64:)?[A-Za-z0-9_\-./+~%]{16,512}(?:={1,2}[A-Za-z0-9/+]{8,64})?={0,2})",
    re.IGNORECASE | re.ASCII,
)
# What must be before a name that has other meanings: any key, but not "primary key".
_BEFORE: Final = {
    "k": re.compile(
        r"(?:(?:api|access|secret|account|admin|auth|consumer|deploy|encryption|license|master"
        r"|private"
        r"|server|service|signing|storage|subscription)[ _-]?|[?&]|(?-i:[A-Z0-9]_))$",
        re.IGNORECASE,
    ),
    "キ": re.compile(r"(?:api ?|アクセス|シークレット)$", re.IGNORECASE),
    "키": re.compile(r"(?:api|비밀|인증|액세스) ?$", re.IGNORECASE),
    "a": re.compile(r"[_\"'?&]$"),
    "c": re.compile(r"[?&]$"),
    "s": re.compile(r"(?<![A-Za-z])(?:[?&]|php|j)?$", re.IGNORECASE),
}
_BEFORE_CHARS: Final = 14
# Another key counts if its value is random beyond doubt, unless the word before says what it is.
_STRONG: Final = re.compile(
    r"(?=(?:[A-Za-z]*\d){4})(?=(?:\d*[A-Za-z]){4})[A-Za-z0-9]{24,128}"
    r"|(?=(?:[A-Za-z_-]*\d){5})[A-Za-z0-9]{4,64}(?:[._-]{1,2}[A-Za-z0-9]{8,64}){1,3}(?<=.{36})"
)
# After a vendor's name and an underscore (alchemy_key = …), less is enough.
_JOINED: Final = re.compile(r"(?=(?:[^\d]*\d){3})[\w~-]{16,128}", re.ASCII)
# A value that is random beyond doubt may stand farther from its name, or before a comment.
_LONG: Final = re.compile(
    r"(?<![A-Za-z0-9+/=_.-])[A-Za-z0-9][A-Za-z0-9+/_-]{19,511}={0,2}(?![A-Za-z0-9+/=_-]|\.\w)"
)
_NAME_BEFORE: Final = re.compile(
    r"(?:secret|token(?!i[sz])|credentials?|(?:api|access|admin|auth|client|live|master|private"
    r"|prod(?:uction)?|root|secret|server|test)[ _-]?keys?|bearer|\blogin|\bpat|キー|トークン"
    r"|シークレット|密[钥鑰]|令牌|키|토큰|khóa|kunci|คีย์|โทเค็น|कुंजी|टोकन)"
    r"(?:[^\n\d]{0,40}[\s\"'`「(:=]|[^\n\d]{0,30}\n)\s{0,3}$"
    r"|(?-i:A[KS]IA[A-Z0-9]{16})[^\n]{0,60}[\s\"'/:=]$"
    r"|\bauth ?= ?\([\"'][^\"'\n]{1,80}[\"'], ?[\"']$|(?:client|api|auth|login|connect)\([\"']$",
    re.IGNORECASE,
)
_COMMENT_AFTER: Final = re.compile(
    r"[\"'][)\]};,]{0,3}[ \t]{1,4}(?:#|//|--)[^\n]{0,20}?\b(?:token|secret|api key|password)", re.I
)
_NEAR: Final = 120  # characters before a value that are searched for its name
_HASH: Final = re.compile(r"hash|digest|md5|sha\d?|commit|checksum|public|uuid|etag", re.I)
_KEY_LIKE: Final = re.compile(
    r"(?=(?:[^\d]*\d){3})(?=(?:\d*[A-Za-z+/_-]){3})"
    r"(?:[a-f0-9]{32,128}|(?=(?:[^\d]*\d){5})(?:[a-z0-9]{30,128}|[A-Z0-9]{30,128})"
    r"|(?=.*[a-z])(?=.*[A-Z])[\w+/-]{20,512})={0,2}",
    re.ASCII,
)
_WORD_IN_NAME: Final = re.compile(r"[A-Z](?=[a-z]*[aeiou])[a-z]{3,}")
_IS_GIVEN: Final = re.compile("[:=,：は是은는]| is |คือ|là |adalah ")
_VENDOR: Final = re.compile(
    r"(?<!\w)(?!(?:the|this|that|each|any|with|same|and|for|new|old) )[a-zA-Z]{3,20} $",
    re.IGNORECASE,
)
_OPEN_KEY: Final = re.compile(
    r"(?:pub[a-z]*|primary|foreign|cache|sort|partition|row|object|event|idempotency|dedup[a-z]*"
    r"|composite|index|hash|lookup|routing|storage|unique|parent|child|user|order|item|product|file"
    r"|image|s3|bucket|path|column|field|dict|map|json|message|translation|i18n|config|registry"
    r"|search|host|shift|arrow|hot|project|issue|ticket)[ _-]?$",
    re.IGNORECASE,
)
_CERTAIN_NAMES: Final = ("secret", "ssws", "khóa api", "khóa bí mật", "kunci api", "kunci rahasia")
_BASIC: Final = re.compile(
    r"(?:\bbasic\s{1,3}|[\"']auth[\"']: ?[\"'])([A-Za-z0-9+/]{8,512}={0,2})",
    re.IGNORECASE | re.ASCII,
)
_NAMES: Final = (
    "key|secret|token|bearer|\\bauth ?= ?\\(|A[KS]IA|ssws|_pat\\W"
    "|[_\"']auth(?:orization)?\\W|[?&](?:sig|code|appid)="
    "|\\blogin \\w|\\bpat \\w|(?:client|api|auth|connect)\\([\"']|sess[a-z_-]{0,8}=|\\bsid="
    "|キー|トークン|シークレット|密[钥鑰]|令牌|(?:api|비밀|인증|액세스) ?키|토큰|khóa|kunci|คีย์"
    "|โทเค็น|कुंजी"
    "|टोकन|एपीआई"
)
# The words from which a wallet can be restored.
_SEED_WORDS: Final = (
    "mnemonic|(?:seed|recovery|backup|secret|wallet) (?:phrase|words?|seed|backup)|seed:"
    "|シードフレーズ|リカバリーフレーズ|助[记記][词詞]|니모닉|시드 ?(?:문구|구문)"
)
_SEED: Final = re.compile(
    rf"(?:{_SEED_WORDS})[^\n:：]{{0,40}}?(?:[:：=]\s?| is |\n)[\"'`]?"
    r"(?!(?:[a-z]+ )*(?:the|and|your|are|for|not|from)\b)((?:[a-z]{3,8} ){11,23}[a-z]{3,8})\b",
    re.IGNORECASE,
)
_GUARDS: Final = Guards(
    _PREFIXES, *(f"(?i:{words})" for words in (_NAMES, "basic|[\"']auth", _SEED_WORDS))
)
_KEY, _NAME, _BASIC_WORD, _SEED_WORD = range(4)
SIGNS: Final = "|".join([*_GUARDS.patterns, "PRIVATE KEY", passwords.SIGNS])
"""Words before secrets and passwords, and the prefixes of keys."""


class Secret(NamedTuple):
    """A secret at `text[start:end]`, of the kind `secret` or `password`."""

    kind: str
    start: int
    end: int


def find_secrets(text: str) -> Iterator[Secret]:
    """Find keys, tokens, private keys, passwords and codes in a text."""
    found = _GUARDS.search(text)
    if _KEY in found:
        for match in _PREFIXED.finditer(text):
            if _is_mixed(match.group()) and _DUMMY.search(match.group()) is None:
                yield Secret("secret", *match.span())
    if "PRIVATE KEY" in text:
        yield from (Secret("secret", *match.span()) for match in _PEM.finditer(text))
    if _NAME in found:
        yield from (Secret("secret", *place) for place in _named(text))
    if _BASIC_WORD in found:
        for match in _BASIC.finditer(text):
            if _is_login(match.group(1)):
                yield Secret("secret", *match.span(1))
    if _SEED_WORD in found:
        yield from (Secret("secret", *match.span(1)) for match in _SEED.finditer(text))
    yield from (Secret("password", *place) for place in find_passwords(text))


def _named(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of values after names such as api_key."""
    for match in _NAMED.finditer(text):
        name, start = match[1].lower(), match.start()
        before = None if name in _CERTAIN_NAMES else _BEFORE.get(name[0])
        if before is not None and not before.search(text[max(start - _BEFORE_CHARS, 0) : start]):
            is_given = _IS_GIVEN.search(text, match.end(1), match.start(2))
            kept = _JOINED if text[start - 1 : start] == "_" else _STRONG
            is_given = is_given or _VENDOR.search(text[max(start - 24, 0) : start])
            strong = name == "key" and is_given and kept.fullmatch(match[2])
            if not strong or _OPEN_KEY.search(text[max(start - _BEFORE_CHARS, 0) : start]):
                continue
        if _is_name_in_code(match[2]):
            continue
        if "_" in match[2] and "," in text[match.end(1) : match.start(2)]:
            continue  # constants in a list
        if _is_random(match[2]) and text[match.end(2) : match.end(2) + 1] != "(":
            yield match.span(2)
    for match in _LONG.finditer(text):
        value = match[0]
        if _KEY_LIKE.fullmatch(value) and _is_random(value) and not _is_name_in_code(value):
            named = _NAME_BEFORE.search(text[max(match.start() - _NEAR, 0) : match.start()])
            is_key = named is not None and not _HASH.search(named[0])
            if is_key or _COMMENT_AFTER.match(text, match.end()):
                yield match.span()


def _is_name_in_code(value: str) -> bool:
    """Return whether a value consists of words mostly, as `activationKeyOf128Blocks` does."""
    return sum(map(len, _WORD_IN_NAME.findall(value))) > len(value) / 2


def _is_mixed(key: str) -> bool:
    """Return whether a key has digits or both cases, unlike words after "sk-"."""
    return any(c.isdigit() for c in key) or not (key.islower() or key.isupper())


def _is_login(value: str) -> bool:
    """Return whether a value is a user name and password in Base64, as in HTTP's Basic auth."""
    try:
        return ":" in b64decode(value, validate=True).decode()
    except ValueError:
        return False


def _is_random(value: str) -> bool:
    """Return whether a value looks random: it has letters and digits, and many different ones."""
    return (
        any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
        and len(set(value)) >= 8
        and PLACEHOLDER.search(value) is None
    )
