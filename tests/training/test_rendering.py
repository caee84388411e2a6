"""Tests of chat templates that run for too long, write too much, or look for a way out."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from service.training.data.rendering import (
    MAX_TEXT_BYTES,
    Part,
    TemplateRenderer,
    TemplateTooCostly,
)
from service.training.data.rows import Chat
from service.training.data.tokenization import ChatEncoder
from tests.lazy import Lazy

pytestmark = pytest.mark.slow

transformers = Lazy("transformers")
chat_templates = Lazy("transformers.utils.chat_template_utils")

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
WHOLE = Part(2)
MIB = 1024**2
REFUSED = {
    "a long range": "{% for i in range(10**9) %}x{% endfor %}",
    "macros without end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "the class of a value": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "a function's globals": "{{ raise_exception.__globals__['__builtins__'] }}",
    "a format with attributes": "{{ '{0.__class__.__mro__}'.format(messages) }}",
    "a change of the messages": "{{ messages.clear() }}",
}
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
LARGE = {
    "a product": "{{ 'a' * 10**10 }}",
    "a power": "{{ (10**7)**(10**7) }}",
    "a width": "{{ '%9999999999d' % 1 }}",
    "a text that doubles": "{% set ns = namespace(s='a') %}{% for i in range(40) %}"
    "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "a replacement": "{{ ('a' * 10**6) | replace('a', 'b' * 10**6) }}",
    "macros that double": "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}"
    "{% set ns = namespace(s='a') %}{% for i in range(40) %}{% set ns.s = d(ns.s) %}{% endfor %}",
}


@pytest.fixture
def rendered():
    """Render the conversation with a template as transformers does, within small limits."""
    made = []

    apply_template = chat_templates.render_jinja_template  # imported before the fork

    def apply(template: str, messages: Sequence[Any], tools: Sequence[Any], prompt: bool) -> str:
        [text], _ = apply_template(
            conversations=[messages],
            chat_template=template,
            tools=tools or None,
            add_generation_prompt=prompt,
        )
        return str(text)

    def render(template, parts=(WHOLE,), timeout_s=60.0, memory_bytes=256 * MIB):
        own = functools.partial(apply, template)
        made.append(
            templates := TemplateRenderer(own, timeout_s=timeout_s, memory_bytes=memory_bytes)
        )
        return templates.render(CHAT, [], parts)

    yield render
    for templates in made:
        templates.close()


def test_parts_are_rendered_in_another_process(rendered):
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    prompt = Part(1, prompt=True)
    assert rendered(template, (WHOLE, prompt)) == {
        WHOLE: "user: hi\nassistant: hello\n",
        prompt: "user: hi\nassistant: ",
    }


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_what_the_sandbox_forbids_is_refused(rendered, template):
    text = rendered(template)[WHOLE]
    assert text is None or not any(word in text for word in ("class", "object", "builtin"))
    assert rendered("{{ messages | length }}")[WHOLE] == "2"


@pytest.mark.parametrize("template", LARGE.values(), ids=LARGE)
def test_what_needs_much_memory_or_time_is_ended(rendered, template):
    """Python computes some for long before it asks for memory."""
    with pytest.raises(TemplateTooCostly, match=r"needs more than 256 MiB|takes more than 2 s"):
        rendered(template, timeout_s=2.0)


def test_what_does_not_end_is_ended(rendered):
    with pytest.raises(TemplateTooCostly, match=r"takes more than 0\.5 s"):
        rendered(ENDLESS, timeout_s=0.5)


def test_a_long_text_is_not_read(rendered):
    with pytest.raises(TemplateTooCostly, match="writes a text of more than 64 MiB"):
        rendered(f"{{{{ 'a' * {MAX_TEXT_BYTES + 1} }}}}", memory_bytes=1024 * MIB)


def test_a_killed_process_is_an_error_and_the_next_one_starts(capfd):
    templates = TemplateRenderer(lambda messages, _tools, _prompt: str(os.getpid()))
    first = templates.render(CHAT, [], [WHOLE])[WHOLE]
    assert first not in {None, str(os.getpid())}
    os.kill(int(first or 0), signal.SIGKILL)
    with pytest.raises(TemplateTooCostly):
        templates.render(CHAT, [], [WHOLE])
    assert templates.render(CHAT, [], [WHOLE])[WHOLE] not in {None, first}
    templates.close()


def test_a_process_writes_nothing_to_its_parent_s_output(capfd):
    def noisy(*_: object) -> str:
        os.write(1, b"to the worker's protocol")
        return "text"

    templates = TemplateRenderer(noisy)
    assert templates.render(CHAT, [], [WHOLE])[WHOLE] == "text"
    templates.close()
    assert "protocol" not in capfd.readouterr().out


def test_an_encoder_names_the_row(demo_model_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(demo_model_path)
    tokenizer.chat_template = (
        "{% if messages[0].content == 'hi' %}{{ 'a' * 10**11 }}{% endif %}text"
    )
    encoder = ChatEncoder(tokenizer, 64)
    with pytest.raises(TemplateTooCostly, match=r"needs more than 1024 MiB .*\(row in line 7\)"):
        encoder.encode(Chat(line=7, messages=tuple(CHAT), supervised=(1,)))
