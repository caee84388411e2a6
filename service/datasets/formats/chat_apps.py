"""Converts chats between people into conversations: Slack, Telegram, Discord, Teams and WhatsApp.

An `App` recognizes its messages one by one, so that a chat of any length is read in a stream.

Messages become a conversation until nobody writes for six hours. Messages of a thread stay
together. Who is the assistant is known only of bots. Otherwise, `roles` of the format options names
who is, and all others are users.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from service.datasets.checks.issues import refuse
from service.datasets.formats.options import Record
from service.datasets.passages import html_text
from service.datasets.rows.lines import read_lines

Row = dict[str, Any]

_GAP_S: Final = 6 * 3600  # of silence, after which a new conversation begins
_HEAD_BYTES: Final = 64 * 1024
_HEAD_LINES: Final = 20


class Post(NamedTuple):
    """A message of a chat.

    `names` are those by which `roles` may name the author, such as a name and an ID. `at` is a time
    in seconds, `is_bot` whether a program wrote the message, and `line` its place in the file. A
    `room` is a chat of several in a file, and messages of a `thread` belong together.
    """

    names: tuple[str, ...]
    text: str
    at: float | None = None
    is_bot: bool = False
    thread: str | None = None
    room: str | None = None
    line: int = 1


class App(NamedTuple):
    """A chat app: whether a value is one of its messages, and what was written in it."""

    matches: Callable[[Row], bool]
    posts: Callable[[Row], Iterable[Post]]


def find_app(value: Any) -> App | None:
    """Return the app of which a value is a message, or None."""
    if not isinstance(value, dict):
        return None
    return next((app for app in _APPS if app.matches(value)), None)


def messages_inside(value: Any) -> list[list[Row]]:
    """Return the chats in a document of a chat app: each is a list of messages."""
    chats = objects(at_path(value, "chats", "list")) or [value]  # Telegram's export of all chats
    found = [objects(at_path(chat, key)) for chat in chats for key in ("messages", "value")]
    return [chat for chat in found if chat and find_app(chat[0]) is not None]


def read_chats(messages: Iterable[Row], roles: Mapping[str, str]) -> Iterator[Row]:
    """Yield the conversations in messages of a chat app. Raises DatasetError."""
    records = (Record(1, message) for message in messages)
    return (record.value for record in read_messages(records, roles))


def read_messages(records: Iterable[Record], roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations in records that are messages, and unreadable records.

    Raises DatasetError if it is unknown who is the assistant.
    """
    posts: list[Post] = []
    for record in records:
        if record.issue is not None:
            yield record
        elif (app := find_app(record.value)) is not None:
            posts += [post._replace(line=record.line) for post in app.posts(record.value)]
    yield from conversations_of(posts, roles)


def conversations_of(posts: Iterable[Post], roles: Mapping[str, str]) -> list[Record]:
    """Return the conversations in the messages of a chat, in the order of their first lines.

    Raises DatasetError if it is unknown who is the assistant.
    """
    found: list[Record] = []
    posts = [post for post in posts if post.text.strip()]
    named = {author for author, role in roles.items() if role == "assistant"}
    if posts and not named and not any(post.is_bot for post in posts):
        raise refuse("no_assistant", count=len({post.names[0] for post in posts}))
    chats: dict[tuple[str, str], list[Post]] = {}
    for post in posts:
        chats.setdefault((str(post.room), str(post.thread)), []).append(post)
    for unordered in chats.values():
        chat = _in_order(unordered)
        for talk in [chat] if chat[0].thread is not None else _at_silences(chat):
            turns: list[Row] = []
            for post in talk:
                is_assistant = bool(named.intersection(post.names)) if named else post.is_bot
                speaker = "gpt" if is_assistant else "human"
                if turns and turns[-1]["from"] == speaker:
                    turns[-1]["value"] += "\n" + post.text
                else:
                    turns.append({"from": speaker, "value": post.text})
            while turns and turns[-1]["from"] == "human":
                turns.pop()
            if len(turns) > 1:
                found.append(Record(min(post.line for post in talk), {"conversations": turns}))
    return sorted(found, key=lambda record: record.line)


def _in_order(posts: list[Post]) -> list[Post]:
    """Sort the messages of a chat if their times are known: some APIs give the newest first."""
    if any(post.at is None for post in posts):
        return posts
    return sorted(posts, key=lambda post: post.at or 0)


def _at_silences(posts: list[Post]) -> Iterator[list[Post]]:
    talk: list[Post] = []
    for post in posts:
        last = talk[-1].at if talk else None
        if last is not None and post.at is not None and post.at - last > _GAP_S:
            yield talk
            talk = []
        talk.append(post)
    yield talk


def seconds(written: Any) -> float | None:
    """Return a time as a number of seconds, from ISO 8601 or a number."""
    try:
        return datetime.fromisoformat(written).timestamp()
    except (TypeError, ValueError):
        pass
    try:
        return float(written)
    except (TypeError, ValueError, OverflowError):
        return None


def objects(value: Any) -> list[Row]:
    """Return the objects of a list, or [] for another value."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def at_path(value: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _names(*names: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in names if name) or ("",)


def _is_telegram(value: Row) -> bool:
    kind = value.get("type")
    if kind == "unsupported":
        return value.keys() == {"id", "type"}
    return (
        kind in ("message", "service")
        and "date" in value
        and not {"text", "actor"}.isdisjoint(value)
    )


def _telegram(value: Row) -> Iterator[Post]:
    if value["type"] != "message":
        return
    written = value.get("text") or value.get("text_entities") or ""
    parts = written if isinstance(written, list) else [written]
    text = "".join(str(part.get("text", "") if isinstance(part, dict) else part) for part in parts)
    at = seconds(value.get("date_unixtime") or value.get("date"))
    yield Post(_names(value.get("from"), value.get("from_id")), text, at)


# Notes of the app that have a text, such as "Joined the server."
_DISCORD_NOTES: Final = frozenset(
    [
        *("RecipientAdd", "RecipientRemove", "Call", "ChannelNameChange", "ChannelIconChange"),
        *("ChannelPinnedMessage", "GuildMemberJoin", "ThreadCreated", *map(str, range(1, 19))),
    ]
)


def _discord(value: Row) -> Iterator[Post]:
    if str(value.get("type")) in _DISCORD_NOTES:
        return
    author = value["author"]
    texts = [value.get("content") or at_path(value, "forwardedMessage", "content")]
    if not texts[0]:  # bots answer in embeds
        embeds = objects(value["embeds"])
        texts = [embed.get(key) for embed in embeds for key in ("title", "description")]
    yield Post(
        _names(author.get("name"), author.get("nickname"), author.get("id")),
        "\n".join(text for text in texts if isinstance(text, str) and text),
        seconds(value.get("timestamp")),
        is_bot=bool(author.get("isBot")),
    )


_SLACK_TEXTS: Final = (None, "bot_message", "thread_broadcast", "me_message", "file_share")
# "<@U123>", "<#C123|general>", "<!here>", "<https://example.com|our page>"
_SLACK_LINK: Final = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")


def _slack_text(text: str) -> str:
    def shown(link: re.Match[str]) -> str:
        mark, target, label = link.groups()
        sign = "#" if mark == "#" else "@" if mark else ""
        if label and sign:
            return label if label.startswith(sign) else sign + label
        return f"{label} ({target})" if label and label != target else sign + target

    return html.unescape(_SLACK_LINK.sub(shown, text))


def _slack(value: Row) -> Iterator[Post]:
    if value.get("type", "message") != "message" or value.get("subtype") not in _SLACK_TEXTS:
        return
    profile = value.get("user_profile") or value.get("bot_profile")
    names = (at_path(profile, key) for key in ("real_name", "display_name", "name"))
    yield Post(
        _names(*names, value.get("username"), value.get("user"), value.get("bot_id")),
        _slack_text(str(value.get("text") or "")),
        seconds(value.get("ts")),
        is_bot=bool(value.get("bot_id")),
        thread=value.get("thread_ts"),
    )


_EMOJI: Final = re.compile(r'<emoji\b[^>]*?\balt="([^"]*)"[^>]*>')


def _teams(value: Row) -> Iterator[Post]:
    for one in (value, *objects(value.get("replies"))):
        body = one.get("body")
        if one.get("messageType", "message") != "message" or one.get("deletedDateTime"):
            continue
        text = str(at_path(body, "content") or "")
        if at_path(body, "contentType") != "text":
            text = html_text(_EMOJI.sub(r"\1", text))
        sender = one.get("from")
        user, bot = (at_path(sender, kind) for kind in ("user", "application"))
        in_channel = value.get("channelIdentity") is not None or value.get("replyToId") is not None
        yield Post(
            _names(*(at_path(who, key) for who in (user, bot) for key in ("displayName", "id"))),
            text if not one.get("subject") else f"{one['subject']}\n\n{text}",
            seconds(one.get("createdDateTime")),
            is_bot=not user and bool(bot),
            thread=(value.get("replyToId") or value.get("id")) if in_channel else None,
            room=value.get("chatId"),
        )


_APPS: Final = (
    App(_is_telegram, _telegram),
    App(
        lambda v: (
            isinstance(v.get("author"), dict) and {"timestamp", "content", "embeds"} <= v.keys()
        ),
        _discord,
    ),
    App(lambda v: {"ts", "text"} <= v.keys() and bool({"user", "bot_id"} & v.keys()), _slack),
    App(lambda v: "messageType" in v and isinstance(v.get("body"), dict), _teams),
)

# "12/05/2026, 09:12 - Ann: Hello" on Android, "[12/05/2026, 09:12:33] Ann: Hello" on iOS; some
# languages write a word between date and time, AM or PM before the time, or no comma.
_WHATSAPP: Final = re.compile(
    r"[\u200e\u200f]*(\[)?(\d{1,4}[./-] ?\d{1,2}[./-] ?\d{1,4})[.,]?(?: (?:klo|um|kl\.))? "
    r"(?P<before>上午|下午|午前|午後|오전|오후)? ?"
    r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.]\d{2})?"
    r"(?:\s?(?P<after>[AaPp])\.?\s?[Mm]\.?)?(?(1)\]|(?: -|:)) "
    r"(?!(?:DEBUG|INFO|WARN|ERROR|CRITICAL)\w*:)(?P<text>.*)"  # the last are logs of programs
)
_AFTERNOON: Final = ("P", "p", "下午", "午後", "오후")
# Texts of the app in place of a message, a file without its name, and a mark after the text. On
# iOS, such a text begins with a left-to-right mark.
_WHATSAPP_NOTE: Final = re.compile(
    r"\u200e.*|<[^<>]+>|null|(?:This message was|You) deleted(?: this message)?\.?"
)
_WHATSAPP_FILE: Final = re.compile(r"\A\u200e?[\w.-]+\.\w{2,5} \([^()\n]+\)(?:\n|\Z)")
_WHATSAPP_EDITED: Final = re.compile(r"\s*\u200e?<This message was edited>\Z")


def is_whatsapp(path: Path) -> bool:
    """Return whether a text is a chat that WhatsApp exported."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode("utf-8", "replace").removeprefix("\ufeff")
    lines = [line for line in head.split("\n") if line.strip()][:_HEAD_LINES]
    found = [_WHATSAPP.match(line) for line in lines]
    said = sum(match is not None and ": " in match["text"] for match in found)
    return said >= 2 and found[0] is not None


def read_whatsapp(path: Path, roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations of a chat that WhatsApp exported."""
    yield from conversations_of(_whatsapp_posts(path), roles)


def _whatsapp_posts(path: Path) -> Iterator[Post]:
    post: Post | None = None
    days: dict[str, int] = {}
    for number, data in read_lines(path):
        line = (data or b"").decode("utf-8", "replace").removeprefix("\ufeff").rstrip()
        found = _WHATSAPP.match(line)
        if found is None:
            if post is not None:
                post = post._replace(text=f"{post.text}\n{line}")
            continue
        if post is not None:
            yield _without_notes(post)
        author, colon, text = found["text"].partition(": ")
        hour = int(found["hour"])
        if half := found["before"] or found["after"]:
            hour = hour % 12 + 12 * (half in _AFTERNOON)
        # Lines without an author are notes of the app. The order of day and month is unknown, so
        # the days only have numbers, far enough apart that each begins a conversation.
        day = days.setdefault(found[2], len(days))
        at = day * 2 * 86_400.0 + hour * 3600 + int(found["minute"]) * 60
        names = (author.strip("\u200e\u200f ~\u202f\xa0"),)
        post = Post(names, text, at, line=number) if colon else None
    if post is not None:
        yield _without_notes(post)


def _without_notes(post: Post) -> Post:
    text = _WHATSAPP_FILE.sub("", _WHATSAPP_EDITED.sub("", post.text))
    first, _, rest = text.partition("\n")
    return post._replace(text=rest if _WHATSAPP_NOTE.fullmatch(first) else text)
