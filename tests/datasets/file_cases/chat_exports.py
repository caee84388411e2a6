"""Chats, tickets and conversations with models, as 60 tools write them, and files of other kinds.

Each kind was written from the documentation or the code of the tool, or of public programs that
read its exports, before the reader was; kinds that were read from the first are left out. Most say
the same, so that a case is what is special to its tool.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import openpyxl
import pyarrow as pa

from tests.datasets.file_cases.cases import Case, Row, chat, jsonl, preferences
from tests.datasets.office_documents import pdf

TOPIC = "chat_exports"
ROLES = {"roles": {"Shop": "assistant"}}
ASK, ANSWER, WRONG = "Are you open?", "Yes, from nine.", "I do not know."
SHORT = [chat(ASK, ANSWER)]
LONG = [chat("Are you open?\nOn Monday?", "Yes, from nine.\nUntil six.", "Thanks!", "Bye.")]
BETTER = preferences([(ASK, ANSWER, WRONG)])
START = 1_778_662_800


def cases() -> Iterator[Case]:
    """Yield the cases."""
    yield from _texts()
    yield from _tables()
    for name, tickets in _desks().items():
        yield Case(TOPIC, name, _json(tickets), SHORT)
    for name, document in _models().items():
        yield Case(TOPIC, name, _json(document), SHORT, ROLES if name in PEOPLE else {})
    for name, lines in _lines().items():
        yield Case(TOPIC, name, jsonl(lines), SHORT)
    for name, row in _compared().items():
        yield Case(TOPIC, name, jsonl([row]), BETTER)
    for name, row, rows in _questions():
        yield Case(TOPIC, name, jsonl([row] * 2), rows * 2)
    for name, text in _templates().items():
        yield Case(TOPIC, f"template of {name}", jsonl([{"text": text}]), SHORT)
    yield from _mailboxes()
    yield from _archives()
    yield from _layouts()
    yield from _held_out()
    for name, data in _others().items():
        yield Case(TOPIC, f"{name}, by its name", data, None, {}, "document")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _csv(*rows: tuple[Any, ...]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


# Texts

WHATSAPP = {
    "French": ("13/05/2026 à 09:0{m} - {who}: {t}", "<Médias omis>"),
    "Spanish": ("13/5/26, 9:0{m}\u202fa.\xa0m. - {who}: {t}", "<Multimedia omitido>"),
    "Thai": ("13/5/2569 09:0{m} น. - {who}: {t}", "<สื่อถูกลบ>"),
    "Vietnamese": ("09:0{m}, 13/05/2026 - {who}: {t}", "<Bỏ qua tệp phương tiện>"),
    "Indonesian": ("[13/05/26 09.0{m}.15] {who}: {t}", "\u200egambar tidak disertakan"),
    "Arabic": ("\u200f١٣\u200f/٥\u200f/٢٠٢٦، ٩:٠{m} ص - {who}: {t}", "تم حذف هذه الرسالة"),
    "Cantonese": ("13/5/2026 9:0{m} 上午 - {who}: {t}", "<已略去多媒體檔>"),
}
LINE = {
    "Japanese": ("[LINE] Annとのトーク履歴\n保存日時：2026/05/14 10:00\n\n2026/05/13(水)\n",
                 "09:0{m}", "[スタンプ]"),
    "an era of Japan": ("[LINE] Annのトーク履歴\n保存日時：R8/05/14 20:01\n\nR8/05/13(水)\n",
                        "午前9:0{m}", "[写真]"),
    "Thai": ("[LINE] ประวัติการแชทกับ Ann\nบันทึกเมื่อ 14/05/2569 07:48\n\nพ. 13/05/2569\n",
             "09:0{m}", "[สติกเกอร์]"),
    "Chinese": ("[LINE] 與Ann的聊天記錄\n儲存日期：2026/05/14 10:00\n\n2026/05/13（三）\n",
                "上午09:0{m}", "[貼圖]"),
    "English": ("[LINE] Chat history with Ann\nSaved on: 5/14/2026, 10:00\n\nWed, 5/13/2026\n",
                "09:0{m}AM", "[Sticker]"),
}  # fmt: skip
PEOPLE = ("Telegram's account", "Messenger", "Teams of one person")
KAKAO_DAY = "--------------- 2026년 5월 13일 수요일 ---------------\n"


def _said(form: str, note: str, *, quoted: bool = False) -> str:
    long = '"Yes, from nine.\nUntil six."' if quoted else "Yes, from nine.\nUntil six."
    said = [("Ann", "Are you open?"), ("Ann", "On Monday?"), ("Shop", long), ("Ann", note)]
    said += [("Ann", "Thanks!"), ("Shop", "Bye.")]
    lines = (form.format(m=at, who=who, t=text) for at, (who, text) in enumerate(said, 1))
    return "".join(f"{line}\n" for line in lines)


def _texts() -> Iterator[Case]:
    texts = {f"WhatsApp in {name}": _said(form, note) for name, (form, note) in WHATSAPP.items()}
    for name, (head, time, note) in LINE.items():
        texts[f"LINE in {name}"] = head + _said(time + "\t{who}\t{t}", note, quoted=True)
    talk = "Ann 님과 카카오톡 대화\n저장한 날짜 : 2026-05-14 10:00:00\n\n"
    texts["KakaoTalk"] = talk + KAKAO_DAY + _said("[{who}] [오전 9:0{m}] {t}", "이모티콘")
    phone = _said("2026년 5월 13일 오전 9:0{m}, {who} : {t}", "사진")
    texts["KakaoTalk on a phone"] = f"{talk}2026년 5월 13일 오전 9:00\n{phone}"
    rule = "=" * 62
    head = f"{rule}\nGuild: Shop\nChannel: help\n{rule}\n\n"
    end = f"\n{{Reactions}}\n👍\n\n{rule}\nExported 5 message(s)\n{rule}\n"
    said = _said("[5/13/2026 9:0{m} AM] {who}\n{t}\n", "{Attachments}\nhttps://example.com")
    texts["DiscordChatExporter's text"] = head + said + end
    texts["WeChatMsg's text"] = _said("2026-05-13 09:0{m}:00 {who}\n{t}\n", "[图片]")
    for name, text in texts.items():
        yield Case(TOPIC, name, text.encode(), LONG, ROLES)
    unnamed = texts["LINE in English"].encode()
    yield Case(TOPIC, "LINE without roles", unnamed, None, {}, "no_assistant", "roles")
    agenda = "2026.05.13 Wednesday\n09:00 Breakfast in the hall\n10:00 Talk about lamps\n"
    rows = [{"text": agenda.strip()}]
    yield Case(TOPIC, "an agenda", agenda.encode(), rows, {"container": "text"})


# Tables


def _tables() -> Iterator[Case]:
    at = "2026-05-13 09:0"
    tables = {
        "LINE Official Account": _csv(
            ("アカウント名", "Shop"), ("タイムゾーン", "'+09:00"),
            ("ダウンロード日時", "2026/05/14 14:34"),
            ("送信者タイプ", "送信者名", "送信日", "送信時刻", "内容"),
            ("User", "Ann", "2026/05/13", "09:01:00", ASK),
            ("User", "Ann", "2026/05/13", "09:01:30", "スタンプを送信しました。"),
            ("Account", "応答メッセージ", "2026/05/13", "09:03:00", ANSWER),
        ),
        "DiscordChatExporter's CSV": _csv(
            ("AuthorID", "Author", "Date", "Content", "Attachments", "Reactions"),
            ("1", "Ann", f"{at}1:00+00:00", ASK, "", ""),
            ("2", "Shop", f"{at}2:00+00:00", ANSWER, "", ""),
        ),
        "KakaoTalk's CSV": _csv(
            ("Date", "User", "Message"), (f"{at}1:00", "Ann", ASK), (f"{at}2:00", "Shop", ANSWER)
        ),
        "WeChatMsg's CSV": _csv(
            ("localId", "TalkerId", "Type", "SubType", "IsSender", "CreateTime", "StrContent"),
            (1, 3, 1, 0, 0, START, ASK), (2, 3, 3, 0, 0, START, "<msg><img/></msg>"),
            (3, 3, 1, 0, 1, START + 9, ANSWER),
        ),
        "Salesforce's e-mails": _csv(
            ("ParentId", "Incoming", "MessageDate", "TextBody"),
            ("5", "true", f"{at}1:00", ASK), ("5", "false", f"{at}2:00", ANSWER),
        ),
        "Jira's CSV": _csv(
            ("Summary", "Issue key", "Reporter", "Description", "Comment", "Comment"),
            ("Hours", "H-1", "ann", ASK, f"13/May/26 9:01 AM;shop;{ANSWER}", ""),
        ),
        "messages with an internal note": _csv(
            ("ticket_id", "author_role", "public", "body"), (1, "end-user", "true", ASK),
            (1, "agent", "false", "Call her?"), (1, "agent", "true", ANSWER),
        ),
        "objects of Python in a column": _csv(("messages",), (repr(SHORT[0]["messages"]),)),
        "quotes after backslashes": (
            f'prompt,completion\n"{ASK}","{ANSWER}"\n"Say \\"hi\\"","Hi"\n'.encode()
        ),
    }  # fmt: skip
    for name, data in tables.items():
        rows = [*SHORT, chat('Say "hi"', "Hi")] if "backslashes" in name else SHORT
        yield Case(TOPIC, name, data, rows, {} if "Account" in name else ROLES)


# Support desks


def _desks() -> dict[str, Any]:
    note = {"body": "Call her?", "incoming": False, "private": True, "user_id": 2}
    reply = {"body": f"<p>{ANSWER}</p>", "incoming": False, "private": False, "user_id": 2}
    thread = {"conversationsThreadId": "9", "type": "MESSAGE"}
    person, day = {"displayName": "Ann"}, "2026-05-13T09"
    said = [(ASK, 0, False), ("Call her?", 1, True), (ANSWER, 1, False), ("Resolved", 2, False)]
    return {
        "Freshdesk": [{"id": 1, "description_text": ASK, "conversations": [note, reply]}],
        "Freshdesk's old export": [
            {"helpdesk_ticket": {"description": ASK, "notes": [{"note": note}, {"note": reply}]}}
        ],
        "HubSpot": {
            "results": [
                thread | {"createdAt": f"{day}:02", "direction": "OUTGOING", "text": ANSWER},
                thread | {"createdAt": f"{day}:01", "type": "COMMENT", "text": "Call her?"},
                thread | {"createdAt": f"{day}:00", "direction": "INCOMING", "text": ASK},
            ]
        },
        "Front": {
            "_results": [
                {"is_inbound": False, "created_at": START + 1.1, "body": f"<p>{ANSWER}</p>"},
                {"is_inbound": True, "created_at": START + 0.1, "body": "", "text": ASK},
            ]
        },
        "Help Scout": [
            {
                "number": 1,
                "_embedded": {
                    "threads": [
                        _thread("message", "user", 3, f"{ANSWER}<br>"),
                        _thread("note", "user", 2, "Call her?"),
                        _thread("customer", "customer", 1, ASK),
                    ]
                },
            }
        ],
        "Gorgias": {
            "data": [
                {"from_agent": False, "public": True, "ticket_id": 5, "body_text": ASK},
                {"from_agent": True, "public": False, "ticket_id": 5, "body_text": "Call her?"},
                {"from_agent": True, "public": True, "ticket_id": 5, "body_text": ANSWER},
            ]
        },
        "Zoho Desk": {
            "data": [
                {"direction": "out", "channel": "EMAIL", "createdTime": "2026-05-13T09:02:00Z",
                 "content": f"<div>{ANSWER}</div>"},
                {"direction": "in", "channel": "EMAIL", "createdTime": "2026-05-13T09:01:00Z",
                 "content": f"<div>{ASK}</div>"},
            ]
        },
        "Chatwoot": {
            "payload": [
                {"content": text, "message_type": kind, "private": private, "conversation_id": 5}
                for text, kind, private in said
            ]
        },
        "LiveChat": [
            {
                "users": [{"id": "a", "type": "customer"}, {"id": "b", "type": "agent"}],
                "thread": {
                    "events": [
                        {"type": "message", "author_id": "a", "text": ASK},
                        {"type": "system_message", "text": "Agent joined"},
                        {"type": "message", "author_id": "b", "text": ANSWER},
                    ]
                },
            }
        ],
        "Zendesk Chat": [
            {
                "history": [
                    {"type": "chat.memberjoin", "name": "Ann"},
                    {"type": "chat.msg", "sender_type": "Visitor", "msg": ASK},
                    {"type": "chat.msg", "sender_type": "Agent", "msg": ANSWER},
                ]
            }
        ],
        "Amazon Connect": {
            "Participants": [{"ParticipantId": "a"}],
            "Transcript": [
                {"ParticipantRole": "CUSTOMER", "Content": ASK},
                {"ParticipantRole": "AGENT", "Content": ANSWER},
            ],
        },
        "Jira": {
            "issues": [
                {
                    "key": "H-1",
                    "fields": {
                        "description": ASK, "reporter": person,
                        "comment": {
                            "comments": [{"author": {"displayName": "Shop"}, "body": ANSWER}]
                        },
                    },
                }
            ]
        },
    }  # fmt: skip


def _thread(kind: str, by: str, minute: int, body: str) -> Row:
    created = f"2026-05-13T09:0{minute}:00Z"
    return {"type": kind, "createdBy": {"type": by}, "createdAt": created, "body": body}


# Chats with models, as documents


def _node(name: str, parent: str, message: Row | None) -> Row:
    return {"id": name, "parent": parent or None, "children": [], "message": message}


def _chatgpt(*said: tuple[str, Any]) -> Row:
    nodes = {"root": _node("root", "", None)}
    for at, (role, content) in enumerate(said):
        message = {"author": {"role": role}, "content": content}
        nodes[str(at)] = _node(str(at), str(at - 1) if at else "root", message)
    return {"title": "Shop", "mapping": nodes, "current_node": str(len(said) - 1)}


def _parts(*parts: Any, kind: str = "text") -> Row:
    return {"content_type": kind, "parts": list(parts)}


def _models() -> dict[str, Any]:
    spoken = {"content_type": "audio_transcription"}
    fragments = [
        _node("1", "root", {"fragments": [{"type": "REQUEST", "content": ASK}]}),
        _node(
            "2",
            "1",
            {
                "fragments": [
                    {"type": "THINK", "content": "…"},
                    {"type": "RESPONSE", "content": ANSWER},
                ]
            },
        ),
    ]
    nodes = [_node("root", "", None) | {"children": ["1"]}, fragments[0] | {"children": ["2"]}]
    return {
        "ChatGPT with citations": [
            _chatgpt(("user", _parts(ASK)),
                     ("assistant", _parts(f"{ANSWER}\ue200cite\ue202turn0\ue201【1†source】")))
        ],
        "ChatGPT with reasoning": [
            _chatgpt(("user", _parts(ASK)),
                     ("assistant", {"content_type": "thoughts", "thoughts": [{"content": "…"}]}),
                     ("assistant", {"content_type": "reasoning_recap", "content": "8s"}),
                     ("assistant", _parts(ANSWER)))
        ],
        "ChatGPT with voice": [
            _chatgpt(("user", _parts(spoken | {"text": ASK}, kind="multimodal_text")),
                     ("assistant", _parts(spoken | {"text": ANSWER}, kind="multimodal_text")))
        ],
        "DeepSeek": [
            {"title": "T", "mapping": {one["id"]: one for one in [*nodes, fragments[1]]}}
        ],
        "AI Studio": {
            "runSettings": {}, "systemInstruction": {},
            "chunkedPrompt": {"chunks": [
                {"role": "user", "text": ASK}, {"role": "model", "text": "…", "isThought": True},
                {"role": "model", "text": ANSWER}
            ]},
        },
        "Gemini in My Activity": [
            {"header": "Gemini Apps", "title": f"Prompted {ASK}",
             "safeHtmlItem": [{"html": f"<p>{ANSWER}</p>"}]},
            {"header": "Gemini Apps", "title": "Used an Assistant feature"},
        ],
        "Gemini CLI": {
            "sessionId": "s", "projectHash": "x",
            "messages": [{"type": "user", "content": ASK}, {"type": "gemini", "content": ANSWER}],
        },
        "Grok": {
            "conversations": [{"conversation": {"id": "g"}, "responses": [
                {"response": {"sender": "human", "message": ASK}},
                {"response": {"sender": "ASSISTANT", "message": ANSWER}},
            ]}],
        },
        "LM Studio": {
            "name": "T",
            "messages": [
                {"versions": [{"role": "user", "content": [{"type": "text", "text": ASK}]}],
                 "currentlySelected": 0},
                {"versions": [{"role": "assistant"}, {"role": "assistant", "steps": [
                    {"type": "contentBlock", "content": [{"type": "text", "text": ANSWER}]}]}],
                 "currentlySelected": 1},
            ],
        },
        "Copilot in VS Code": {
            "requesterUsername": "ann",
            "requests": [
                {"message": {"text": ASK},
                 "response": [{"value": "Yes, "}, {"kind": "x"}, {"value": "from nine."}]}
            ],
        },
        "OpenRouter": {
            "version": "orpg.3.0", "messages": {"u": {"type": "user"}, "a": {"type": "assistant"}},
            "items": {
                "1": {"data": {"role": "user", "content": [{"type": "input_text", "text": ASK}]}},
                "2": {"data": {"type": "reasoning", "content": []}},
                "3": {"data": {"role": "assistant",
                               "content": [{"type": "output_text", "text": ANSWER}]}},
            },
        },
        "items of OpenAI's conversations": {
            "object": "list",
            "data": [
                {"type": "message", "role": "user",
                 "content": [{"type": "input_text", "text": ASK}]},
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant",
                 "content": [{"type": "output_text", "text": ANSWER}]},
            ],
        },
        "Telegram's account": {
            "about": "Here is the data you requested.",
            "chats": {"list": [{"name": "Ann", "messages": _telegram()}]},
        },
        "Messenger": {
            "participants": [{"name": "Ann"}, {"name": "Shop"}],
            "messages": [
                {"sender_name": "Shop", "timestamp_ms": START * 1000 + 1, "content": ANSWER},
                {"sender_name": "Ann", "timestamp_ms": START * 1000, "photos": []},
                {"sender_name": "Ann", "timestamp_ms": START * 1000, "content": ASK},
            ],
        },
        "Teams of one person": {
            "userId": "8:shop",
            "conversations": [{"MessageList": [
                {"displayName": who, "originalarrivaltime": f"2026-05-13T09:0{minute}:00Z",
                 "messagetype": "RichText/Html", "content": f"<p>{text}</p>"}
                for who, minute, text in (("Shop", 2, ANSWER), ("Ann", 1, ASK))
            ]}],
        },
    }  # fmt: skip


def _telegram() -> list[Row]:
    said = [("Ann", ASK), ("Shop", ANSWER)]
    return [
        {"type": "message", "date": "x", "date_unixtime": str(at), "from": who, "text": text}
        for at, (who, text) in enumerate(said)
    ]


# Chats with models, and logs of their APIs, as lines


def _lines() -> dict[str, list[Row]]:
    asked = [{"role": "user", "content": ASK}]
    answer = {"role": "assistant", "content": ANSWER}
    session = {"sessionId": "s", "uuid": "1"}
    blocks = [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": ANSWER}]
    item = {"timestamp": "x", "type": "response_item"}
    choices = [{"index": 0, "message": answer | {"annotations": []}}]
    return {
        "Claude Code": [
            {"type": "summary", "summary": "Hours"},
            session | {"type": "user", "message": asked[0]},
            session | {"type": "assistant", "message": answer | {"content": blocks}},
        ],
        "Codex": [
            {"timestamp": "x", "type": "session_meta", "payload": {"id": "s"}},
            item | {"payload": {"role": "user", "content": [{"type": "input_text", "text": ASK}]}},
            item | {"payload": {"type": "reasoning", "summary": []}},
            item | {"payload": {"role": "assistant",
                                "content": [{"type": "output_text", "text": ANSWER}]}},
        ],
        "SillyTavern": [
            {"user_name": "Ann", "character_name": "Shop", "chat_metadata": {}},
            {"name": "Ann", "is_user": True, "mes": ASK, "send_date": "May 13, 2026 9:01am"},
            {"name": "Shop", "is_user": False, "mes": ANSWER, "swipes": [WRONG, ANSWER]},
        ],
        "Cohere's chat": [{"message": ASK, "chat_history": [], "response": ANSWER}],
        "a sample of OpenAI's Evals": [{"input": asked, "ideal": ANSWER}],
        "an item of OpenAI's evals": [
            {"item": {"q": ASK}, "sample": {"input": asked, "output": [answer]}}
        ],
        "a stored completion": [{"messages": asked, "choices": choices}],
        "a batch with its requests": [
            {"body": {"messages": asked}, "response": {"body": {"choices": choices}}}
        ],
        "Bedrock's log": [
            {"input": {"inputBodyJson": {"messages": asked}},
             "output": {"outputBodyJson": {"output": {"message": answer}}}}
        ],
        "LangChain": [{"messages": [{"type": "human", "data": {"content": ASK}},
                                    {"type": "ai", "data": {"content": ANSWER}}]}],
        "Vercel's AI SDK": [
            {"messages": [
                {"role": "user", "parts": [{"type": "text", "text": ASK}]},
                {"role": "assistant", "parts": [{"type": "reasoning", "text": "…"},
                                                {"type": "text", "text": ANSWER}]},
            ]}
        ],
        "UltraChat": [{"id": "1", "data": [ASK, ANSWER]}],
        "Glaive": [{"system": "", "chat": f"USER: {ASK}\n\n\nASSISTANT: {ANSWER} <|endoftext|>"}],
        "FLAN": [{"inputs": ASK, "targets": ANSWER}],
    }  # fmt: skip


def _compared() -> dict[str, Row]:
    better, worse = ([{"role": "user", "content": ASK}, {"role": "assistant", "content": text}]
                     for text in (ANSWER, WRONG))  # fmt: skip
    contents = [{"role": "user", "parts": [{"text": ASK}]}]
    scored = [{"score": score, "completion": {"parts": [{"text": text}]}}
              for score, text in ((1, ANSWER), (0, WRONG))]  # fmt: skip
    return {
        "Chatbot Arena": {
            "conversation_a": worse, "conversation_b": better, "winner": "model_b",
        },
        "Chatbot Arena on Kaggle": {
            "prompt": ASK, "response_a": WRONG, "response_b": ANSWER, "winner_model_a": 0,
            "winner_tie": 0,
        },
        "PKU-SafeRLHF": {
            "prompt": ASK, "response_0": WRONG, "response_1": ANSWER, "better_response_id": 1,
        },
        "SHP": {"history": ASK, "human_ref_A": ANSWER, "human_ref_B": WRONG, "labels": 1},
        "HelpSteer": {
            "prompt": ASK, "response_1": ANSWER, "response_2": WRONG, "preference_strength": -2,
        },
        "UltraFeedback": {
            "instruction": ASK,
            "completions": [{"response": WRONG, "overall_score": 2.0},
                            {"response": ANSWER, "overall_score": 8.5}],
        },
        "Nectar": {
            "prompt": ASK,
            "answers": [{"answer": ANSWER, "rank": 1.0}, {"answer": WRONG, "rank": 2.0}],
        },
        "Gemini's preferences": {"contents": contents, "completions": scored},
    }  # fmt: skip


def _questions() -> Iterator[tuple[str, Row, list[Row]]]:
    choices = ["3", "4"]
    listed = [chat("What is 2+2?\n\nA. 3\nB. 4", "B. 4")]
    asked = {"question": "What is 2+2?"}
    yield "MMLU", asked | {"choices": choices, "answer": 1}, listed
    yield (
        "ARC",
        asked | {"choices": {"text": choices, "label": ["A", "B"]}, "answerKey": "B"},
        listed,
    )
    yield (
        "HotpotQA",
        {"question": ASK, "answer": "yes", "context": [["A", ["It is ", "open."]]]},
        [chat(f"{ASK}\n\nA\nIt is open.", "yes")],
    )
    yield (
        "CoQA",
        {"story": "It opens at nine.", "questions": [{"input_text": ASK, "turn_id": 1}],
         "answers": [{"input_text": ANSWER, "turn_id": 1}]},
        [chat(f"{ASK}\n\nIt opens at nine.", ANSWER)],
    )  # fmt: skip
    yield "Natural Questions", {"question": ASK, "answer": [ANSWER, "Yes."]}, SHORT
    yield "TriviaQA", {"question": ASK, "answer": {"value": ANSWER, "aliases": []}}, SHORT
    yield "BoolQ", {"question": ASK, "answer": True}, [chat(ASK, "true")]
    yield "Doccano's labels", {"text": "Great!", "label": ["Good"]}, [chat("Great!", "Good")]
    yield "classes of texts", {"text": "Great!", "sentiment": "Good"}, [chat("Great!", "Good")]
    options = [{"id": "POS", "text": "Good"}, {"id": "NEG", "text": "Bad"}]
    yield (
        "Prodigy's choice",
        {"text": "Great!", "options": options, "accept": ["POS"], "answer": "accept"},
        [chat("Great!", "Good")],
    )
    yield (
        "Self-Instruct",
        {"instruction": ASK, "instances": [{"input": "", "output": ANSWER}]},
        SHORT,
    )
    yield "intents", {"tag": "hours", "patterns": [ASK], "responses": [ANSWER, "Yes."]}, SHORT


def _templates() -> dict[str, str]:
    role = "<|start_of_role|>{}<|end_of_role|>{}<|end_of_text|>\n"
    head = "<|header_start|>{}<|header_end|>\n\n{}<|eot|>"
    return {
        "Harmony": "<|start|>system<|message|>You are ChatGPT.\nReasoning: low<|end|>"
        f"<|start|>user<|message|>{ASK}<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>…<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        "Granite": role.format("user", ASK) + role.format("assistant", ANSWER),
        "Llama 4": head.format("user", ASK) + head.format("assistant", ANSWER),
        "Kimi": f"<|im_user|>user<|im_middle|>{ASK}<|im_end|>"
        f"<|im_assistant|>assistant<|im_middle|>{ANSWER}<|im_end|>",
        "Vicuna": "A chat between a curious user and an artificial intelligence assistant. The "
        "assistant gives helpful, detailed, and polite answers to the user's questions. "
        f"USER: {ASK} ASSISTANT: {ANSWER}</s>",
        "Guanaco": f"### Human: {ASK}### Assistant: {ANSWER}",
        "Together": f"<human>: {ASK}\n<bot>: {ANSWER}",
        "Falcon": f"User: {ASK}\n\nAssistant: {ANSWER}",
        "questions": f"Q: {ASK}\nA: {ANSWER}",
    }


# Mailboxes: RFC 4155 (mbox), RFC 3834 (Auto-Submitted), and the headers of Gmail's export


def _mail(minute: int, who: str, text: bytes, *headers: str) -> bytes:
    head = (
        f"From {minute}@xxx Wed May 13 09:0{minute}:00 +0000 2026",
        *(f"From: {who}", f"Message-ID: <{minute}@example.com>"),
        *(f"Date: Wed, 13 May 2026 09:0{minute}:00 +0000", *headers),
    )
    return "\n".join((*head, "", "")).encode() + text + b"\n\n"


def _mailboxes() -> Iterator[Case]:
    ann, shop = "Ann <ann@example.com>", "Shop <help@example.org>"
    reply = ("Subject: Re: Hours", "In-Reply-To: <1@example.com>", "References: <1@example.com>")
    quoted = f"On Wed, May 13, 2026 at 9:01 AM Ann <ann@example.com>\nwrote:\n> {ASK}\n>\n"
    html = ("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64")
    page = base64.encodebytes(f"<p>{ANSWER}</p>".encode())
    latin = ("Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: 8bit")
    boxes = {
        "above": _mail(2, shop, f"{ANSWER}\n\n-- \nYour shop\n\n{quoted}".encode(), *reply),
        "below": _mail(2, shop, f"{quoted}\n{ANSWER}\n".encode(), *reply),
        "as Outlook does": _mail(
            2, shop, f"{ANSWER}\n\nFrom: Ann\nSent: Wednesday\n\n{ASK}".encode(), *reply
        ),
        "nowhere, in HTML": _mail(2, shop, page, *reply, *html),
    }
    asked = _mail(1, ann, f"{ASK}\n>From Berlin\n".encode(), "Subject: Hours")
    away = _mail(3, shop, b"I am away.", *reply, "Auto-Submitted: auto-replied")
    spam = _mail(4, "x@example.com", b"Buy!", "X-Gmail-Labels: Spam,Unread")
    rows = [chat(f"Hours\n\n{ASK}\nFrom Berlin", ANSWER)]
    roles = {"roles": {"@example.org": "assistant"}}
    for name, answer in boxes.items():
        box = answer + asked + away + spam
        yield Case(TOPIC, f"a mailbox that quotes {name}", box, rows, roles)
    yield Case(TOPIC, "a mailbox without roles", asked + answer, None, {}, "no_assistant", "roles")
    paris = _mail(1, ann, "À Paris ?".encode("latin-1"), *latin, "Subject: =?utf-8?q?Caf=C3=A9?=")
    rows = [chat("Café\n\nÀ Paris ?", ANSWER)]
    broken = _mail(3, ann, b"Hi", "Content-Type: text/plain; charset=none-1")
    box = paris + answer + broken
    yield Case(TOPIC, "a mailbox with a broken e-mail", box, rows, roles, "unreadable_email")
    yield Case(TOPIC, "a mailbox in two encodings", paris + answer, rows, roles)


# Archives, layouts of tables, and files of other kinds


def _archives() -> Iterator[Case]:
    talk = _json([_chatgpt(("user", _parts(ASK)), ("assistant", _parts(ANSWER)))])
    files = {"conversations.json": talk, "user.json": b"{}", "message_feedback.json": b"[]"}
    yield Case(TOPIC, "ChatGPT's archive", _zip(files), SHORT)
    split = {"conversations-000.json": talk, "conversations-001.json": talk, "chat.html": b"<html>"}
    yield Case(TOPIC, "ChatGPT's archive in parts", _zip(split), SHORT * 2)
    files = {"_chat.txt": _said(*WHATSAPP["French"]).encode(), "photo.jpg": b"\xff\xd8\xff"}
    yield Case(TOPIC, "WhatsApp's archive", _zip(files), LONG, ROLES)
    days = {
        "users.json": _json([{"id": "U2", "name": "shop", "profile": {"real_name": "Shop"}}]),
        "channels.json": b"[]",
        "help/2026-05-13.json": _json(
            [{"user": "U1", "text": ASK, "ts": "1"}, {"user": "U2", "text": ANSWER, "ts": "2"}]
        ),
    }
    yield Case(TOPIC, "Slack's archive of one channel", _zip(days), SHORT, ROLES)
    parts = {
        f"inbox/ann/message_{part}.json": _json(
            {"messages": [{"sender_name": who, "timestamp_ms": -part, "content": text}]}
        )
        for part, who, text in ((1, "Shop", ANSWER), (2, "Ann", ASK))
    }
    yield Case(TOPIC, "Messenger's archive in parts", _zip(parts), SHORT, ROLES)


def _layouts() -> Iterator[Case]:
    pair = (ASK, ANSWER)
    names = ("Question", "Answer")
    again = _csv(names, pair, names, pair)
    yield Case(TOPIC, "joined tables", again, SHORT * 2)
    total = _csv(names, pair, ("Total", "1"))
    yield Case(TOPIC, "a row of totals", total, SHORT)
    yield Case(TOPIC, "names in two languages", _csv(names, ("質問", "回答"), pair), SHORT)
    catalog = _csv(("name", "description", "summary"), ("Lamp", "A red lamp of glass.", "Lamp"))
    yield Case(TOPIC, "a catalog of products", catalog, None, {}, "unknown_columns")
    book, out = openpyxl.Workbook(), io.BytesIO()
    hidden = book.create_sheet("Old", 0)
    hidden.append(names)
    hidden.append(("Old?", "Old."))
    hidden.sheet_state = "hidden"
    for row in (names, pair):
        book["Sheet"].append(row)
    book.save(out)
    yield Case(TOPIC, "a hidden sheet", out.getvalue(), SHORT)
    table = pa.Table.from_pylist([{"prompt": ASK, "completion": ANSWER}])
    for name, start in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        arrow = io.BytesIO()
        with start(arrow, table.schema) as writer:
            writer.write_table(table)
        yield Case(TOPIC, f"an Arrow {name}", arrow.getvalue(), SHORT)


def _langchain(kind: str, text: str) -> Row:
    return {"id": ["langchain", f"{kind}Message"], "kwargs": {"content": text}}


def _held_out() -> Iterator[Case]:
    """Yield the kinds that were misread or refused in files that were written independently."""
    thought = '<details type="reasoning" done="true">\n<summary>Thought</summary>\nHm\n</details>\n'
    said = [("user", ASK), ("assistant", thought + ANSWER)]
    nodes = {
        str(at): {"id": str(at), "parentId": str(at - 1), "role": role, "content": text}
        for at, (role, text) in enumerate(said)
    }
    chats = [{"id": "1", "chat": {"history": {"currentId": "1", "messages": nodes}}}]
    yield Case(TOPIC, "Open WebUI with reasoning", _json(chats), SHORT)
    run = {
        "inputs": {"messages": [[_langchain("Human", ASK)]]},
        "outputs": {"generations": [[{"text": ANSWER, "message": _langchain("AI", ANSWER)}]]},
    }
    yield Case(TOPIC, "LangSmith's runs", jsonl([run, run]), SHORT * 2)
    parts = [{"part_type": "comment", "body": f"<p>{ANSWER}</p>", "author": {"type": "admin"}}]
    ticket = {
        "source": {"body": f"<p>{ASK}</p>", "author": {"type": "lead"}},
        "conversation_parts": {"conversation_parts": parts},
    }
    yield Case(TOPIC, "Intercom with a lead", _json(ticket), SHORT)
    for names in (
        ("お問い合わせ", "ご回答"),
        ("お問い合わせ内容", "回答内容"),
        ("문의 내용", "답변 내용"),
    ):
        yield Case(TOPIC, f"the columns {names[0]}, {names[1]}", _csv(names, (ASK, ANSWER)), SHORT)
    judged = [
        {"instruction": "Open?", "input": "Monday", "output": ANSWER, "kto_tag": tag}
        for tag in (True, False)
    ]
    rows = [chat("Open?\n\nMonday", ANSWER) | {"label": tag} for tag in (True, False)]
    yield Case(TOPIC, "LLaMA-Factory's kto_tag", _json(judged), rows)
    firefly = [{"conversation": [{"human": ASK, "assistant": ANSWER}]}]
    yield Case(TOPIC, "Firefly", jsonl(firefly), SHORT)
    twice = [chat("Open?", "Yes.", "When?", "At nine.")]
    text = "<s>[INST] Open? [/INST] Yes.</s>[INST] When? [/INST] At nine.</s>"
    yield Case(TOPIC, "a column with Mistral's template", _csv(("text",), (text,)), twice)
    text = "USER: Open? ASSISTANT: Yes.</s>USER: When? ASSISTANT: At nine.</s>"
    yield Case(TOPIC, "Vicuna's template, two turns", jsonl([{"text": text}]), twice)
    kakao = _csv(
        ("Date", "User", "Message"),
        *((f"2026-05-13 09:0{at}", who, text) for at, (who, text) in enumerate(
            (("Ann", ASK), ("Ann", "사진"), ("Shop", ANSWER))
        )),
    )  # fmt: skip
    yield Case(TOPIC, "KakaoTalk's CSV with a picture", kakao, SHORT, ROLES)
    day = "2026년 5월 13일 오전"
    lines = ["Shop 님과 카카오톡 대화", f"저장한 날짜 : {day} 9:30", "", f"{day} 9:01"]
    lines += [f"{day} 9:01, Ann : {ASK}", f"{day} 9:02, Shop : {ANSWER}"]
    yield Case(TOPIC, "a short chat of KakaoTalk", "\n".join(lines).encode(), SHORT, ROLES)
    turns = (("a", "user", ASK), ("b", "user", "Hi?"), ("a", "assistant", ANSWER))
    log = _csv(("conversation_id", "role", "content"), *turns, ("b", "assistant", "Hi."))
    yield Case(TOPIC, "messages of conversations by turns", log, [*SHORT, chat("Hi?", "Hi.")])
    talk = f"13/05/2026 09:01 - Ann: {ASK}\n13/05/2026 09:02 - Shop: {ANSWER}\n".encode()
    files = {"Conversa do WhatsApp com Shop.txt": talk, "IMG-1.jpg": b"\xff\xd8\xff"}
    yield Case(TOPIC, "WhatsApp's archive with a picture", _zip(files), SHORT, ROLES)
    lone = b"12/05/2026 09:01 - Ann: Hello?\n"
    yield Case(TOPIC, "a chat with an unanswered day", lone + talk, SHORT, ROLES, "no_answer")
    page = "The shop is open from nine to six."
    scan = pdf(page, "")
    yield Case(TOPIC, "a PDF with a scan", scan, [{"text": page}], {}, "pages_without_text", "OCR")
    models = [
        {"uuid": "1", "name": "", "chat_messages": [{"sender": "human", "text": ASK}]},
        {"uuid": "2", "name": "", "chat_messages": [
            {"sender": "human", "text": ASK}, {"sender": "assistant", "text": ANSWER}
        ]},
    ]  # fmt: skip
    yield Case(TOPIC, "claude.ai, one unanswered", _json(models), SHORT, {}, "no_answer")


def _others() -> dict[str, bytes]:
    ole = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(512)
    mail = b"From: a@example.com\nTo: b@example.com\nSubject: Hi\nDate: x\n\nHello\n"
    batch: Row = {"custom_id": "1", "response": {"body": {"choices": []}}, "error": None}
    return {
        "calendar": b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n",
        "contacts": b"BEGIN:VCARD\r\nFN:Ann\r\nEND:VCARD\r\n",
        "e-mail": mail,
        "e-mail of Outlook": ole + "__substg1.0_1000001F".encode("utf-16-le") + bytes(512),
        "old Word": ole + "WordDocument".encode("utf-16-le") + bytes(512),
        "SQL dump": b"-- dump\nCREATE TABLE `faq` (`q` text);\nINSERT INTO `faq` VALUES ('a');\n",
        "YAML": b'version: "3.1"\nnlu:\n- intent: greet\n  examples: |\n    - hey\n',
        "XML": b'<?xml version="1.0"?>\n<faq><q>When?</q></faq>',
        "subtitles": b"WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n",
        "sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(64),
        "mailbox of Outlook": b"!BDN" + bytes(512),
        "video": b"\0\0\0\x18ftypmp42" + bytes(64),
        "pickle": pickle.dumps([{"prompt": "a", "completion": "b"}], 4),
        "RAR": b"Rar!\x1a\x07\x01\x00" + bytes(64),
        "OpenDocument text": _zip({"mimetype": b"x", "content.xml": b"<x/>"}),
        "notebook": _json({"cells": [{"cell_type": "code", "source": [], "metadata": {}}]}),
        "results of a batch": jsonl([batch] * 2),
        "requests of a batch": jsonl([{"custom_id": "1", "method": "POST", "body": {}}] * 2),
        "accounts of claude.ai": _json([{"uuid": "1", "full_name": "A", "email_address": "a@b.c"}]),
        "marked spans": jsonl([{"text": "Ann", "label": [[0, 3, "PERSON"]]}] * 2),
        "Telegram's page": b"<!DOCTYPE html><html><head><title>Exported Data</title></head></html>",
        "login page": b"<!doctype html><html><title>Sign in</title><body>Hi</body></html>",
    }
