"""Load of chat requests through the gateway, with the outcome of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import openai
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import wait_for

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is item 3?"}]


def said(sdk: openai.OpenAI, model: str) -> str:
    answer = sdk.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, temperature=0
    )
    assert answer.model == model
    return answer.choices[0].message.content or ""


@dataclass
class Chat:
    """One chat request and its outcome."""

    began_at: float
    ended_at: float
    error: str | None


@contextmanager
def load(
    sdks: Sequence[openai.OpenAI], models: Sequence[str], callers: int = 3
) -> Iterator[list[Chat]]:
    """Send chats with these models through the given apis until the block ends."""
    chats: list[Chat] = []
    over = threading.Event()

    def call(sdk: openai.OpenAI, model: str) -> None:
        while not over.is_set():
            began, error = time.monotonic(), None
            try:
                said(sdk, model)
            except openai.APIStatusError as e:
                error = e.code or str(e.status_code)
            except openai.APIConnectionError:
                error = "connection"
            chats.append(Chat(began, time.monotonic(), error))

    with ThreadPoolExecutor(len(sdks) * callers) as pool:
        calls = [
            pool.submit(call, sdk, models[i % len(models)]) for sdk in sdks for i in range(callers)
        ]
        try:
            yield chats
        finally:
            over.set()
    for one in calls:
        one.result()


def until(chats: list[Chat], enough: Callable[[list[Chat]], bool]) -> None:
    wait_for(lambda: enough(list(chats)), 60, "enough chats")
