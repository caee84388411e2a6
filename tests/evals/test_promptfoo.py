"""Configurations of promptfoo and archives of OpenAI's evals, imported, run and exported.

The configurations are ours. They have what public examples of promptfoo use.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from finetuned_cli.app import run
from finetuned_cli.promptfoo import ConfigurationInvalid, read

from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import ended, output_items, says

# An assertion, an answer that passes, and one that fails.
ASSERTIONS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"type": "equals", "value": "Yes"}, "Yes", "Yes."),
    ({"type": "not-equals", "value": "Yes"}, "No", "Yes"),
    ({"type": "equals", "value": {"a": [1]}}, '{"a": [1]}', "a"),
    ({"type": "contains", "value": 500}, "up to $500", "a lot"),
    ({"type": "not-contains", "value": "AI model"}, "Hello", "As an AI model"),
    ({"type": "icontains", "value": "straße {{n}}"}, "STRAßE 0 x", "Weg"),
    ({"type": "not-icontains", "value": "SORRY"}, "Fine", "so sorry"),
    ({"type": "contains-all", "value": ["a", "b"]}, "b a", "a"),
    ({"type": "contains-any", "value": "x, y"}, "y", "z"),
    ({"type": "not-icontains-any", "value": ["click", "buy"]}, "Hello", "BUY now"),
    ({"type": "icontains-all", "value": ["Ab"]}, "xabx", "x"),
    ({"type": "starts-with", "value": "Dear"}, "Dear you", "Oh dear"),
    ({"type": "not-starts-with", "value": "Sure"}, "No", "Sure thing"),
    ({"type": "regex", "value": r"^\d{4}-\d\d$"}, "2026-03", "March"),
    ({"type": "is-json"}, "[1]", "{1"),
    ({"type": "is-json", "value": {"type": "object", "required": ["a"]}}, '{"a": 1}', "{}"),
    ({"type": "not-is-json"}, "text", "{}"),
    ({"type": "contains-json", "value": {"required": ["a"]}}, 'So: {"a": 1}!', "So: {}"),
    ({"type": "levenshtein", "value": "kitten", "threshold": 2}, "kittens", "sitting!"),
    ({"type": "word-count", "value": {"min": 2, "max": 3}}, "one two", "one"),
    ({"type": "word-count", "value": 1}, "one", "one two"),
    ({"type": "finish-reason", "value": "stop"}, "x", ""),
    ({"type": "rouge-n", "value": "the cat sat", "threshold": 0.6}, "the cat sat", "a dog"),
    ({"type": "python", "value": "len(output) < 5"}, "abc", "abcdef"),
    ({"type": "python", "value": "len(output) / 10", "threshold": 0.5}, "abcdef", "abc"),
    ({"type": "python", "value": "max(0, len(output) - 3)"}, "abcd", "abc"),
    ({"type": "not-python", "value": "'x' in output"}, "a", "x"),
    (
        {"type": "python", "value": "if context['vars']['n'] in output:\n  return 1\nreturn 0"},
        "{n}",
        "?",
    ),
    ({"type": "python", "value": "{'pass': output == 'a', 'score': 0.2}"}, "a", "b"),
    ({"type": "llm-rubric", "value": "is polite"}, "polite", "rude"),
    ({"type": "not-llm-rubric", "value": "is polite"}, "rude", "polite"),
    ({"type": "llm-rubric", "value": "is polite", "threshold": 0.8}, "polite", "rude"),
    ({"type": "factuality", "value": "Polite is good"}, "polite", "rude"),
    (
        {"type": "assert-set", "threshold": 0.5,
         "assert": [{"type": "contains", "value": "a"}, {"type": "contains", "value": "b"}]},
        "b",
        "c",
    ),
    (
        {"type": "assert-set",
         "assert": [{"type": "contains", "value": "a"}, {"type": "contains", "value": "b"}]},
        "ab",
        "b",
    ),
    ({"$ref": "#/assertionTemplates/noise"}, "ARRR", "hello"),
)  # fmt: skip
Command = Callable[..., Awaitable[int]]


@pytest.fixture
async def command(api: Api, monkeypatch) -> Command:
    """Run the command line in a thread against the API."""
    monkeypatch.setenv("FINETUNED_BASE_URL", api.base_url)
    monkeypatch.setenv("FINETUNED_API_KEY", await api.key())

    async def call(*words: str) -> int:
        return await asyncio.to_thread(run, list(words))

    return call


def config(folder: Path, **fields: Any) -> Path:
    path = folder / "promptfooconfig.yaml"
    whole = {"description": "Ours", "prompts": ["Say {{n}}"], "providers": ["openai:gpt"], **fields}
    path.write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False), "utf-8")
    return path


async def statuses(http, capsys, work, key: str = "n") -> dict[str, str]:
    """The status of each item of all runs that a command printed as JSON, by a field of it."""
    made = json.loads(capsys.readouterr().out)["evals"]
    found = {}
    async with work("cpu"):
        for one in made:
            for run_id in one["runs"]:
                done = await ended(http, {"id": run_id, "eval_id": one["eval_id"]})
                assert done["status"] == "completed", done["error"]
                for item in await output_items(http, done):
                    found[str(item["datasource_item"][key])] = item["status"]
    return found


@pytest.mark.slow
async def test_each_assertion_passes_and_fails_as_in_promptfoo(
    http, engine, work, command, tmp_path, capsys
):
    answers: dict[str, str] = {}
    tests = []
    for number, (assertion, good, bad) in enumerate(ASSERTIONS):
        for side, answer in enumerate((good, bad)):
            name = str(2 * number + side)
            answers[name] = answer.replace("{n}", name).replace(" 0 ", f" {name} ")
            tests.append({"vars": {"n": name}, "assert": [assertion]})

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        asked = body["messages"][-1]["content"]
        if asked.startswith("Say "):
            return says(request, body, answers[asked.removeprefix("Say ")])
        polite = asked.rpartition("Answer:\n")[2] == "polite"
        if "number" in json.dumps(body["response_format"]):
            return says(request, body, json.dumps({"steps": [], "result": float(polite)}))
        return says(request, body, json.dumps({"result": "pass" if polite else "fail"}))

    engine.reply = reply
    # The engine always ends with "stop", so this assertion only passes.
    skipped = next(n for n, one in enumerate(ASSERTIONS) if one[0].get("type") == "finish-reason")
    tests = [one for one in tests if one["vars"] != {"n": str(2 * skipped + 1)}]
    templates = {"noise": {"type": "icontains", "value": "arrr"}}
    path = config(tmp_path, tests=tests, assertionTemplates=templates)
    words = ("evals", "import", str(path), "--model", BASE_MODEL, "--judge", BASE_MODEL, "--json")
    async with work("cpu"):
        assert await command(*words) == 0, capsys.readouterr().err
    found = await statuses(http, capsys, work)
    expected = {str(n): "fail" if n % 2 else "pass" for n in range(2 * len(ASSERTIONS))}
    del expected[str(2 * skipped + 1)]
    wrong = {n: ASSERTIONS[int(n) // 2][0] for n in expected if found[n] != expected[n]}
    assert wrong == {}


@pytest.mark.slow
async def test_what_has_no_equivalent_is_named_with_its_line(
    http, engine, work, command, tmp_path, capsys
):
    path = tmp_path / "p.yaml"
    path.write_text(
        """\
prompts:
  - Say {{n}}
  - |
    {% if n %}Say it{% endif %}
  - 'Shout {{ n | upper }}'
tests:
  - vars: {n: '1'}
    assert:
      - type: javascript
        value: output.length < 5
      - type: contains
        value: A
  - vars: {n: '2'}
    options:
      transform: output.trim()
    assert:
      - type: latency
        threshold: 200
      - type: similar
        value: B
      - type: llm-rubric
        value: is kind
  - file://more.js
""",
        "utf-8",
    )
    words = ("evals", "import", str(path), "--model", BASE_MODEL, "--json")
    assert await command(*words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    message = json.loads(said.err)["error"]["message"]
    lines = [line.removeprefix(f"{path}: ") for line in message.splitlines()[1:]]
    assert [line.split(": ")[:2] for line in lines] == [
        ["line 4", "prompt"],
        ["line 5", "prompt"],
        ["line 9", "javascript"],
        ["line 13", "transform"],
        ["line 17", "latency"],
        ["line 19", "similar"],
        ["line 21", "llm-rubric"],
        ["line 23", "file://more.js"],
    ]
    assert (await http.get("/v1/evals")).json()["data"] == []
    assert await command(*words, "--partial") == 0
    assert await statuses(http, capsys, work) == {"1": "pass"}  # the rest of a test without any


def test_variables_files_and_defaults(tmp_path):
    (tmp_path / "prompts.txt").write_text("Say {{n}}\n---\nShout {{ user.name }}\n")
    chat = [{"role": "system", "content": "Be {{n}}"}, {"role": "user", "content": "Hi"}]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    (tmp_path / "tests.csv").write_text(
        'n,__expected,__expected2\nx,contains:y,\nz,plain,"contains-any:a,b"\n'
    )
    (tmp_path / "note.md").write_text("From a file")
    default = {"vars": {"user": {"name": "Ada"}}, "assert": [{"type": "is-json"}]}
    path = config(
        tmp_path,
        prompts=["file://prompts.txt", {"id": "file://chat.json", "label": "chat"}],
        providers=[{"id": "openai:gpt", "config": {"temperature": 0, "max_tokens": 9}}],
        defaultTest=default,
        tests=[
            "file://tests.csv",
            {"vars": {"n": ["p", "q"], "note": "file://note.md"}},
            {"vars": {"n": "r", "rows": [{"a": 1}]}, "options": {"disableDefaultAsserts": True}},
        ],
        scenarios=[{"config": [{"vars": {"n": "s"}}], "tests": [{"vars": {"m": "t"}}]}],
    )
    found = read(path)
    assert found.faults == []
    assert [messages[0]["content"] for _, messages in found.prompts] == [
        *("Say {{item.n}}", "Shout {{item.user.name}}", "Be {{item.n}}"),
    ]
    assert [label for label, _ in found.prompts] == ["prompt 1", "prompt 2", "chat"]
    assert found.sampling_params == {"temperature": 0, "max_completion_tokens": 9}
    by_n = {item["n"]: (one, item) for one in found.evals for item in one.items}
    graders = {n: [grader["name"] for grader in one.graders] for n, (one, _) in by_n.items()}
    assert graders == {
        "x": ["is-json", "contains"],
        "z": ["is-json", "equals", "contains-any"],
        "p": ["is-json"],
        "q": ["is-json"],
        "r": ["answered"],
        "s": ["is-json"],
    }
    assert by_n["x"][1] == {"user": {"name": "Ada"}, "n": "x", "check_1": "y"}
    assert by_n["q"][1]["note"] == "From a file"
    assert by_n["r"][1]["rows"] == [{"a": 1}]
    assert by_n["p"][0] is by_n["q"][0]


def test_texts_are_read_as_yaml_1_2_reads_them(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "prompts: ['{{a}}']\ntests:\n- vars: {a: Yes, b: 12:30, c: 2026-01-02, d: on}\n"
    )
    [item] = read(path).evals[0].items
    assert item == {"a": "Yes", "b": "12:30", "c": "2026-01-02", "d": "on"}


def test_code_and_patterns_that_cannot_be_read_are_named(tmp_path):
    checks = [
        {"type": "python", "value": "len(output) <"},
        {"type": "python", "value": "file://none.py"},
        {"type": "regex", "value": "("},
        {"type": "word-count", "value": "many"},
        {"type": "is-json", "value": "file://none.json"},
        {"type": "contains"},
        {"type": "classifier", "value": "x"},
    ]
    found = read(config(tmp_path, tests=[{"vars": {"n": "1"}, "assert": checks}]))
    assert sorted(fault.what for fault in found.faults) == [
        *("classifier", "contains", "file://none.json", "python", "python", "regex", "word-count")
    ]
    assert found.evals == []


def test_weights_and_thresholds_are_one_grader(tmp_path):
    checks = [{"type": "contains", "value": "a", "weight": 3}, {"type": "is-json"}]
    test = {"vars": {"n": "1"}, "assert": checks, "threshold": 0.7}
    [grader] = read(config(tmp_path, tests=[test])).evals[0].graders
    assert grader["calculate_output"] == "(3 * c0 + 1 * c1) / 4"
    assert (grader["type"], grader["pass_threshold"]) == ("multi", 0.7)


_ENDLESS = "prompts: [x]\ntests: [{assert: &a [{type: assert-set, assert: *a}]}]"


@pytest.mark.parametrize(
    "text",
    [
        *("- 1", "a: [", "tests: []", "a: &a [*a]", _ENDLESS),
        *("prompts: [x]\ntests: [{vars: 3}]", "prompts: [x]\ndefaultTest: {options: [1]}"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigurationInvalid):
        read(tmp_path / "p.yaml")


@pytest.mark.slow
async def test_an_exported_eval_is_imported_again(http, engine, work, command, tmp_path, capsys):
    """The graders give the same results after a round trip."""
    tests = [
        {"vars": {"n": n}, "assert": [{"type": "icontains", "value": f"a{n}"},
                                      {"type": "regex", "value": "^A"},
                                      {"type": "is-json"}]}
        for n in ("1", "2")
    ]  # fmt: skip
    path = config(tmp_path, tests=tests)
    assert await command("evals", "import", str(path), "--model", BASE_MODEL, "--json") == 0, (
        capsys.readouterr().err
    )
    [made] = json.loads(capsys.readouterr().out)["evals"]
    async with work("cpu"):
        await ended(http, {"id": made["runs"][0], "eval_id": made["eval_id"]})
    output = tmp_path / "exported.yaml"
    assert await command("evals", "export", made["eval_id"], "-o", str(output)) == 0
    assert capsys.readouterr().out == f"{output}: 2 tests\n"
    before, after = read(path), read(output)
    assert after.faults == []
    assert [m for _, m in after.prompts] == [m for _, m in before.prompts]
    assert [g["name"] for g in after.evals[0].graders] == ["icontains", "regex", "is-json"]
    assert await command("evals", "import", str(output), "--model", BASE_MODEL, "--json") == 0
    found = json.loads(capsys.readouterr().out)["evals"]
    async with work("cpu"):
        for one in found:
            run_ = await ended(http, {"id": one["runs"][0], "eval_id": one["eval_id"]})
            assert run_["result_counts"]["errored"] == 0
            passed = [r["passed"] for r in run_["per_testing_criteria_results"]]
            assert passed == [2, 2, 0]


@pytest.mark.slow
async def test_an_archive_of_openai_evals_is_imported(
    http, engine, work, command, tmp_path, capsys
):
    row = {"type": "object", "properties": {"item": {"type": "object", "properties": {
        "n": {"type": "string"}}}, "sample": {"type": "object"}}}  # fmt: skip
    grader = {
        "type": "string_check",
        "name": "same",
        "input": "{{sample.output_text}}",
        "operation": "eq",
        "reference": "A{{item.n}}",
    }
    evals = [
        {"id": "eval_a", "name": "Kept", "metadata": {},
         "data_source_config": {"type": "custom", "schema": row}, "testing_criteria": [grader]},
        {"id": "eval_b", "name": "Logs", "metadata": None,
         "data_source_config": {"type": "logs", "metadata": {"usecase": "chat"}, "schema": {}},
         "testing_criteria": [{**grader, "reference": "A"}]},
    ]  # fmt: skip
    source = {
        "type": "completions",
        "model": "gpt-4o",
        "source": {"type": "file_id", "id": "file-a"},
        "input_messages": {"type": "template", "template": [
            {"type": "message", "role": "user", "content": "{{item.n}}"}]},
    }  # fmt: skip
    (tmp_path / "evals" / "eval_a").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "file-a").write_text('{"item": {"n": "1"}}\n{"item": {"n": "2"}}\n')
    (tmp_path / "evals.json").write_text(json.dumps(evals))
    runs = [{"id": "evalrun_a", "name": "nightly", "created_at": 1, "data_source": source}]
    (tmp_path / "evals" / "eval_a" / "runs.json").write_text(json.dumps(runs))
    (tmp_path / "evals" / "eval_b").mkdir()
    stored = {"type": "completions", "source": {"type": "stored_completions"}}
    runs = [{"id": "evalrun_b", "name": "logs", "created_at": 1, "data_source": stored}]
    (tmp_path / "evals" / "eval_b" / "runs.json").write_text(json.dumps(runs))
    words = ("evals", "import", str(tmp_path), "--model", BASE_MODEL, "--json")
    assert await command(*words) == 1
    assert "eval_b: none of its runs can be repeated" in capsys.readouterr().err
    assert await command(*words, "--partial") == 0
    assert await statuses(http, capsys, work) == {"1": "pass", "2": "pass"}
    kept = (await http.get("/v1/evals")).json()["data"][-1]
    assert kept["data_source_config"]["metadata"] == {"usecase": "chat"}
