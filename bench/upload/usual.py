"""Baseline that a FastAPI user would write: `UploadFile` to a file on disk, with SHA-256."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from pathlib import Path

import uvicorn
from fastapi import FastAPI, UploadFile

app = FastAPI()
FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
CHUNK_BYTES = 1024 * 1024
SYNC = "BENCH_SYNC" in os.environ  # write the file to the disk before answering


@app.post("/async")
async def upload_async(file: UploadFile) -> dict[str, object]:
    digest, size, path = hashlib.sha256(), 0, FOLDER / uuid.uuid4().hex
    with path.open("wb") as out:
        while chunk := await file.read(CHUNK_BYTES):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        if SYNC:
            os.fsync(out.fileno())
    path.unlink()
    return {"bytes": size, "sha256": digest.hexdigest()}


@app.post("/sync")
def upload_sync(file: UploadFile) -> dict[str, object]:
    digest, size, path = hashlib.sha256(), 0, FOLDER / uuid.uuid4().hex
    with path.open("wb") as out:
        while chunk := file.file.read(CHUNK_BYTES):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    path.unlink()
    return {"bytes": size, "sha256": digest.hexdigest()}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning")
