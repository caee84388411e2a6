"""A server's whole life, from the bundle to the removal: `make proof NAME=server`.

The tests run in order on one machine in namespaces: Debian with systemd, no Python, and no network
but loopback. To continue a run with other tests (`-k`), FINETUNED_SERVER_KEEP names a folder for
the bundles and the machine's disk, which are then reused.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import service
from scripts.bundle import Bundle, write, write_sums
from service.core.encryption.signing import SigningKey
from tests.cached import ROOT
from tests.server import machine
from tests.server.machine import Machine

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_SERVER") != "1",
        reason="a quarter of an hour, and gigabytes: FINETUNED_SERVER=1 asks for it",
    ),
]
BUNDLES = "/media/bundles"
DATA = "/var/lib/finetuned"
MODEL = "shop"
NEXT, BROKEN = "0.99.1", "0.99.2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for bundles and disks."""
    if why := machine.why_not():
        pytest.skip(why)
    if kept := os.environ.get("FINETUNED_SERVER_KEEP"):
        yield Path(kept)
        return
    made = tmp_path_factory.mktemp("server")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def bundles(home: Path, demo_model_path: Path) -> Path:
    """This version's bundle, one of a next version, and one of a version that does not start."""
    place = home / "bundles"
    if (place / "broken" / "SHA256SUMS").exists():
        return place
    place.mkdir(parents=True)
    key = place / "release.pem"
    key.write_bytes(SigningKey.generate().pem)
    (place / "release.pub").write_text(SigningKey.from_pem(key.read_bytes()).public.pem, "ascii")
    links = tuple(os.environ.get("PIP_FIND_LINKS", "").split())
    model = shutil.copytree(demo_model_path, place / MODEL)
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n", "utf-8")
    interpreter = machine.copy_interpreter(place / "python")
    made = Bundle(place / "this", machine.SUITE, False, find_links=links, interpreter=interpreter)
    write(made, [model], key)
    rows = (ROOT / "examples" / "lighthouse-bookshop.jsonl").read_text("utf-8").splitlines()
    (place / "rows.jsonl").write_text("\n".join(rows[:20]) + "\n", "utf-8")
    make_variant(place, "next", NEXT, key)
    make_variant(place, "broken", BROKEN, key)
    return place


def make_variant(place: Path, name: str, version: str, key: Path) -> None:
    """Write a bundle that differs from this one in our wheel only."""
    shutil.copytree(place / "this", place / name, copy_function=os.link)
    old = service.__version__
    (wheel,) = (place / name / "wheels").glob("finetuned_server-*.whl")
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(wheel.with_name(wheel.name.replace(old, version)), "w") as target,
    ):
        for member in source.namelist():
            data = source.read(member)
            if ".dist-info/" in member or member == "service/__init__.py":
                data = data.replace(old.encode(), version.encode())
            if name == "broken" and member == "service/standalone/up.py":
                data = b"raise RuntimeError('this version does not start')\n"
            target.writestr(member.replace(f"-{old}.", f"-{version}."), data)
    wheel.unlink()
    for file in ("server/wheels.txt", "bundle.env"):
        path = place / name / file
        text = path.read_text("utf-8")
        path.unlink()  # it is a link
        old_pin = f"finetuned-server=={old}\n"
        text = text.replace(old_pin, old_pin.replace(old, version))
        path.write_text(text.replace(f"VERSION='{old}'", f"VERSION='{version}'"), "utf-8")
    for file in ("SHA256SUMS", "SHA256SUMS.sig"):
        (place / name / file).unlink()
    write_sums(place / name, key)


@pytest.fixture(scope="module")
def server(home: Path, bundles: Path) -> Iterator[Machine]:
    """A started machine without finetuned."""
    made = Machine(home / "disk", bundles)
    try:
        made.boot()
        yield made
    finally:
        made.cut_power()


def install(server: Machine, name: str, options: str = "") -> str:
    return server.run(f"{BUNDLES}/{name}/install.sh --key {BUNDLES}/release.pub {options}")


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long it took, for docs/install-server.md."""
    began = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - began:.0f} s")


def log_in(server: Machine) -> None:
    server.run(f"finetuned login --url http://127.0.0.1:8000 < {DATA}/api-key")


def chat(server: Machine, model: str = MODEL) -> str:
    said = server.run(f"finetuned chat {model} --max-tokens 8 --temperature 0 'Do you ship?'")
    assert said.strip()
    return said


def files(server: Machine) -> set[str]:
    return {one["filename"] for one in json.loads(server.run("finetuned files list --json"))}


def wait_until_ready(server: Machine) -> None:
    """Wait until the service answers after a restart that systemd began."""
    deadline = time.monotonic() + 400
    ask = f"finetuned chat {MODEL} --max-tokens 1 Hi || echo Error"
    while "Error" in (said := server.run(ask)):
        assert time.monotonic() < deadline, said + server.run("journalctl -u finetuned | tail -50")
        time.sleep(1)


def show(server: Machine, field: str) -> str:
    return server.run(f"systemctl show --property {field} --value finetuned").strip()


def tuned_model(server: Machine) -> str:
    listed = server.run("finetuned models list --json")
    return next(m["id"] for m in json.loads(listed) if m["id"].startswith("ft:"))


def test_from_the_bundle_to_the_first_chat(server):
    assert server.run("tail -n +2 /proc/net/route") == "", "no network"
    assert "python" not in server.run("ls /usr/bin /usr/local/bin")
    with timed("from the bundle to the first chat"):
        with timed("install"):
            install(server, "this")
        log_in(server)
        chat(server)
    assert service.__version__ in server.run("finetuned-server --version")


def test_installing_again_changes_nothing(server):
    state = "systemctl show -p MainPID finetuned; stat -c %Y /etc/finetuned/finetuned.env"
    before = server.run(state)
    assert "already installed" in install(server, "this")
    assert server.run(state) == before


def test_timers_back_up_and_check(server):
    listed = server.run("systemctl list-timers --all")
    assert "finetuned-backup.timer" in listed
    assert "finetuned-check.timer" in listed
    units = "finetuned-backup finetuned-check"
    server.run(f"systemctl start {units} || {{ journalctl -u 'finetuned-[bc]*' >&2; exit 1; }}")
    assert "backed up" in server.run("journalctl -u finetuned-backup")
    assert "intact" in server.run("journalctl -u finetuned-check")


def test_logs_have_fields(server):
    for name in ("api", "worker"):
        for line in server.run(f"cat {DATA}/logs/{name}.log").splitlines():
            assert json.loads(line)["level"]
    engine = server.run(f"cat {DATA}/logs/vllm-{MODEL}.log").splitlines()
    print(*(line for line in engine if not line.startswith("{")), sep="\n")
    store = server.run(f"cat {DATA}/logs/valkey.log").splitlines()
    assert all(" level=" in line for line in store)


def test_other_users_of_the_server_read_nothing(server):
    for path in (f"{DATA}/api-key", "/var/backups/finetuned", "/etc/finetuned/finetuned.env"):
        assert "Permission denied" in server.run(f"runuser -u nobody -- head {path}", check=False)
    assert "only root" in server.run("runuser -u nobody -- finetuned-server doctor", check=False)


def test_a_reboot_brings_everything_back_even_with_new_secrets(server):
    # As docs/rotate.md says.
    server.run(f"systemctl stop finetuned; cd {DATA}; rm .engine-key .valkey-*")
    with timed("reboot, until the first chat"):
        server.reboot()
        wait_until_ready(server)
        chat(server)


def test_a_stop_under_load_saves_the_training(server):
    server.run(
        f"finetuned train {BUNDLES}/rows.jsonl --holdout 0 --epochs 8 --batch-size 4 --suffix life"
    )
    deadline = time.monotonic() + 600
    (job,) = json.loads(server.run("finetuned jobs list --json"))
    events = f"finetuned jobs events --limit 1000 {job['id']}"
    while "Step " not in (found := server.run(events)):
        assert time.monotonic() < deadline, found
        time.sleep(1)
    chats = threading.Thread(
        target=server.run,
        args=(f"for i in 1 2 3; do finetuned chat {MODEL} --max-tokens 200 'A story'; done",),
        kwargs={"check": False},
    )
    chats.start()
    with timed("stop during a training and a chat"):
        server.run("systemctl stop finetuned")
    chats.join()
    assert show(server, "Result") == "success"
    assert "service.cli" not in server.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", check=False)
    server.run("systemctl start finetuned")
    wait_until_ready(server)
    server.run(f"finetuned jobs watch {job['id']}")
    assert "resuming at step" in server.run(events)
    chat(server, tuned_model(server))


def test_a_killed_service_is_started_again(server):
    pid = show(server, "MainPID")
    with timed("kill -9, until the next chat"):
        server.run(f"kill -9 {pid}")
        wait_until_ready(server)
    assert show(server, "MainPID") not in {pid, "0"}
    chat(server, tuned_model(server))


def test_an_upgrade_keeps_all_data(server):
    with timed("upgrade"):
        assert "backed up" in install(server, "next")
    assert NEXT in server.run("finetuned-server --version")
    chat(server, tuned_model(server))


def test_an_upgrade_that_does_not_start_is_undone(server):
    undone = pytest.raises(AssertionError, match="the upgrade was undone")
    with timed("upgrade to a version that does not start, and back"), undone:
        install(server, "broken")
    assert NEXT in server.run("finetuned-server --version")
    chat(server, tuned_model(server))


def test_rollback_runs_the_version_before(server):
    with timed("rollback"):
        server.run("/opt/finetuned/install.sh rollback")
    assert service.__version__ in server.run("finetuned-server --version")
    chat(server, tuned_model(server))


def test_a_restore_that_fails_changes_nothing(server):
    with pytest.raises(AssertionError, match="the data is as it was"):
        server.run("/opt/finetuned/install.sh restore /media")
    wait_until_ready(server)
    chat(server, tuned_model(server))


def test_a_backup_brings_back_what_was_lost(server):
    model = tuned_model(server)
    server.run(f"cp {BUNDLES}/rows.jsonl before.jsonl; finetuned files upload before.jsonl")
    with timed("backup"):
        server.run("systemctl start finetuned-backup")
    server.run("mv before.jsonl after.jsonl; finetuned files upload after.jsonl")
    server.cut_power()
    server.boot()
    server.run(f"systemctl stop finetuned; rm -rf {DATA}/valkey {DATA}/storage")
    with timed("restore, until the first chat"):
        server.run("/opt/finetuned/install.sh restore /var/backups/finetuned")
        chat(server, model)
    assert tuned_model(server) == model
    assert "before.jsonl" in files(server)
    assert "after.jsonl" not in files(server), "what came after the backup is lost"


def test_a_new_server_takes_over_from_a_lost_one(server, home, bundles):
    model = tuned_model(server)
    server.run("systemctl stop finetuned")
    saved = bundles / "saved"
    shutil.rmtree(saved, ignore_errors=True)
    lost = server.disk / "upper"
    shutil.copytree(lost / "var/backups/finetuned", saved / "backups")
    shutil.copy(lost / "var/lib/finetuned/signing-key.pem", saved)
    new = Machine(home / "new", bundles)
    try:
        new.boot()
        with timed("from a new server and a backup to the first chat"):
            install(new, "this")
            new.run(f"cp -r {BUNDLES}/saved/backups/. /var/backups/finetuned")
            new.run(f"cp {BUNDLES}/saved/signing-key.pem {DATA}")
            new.run(f"chown -R finetuned: /var/backups/finetuned {DATA}/signing-key.pem")
            new.run("/opt/finetuned/install.sh restore /var/backups/finetuned")
            log_in(new)
            chat(new, model)
        new.run(f"finetuned-server audit verify --data-dir {DATA}")
    finally:
        new.cut_power()
        shutil.rmtree(new.disk, ignore_errors=True)
        shutil.rmtree(saved)
    server.run("systemctl start finetuned")
    wait_until_ready(server)


def test_other_machines_reach_the_api_only(server):
    python = "/opt/finetuned/current/bin/python"
    server.run(f"systemd-run --unit other {python} -m http.server 9999; sleep 2")
    assert server.accepts_from_outside(9999)
    assert not server.accepts_from_outside(8000), "listens on loopback at first"
    server.run(
        "cd /root; openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=models.example "
        "-addext subjectAltName=DNS:models.example -out chain.pem -keyout key.pem; "
        "echo 127.0.0.1 models.example >> /etc/hosts"
    )
    options = "--host 0.0.0.0 --port 443 --tls-cert /root/chain.pem --tls-key /root/key.pem"
    assert "✗ port" not in install(server, "this", f"{options} --firewall")
    assert server.accepts_from_outside(443)
    assert not server.accepts_from_outside(9999)
    assert "tcp dport { 22, 443 } accept" in server.run("nft list table inet finetuned")
    server.run(
        f"export SSL_CERT_FILE=/root/chain.pem; finetuned chat {MODEL} --max-tokens 1 Hi",
        env={
            "FINETUNED_BASE_URL": "https://models.example",
            "FINETUNED_API_KEY": server.run(f"cat {DATA}/api-key").strip(),
        },
    )
    server.run("systemctl start finetuned-check")
    server.run("systemctl stop other; sed -i /TLS/d /etc/finetuned/finetuned.env")
    install(server, "this", "--host 127.0.0.1 --port 8000 --firewall")
    chat(server)


def test_uninstall_leaves_the_data_and_purge_does_not(server):
    model = tuned_model(server)
    server.run("systemctl start finetuned-backup")
    server.run("cp /opt/finetuned/install.sh /root/install.sh")
    server.run("/opt/finetuned/install.sh uninstall")
    assert server.run("systemctl list-unit-files 'finetuned*' --no-legend", check=False) == ""
    assert server.run("ls /opt /usr/local/bin").split() == ["/opt:", "/usr/local/bin:"]
    assert "finetuned" not in server.run("nft list tables")
    install(server, "this")
    chat(server, model)
    server.run("/root/install.sh uninstall --purge")
    assert server.run(f"ls -d {DATA} /etc/finetuned 2>/dev/null", check=False) == ""
    assert server.run("ls /var/backups/finetuned").strip()
    assert "no such user" in server.run("id finetuned", check=False)
