"""Reads promptfoo configurations as evals, and writes evals as promptfoo configurations.

promptfoo has assertions per test, and an eval has graders for all its items. So the tests whose
assertions differ only in their values become one eval: the values are fields of the items. What has
no equivalent is reported with its line, and left out.
"""

from __future__ import annotations

import csv
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import yaml

_OUTPUT: Final = "{{sample.output_text}}"
_VARIABLE: Final = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
_PATH: Final = re.compile(r"[^\W\d]\w*(\.\w+|\[\d+\])*")
_CHECKS: Final = "check_"  # begins the names of the items' fields with values of assertions
_CASTS: Final = {"eq": "equals", "ne": "not-equals", "like": "contains", "ilike": "icontains"}
_STRING_CHECKS: Final = {name: operation for operation, name in _CASTS.items()}
_SIMILARITIES: Final = {  # metric, and promptfoo's threshold
    "similar": ("cosine", 0.75),
    "rouge-n": ("rouge_1", 0.75),
    "bleu": ("bleu", 0.5),
    "gleu": ("gleu", 0.5),
    "meteor": ("meteor", 0.5),
}
_CONDITIONS: Final = {  # by type, in Python
    "equals": "(json.loads(text) if not isinstance(value, str) else text) == value",
    "contains": "value in text",
    "icontains": "value.lower() in text.lower()",
    "contains-all": "all(one in text for one in value)",
    "contains-any": "any(one in text for one in value)",
    "icontains-all": "all(one.lower() in text.lower() for one in value)",
    "icontains-any": "any(one.lower() in text.lower() for one in value)",
    "starts-with": "text.startswith(value)",
    "regex": "re.search(value, text) is not None",
    "is-json": "fits(text, value)",
    "contains-json": "any(fits(text[at:], value, part=True) for at in openings(text))",
    "levenshtein": "rapidfuzz.distance.Levenshtein.distance(text, value) <= {threshold}",
    "word-count": "value['min'] <= len(text.split()) <= value['max']",
    "finish-reason": "sample['finish_reason'] == value",
}
_JUDGED: Final = {  # by type, what the judge decides
    "llm-rubric": "Does the answer meet this criterion?",
    "model-graded-closedqa": "Does the answer meet this criterion?",
    "factuality": "Is the answer consistent with these facts?",
    "model-graded-factuality": "Is the answer consistent with these facts?",
}
_JAVASCRIPT: Final = "graders do not run JavaScript; write it as `python`"
_REASONS: Final = {
    "javascript": _JAVASCRIPT,
    "latency": "graders do not see it; `finetuned evals compare` shows it",
    "cost": "graders do not see it; `finetuned evals compare` shows tokens",
    "similar": "it needs a model that creates embeddings: pass --embeddings MODEL",
}
_CODE: Final = (".js", ".cjs", ".mjs", ".ts", ".py", ".rb", ".sh")
_SOURCE: Final = """\
import json
import re

import jsonschema_rs
import rapidfuzz


def fits(text, schema, part=False):
    try:
        found = json.JSONDecoder().raw_decode(text)[0] if part else json.loads(text)
    except ValueError:
        return False
    if part and not isinstance(found, (dict, list)):
        return False
    return schema is None or jsonschema_rs.is_valid(schema, found)


def openings(text):
    return (at for at, char in enumerate(text) if char in "[{")


def check(text, value, sample):
    try:
        return bool({condition})
    except json.JSONDecodeError:
        return False


def grade(sample, item):
    return float({negated}check(sample["output_text"] or "", item["{name}"], sample))
"""
_PYTHON: Final = """\
{code}


def grade(sample, item):
    found = {function}(sample["output_text"] or "", {{"vars": item, "prompt": "", "config": {{}}}})
    passed = True
    if isinstance(found, dict):
        passed = found.get("pass", found.get("pass_", True))
        found = found.get("score", passed)
    passed = passed and found >= {threshold}
    return float(not passed) if {negated} else float(found) if passed else 0.0
"""
_TINY: Final = 1e-9  # a score above 0 passes


@dataclass(frozen=True)
class Fault:
    """A part of a configuration without an equivalent."""

    line: int
    what: str
    why: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}: {self.why}"


@dataclass
class ImportedEval:
    """An eval with its items, to be run once with each prompt."""

    name: str
    graders: list[dict[str, Any]]
    items: list[dict[str, Any]] = field(default_factory=list)

    @property
    def request(self) -> dict[str, Any]:
        """The request body that creates the eval."""
        names = {name for item in self.items for name in item}
        everywhere = [name for name in names if all(name in item for item in self.items)]
        schema = {
            "type": "object",
            "properties": {name: {} for name in sorted(names)},
            "required": sorted(everywhere),
        }
        config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
        return {
            "name": self.name[:256],
            "data_source_config": config,
            "testing_criteria": self.graders,
        }


@dataclass
class Imported:
    """What a configuration has: prompts as lists of messages, evals, and what is left out."""

    prompts: list[tuple[str, list[dict[str, str]]]]
    evals: list[ImportedEval]
    sampling_params: dict[str, Any]
    faults: list[Fault]


class ConfigurationInvalid(Exception):
    """The file is no configuration of promptfoo."""


class _Located(dict[str, Any]):
    """A mapping with the line where it begins."""

    line: int = 1


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2, in which `yes` is a text, as promptfoo does."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
    )


def _located(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Iterator[_Located]:
    found = _Located()
    found.line = node.start_mark.line + 1
    yield found  # before its content, which may refer to it
    loader.flatten_mapping(node)
    found.update({str(k): v for k, v in loader.construct_mapping(node, deep=True).items()})


_Loader.add_constructor("tag:yaml.org,2002:map", _located)


def read(path: Path, *, judge: str | None = None, embeddings: str | None = None) -> Imported:
    """Read a configuration. `judge` and `embeddings` are models of the server.

    Raises ConfigurationInvalid.
    """
    try:
        return _Reader(path, judge, embeddings).read()
    except (AttributeError, LookupError, OSError, TypeError, ValueError, RecursionError) as e:
        raise ConfigurationInvalid(f"{path} does not have promptfoo's structure: {e}") from e


class _Reader:
    def __init__(self, path: Path, judge: str | None, embeddings: str | None) -> None:
        self.path = path
        self.judge = judge
        self.embeddings = embeddings
        self._faults: dict[Fault, None] = {}
        self.templates: Any = {}

    def read(self) -> Imported:
        try:
            config = yaml.load(self.path.read_text("utf-8-sig"), _Loader)  # noqa: S506 - safe
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as e:
            raise ConfigurationInvalid(f"{self.path} cannot be read as YAML: {e}") from e
        if not isinstance(config, dict) or "prompts" not in config:
            raise ConfigurationInvalid(f"{self.path} has no `prompts`.")
        self.templates = config.get("assertionTemplates") or {}
        prompts = list(self._prompts(config["prompts"]))
        name = str(config.get("description") or self.path.stem)
        groups: dict[str, ImportedEval] = {}
        for test in self._tests(config):
            for graders, item in self._cases(test):
                key = json.dumps(graders, sort_keys=True)
                groups.setdefault(key, ImportedEval(name, graders)).items.append(item)
        found = list(groups.values())
        if len(found) > 1:
            for place, one in enumerate(found, 1):
                one.name = f"{name} ({place} of {len(found)})"
        params = self._sampling_params(config.get("providers"))
        return Imported(prompts, found, params, sorted(self._faults, key=lambda one: one.line))

    def fault(self, line: int, what: str, why: str) -> None:
        """Note a part without an equivalent."""
        self._faults[Fault(line, what, why)] = None

    def _lines_of(self, given: Any, line: int) -> Iterator[tuple[Any, int]]:
        for one in given if isinstance(given, list) else [given]:
            yield one, getattr(one, "line", line)

    def _line(self, text: str) -> int:
        """Return the line of a text that is no mapping: the first one that has its beginning."""
        begin = str(text).strip().split("\n", 1)[0][:40]
        for number, line in enumerate(self.path.read_text("utf-8-sig").splitlines(), 1):
            if begin and begin in line and not line.lstrip().startswith("#"):
                return number
        return 1

    # Prompts

    def _prompts(self, given: Any) -> Iterator[tuple[str, list[dict[str, str]]]]:
        for one, line in self._lines_of(given, 1):
            text, label = one, ""
            if isinstance(one, dict):
                text = one.get("raw") or one.get("id") or ""
                label = str(one.get("label") or "")
            line = line if isinstance(one, dict) else self._line(text)
            for place, content in enumerate(self._prompt_texts(str(text), line), 1):
                messages = self._messages(content, line)
                if messages is not None:
                    yield label or f"prompt {place}", messages

    def _prompt_texts(self, text: str, line: int) -> Iterator[str]:
        is_path = "\n" not in text and text.endswith((".txt", ".json", ".md", ".j2", *_CODE))
        if not text.startswith("file://") and not is_path:
            yield text
            return
        for path in self.files(text, line):
            content = path.read_text("utf-8-sig")
            parts = re.split(r"^---\s*$", content, flags=re.MULTILINE)
            yield from (parts if path.suffix == ".txt" else [content])

    def _messages(self, text: str, line: int) -> list[dict[str, str]] | None:
        chat: Any = [{"role": "user", "content": text.strip()}]
        if "{%" in text or "{#" in text:
            self.fault(line, "prompt", "it has tags of Nunjucks, such as `{% for … %}`")
            return None
        if text.lstrip().startswith("["):
            try:
                chat = json.loads(text)
            except ValueError:
                self.fault(line, "prompt", "it is not JSON before its variables are inserted")
                return None
        found = []
        for message in chat:
            content = message.get("content") if isinstance(message, dict) else None
            if not isinstance(content, str):
                self.fault(line, "prompt", "a message is no text")
                return None
            converted = self._template(content, line)
            if converted is None:
                return None
            found.append({"role": str(message.get("role")), "content": converted})
        return found

    def _template(self, text: str, line: int) -> str | None:
        """Return a template with variables of the item, or None if it does more than insert."""
        names = [name.strip() for name in _VARIABLE.findall(text)]
        if bad := next((name for name in names if not _PATH.fullmatch(name)), None):
            self.fault(line, "prompt", f"`{{{{{bad}}}}}` is more than a variable")
            return None
        return _VARIABLE.sub(lambda found: f"{{{{item.{found[1].strip()}}}}}", text)

    # Tests

    def files(self, text: str, line: int) -> list[Path]:
        """Return the files that a text such as `file://name` refers to."""
        name = text.removeprefix("file://")
        found = sorted(self.path.parent.glob(name)) if "*" in name else [self.path.parent / name]
        if name.endswith(_CODE) or not found or not all(path.is_file() for path in found):
            why = "programs are not run" if name.endswith(_CODE) else "there is no such file"
            self.fault(line, text, why)
            return []
        return found

    def _tests(self, config: Any) -> Iterator[_Located]:
        default = config.get("defaultTest") or {}
        if isinstance(default, str):
            loaded = list(self._loaded(default, self._line(default)))
            default = loaded[0] if loaded else {}
        none = [] if config.get("scenarios") else [_Located()]
        for test in self._all_tests(config.get("tests") or none):
            yield self._merged(default, test)
        for scenario in config.get("scenarios") or ():
            rows = self._all_tests(scenario.get("config") or [])
            for row, test in product(list(rows), list(self._all_tests(scenario.get("tests")))):
                yield self._merged(self._merged(default, row), test)

    def _merged(self, default: Mapping[str, Any], test: _Located) -> _Located:
        found = _Located({**default, **test})
        found.line = test.line
        for name in ("vars", "options"):
            found[name] = {**(default.get(name) or {}), **(test.get(name) or {})}
        inherited = [] if found["options"].get("disableDefaultAsserts") else default.get("assert")
        found["assert"] = [*(inherited or []), *(test.get("assert") or [])]
        return found

    def _all_tests(self, given: Any) -> Iterator[_Located]:
        for one, line in self._lines_of(given or [], 1):
            if isinstance(one, str):
                yield from self._loaded(one, self._line(one))
            elif isinstance(one, _Located):
                yield one
            else:
                self.fault(line, "test", "it is no mapping")

    def _loaded(self, name: str, line: int) -> Iterator[_Located]:
        for path in self.files(name, line):
            if path.suffix == ".csv":
                with path.open(encoding="utf-8-sig", newline="") as file:
                    rows: list[Any] = list(map(_row_of_csv, csv.DictReader(file)))
            else:
                rows = yaml.load(path.read_text("utf-8-sig"), _Loader)  # noqa: S506 - safe
            for row in rows if isinstance(rows, list) else [rows]:
                found = _Located(row)
                found.line = line
                yield found

    def _cases(self, test: _Located) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Yield the graders and the item of each combination of a test's variables."""
        options = test["options"]
        for name in ("transform", "postprocess", "prefix", "suffix", "rubricPrompt"):
            if options.get(name):
                self.fault(test.line, name, "options that change texts have no equivalent")
        for name in ("conversationId", "storeOutputAs"):
            if (test.get("metadata") or {}).get(name) or options.get(name):
                self.fault(test.line, name, "items do not depend on each other")
        values = {name: self._values(one, test.line) for name, one in test["vars"].items()}
        if options.get("disableVarExpansion"):
            values = {name: [found] for name, found in values.items()}
        for chosen in product(*values.values()):
            item = dict(zip(values, chosen, strict=True))
            checks = _Checks(self, item, options)
            graders = checks.all_of(test["assert"], test.get("threshold"), test.line)
            if graders:
                yield graders, item | checks.values

    def _values(self, given: Any, line: int) -> list[Any]:
        found: list[Any] = []
        if isinstance(given, list) and not all(isinstance(one, str) for one in given):
            return [given]  # promptfoo repeats a test for each text of a list only
        for one, _ in self._lines_of(given, line):
            if isinstance(one, str) and one.startswith("file://"):
                found += [path.read_text("utf-8-sig") for path in self.files(one, line)]
            else:
                found.append(one)
        return found

    def _sampling_params(self, providers: Any) -> dict[str, Any]:
        first = next((one for one, _ in self._lines_of(providers or [], 1)), None)
        config = (first.get("config") if isinstance(first, dict) else None) or {}
        names = {"max_tokens": "max_completion_tokens", "temperature": "temperature"}
        names |= {"top_p": "top_p", "seed": "seed"}
        return {ours: config[name] for name, ours in names.items() if name in config}


class _Checks:
    """The assertions of one item, as graders, and the fields of the item that they refer to."""

    def __init__(self, reader: _Reader, item: Mapping[str, Any], options: Any) -> None:
        self._reader = reader
        self._item = item
        self._options = options
        self._names: dict[str, int] = {}
        self.values: dict[str, Any] = {}

    def all_of(self, asserted: list[Any], threshold: Any, line: int) -> list[dict[str, Any]]:
        """Return the graders of a test: all must pass, or their mean score with a threshold.

        There are none if no assertion has an equivalent.
        """
        found = list(self._graders(asserted, line))
        if not asserted:  # promptfoo passes any answer
            return [_string_check(self._name("answered"), "ne", "")]
        if not found:
            return []
        if threshold is None:
            return [grader for grader, _ in found]
        return [self._mean(found, threshold)]

    def _mean(self, found: list[tuple[dict[str, Any], float]], threshold: float) -> dict[str, Any]:
        total = sum(weight for _, weight in found) or 1
        named = {f"c{place}": grader for place, (grader, _) in enumerate(found)}
        weighted = (f"{weight:g} * c{place}" for place, (_, weight) in enumerate(found))
        return {
            "type": "multi",
            "name": self._name("weighted mean"),
            "graders": named,
            "calculate_output": f"({' + '.join(weighted)}) / {total:g}",
            "pass_threshold": float(threshold),
        }

    def _graders(self, asserted: list[Any], line: int) -> Iterator[tuple[dict[str, Any], float]]:
        for one in asserted:
            if not isinstance(one, dict):
                self._reader.fault(line, "assertion", "it is no mapping")
                continue
            at = getattr(one, "line", line)
            if "$ref" in one:
                name = str(one["$ref"]).rpartition("/")[2]
                one = {**self._reader.templates.get(name, {}), **one}
            if one.get("type") == "assert-set":
                inner = list(self._graders(one.get("assert") or [], at))
                if inner and one.get("threshold") is not None:
                    yield self._mean(inner, one["threshold"]), float(one.get("weight", 1))
                else:
                    yield from inner
                continue
            grader = self._grader(one, at)
            if grader is not None:
                yield grader, float(one.get("weight", 1))

    def _grader(self, one: Mapping[str, Any], line: int) -> dict[str, Any] | None:
        whole = str(one.get("type"))
        kind = whole.removeprefix("not-")
        for name in ("transform", "rubricPrompt", "contextTransform"):
            if one.get(name):
                self._reader.fault(line, f"{whole} with `{name}`", "it has no equivalent")
                return None
        value = self._value(one.get("value"), kind, line)
        if kind != "python" and isinstance(value, str) and value.startswith("file://"):
            return None  # there is no such file, which is noted
        name = str(one.get("metric") or whole)
        try:
            found = self._mapped(kind, whole != kind, value, one.get("threshold"), name)
        except (LookupError, OSError, SyntaxError, TypeError, ValueError, re.error) as e:
            reason = _REASONS.get(kind) or str(e) or "no grader corresponds"
            self._reader.fault(line, whole, reason)
            return None
        return found

    def _mapped(
        self, kind: str, negated: bool, value: Any, threshold: Any, name: str
    ) -> dict[str, Any]:
        """Return the grader of an assertion. Raises an error with the reason if there is none."""
        whole = f"not-{kind}" if negated else kind
        if kind == "python":
            return self._python(value, negated, threshold, name)
        if kind in _JUDGED:
            return self._judged(kind, value, negated, threshold, name)
        if kind in _SIMILARITIES:
            metric, usual = _SIMILARITIES[kind]
            if negated or not isinstance(value, str):
                raise ValueError("only one text can be compared, and not negated")
            found = {
                "type": "text_similarity",
                "input": _OUTPUT,
                "reference": self._stored(value),
                "evaluation_metric": metric,
                "pass_threshold": usual if threshold is None else float(threshold),
            }
            if metric == "cosine":
                if self._reader.embeddings is None:
                    raise ValueError
                found["model"] = self._reader.embeddings
            return {"name": self._name(name), **found}
        if kind == "is-json" and not negated:
            return {"type": "json_schema", "name": self._name(name), "schema": value or {}}
        value = _prepared(kind, value)
        if whole in _STRING_CHECKS and isinstance(value, str):
            return _string_check(self._name(name), _STRING_CHECKS[whole], self._stored(value))
        if kind not in _CONDITIONS:
            raise LookupError
        limit = 5 if threshold is None else float(threshold)
        condition = _CONDITIONS[kind].replace("{threshold}", f"{limit:g}")
        source = _SOURCE.replace("{condition}", condition)
        source = source.replace("{negated}", "not " if negated else "")
        field_name = self._stored(value)[len("{{item.") : -len("}}")]
        return {
            "type": "python",
            "name": self._name(name),
            "source": source.replace("{name}", field_name),
            "pass_threshold": 1.0,
        }

    def _python(self, value: Any, negated: bool, threshold: Any, name: str) -> dict[str, Any]:
        code, function = str(value), "get_assert"
        if code.startswith("file://"):
            path, _, named = code.removeprefix("file://").partition(":")
            code = (self._reader.path.parent / path).read_text("utf-8-sig")
            function = named or function
        else:
            body = code if "\n" in code.strip() else f"return {code.strip()}"
            lines = textwrap.indent(body, "    ")
            code = f"import json, math, re\n\n\ndef get_assert(output, context):\n{lines}"
        compile(code, "assertion", "exec")
        limit = _TINY if threshold is None else float(threshold)
        source = _PYTHON.format(code=code, function=function, threshold=limit, negated=negated)
        return {
            "type": "python",
            "name": self._name(name),
            "source": source,
            "pass_threshold": _TINY if negated else limit,
        }

    def _judged(
        self, kind: str, value: Any, negated: bool, threshold: Any, name: str
    ) -> dict[str, Any]:
        if self._reader.judge is None:
            raise ValueError("it needs a judge: pass --judge MODEL")
        criterion = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        prompt = f"{_JUDGED[kind]}\n\n{self._stored(criterion)}\n\nAnswer:\n{_OUTPUT}"
        judge = {
            "name": self._name(name),
            "model": self._reader.judge,
            "input": [{"role": "user", "content": prompt}],
        }
        if threshold is not None and not negated:
            return {"type": "score_model", **judge, "pass_threshold": float(threshold)}
        passing = ["fail" if negated else "pass"]
        return {
            "type": "label_model",
            **judge,
            "labels": ["pass", "fail"],
            "passing_labels": passing,
        }

    def _value(self, value: Any, kind: str, line: int) -> Any:
        """Return a value with the item's variables inserted, and files read."""
        if isinstance(value, list):
            return [self._value(one, kind, line) for one in value]
        if not isinstance(value, str) or kind == "python":
            return value
        if value.startswith("file://"):
            for path in self._reader.files(value, line):
                text = path.read_text("utf-8-sig")
                is_data = path.suffix in (".json", ".yaml", ".yml")
                return yaml.load(text, _Loader) if is_data else text  # noqa: S506 - safe
            return value
        return _VARIABLE.sub(lambda found: _text(self._item.get(found[1].strip(), "")), value)

    def _stored(self, value: Any) -> str:
        """Store a value in the item, and return the variable that refers to it."""
        name = f"{_CHECKS}{len(self.values) + 1}"
        self.values[name] = value
        return f"{{{{item.{name}}}}}"

    def _name(self, name: str) -> str:
        self._names[name] = self._names.get(name, 0) + 1
        return name if self._names[name] == 1 else f"{name} {self._names[name]}"


def _row_of_csv(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of a CSV file as a test: columns are variables, `__expected…` assertions."""
    asserted = []
    for column, text in row.items():
        if column.startswith("__expected") and text:
            kind, colon, value = text.partition(":")
            if not (colon and re.fullmatch(r"[a-z-]+", kind)):
                kind, value = "equals", text
            kind = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}.get(kind, kind)
            given: Any = value.strip()
            if kind.endswith(("-all", "-any")):
                given = [one.strip() for one in given.split(",")]
            asserted.append({"type": kind, "value": given})
    columns = {name: text for name, text in row.items() if not name.startswith("__")}
    return {"vars": columns, "assert": asserted}


def _string_check(name: str, operation: str, reference: str) -> dict[str, Any]:
    return {
        "type": "string_check",
        "name": name,
        "input": _OUTPUT,
        "operation": operation,
        "reference": reference,
    }


def _prepared(kind: str, value: Any) -> Any:
    """Return a value as the condition needs it. Raises ValueError and re.error."""
    if kind in ("contains-all", "contains-any", "icontains-all", "icontains-any"):
        given = value if isinstance(value, list) else str(value).split(",")
        return [_text(one).strip() for one in given]
    if kind == "word-count":
        bounds = value if isinstance(value, dict) else {"min": value, "max": value}
        return {"min": int(bounds.get("min", 0)), "max": int(bounds.get("max", 10**9))}
    if kind in ("is-json", "contains-json"):
        return value
    if kind == "equals" and isinstance(value, (dict, list)):
        return value
    if kind in _CONDITIONS and value is None:
        raise ValueError("it has no value")
    if kind == "regex":
        re.compile(_text(value))
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write(
    name: str,
    graders: Sequence[Mapping[str, Any]],
    items: Sequence[Mapping[str, Any]],
    messages: Sequence[Mapping[str, Any]] | None,
    model: str,
) -> tuple[str, list[str]]:
    """Return a configuration as YAML, and the graders without an equivalent, each with a reason."""
    asserted, faults = [], []
    for grader in graders:
        assertion = _assertion(grader)
        if assertion is None:
            faults.append(f"{grader['name']}: no assertion corresponds to {grader['type']}")
        else:
            asserted.append({**assertion, "metric": grader["name"]})
    prompt = json.dumps(
        [{"role": m["role"], "content": _exported(str(m["content"]))} for m in messages or ()],
        ensure_ascii=False,
    )
    config = {
        "description": name,
        "prompts": [prompt if messages else "{{messages}}"],
        "providers": [f"openai:chat:{model}"],
        "defaultTest": {"assert": asserted},
        "tests": [{"vars": dict(item)} for item in items],
    }
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False), faults


def _exported(text: str) -> str:
    return text.replace(_OUTPUT, "{{output}}").replace("{{item.", "{{").replace("{{ item.", "{{ ")


def _assertion(grader: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, is_output = grader["type"], grader.get("input", _OUTPUT) == _OUTPUT
    threshold = {"threshold": grader["pass_threshold"]} if grader.get("pass_threshold") else {}
    if kind == "string_check" and is_output:
        return {"type": _CASTS[grader["operation"]], "value": _exported(grader["reference"])}
    if kind == "text_similarity" and is_output:
        names = {metric: name for name, (metric, _) in _SIMILARITIES.items()}
        if (metric := names.get(grader["evaluation_metric"])) is not None:
            return {"type": metric, "value": _exported(grader["reference"]), **threshold}
    if kind == "json_schema" and is_output:
        return {"type": "is-json", "value": grader["schema"]}
    if kind == "python":
        call = "return grade({'output_text': output}, context['vars'])"
        return {"type": "python", "value": f"{grader['source']}\n{call}\n", **threshold}
    if kind in ("label_model", "score_model"):
        text = "\n\n".join(str(message["content"]) for message in grader["input"])
        negated = kind == "label_model" and grader["passing_labels"] == ["fail"]
        return {"type": f"{'not-' if negated else ''}llm-rubric", "value": _exported(text)}
    return None
