"""The page of an archive of evidence that a person reads or prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from service.exporting.folder import SHOWN_LIBRARIES
from service.reports.render import Heading, Paragraph, Part, Table, render_html
from service.web import audit_trail

_STYLE: Final = """
h1 { font-size: 1.5rem; overflow-wrap: anywhere }
td { overflow-wrap: anywhere }
td:first-child { overflow-wrap: break-word }
@media print {
  body { max-width: none; margin: 0; font-size: 10px; color: #000; background: #fff }
  h2 { break-after: avoid }
  tr { break-inside: avoid }
  .wide { overflow: visible }
}
"""
_SHOWN_LOSSES: Final = 40


def render(
    about: Mapping[str, Any],
    parts: Mapping[str, Mapping[str, Any]],
    passport: Mapping[str, Any],
    missing: Sequence[Mapping[str, str]],
) -> str:
    """Return the page as HTML, which loads nothing. `passport` is that of the adapter, or empty."""
    verify = "finetuned evidence verify ARCHIVE --key PUBLIC_KEY"
    shown: list[Part] = [
        Paragraph(
            f"Made {_time(about['created_at'])} for the key {about['requested_by']}. This page is "
            f"a part of a signed archive: '{verify}' shows whether it was changed."
        ),
        *_missing(missing),
        *_model(parts["model"]),
        *_lineage(parts["lineage"]),
        *(_training(parts["training"]) if "training" in parts else ()),
        *_environment(passport),
        *_evaluation(parts["evaluation"]),
        *_approvals(parts["approvals"]),
        *_access(parts["access"]),
        *_exports(parts["exports"]),
        *_erasures(parts["erasures"]),
        *_audit(parts["audit"]),
    ]
    return render_html(
        "evidence.html.jinja",
        package="service.evidence",
        title=f"Evidence of {about['model']}",
        style=_STYLE,
        parts=shown,
    )


def _missing(missing: Sequence[Mapping[str, str]]) -> list[Part]:
    rows = [[one["part"], one["reason"]] for one in missing]
    return [
        Heading("What is not in the archive (manifest.json)"),
        *_table(["part", "reason"], rows, "Nothing."),
    ]


def _model(part: Mapping[str, Any]) -> list[Part]:
    origin = part["origin"]
    facts = [
        ["base model", part["base_model"]],
        ["created", _time(part["created_at"])],
        ["trained by the job", part["job_id"] or ""],
        ["imported from an archive with the SHA-256", origin["archive_sha256"] if origin else ""],
        ["digest of the adapter", part["digest"]],
    ]
    files = [[one["path"], f"{one['size']:,}", one["sha256"]] for one in part["files"]]
    return [
        Heading("Model (model.json)"),
        *_table(["fact", "value"], [fact for fact in facts if fact[1]], ""),
        *_table(["file", "bytes", "SHA-256"], files, "The adapter's files cannot be read."),
    ]


def _lineage(part: Mapping[str, Any]) -> list[Part]:
    bases = [[one["model"], one.get("digest", "deleted")] for one in part["continued_from"]]
    files = [
        [
            one["id"],
            one["filename"],
            str(one["rows"] if one["rows"] is not None else ""),
            one["rows_sha256"] or one["sha256"],
            ", ".join(
                filter(
                    None,
                    [one["derived_from"], *(one["merged_from"] or ()), *(one["documents"] or ())],
                )
            ),
        ]
        for one in part["files"]
    ]
    decisions = [
        *([task["id"], f"{task['kind']}: {task['state']}", _time(task["created_at"]),
           _figures(task["result"] or {})] for one in part["files"] for task in one["tasks"]),
        *([one["id"], "rows reviewed", "", _figures(one["reviews"])]
          for one in part["files"] if one["reviews"]),
    ]  # fmt: skip
    return [
        Heading("Data (lineage.json)"),
        *_table(["file", "name", "rows", "SHA-256 of the rows", "made from"], files, "No file."),
        *_table(["id", "what", "when", "result"], decisions, "No report, cleaning or review."),
        *(_table(["continued from", "digest"], bases, "") if bases else ()),
    ]


def _training(part: Mapping[str, Any]) -> list[Part]:
    job, losses = part["job"], part["losses"]
    method = job["method"][job["method"]["type"]]["hyperparameters"]
    facts = [
        ["job", job["id"]],
        ["created by the key", part["created_by"]],
        ["method", job["method"]["type"]],
        ["seed", str(job["seed"])],
        ["attempts", str(job["attempt"])],
        ["trained tokens", f"{job['trained_tokens'] or 0:,}"],
        *([name, _flat(value)] for name, value in method.items() if value is not None),
    ]
    every = max(1, -(-len(losses) // _SHOWN_LOSSES))
    names = [*dict.fromkeys(["step", *(name for row in losses for name in row)])]
    some = [row for at, row in enumerate(losses, 1) if at % every == 0 or at == len(losses)]
    rows = [[_number(row.get(name)) for name in names] for row in some]
    return [
        Heading("Training (training.json)"),
        *_table(["setting", "value"], facts, ""),
        *_table(names, rows, "The losses are not known."),
    ]


def _environment(passport: Mapping[str, Any]) -> list[Part]:
    base, libraries = passport.get("base_model") or {}, passport.get("libraries") or {}
    facts = [
        ["SHA-256 of the base model", base.get("sha256")],
        ["SHA-256 of its chat template", base.get("chat_template_sha256")],
        *(
            [name, value or "not known"]
            for name, value in (passport.get("environment") or {}).items()
        ),
        *([name, libraries[name]] for name in SHOWN_LIBRARIES if name in libraries),
        ["packages in all", str(len(libraries)) if libraries else None],
    ]
    rows = [[name, str(value)] for name, value in facts if value]
    return [
        Heading("Environment (passport.json)"),
        *_table(["fact", "value"], rows, "It is not known."),
    ]


def _evaluation(part: Mapping[str, Any]) -> list[Part]:
    checks = [
        [one["id"], one["alias"], _time(one["finished_at"]), f"{run['eval_id']} {run['metric']}",
         _number(run["difference_low"]), _number(run["score_low"]),
         "passed" if run["passed"] else "not passed"]
        for one in part["suites"]
        for run in one["runs"]
    ]  # fmt: skip
    header = ["check", "alias", "when", "suite", "difference from", "score from", "result"]
    return [
        Heading("Evaluation (evaluation.json)"),
        *_of_job(part["of_job"]),
        Heading("Suites of aliases (evaluation.json)"),
        *_table(header, checks, "No suite was run with it."),
    ]


def _of_job(found: Mapping[str, Any] | None) -> list[Part]:
    if found is None:
        return [Paragraph("The model was not evaluated after its training.")]
    verdict, gate = found["verdict"] or {}, found["gate"]
    failed = [one["key"] for one in gate["failed"]] if gate else []
    outcome = "no gate" if gate is None else f"failed: {', '.join(failed)}" if failed else "passed"
    figures = [[name, _number(value)] for name, value in (found["figures"] or {}).items()]
    labels = [
        [one["reviewer"], " and ".join(one["compared"]), _figures(one["better"]),
         str(one["ties"]), _time(one["last_at"])]
        for one in found["human_labels"]
    ]  # fmt: skip
    ended = f"{found['status']}. {(found['error'] or {}).get('message', '')}"
    return [
        Paragraph(f"Outcome: {verdict.get('sentence', ended)} Gate of the job: {outcome}."),
        *_table(["figure", "value"], figures, "No figures."),
        *_table(
            ["reviewer", "compared", "better", "ties", "last label"],
            labels,
            "No person compared its answers.",
        ),
    ]


def _approvals(part: Mapping[str, Any]) -> list[Part]:
    rows = [
        [one["approved_by"], one["api_key_created_by"] or "", _time(one["created_at"]),
         one["note"] or ""]
        for one in part["approvals"]
    ]  # fmt: skip
    rule = "requires" if part["is_required"] else "does not require"
    replays = [
        [_time(one["created_at"]), one["outcome"],
         f"{len(one['windows'])} of {one['total_windows']}", _steps(one["windows"]),
         f"{'repeated: ' if one['is_repetition'] else ''}{one['seed']}",
         ", ".join(f["code"] for f in one["findings"])]
        for one in part["replays"]
    ]  # fmt: skip
    return [
        Heading("Approvals (approvals.json)"),
        *_table(
            ["who", "whose key was created by", "when", "note"],
            rows,
            f"Nobody approved it. The project {rule} approvals.",
        ),
        Heading("Replays of the training (approvals.json)"),
        *_table(
            ["when", "outcome", "windows", "steps", "seed", "findings"],
            replays,
            "The training was not replayed.",
        ),
    ]


def _steps(windows: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['first_step']} to {one['last_step']}" for one in windows)


def _access(part: Mapping[str, Any]) -> list[Part]:
    keys = [
        [one["id"], one["name"], one["role"], _time(one["created_at"]), _time(one["expires_at"])]
        for one in part["keys"]
    ]
    changes = [
        [alias["id"], _time(one["created_at"]), one["api_key_id"], one["action"],
         ", ".join(f"{to['model']} {to['weight']}%" for to in one["targets"]), _override(one)]
        for alias in part["aliases"]
        for one in alias["changes"]
    ]  # fmt: skip
    shared = [[one["project_id"], _time(one["created_at"])] for one in part["shared_with"]]
    requests = [
        [one["key_id"], f"{one['requests']:,}", _time(one["first_at"]), _time(one["last_at"])]
        for one in part["requests"]
    ]
    return [
        Heading("Who could use it (access.json)"),
        Paragraph(f"Roles that may request models: {', '.join(part['roles'])}. Keys now:"),
        *_table(["key", "name", "role", "since", "until"], keys, "No key of the project."),
        *_table(["shared with", "since"], shared, "It is not shared with other projects."),
        *_table(
            ["alias", "when", "key", "action", "targets", "override"],
            changes,
            "No alias points at it.",
        ),
        *(_table(["key", "requests", "first", "last"], requests, "") if requests else ()),
    ]


def _override(change: Mapping[str, Any]) -> str:
    """What a change of an alias overrode, and why."""
    failed = [f"{one['key']} {one['condition']}" for one in change["failed_conditions"]]
    what = [*failed, *(["looser suites"] if change["loosened"] else [])]
    return f"{', '.join(what)}: {change['reason'] or 'no reason'}" if what else ""


def _exports(part: Mapping[str, Any]) -> list[Part]:
    rows = [
        [one["id"], one["format"], one["status"], one["created_by"], _time(one["created_at"]),
         (one["result"] or {}).get("sha256") or ""]
        for one in part["exports"]
    ]  # fmt: skip
    rows += [
        [one["id"], "", "deleted or expired", one["created_by"], _time(one["created_at"]), ""]
        for one in part["no_longer_kept"]
    ]
    header = ["export", "format", "status", "key", "when", "SHA-256"]
    return [Heading("Exports (exports.json)"), *_table(header, rows, "It was not exported.")]


def _erasures(part: Mapping[str, Any]) -> list[Part]:
    rows = [
        [one["id"], one["subject_id"], one["requested_by"], _time(one["requested_at"]),
         one["status"]]
        for one in part["receipts"]
    ]  # fmt: skip
    header = ["receipt", "erased", "key", "when", "status"]
    return [
        Heading("Erasures (erasures.json)"),
        *_table(header, rows, "Nothing that it was made of was erased."),
    ]


def _audit(part: Mapping[str, Any]) -> list[Part]:
    lines = [
        *((one["number"], one["line"]) for one in part["entries"]),
        *(("not sealed yet", line) for line in part["not_sealed_yet"]),
    ]
    rows = []
    for number, line in lines:
        entry = audit_trail.decode(line)
        rows.append([str(number), _time(entry.at), entry.type, entry.actor.id, entry.outcome,
                     ", ".join(entry.objects)])  # fmt: skip
    header = ["number", "when", "event", "who", "outcome", "objects"]
    return [
        Heading("Audit log (audit.json)"),
        *_table(header, rows, "The log has no entries about it."),
    ]


def _table(header: list[str], rows: list[list[str]], empty: str) -> list[Part]:
    return [Table(header, rows, label=header[0])] if rows else [Paragraph(empty)]


def _figures(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_flat(value)}" for name, value in values.items() if value)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_figures(value)})"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(map(str, value))
    return str(value)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
