"""Finds messages in files of any tool, by the names of their fields and by what these hold.

A list is one of messages if a field of its objects says who wrote each: a word such as `agent`, a
flag such as `is_inbound`, or the ID of a person whose role the document names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

from service.datasets.checks.issues import refuse
from service.datasets.formats.chat_apps import (
    KAKAO_NOTE,
    NOTE,
    UNSAID,
    Post,
    answered,
    assistants,
    conversations_of,
    find_app,
    objects,
    path_to,
    seconds,
    text_of,
)
from service.datasets.formats.options import Record
from service.datasets.formats.turn_forms import SPEAKERS, role_named, words_of
from service.datasets.passages import html_text

Row = dict[str, Any]

_MAX_DEPTH: Final = 5  # of a document in which messages are looked for
_SAMPLE: Final = 200  # messages that decide about the fields
_EVENTS: Final = 3  # messages of an app, of which the first can be another kind of event


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SPEAKER: Final = _set(
    "role type sender from author speaker direction by participant kind source user name event"
)
_PEOPLE: Final = _set("users participants members people agents customers visitors")
_ASKERS: Final = _set("requester reporter customer contact client visitor cc collaborator follower")
_ASSIGNED: Final = _set("assignee assigned")
_ORGANIZATION: Final = _set("customer contact client visitor lead")
_FLAGS: Final = SPEAKERS | {"me": "assistant", "sender": "assistant"}
_CODES: Final = {"0": "user", "in": "user", "1": "assistant", "out": "assistant"}  # of directions
_LETTERS: Final = {
    **dict.fromkeys(("u", "v", "c", "h"), "user"),  # user, visitor, customer, human
    **dict.fromkeys(("a", "b", "o"), "assistant"),  # agent, bot, operator
}

# Names of a message's fields, the best first, written with underscores.
TEXTS: Final = (
    *("plain_body", "plain_text", "body_text", "text_body", "plaintext", "text", "content"),
    *("message", "message_text", "messagetext", "msg", "message_parts", "parts", "value"),
    *("utterance", "mes", "content_parts", "body", "body_html", "html_body", "rich_text"),
    *("comment", "cooked", "contents", "blocks"),
    *("内容", "内容文", "내용"),
)
THREADS: Final = (
    *("conversation_id", "conversationid", "conv_id", "conversation", "chat_id", "chatid"),
    *("conversations_thread_id", "session_id", "sessionid", "session", "dialog_id", "dialogue_id"),
    *("thread_id", "threadid", "ticket_id", "case_id", "group_id", "dialog", "dialogue", "thread"),
    *("csid", "contact_id", "会話_id", "对话_id", "대화_id"),
)
TIMES: Final = (
    *("created_at", "created_time", "created_datetime", "created_date_time", "timestamp", "time"),
    *("message_date", "sent_at", "date", "created", "date_created", "ts", "send_date"),
    *("date_sent", "sent_date", "create_at", "origin_server_ts", "start", "start_time"),
)
_AUTHORS: Final = _set("author sender from user username speaker creator participant by u who")
_SYSTEMS: Final = ("system", "system_instruction", "system_prompt", "preamble", "context")
_PARENTS: Final = ("parent_id", "parent", "parent_message_uuid", "parent_message_id", "parent_uuid")
_NAMES: Final = ("id", "uuid", "message_id")
_HIDDEN: Final = _set(
    "private is_private internal is_internal deleted is_deleted redacted is_thought hidden"
    " is_hidden is_sidechain is_meta is_system"
)
# Words of fields and lists that only chats have. Logs, too, have a `type` and a `message`.
_SURE_SPEAKERS: Final = _set("role sender author speaker from participant by event")
_SURE_TEXTS: Final = frozenset(TEXTS) - _set("text message value comment msg")
_SURE_LISTS: Final = _set(
    "messages message chat chats conversation conversations turns history transcript entries"
    " thread threads utterances dialog dialogue responses replies comments chunks notes"
)
_NOT_SAID: Final = _set("commit author user sender quoted reply_to parent metadata from")
# Notes of the staff, and events.
_NOTE: Final = re.compile(r"(?:.*_)?(?:note|notes|activity|event|reasoning|quick_reply)(?:_.*)?")
_KAKAO: Final = {"Date", "User", "Message"}  # the columns of KakaoTalk's CSV
_MARKUP: Final = re.compile(r"<(?:p|div|br|span|a|b|i|ul|ol|table|html|body)\b[^<>]*>", re.I)


@lru_cache(maxsize=4096)
def field_name(path: str) -> str:
    """Return the last key of a path as words with underscores, such as `created_at`."""
    return "_".join(words_of(path.rpartition(".")[2]))


def _flat(value: Row, depth: int = 3) -> Row:
    """Return the values of an object by their paths, the shallow ones first."""
    found = dict(value)
    level = [(key, one) for key, one in value.items() if isinstance(one, dict)]
    for _ in range(depth - 1):
        inside = [(f"{path}.{key}", one) for path, below in level for key, one in below.items()]
        found.update(inside)
        level = [(path, one) for path, one in inside if isinstance(one, dict)]
    return found


def _first_named(flat: Row, names: Sequence[str]) -> Any:
    """Return the value of the field with the first of several names, the shallowest one."""
    for path in _paths_named(tuple(flat), tuple(names)):
        if (value := flat[path]) not in (None, "", [], {}):
            return value
    return None


# Records of a file mostly have the same fields, so what their names say is looked up once.
@lru_cache(maxsize=1024)
def _paths_named(paths: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    named = [path for path in paths if field_name(path) in names]
    return sorted(named, key=lambda path: names.index(field_name(path)))


class Speaker(NamedTuple):
    """The path of a message's author, and the role of each of its values."""

    path: str
    roles: Mapping[str, str]
    default: str | None = None
    is_sure: bool = True

    def role(self, flat: Row) -> str | None:
        """Return the role of a message's author, or None."""
        value = flat.get(self.path)
        return None if value is None else self.roles.get(str(value), self.default)


class Around(NamedTuple):
    """What the objects around a list say: roles of people, who asks, and what came first."""

    people: Mapping[str, str] = {}
    askers: frozenset[str] = frozenset()
    holders: tuple[Row, ...] = ()
    opening: str = ""
    system: str = ""
    leaf: Any = None
    named: frozenset[str] = frozenset()

    def inside(self, value: Row) -> Around:
        """Return what is known inside an object."""
        flat = _flat(value, 2)
        people, askers, assigned = dict(self.people), set(self.askers), set[str]()
        for path, one in flat.items():
            words = set(words_of(path))
            if words & _PEOPLE:
                people |= _people(list(one.values()) if isinstance(one, dict) else one, words)
            ids = one if isinstance(one, list) else [one]
            ids = [str(each) for each in ids if isinstance(each, str | int)]
            if words_of(path)[-1:] and words & (_ASKERS | _ASSIGNED) and _is_person(path):
                (assigned if words & _ASSIGNED else askers).update(ids)
        named = {
            field_name(path): one for path, one in reversed(flat.items()) if isinstance(one, str)
        }
        return Around(
            people,
            frozenset(askers - assigned),
            (*self.holders, flat, *(_flat(one) for one in value.values() if isinstance(one, dict))),
            named.get("description_text") or named.get("description") or self.opening,
            _system_of(flat) or self.system,
            next((one for path, one in flat.items() if "current" in words_of(path)), self.leaf),
            self.named,
        )


def _is_person(path: str) -> bool:
    last = words_of(path)[-1]
    return last in ("id", "ids", "name", "email") or path.count(".") == 0


def _system_of(flat: Row) -> str:
    given = _first_named(flat, _SYSTEMS)
    return text_of(given.get("parts") or given.get("text") if isinstance(given, dict) else given)


def _people(listed: Any, words: set[str]) -> dict[str, str]:
    group = next((role_named(word.removesuffix("s")) for word in words if word.endswith("s")), None)
    found: dict[str, str] = {}
    for person in objects(listed):
        roles = [role_named(str(person[key])) for key in person if _SPEAKER & set(words_of(key))]
        role = next(filter(None, roles), group)
        ids = [one for key, one in person.items() if words_of(key)[-1:] in (("id",), ("name",))]
        found |= {str(one): role for one in ids if role is not None}
    return found


def find_speaker(flats: list[Row], around: Around, name: str = "") -> Speaker | None:
    """Return the field of who wrote each message, if both a user and an assistant did.

    What the user wrote may be before the list, whose name is `name`.
    """
    is_sure = bool(_SURE_LISTS & set(words_of(name))) or any(
        (one.get(path) and field_name(path) in _SURE_TEXTS)
        for one in flats[:_EVENTS]
        for path in one
    )
    flats, before = flats[:_SAMPLE], around.holders
    values: dict[str, list[str]] = {}
    for flat in [*flats, *before]:
        for path, one in flat.items():
            if _may_tell(path) and isinstance(one, str | int) and str(one):
                values.setdefault(path, []).append(str(one))
    found = (
        speaker
        for find in (_by_name, _by_words, _by_flag, _by_person)
        for path in sorted(values, key=lambda path: path.count("."))
        if (speaker := find(path, values[path], around)) is not None
    )
    for speaker in found:
        roles = [speaker.role(one) for one in flats if _says_something(one)]
        known = sum(role is not None for role in roles)
        asked = [speaker.role(one) for one in before]
        asked += ["user"] if around.opening else []
        is_chat = is_sure or speaker.is_sure
        if is_chat and "assistant" in roles and "user" in roles + asked and known * 2 >= len(roles):
            return speaker
    return None


@lru_cache(maxsize=4096)
def _may_tell(path: str) -> bool:
    """Return whether a field can say who wrote a message."""
    words = set(words_of(path.rpartition(".")[2]))
    named = words & (_SPEAKER | _FLAGS.keys()) or field_name(path) in ("name", "message_type")
    return bool(named or _AUTHORS & _last_words(path))


@lru_cache(maxsize=4096)
def _is_author(path: str) -> bool:
    """Return whether a field names a person, such as `sender`, `user.name` or `author_id`."""
    last = words_of(path)[-1:]
    return bool(_AUTHORS.intersection(last)) or (
        bool(_AUTHORS & _last_words(path)) and last[0] in ("name", "id", "email")
    )


@lru_cache(maxsize=4096)
def _last_words(path: str) -> frozenset[str]:
    """Return the words of a field and of the object that holds it."""
    return frozenset(word for part in path.split(".")[-2:] for word in words_of(part))


def _by_name(path: str, values: list[str], around: Around) -> Speaker | None:
    is_author = _is_author(path) or field_name(path) == "name"
    if not is_author or not around.named.intersection(values):
        return None
    return Speaker(path, dict.fromkeys(around.named, "assistant"), "user")


def check_people(flats: list[Row]) -> None:
    """Raise DatasetError if messages are a chat of people, none of whom is the assistant."""
    said = [one for one in flats if _says_something(one)]
    if len(said) * 2 < len(flats) or _first_named(flats[0], TIMES) is None:
        return
    for path in filter(_is_author, flats[0]):
        people = {str(one[path]) for one in said if isinstance(one.get(path), str | int)}
        if 2 <= len(people) <= len(said) / 2:
            raise refuse("no_assistant", count=len(people))


def _by_words(path: str, values: list[str], _around: Around) -> Speaker | None:
    is_type = path.endswith(".t")  # such as Tawk's `sender.t`
    if not is_type and not _SPEAKER & set(words_of(path.rpartition(".")[2])):
        return None
    if field_name(path) in ("direction", "message_type") and _CODES.keys() & set(values):
        return Speaker(path, _CODES, is_sure=False)
    if {one.casefold() for one in values} <= _LETTERS.keys():
        letters = {one: _LETTERS[one.casefold()] for one in set(values)}
        return Speaker(path, letters)
    roles = {value: role for value in set(values) if (role := role_named(value)) is not None}
    askers = {value for value in roles if _ORGANIZATION & set(words_of(value))}
    if askers and "assistant" not in roles.values():  # where staff are users of the tool
        roles |= dict.fromkeys(roles.keys() - askers, "assistant")
    said = [roles[value] for value in values if value in roles]
    if set(said) == {"user", "system"} and all(a != b for a, b in pairwise(said)):
        roles |= {value: "assistant" for value, role in roles.items() if role == "system"}
    return Speaker(path, roles, is_sure=bool(_last_words(path) & _SURE_SPEAKERS))


def _by_flag(path: str, values: list[str], _around: Around) -> Speaker | None:
    words = words_of(path.rpartition(".")[2])
    roles = {_FLAGS[word] for word in words if word in _FLAGS}
    if (
        len(roles) != 1
        or words[-1] == "id"
        or not {one.casefold() for one in values} <= {"true", "false", "0", "1"}
    ):
        return None
    role = roles.pop()
    other = "assistant" if role == "user" else "user"
    return Speaker(
        path,
        {value: role if value.casefold() in ("true", "1") else other for value in set(values)},
    )


def _by_person(path: str, values: list[str], around: Around) -> Speaker | None:
    known = dict.fromkeys(around.askers, "user") | dict(around.people)
    is_named = bool(known.keys() & set(values)) and bool(_AUTHORS & _last_words(path))
    if not is_named and not (around.askers and around.opening and _is_author(path)):
        return None
    return Speaker(path, known, "assistant" if around.askers else None)


@lru_cache(maxsize=4096)
def _text_rank(path: str) -> int | None:
    """Return the rank, from 1, of a field among those with what a message says, or None."""
    name = field_name(path)
    is_said = name in TEXTS and not _NOT_SAID & set(path.split(".")[:-1])
    return TEXTS.index(name) + 1 if is_said else None


@lru_cache(maxsize=1024)
def _text_paths(paths: tuple[str, ...]) -> list[str]:
    said = [path for path in paths if _text_rank(path) is not None]
    return sorted(said, key=lambda path: _text_rank(path) or 0)


def _says_something(flat: Row) -> bool:
    return any(flat[path] for path in _text_paths(tuple(flat)))


def _text(flat: Row) -> str:
    """Return what a message says, without HTML."""
    said = [flat[path] for path in _text_paths(tuple(flat))]
    texts = (text_of(one) for one in sorted(said, key=lambda one: not objects(one)))
    text = next((text for text in texts if text.strip()), "")
    if pasted := objects(flat.get("attachments")):
        given = (one.get("extracted_content") for one in pasted)
        text = "\n\n".join([text, *(one for one in given if isinstance(one, str) and one)])
    if "<" in text:
        text = UNSAID.sub("", text)
        if _MARKUP.search(text):
            return html_text(text)
    note = KAKAO_NOTE if flat.keys() == _KAKAO else NOTE
    return "" if note.fullmatch(text) else text.replace("&nbsp;", " ")


def without_notes(messages: Iterable[Row], kinds: Collection[str] = ()) -> list[Row]:
    """Return the messages that a customer saw: no notes of the staff, and no events."""
    listed = list(messages)
    kinds = kinds or _kinds(listed)
    return [one for one in listed if not _is_hidden(one, kinds)]


_STATES: Final = {
    **dict.fromkeys(_HIDDEN, ("true", "1", "yes")),
    **dict.fromkeys(("public", "is_public"), ("false", "0", "no")),
}
_INSIDE: Final = ("content.", "message.", "attributes.")
_KINDS: Final = ("type", "part_type", "message_type", "kind")


@lru_cache(maxsize=1024)
def _telling(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the fields that can say that a message is hidden, with their names."""
    outer = (key for key in keys if "." not in key or key.startswith(_INSIDE))
    named = ((key, field_name(key)) for key in outer)
    return [(key, name) for key, name in named if name in _STATES or name in _KINDS]


def _is_hidden(message: Row, kinds: Collection[str]) -> bool:
    for key, name in _telling(tuple(message)):
        one = message[key]
        if name in _STATES and str(one).casefold() in _STATES[name]:
            return True
        if name in _KINDS and isinstance(one, str):
            kind = "_".join(words_of(one))
            if _NOTE.fullmatch(kind) or (kind == "comment" and "message" in kinds):
                return True
    return False


def posts_of(flats: Iterable[Row], speaker: Speaker, kinds: Collection[str]) -> Iterator[Post]:
    """Yield what was said in messages, without notes of the staff."""
    for flat in without_notes(flats, kinds):
        role = speaker.role(flat)
        if role in ("user", "assistant"):
            at = seconds(_first_named(flat, TIMES))
            yield Post(("",), _text(flat), at, is_bot=role == "assistant", thread="")


def _kinds(messages: list[Row]) -> set[str]:
    return {str(one.get("type")).casefold() for one in messages[:_SAMPLE]}


def chats_inside(
    value: Any,
    roles: Mapping[str, str],
    *,
    is_known: bool = False,
    around: Around | None = None,
    name: str = "",
    depth: int = _MAX_DEPTH,
) -> list[Row]:
    """Return the conversations in a document: of apps only, if `is_known`.

    Raises DatasetError if it is unknown who is the assistant.
    """
    if around is None:
        around = Around(named=assistants(roles))
    inside, by_id = [(name, value)], list[tuple[str, Any]]()
    if isinstance(value, dict):
        around = around.inside(value)
        inside = list(value.items())
        if len(inside) > 1 and all(isinstance(one, dict) for _, one in inside):
            by_id = [(name, list(value.values()))]
    for key, one in [*by_id, *inside]:
        listed = [_unwrapped(each) for each in objects(one)] or _said_pairs(one)
        if any(find_app(each) is not None for each in listed[:_EVENTS]):
            return _app_chats(listed, roles)
        flats = [] if is_known else [_flat(each) for each in listed]
        if flats and (speaker := find_speaker(flats, around, key)) is not None:
            return _conversation(flats, speaker, around)
        if flats:
            check_people(flats)
    apart = around._replace(holders=(), opening="", leaf=None)  # what is in a list has its own
    below = [("", each, apart) for _, one in inside for each in objects(one)]
    if isinstance(value, dict):
        below += [(key, one, around) for key, one in value.items() if isinstance(one, dict)]
    return [
        row
        for key, one, place in below
        if depth
        for row in chats_inside(
            one, roles, is_known=is_known, around=place, name=key, depth=depth - 1
        )
    ]


def _said_pairs(value: Any) -> list[Row]:
    """Return the messages of a list of pairs: who speaks, and what is said."""
    pairs = value if isinstance(value, list) else []
    are_pairs = all(isinstance(one, list) and len(one) == 2 for one in pairs)
    return [{"speaker": who, "text": text} for who, text in pairs] if are_pairs else []


def _app_chats(messages: list[Row], roles: Mapping[str, str]) -> list[Row]:
    apps = ((app, one) for one in messages if (app := find_app(one)) is not None)
    posts = (post for app, one in apps for post in app.posts(one))
    return answered(posts, roles)


def _unwrapped(value: Row) -> Row:
    """Return the object in an object with one key, such as {"note": {…}}."""
    inside = next(iter(value.values())) if len(value) == 1 else None
    return inside if isinstance(inside, dict) else value


def _conversation(flats: list[Row], speaker: Speaker, around: Around) -> list[Row]:
    kinds = _kinds(flats)
    posts = list(posts_of(_thread(flats, around.leaf), speaker, kinds))
    opening = next(posts_of(around.holders, speaker, kinds), None)
    if opening is None and around.opening and posts and posts[0].is_bot:
        opening = Post(("",), around.opening, is_bot=False, thread="")
    if opening is not None and posts and opening.text != posts[0].text:
        posts.insert(0, opening._replace(at=float("-inf")))
    system = around.system
    if not system and speaker.role(flats[0]) == "system":
        system = _text(flats[0])
    rows = answered(posts, {})
    return [row | {"system": system} for row in rows] if system else rows


def _thread(flats: list[Row], leaf: Any) -> list[Row]:
    """Return the messages from the first to the last, without others that were edited."""
    parents = [_first_named(one, _PARENTS) for one in flats]
    ids = [str(_first_named(one, _NAMES)) for one in flats]
    known = [str(one) for one in parents if one is not None]
    if len(set(known)) == len(known) or not set(known).intersection(ids):
        return flats
    nodes = {
        name: one | {"": parent} for name, one, parent in zip(ids, flats, parents, strict=True)
    }
    return path_to(leaf if str(leaf) in nodes else ids[-1], nodes, "")


def join_messages(
    first: list[Any], records: Iterable[Record], named: frozenset[str]
) -> Iterator[Record] | None:
    """Return the conversations in records that are messages, or None if they are others.

    The messages must name their conversation, or have times and be those of one user.
    """
    flats = [_flat(one) for one in objects(first)]
    has_threads = any(_first_named(one, THREADS) is not None for one in flats)
    speaker = find_speaker(flats, Around(named=named), "conversation" if has_threads else "")
    if speaker is None:
        if len(flats) > 1:
            check_people(flats)
        return None
    asked = [one for one in flats if speaker.role(one) == "user"]
    places = [_place(one, speaker) for one in asked]
    if (set(places) - {None}) & {str(_first_named(one, _NAMES)) for one in flats}:
        return None  # replies that name their parents
    if None in places:
        who = {path for one in asked for path, name in one.items() if isinstance(name, str)}
        askers = ({one[path] for one in asked if path in one} for path in filter(_is_author, who))
        has_times = any(_first_named(one, TIMES) is not None for one in flats)
        if not has_times or (not named and any(len(names) > 1 for names in askers)):
            return None
    return _joined(records, speaker, _kinds(flats))


def _place(flat: Row, speaker: Speaker) -> str | None:
    """Return what the messages of a conversation have in common: its ID, or the user's address."""
    if isinstance(thread := _first_named(flat, (*THREADS, "parent_id")), str | int):
        return str(thread)
    if field_name(speaker.path) != "direction":
        return None
    ends = ("from", "sender") if speaker.role(flat) == "user" else ("to", "recipient")
    return next((flat[path] for path in flat if field_name(path) in ends), None)


def _joined(records: Iterable[Record], speaker: Speaker, kinds: set[str]) -> Iterator[Record]:
    posts: list[Post] = []
    for record in records:
        if record.issue is not None:
            yield record
        elif isinstance(record.value, dict):
            flat = _flat(record.value)
            posts += [
                post._replace(thread=_place(flat, speaker), line=record.line)
                for post in posts_of([flat], speaker, kinds)
            ]
    yield from conversations_of(posts, {})
