"""The smallest possible folder of a base model."""

from __future__ import annotations

import json
import struct
from importlib import resources
from pathlib import Path


def model_folder(parent: Path) -> Path:
    """Create a folder with one tensor of 200 weights and all files of a base model."""
    path = parent / "model"
    path.mkdir()
    (path / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096})
    )
    (path / "tokenizer.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    header = json.dumps(
        {"w": {"dtype": "BF16", "shape": [10, 20], "data_offsets": [0, 400]}}
    ).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 400)
    return path


def with_template(folder: Path, name: str) -> Path:
    """Write the chat template of a real model, as shipped with TRL, into a folder."""
    source = resources.files("trl") / "chat_templates" / f"{name}.jinja"
    folder.mkdir(exist_ok=True)
    (folder / "chat_template.jinja").write_text(source.read_text("utf-8"), "utf-8")
    return folder


_TOOLS = """\
{%- if tools %}{{ '<|im_start|>system\n# Tools\n' }}{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{{ '<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {{- '<|im_start|>assistant\n' }}
        {%- for call in message.tool_calls %}
            {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson + '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>tool\n' + message.content + '<|im_end|>\n' }}
    {%- else %}{{ one_message }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def with_tools(folder: Path, base: Path) -> Path:
    """Link the demo model into a folder, with a chat template that also writes tools and calls.

    Conversations without tools are written as before.
    """
    folder.mkdir(parents=True)
    for file in base.iterdir():
        (folder / file.name).symlink_to(file)
    template = folder / "chat_template.jinja"
    own = template.read_text("utf-8")
    one = own[own.index("{% if loop.first") : own.index("{% endfor %}")]
    template.unlink()
    template.write_text(_TOOLS.replace("{{ one_message }}", one), "utf-8")
    return folder
