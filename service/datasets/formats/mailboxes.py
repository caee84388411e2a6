"""Reads mailboxes of e-mails (mbox), such as those of Gmail and Thunderbird, as conversations.

The messages of a thread are a conversation, without what they quote. Who is the assistant is named
by a name, an address, or a domain such as `@example.com`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses
from pathlib import Path
from typing import Final

from service.datasets.checks.issues import make_issue, printable
from service.datasets.formats.chat_apps import Post, conversations_of, seconds
from service.datasets.formats.options import Record
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.passages import html_text
from service.datasets.rows.lines import read_lines

_FROM: Final = re.compile(rb"From \S+ .*\d\d:\d\d")
_FIELD: Final = re.compile(rb"[A-Z][\w-]*:")
_HEAD_BYTES: Final = 4096
_UNREAD: Final = re.compile(r"\b(?:spam|trash|drafts?|junk)\b", re.IGNORECASE)  # Gmail's labels
_REPLY: Final = re.compile(
    r"(?:(?:re|fwd?|aw|wg|sv|rv|回复|答复|返信)(?:\[\d+\])?\s?[:：]\s*)+", re.I
)
# What programs write above the message that they quote, and the marks of what is not the text: a
# signature, or a message that is quoted as it is.
_QUOTING: Final = re.compile(
    r"^(?=[^\n]*(?:@|\d{4}|\d:\d\d))(?:[^\W\d_]{1,8}\b[^\n]{0,200}|[^\n]{0,200}<[^<>\n]+>[^\n]{0,20})"
    r"(?:\n[^\n>]{0,80})?[:：]\s*(?=\n>)",
    re.MULTILINE,
)
_END: Final = re.compile(
    r"^(?:-- ?|_{10,}|-{3,} ?[^\W\d_][\w ]+ ?-{3,}"
    r"|(?:From|Von|De|Da|Van|发件人|差出人|보낸 사람) ?[:：] .*\n(?:\S+ ?){1,3}[:：] .*)$",
    re.MULTILINE,
)
_QUOTED: Final = re.compile(r"^>.*\n?", re.MULTILINE)


# What reading an e-mail raises if it is of another kind than the standard allows.
_DAMAGE: Final = (
    MessageError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)


def is_mailbox(path: Path) -> bool:
    """Return whether a file is a mailbox: it begins with the line that separates e-mails."""
    with path.open("rb") as file:
        first, _, rest = file.read(_HEAD_BYTES).partition(b"\n")
    return _FROM.match(first) is not None and _FIELD.match(rest) is not None


def read_mailbox(path: Path, roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations of a mailbox. Raises DatasetError if nobody is the assistant."""
    posts: list[Post] = []
    threads: dict[str, str] = {}
    for line, data in _messages(path):
        try:
            post = _post(data, threads)
        except _DAMAGE as error:
            reason = printable(str(error) or type(error).__name__)
            yield Record(line, None, make_issue("unreadable_email", line, reason=reason))
            continue
        if post is not None:
            posts.append(post._replace(line=line))
    yield from conversations_of(posts, roles)


def _messages(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the line and the bytes of each e-mail, without the end of large attachments."""
    first, held, size, is_blank = 1, list[bytes](), 0, True
    for number, line in read_lines(path):
        if is_blank and line is not None and _FROM.match(line):
            if held:
                yield first, b"\n".join(held)
            first, held, size = number, [], 0
        elif line is not None and (size := size + len(line)) <= MAX_LINE_BYTES:
            held.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
        is_blank = line is not None and not line.strip()
    if held:
        yield first, b"\n".join(held)


def _post(data: bytes, threads: dict[str, str]) -> Post | None:
    """Return what an e-mail says, or None if a program sent it. Notes its thread in `threads`.

    Raises one of `_DAMAGE` if it cannot be read.
    """
    mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
    known = str(mail.get("X-GM-THRID") or "")
    chain = f"{mail.get('References', '')} {mail.get('In-Reply-To', '')}".split()
    name = str(mail.get("Message-ID", "")).strip()
    subject = str(mail.get("Subject") or "").strip()
    sender = getaddresses([str(mail.get("From") or "")])[0]
    is_automatic = str(mail.get("Auto-Submitted", "no")).strip().casefold() != "no"
    if is_automatic or _UNREAD.search(str(mail.get("X-Gmail-Labels") or "")):
        return None
    text, at = _text(mail), seconds(mail.get("Date"))
    thread = known or next((threads[one] for one in chain if one in threads), "")
    thread = thread or next(iter(chain), name)
    threads.update(dict.fromkeys(filter(None, (name, *chain)), thread))
    if subject and _REPLY.match(subject) is None and not chain:
        text = f"{subject}\n\n{text}"
    address = sender[1].casefold()
    names = (sender[0], address, f"@{address.rpartition('@')[2]}")
    return Post(tuple(filter(None, names)) or ("",), text, at, thread=thread)


def _text(mail: EmailMessage) -> str:
    """Return the text of an e-mail without the quoted ones and the signature."""
    part = mail.get_body(("plain", "html"))
    if part is None:
        return ""
    text = part.get_content()
    text = html_text(text) if part.get_content_subtype() == "html" else text
    text = text.replace("\r\n", "\n").replace("\xa0", " ")
    text = _QUOTED.sub("", _QUOTING.sub("", text))
    end = _END.search(text)
    return (text[: end.start()] if end else text).strip()
