"""Converts chats between people, and with the staff of a support desk, into conversations.

An `App` recognizes its messages one by one, so that a chat of any length is read in a stream.
`message_search` reads those of other apps, and `chat_texts` the chats that are text files.

Messages become a conversation until nobody writes for six hours. Messages of a thread stay
together. Who is the assistant is known only of bots. Otherwise, `roles` of the format options names
who is, and all others are users.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from service.datasets.checks.issues import make_issue, refuse
from service.datasets.formats.options import Record
from service.datasets.passages import html_text

Row = dict[str, Any]

CHAT: Final = "number of the chat"
"""The key of a message whose file has several chats, which is added when it is read."""

_FIRST_MS: Final = 1e11  # larger times are in milliseconds
_GAP_S: Final = 6 * 3600  # of silence, after which a new conversation begins


class Post(NamedTuple):
    """A message of a chat.

    `names` are those by which `roles` may name the author, such as a name and an ID. `at` is a time
    in seconds, `is_bot` whether a program or the staff wrote the message, or None if that is not
    known, and `line` its place in the file. A
    `room` is a chat of several in a file, and messages of a `thread` belong together.
    """

    names: tuple[str, ...]
    text: str
    at: float | None = None
    is_bot: bool | None = None
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


def app_table(columns: Iterable[str]) -> bool:
    """Return whether the columns of a table are the fields of an app's messages."""
    names = set(columns)
    return any(keys <= names for keys, _ in _BY_KEYS)


def read_messages(records: Iterable[Record], roles: Mapping[str, str]) -> Iterator[Record]:
    """Yield the conversations in records that are messages, and unreadable records.

    Raises DatasetError if it is unknown who is the assistant.
    """
    posts: list[Post] = []
    people: dict[str, tuple[str, ...]] = {}
    for record in records:
        if record.issue is not None:
            yield record
        elif (app := find_app(record.value)) is not None:
            posts += [post._replace(line=record.line) for post in app.posts(record.value)]
        elif isinstance(profile := at_path(record.value, "profile"), dict):  # a user of Slack
            names = (at_path(profile, key) for key in ("real_name", "display_name"))
            people[str(record.value.get("id"))] = _names(*names, record.value.get("name"))
    if people:
        posts = [
            post._replace(
                names=(*post.names, *(one for name in post.names for one in people.get(name, ())))
            )
            for post in posts
        ]
    yield from conversations_of(posts, roles)


def assistants(roles: Mapping[str, str]) -> frozenset[str]:
    """Return the names of those who are the assistant."""
    return frozenset(author for author, role in roles.items() if role == "assistant")


def conversations_of(posts: Iterable[Post], roles: Mapping[str, str]) -> list[Record]:
    """Return the conversations in the messages of a chat, in the order of their first lines.

    Those without a question or an answer are records with an issue.

    Raises DatasetError if it is unknown who is the assistant.
    """
    found: list[Record] = []
    posts = [post for post in posts if post.text.strip()]
    named = assistants(roles)
    if not any(named.intersection(post.names) for post in posts):
        named = frozenset()
        if posts and all(post.is_bot is None for post in posts):
            raise refuse("no_assistant", count=len({post.names[0] for post in posts}))
    chats: dict[tuple[str, str], list[Post]] = {}
    for post in posts:
        chats.setdefault((str(post.room), str(post.thread)), []).append(post)
    for unordered in chats.values():
        chat = _in_order(unordered)
        for talk in [chat] if chat[0].thread is not None else _at_silences(chat):
            turns: list[Row] = []
            for post in talk:
                is_assistant = bool(named.intersection(post.names) if named else post.is_bot)
                speaker = "gpt" if is_assistant else "human"
                if turns and turns[-1]["from"] == speaker:
                    turns[-1]["value"] += "\n" + post.text
                else:
                    turns.append({"from": speaker, "value": post.text})
            while turns and turns[-1]["from"] == "human":
                turns.pop()
            if len(turns) > 1:
                found.append(Record(min(post.line for post in talk), {"conversations": turns}))
            else:
                line = min(post.line for post in talk)
                found.append(Record(line, None, make_issue("no_answer", line)))
    return sorted(found, key=lambda record: record.line)


def answered(posts: Iterable[Post], roles: Mapping[str, str]) -> list[Row]:
    """Return the conversations in messages as values, only those with an answer."""
    return [one.value for one in conversations_of(posts, roles) if one.issue is None]


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
    """Return a time as a number of seconds, from ISO 8601, words or a number, also of ms."""
    if written is None:
        return None
    try:
        number = float(written)
        return number / 1000 if number > _FIRST_MS else number
    except (TypeError, ValueError, OverflowError):
        pass
    text = str(written).replace("/", "-").replace("\u202f", " ")
    for parse in (_in_iso, parsedate_to_datetime, _in_words):
        try:
            return parse(text).timestamp()
        except (TypeError, ValueError):
            continue
    return None


def _in_iso(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" UTC", "+00:00"))


def _in_words(text: str) -> datetime:
    return datetime.strptime(text.replace("UTC", "+0000"), "%A, %B %d, %Y at %I:%M:%S %p %z")


def objects(value: Any) -> list[Row]:
    """Return the objects of a list, or [] for another value."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def at_path(value: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def path_of(value: Any, path: str) -> Any:
    """Return the value at a path of keys with dots, or None."""
    return at_path(value, *path.split(".")) if path else None


_MAX_PATH: Final = 10_000  # messages of a conversation, which a loop must not exceed


def path_to(leaf: Any, nodes: Mapping[Any, Row], parent: str) -> list[Row]:
    """Return the nodes of a tree from the root to a leaf. `parent` is the key of a parent's ID."""
    path: list[Row] = []
    while (node := nodes.get(str(leaf))) is not None and len(path) < min(_MAX_PATH, len(nodes)):
        path.append(node)
        leaf = node.get(parent)
    return path[::-1]


def plain_turns(value: Any) -> list[Row]:
    """Return the messages of a list with nothing but their role and content."""
    return [{key: one.get(key) for key in ("role", "content")} for one in objects(value)]


_TEXT_BLOCKS: Final = ("text", "input_text", "output_text")


def text_of(written: Any) -> str:
    """Return a text, or the texts of blocks of content."""
    if isinstance(written, list):
        blocks = [one for one in objects(written) if one.get("type", "text") in _TEXT_BLOCKS]
        texts = (one.get("text", one.get("value")) for one in blocks)
        plain = (
            text.get("content", text.get("value")) if isinstance(text, dict) else text
            for text in texts
        )
        return "".join(text for text in plain if isinstance(text, str))
    return written if isinstance(written, str) else ""


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
    names = _names(value.get("from"), value.get("from_id"))
    yield Post(names, text, at, room=value.get(CHAT))


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
        is_bot=True if author.get("isBot") else None,
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


def _slack_blocks(value: Row) -> Iterator[str]:
    for block in [*objects(value.get("blocks")), *objects(value.get("attachments"))]:
        text = block.get("text") or block.get("fallback")
        yield str(at_path(text, "text") or (text if isinstance(text, str) else ""))


def _slack(value: Row) -> Iterator[Post]:
    if value.get("type", "message") != "message" or value.get("subtype") not in _SLACK_TEXTS:
        return
    profile = value.get("user_profile") or value.get("bot_profile")
    names = (at_path(profile, key) for key in ("real_name", "display_name", "name"))
    yield Post(
        _names(*names, value.get("username"), value.get("user"), value.get("bot_id")),
        _slack_text(str(value.get("text") or "\n".join(_slack_blocks(value)))),
        seconds(value.get("ts")),
        is_bot=True if value.get("bot_id") else None,
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
            is_bot=True if bot and not user else None,
            thread=(value.get("replyToId") or value.get("id")) if in_channel else None,
            room=value.get("chatId"),
        )


# What apps write in place of a message.
NOTE: Final = re.compile(
    r"(?:スタンプ|写真|画像|動画|ボイスメッセージ|ファイル)を送信しました。"
    r"|Liked a message|.{1,60} sent (?:an attachment|a photo|a sticker)\."
    r"|Reacted .{1,9} to (?:your|a) message ?|<msg>.*"
    r"|<(?:environment_context|user_instructions|INSTRUCTIONS)>[\s\S]*"
)
KAKAO_NOTE: Final = re.compile(
    r"사진(?: \d+장)?|동영상|이모티콘|음성메시지|삭제된 메시지입니다\.?|파일: .*"
    r"|Photos?|Video|Emoticons?|File: .*"
)
# Blocks that Open WebUI writes into answers for what was not said.
UNSAID: Final = re.compile(
    r'<details type="(?:reasoning|tool_calls|code_interpreter)"[^>]*>.*?</details>\s*', re.DOTALL
)
_MARKUP: Final = re.compile(r"</?[A-Za-z][^<>]*>")


def _said(text: Any) -> str:
    return "" if NOTE.fullmatch(str(text)) else str(text).replace("\r\n", "\n")


def _line(value: Row) -> Iterator[Post]:
    is_bot = str(value["送信者タイプ"]).casefold() == "account"
    at = seconds(f"{value['送信日']} {value['送信時刻']}")
    yield Post(_names(value["送信者名"]), _said(value["内容"]), at, is_bot)


def _wechat(value: Row) -> Iterator[Post]:
    if str(value["Type"]) == "1":
        text, at = _said(value["StrContent"]), seconds(value["CreateTime"])
        is_bot, room = str(value["IsSender"]) == "1", str(value.get("TalkerId"))
        yield Post(_names(value.get("Sender")), text, at, is_bot, room=room)


def _repaired(text: str) -> str:
    """Return a text whose bytes of UTF-8 were written as Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _messenger(value: Row) -> Iterator[Post]:
    name, text = str(value["sender_name"]), text_of(value.get("content"))
    at = seconds(value["timestamp_ms"])
    yield Post(_names(_repaired(name), name), _said(_repaired(text)), at)


def _skype(value: Row) -> Iterator[Post]:
    text = text_of(value["content"])
    text = html_text(text) if _MARKUP.search(text) else text
    if str(value["messagetype"]).casefold() in ("text", "richtext", "richtext/html"):
        at = seconds(value["originalarrivaltime"])
        yield Post(_names(value.get("displayName"), value.get("from")), _said(text), at)


# LINE Official Account Manager, WeChatMsg, Messenger and Instagram, Teams and Skype for one person
_BY_KEYS: Final[tuple[tuple[frozenset[str], Callable[[Row], Iterable[Post]]], ...]] = (
    (frozenset(("送信者タイプ", "送信者名", "送信日", "送信時刻", "内容")), _line),
    (frozenset(("Type", "IsSender", "CreateTime", "StrContent")), _wechat),
    (frozenset(("sender_name", "timestamp_ms")), _messenger),
    (frozenset(("originalarrivaltime", "messagetype", "content")), _skype),
)


def _has(keys: frozenset[str]) -> Callable[[Row], bool]:
    return lambda value: keys <= value.keys()


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
    *(App(_has(keys), posts) for keys, posts in _BY_KEYS),
)
