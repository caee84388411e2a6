"""Request data: questions for a bookshop, and invalid training files."""

from __future__ import annotations

from tests.openapi.description import ROOT

_LINES = (ROOT / "examples" / "lighthouse-bookshop.jsonl").read_bytes().splitlines()
CHATS = b"\n".join(_LINES[:10]) + b"\n"
TABLE = "Frage,Antwort\n" + "".join(
    f"Haben Sie Band {n} noch?,Ahoi! Band {n} steht im Regal am Fenster.\n" for n in range(1, 11)
)
BROKEN = b'{"messages": [{"role": "user", "content": "Are you open?"}]}\n'
NOTE = b"Opening hours: Tuesday to Saturday, ten to five.\n"

NO_FILE = "file-" + "0" * 24
NO_UPLOAD = "upload_" + "0" * 24
NO_JOB = "ftjob-" + "0" * 24
NO_ADVICE = "ftadvice-" + "0" * 24
NO_CHECK = "aliascheck-" + "0" * 24
NO_EXPORT = "export-" + "0" * 24
NO_BATCH = "batch_" + "0" * 24
NO_GENERATION = "dsgen_" + "0" * 24
NO_CHAT = "chatcmpl-" + "z" * 24
NO_PROJECT = "proj_" + "0" * 24
NO_WEBHOOK = "webhook_" + "0" * 24
NO_KEY = "key_" + "0" * 24
NO_MODEL = "ft:demo:nobody::000000"
NO_PERMISSION = "cp_" + "0" * 24
NO_ACCOUNT = "svc_acct_" + "z" * 24
NO_EVAL = "eval_" + "0" * 24
NO_RUN = "evalrun_" + "0" * 24
