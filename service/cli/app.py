"""The command line. Each command imports only what it needs, so that all start fast."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from service import __version__, offline
from service.cli import audit, erasure
from service.cli.common import DataDir, fail
from service.imports import quick_imports

app = typer.Typer(
    name="finetuned-server",
    help="Fine-tune open models on your own hardware and serve them, with OpenAI's API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
models = typer.Typer(help="Base models.", no_args_is_help=True)
files = typer.Typer(help="Data files.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.add_typer(files, name="files")
app.add_typer(audit.app, name="audit")
app.add_typer(erasure.app, name="erasure")

_ROLES = "Role: admin, project_admin, member, trainer, inference, reader or auditor."
KeyModels = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="The only model that a key with the role inference may use: the name of a base model, "
        "a trained model or an alias. Repeat it for several.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(help="Branch, tag or commit in a Hugging Face cache, or tag in an OCI layout."),
]


def _progress(line: str) -> None:
    typer.echo(line, err=True)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option(help="Folder for all data.")] = Path("var"),
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    demo_model: Annotated[
        bool, typer.Option(help="Add the demo model if the catalog is empty.")
    ] = True,
) -> None:
    """Run the whole service on this machine: store, API, worker and inference."""
    from service.models.catalogue import CatalogueError
    from service.models.inspect import ModelRefused
    from service.standalone import up as standalone
    from service.standalone.layout import AlreadyRunning
    from service.standalone.supervisor import StartFailed

    try:
        standalone.main(data_dir, host, port, demo_model=demo_model)
    except (AlreadyRunning, StartFailed, CatalogueError, ModelRefused) as e:
        fail(str(e))


@app.command()
def api() -> None:
    """Run the HTTP API and inference gateway on this host."""
    with quick_imports():
        from service import server
    server.main()


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Queues to take work from.")] = "cpu,gpu",
) -> None:
    """Run a worker. Run one per GPU, and at least one for the cpu queue."""
    with quick_imports():
        from service.worker import main as worker_main
    names = [name.strip() for name in queues.split(",")]
    if unknown := set(names) - {"cpu", "gpu"}:
        fail(f"no such queue: {', '.join(sorted(unknown))}; the queues are cpu and gpu")
    worker_main.main(names)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def inference(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="Id of a base model, or name of a trained model to serve merged.")
    ],
    port: Annotated[int | None, typer.Option(help="Port of the engine.")] = None,
) -> None:
    """Run vLLM for one model. Additional options are passed through to vLLM."""
    from service.inference.engine import launch
    from service.standalone.supervisor import NOT_AGAIN

    try:
        launch.main(model, port=port, extra=context.args)
    except launch.NothingToServe as e:
        fail(str(e), NOT_AGAIN)
    except launch.EngineConfigError as e:
        fail(str(e))


@keys.command("create")
def keys_create(
    project: Annotated[
        str, typer.Option(help="Name of the project. Created if it does not exist.")
    ],
    name: Annotated[str, typer.Option(help="Name that describes what the key is for.")] = "key",
    role: Annotated[str, typer.Option(help=_ROLES)] = "member",
    model: KeyModels = None,
    expires_in_days: Annotated[
        int | None, typer.Option(help="Days until the key expires.", min=1, max=3660)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it. It cannot be shown again."""
    from service.cli.operator import create_key

    try:
        typer.echo(asyncio.run(create_key(data_dir, project, name, role, model, expires_in_days)))
    except (ValueError, OSError) as e:
        fail(str(e))


@keys.command("ensure")
def keys_ensure(
    project: Annotated[
        str, typer.Option(help="Name of the project. Created if it does not exist.")
    ],
    name: Annotated[str, typer.Option(help="Name that describes what the key is for.")] = "key",
    role: Annotated[str, typer.Option(help=_ROLES)] = "member",
) -> None:
    """Register the key in $FINETUNED_NEW_KEY, unless it exists or was revoked. For installers."""
    from service.cli.operator import ensure_key

    secret = os.environ.get("FINETUNED_NEW_KEY", "")
    try:
        typer.echo(asyncio.run(ensure_key(project, name, role, secret)))
    except (ValueError, OSError) as e:
        fail(str(e))


@models.command("list")
def models_list(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the base models in the catalog."""
    from service.cli.operator import catalogue
    from service.models.catalogue import CatalogueError

    try:
        entries = catalogue(data_dir).all()
    except CatalogueError as e:
        fail(str(e))
    if as_json:
        typer.echo(json.dumps([e.model_dump(mode="json") for e in entries]))
        return
    for entry in entries:
        size = f"{entry.parameters / 1e6:,.0f}M" if entry.parameters else "?"
        typer.echo(f"{entry.id}\t{size}\t{entry.context_length}\t{entry.license}\t{entry.path}")


@models.command("add")
def models_add(
    source: Annotated[
        Path,
        typer.Argument(
            help="A Hugging Face folder, a GGUF file, a bundle, an OCI layout, a Hugging Face "
            "cache, or the name ORG/NAME of a model in this machine's cache."
        ),
    ],
    model_id: Annotated[str, typer.Option("--id", help="Model id that clients use.")],
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license", help="SPDX id, such as apache-2.0. Defaults to the model card's."
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="Language that the model supports. Repeatable. Defaults to the model card's."
        ),
    ] = None,
    context_length: Annotated[
        int | None, typer.Option(min=64, help="Context length, if below the model's.")
    ] = None,
    serving_quantization: Annotated[
        Literal["auto", "none", "fp8", "nf4"],
        typer.Option(
            help="How engines hold the weights: in 16 bits (none), in 8 bits (fp8), in the 4 bits "
            "of QLoRA (nf4), or the first of these that fits the GPU (auto)."
        ),
    ] = "auto",
    serving_path: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the same model in AWQ, GPTQ or FP8, which engines serve in its place."
        ),
    ] = None,
    revision: Revision = None,
    data_dir: DataDir = None,
) -> None:
    """Verify a base model on this machine and add it to the catalog. Nothing is downloaded.

    Pickles and custom code are refused.
    """
    from service.cli import operator

    try:
        typer.echo(
            operator.add_model(
                data_dir,
                source,
                model_id,
                license_id,
                tuple(language or ()),
                context_length,
                revision,
                report=_progress,
                serving_quantization=serving_quantization,
                serving_path=serving_path,
            )
        )
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@models.command("bundle")
def models_bundle(
    source: Annotated[
        Path,
        typer.Argument(
            help="A Hugging Face folder, a Hugging Face cache, or the name ORG/NAME of a model in "
            "this machine's cache."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, FILE.tar.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model. Defaults to the source's.")
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license", help="SPDX id, such as apache-2.0. Defaults to the model card's."
        ),
    ] = None,
    revision: Revision = None,
) -> None:
    """Write a model and its digests to one file, for 'models add' on a machine without a network.

    Needs neither a GPU nor a running service. Nothing is downloaded.
    """
    from service.models.inspect import ModelRefused
    from service.models.sources.write_bundle import bundle_model

    try:
        made = bundle_model(source, output, name, license_id, revision, report=_progress)
    except (ModelRefused, OSError, ValueError) as e:
        fail(str(e))
    typer.echo(
        f"bundled {made.name}: {len(made.files)} files, {made.size / 1e9:,.1f} GB, license "
        f"{made.license or 'unknown'}. Copy {output} to the other machine, and run "
        f"'finetuned-server models add {output.name} --id ID' there."
    )


@models.command("add-encoder")
def models_add_encoder(
    source: Annotated[Path, typer.Argument(help="Folder of a text encoder.")],
    encoder_id: Annotated[str, typer.Option("--id", help="Encoder id that clients use.")],
    license_id: Annotated[str, typer.Option("--license", help="SPDX id, such as mit.")],
    prompt: Annotated[
        str, typer.Option(help="Text before each text, if the encoder needs one: 'query: '.")
    ] = "",
    data_dir: DataDir = None,
) -> None:
    """Add a text encoder to the catalog, with which reports compare what rows mean."""
    from service.cli import operator

    try:
        typer.echo(operator.add_encoder(data_dir, source, encoder_id, license_id, prompt))
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@models.command("merge")
def models_merge(
    name: Annotated[str, typer.Argument(help="Name of a trained model, ft:…")],
    data_dir: DataDir = None,
) -> None:
    """Serve a trained model from its own engine, with merged weights, at the base model's speed."""
    from service.cli import operator

    try:
        typer.echo(asyncio.run(operator.merge_model(data_dir, name)))
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@models.command("sign")
def models_sign(data_dir: DataDir = None) -> None:
    """Sign the registrations of all trained models that have no signature yet.

    With the key in $FINETUNED_SIGNING_KEY_FILE. Engines with FINETUNED_ADAPTER_KEY_FILE load no
    others.
    """
    from service.cli import operator

    try:
        typer.echo(asyncio.run(operator.sign_models(data_dir)))
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@models.command("unmerge")
def models_unmerge(
    name: Annotated[str, typer.Argument(help="Name of a merged model, ft:…")],
    data_dir: DataDir = None,
) -> None:
    """Serve a trained model as an adapter again, and remove its merged weights."""
    from service.cli import operator

    try:
        typer.echo(operator.unmerge_model(data_dir, name))
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@files.command("check")
def files_check(
    path: Annotated[
        Path, typer.Argument(help="A data file on this machine.", exists=True, dir_okay=False)
    ],
    options: Annotated[
        str, typer.Option(help='Format options as JSON, such as \'{"sheet": "Data"}\'.')
    ] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a training file as an upload is checked. Needs no running service.

    Exits with 5 if no job can be trained on it.
    """
    from pydantic import ValidationError

    from service.cli.check_file import check_file, in_words
    from service.files.schemas import FormatFields

    try:
        given = FormatFields.model_validate_json(options)
    except ValidationError as e:
        fail(f"--options: {e.errors()[0]['msg']}", 2)
    found = asyncio.run(check_file(path, given.stored()))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for line in in_words(found):
            typer.echo(line)
    if not found["ok"]:
        raise typer.Exit(5)


@app.command()
def rebuild(
    journal: Annotated[
        str | None,
        typer.Option(help="Which journal to restore, if storage has those of several Redis."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Restore lost records from storage. Existing records are kept."""
    from service.cli import backup as commands

    _report(commands.rebuild(data_dir, journal))


@app.command()
def gc(
    data_dir: DataDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what is found.")] = False,
    older_than: Annotated[
        int, typer.Option(help="Age in hours. Younger data may be in the making.", min=0)
    ] = 24,
) -> None:
    """Remove data from storage that no record refers to."""
    from service.cli import operator
    from service.core.storage import StorageError

    try:
        for line in asyncio.run(
            operator.gc(data_dir, dry_run=dry_run, older_than_s=3600 * older_than)
        ):
            typer.echo(line)
    except (*operator.CHORE_ERRORS, StorageError) as e:
        fail(str(e))


@app.command("new-master-key")
def new_master_key() -> None:
    """Print a new master key, for FINETUNED_ENCRYPTION_KEY_FILE. Keep a copy elsewhere."""
    from service.core.encryption.master import new_key

    typer.echo(new_key())


@app.command()
def encrypt(data_dir: DataDir = None) -> None:
    """Encrypt all stored objects that are not encrypted. Stop the API and workers first."""
    from service.cli import encryption

    asyncio.run(_echo(encryption.encrypt(data_dir)))


@app.command("rotate-master-key")
def rotate_master_key(data_dir: DataDir = None) -> None:
    """Wrap all data keys with the first master key of the file. No object is rewritten."""
    from service.cli import encryption

    asyncio.run(_echo(encryption.rotate(data_dir)))


async def _echo(lines: AsyncIterator[str]) -> None:
    from service.core.storage import StorageError

    try:
        async for line in lines:
            typer.echo(line)
    except (StorageError, ValueError, OSError) as e:
        fail(str(e))


@app.command()
def backup(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    keep: Annotated[
        int | None,
        typer.Option(help="Number of newest backups to keep. Defaults to all.", min=1),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Back up all records and stored objects while the service runs. Copies only what is new."""
    from service.cli import backup as commands

    _report(commands.backup(data_dir, target, keep))


@app.command()
def backups(
    source: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
) -> None:
    """List the backups in a folder or bucket."""
    from service.cli import backup as commands

    _report(commands.backups(source))


@app.command()
def restore(
    source: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix.")],
    at: Annotated[
        str | None,
        typer.Option(help="Restore the newest backup at or before this time (UTC) or ID."),
    ] = None,
    only_records: Annotated[
        bool,
        typer.Option(
            "--only-records",
            help="Keep the storage, and restore records into an empty Redis. Files and models that "
            "are newer than the backup are registered again.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check that the backup is intact.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Restore a backup into an empty Redis and storage."""
    from service.cli import backup as commands

    if check:
        _report(commands.check(source, at))
    else:
        _report(commands.restore(data_dir, source, at, only_records=only_records))


def _report(lines: Coroutine[Any, Any, list[str]]) -> None:
    from service.backup.errors import BackupError
    from service.cli import operator
    from service.core.storage import StorageError
    from service.standalone.layout import AlreadyRunning
    from service.standalone.supervisor import StartFailed

    try:
        for line in asyncio.run(lines):
            typer.echo(line)
    except (*operator.CHORE_ERRORS, AlreadyRunning, BackupError, StartFailed, StorageError) as e:
        fail(str(e))


@app.command("redis-acl")
def redis_acl(
    secrets: Annotated[
        Path,
        typer.Option(
            help="Folder with a file for the password of each user. Missing ones are generated."
        ),
    ],
) -> None:
    """Print an ACL file for Redis, with a user for each kind of process, and one for operators."""
    from service.cli.redis_acl import acl_file

    try:
        typer.echo(acl_file(secrets), nl=False)
    except (OSError, ValueError) as e:
        fail(str(e))


@app.command()
def openapi(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the API's OpenAPI description."""
    from service.app import create_app
    from service.config import Settings

    text = json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


@app.command()
def metrics(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the reference page of all Prometheus metrics."""
    from service.cli.metrics_page import page

    if output is None:
        sys.stdout.write(page())
    else:
        output.write_text(page(), encoding="utf-8")


@app.command()
def doctor(
    data_dir: Annotated[Path, typer.Option(help="Folder for all data.")] = Path("var"),
    port: Annotated[int, typer.Option(help="Port that the API will use.")] = 8000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print which engines and trainings `up` puts on which GPU."),
    ] = False,
    gpus: Annotated[
        str | None,
        typer.Option(help="With --plan: other GPUs than this machine's, such as 4x24GiB."),
    ] = None,
    row_tokens: Annotated[
        int,
        typer.Option(
            min=64, max=1_000_000, help="With --plan: tokens in the longest row of a training."
        ),
    ] = 2048,
    egress: Annotated[
        bool,
        typer.Option(
            "--egress", help="Watch where the service's processes on this machine connect to."
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="With --egress: how long to watch.", min=0, max=86_400)
    ] = 10,
) -> None:
    """Report what this machine lacks to run the service, and how to fix it."""
    if plan or gpus is not None:
        _print_plan(data_dir, gpus, row_tokens, as_json=as_json)
        return
    from service.cli.doctor import examine, examine_egress

    findings = examine_egress(data_dir, seconds) if egress else examine(data_dir, port)
    if as_json:
        typer.echo(json.dumps([vars(f) for f in findings]))
    else:
        for finding in findings:
            typer.echo(str(finding))
    if any(f.level == "missing" for f in findings):
        raise typer.Exit(1)


def _print_plan(data_dir: Path, gpus: str | None, row_tokens: int, *, as_json: bool) -> None:
    from service.cli.doctor import machine_plan
    from service.cli.plan import BadGpus, as_text

    try:
        found = machine_plan(data_dir, gpus, row_tokens)
    except BadGpus as e:
        fail(str(e))
    typer.echo(json.dumps(found) if as_json else as_text(found))
    if found["unplaced"]:
        raise typer.Exit(1)


def main(argv: Any = None) -> NoReturn:
    """Entry point of `finetuned-server`.

    It leaves without finalizing the interpreter: a thread of obstore that releases a Python object
    meanwhile aborts the process, which happened after 3% of rebuilds on a busy machine.
    """
    offline.apply(os.environ)
    code: str | int | None = 0
    try:
        app(argv)
    except SystemExit as leaving:
        code = leaving.code
        if isinstance(code, str):
            typer.echo(code, err=True)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
