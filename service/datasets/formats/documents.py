"""Extracts the text of documents: PDF, Word, PowerPoint and EPUB. Names other kinds of files."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

from service.datasets.checks.issues import DatasetError, refuse
from service.datasets.formats.encodings import codec_by_mark

DocumentKind = Literal["pdf", "docx", "pptx", "epub"]
WorkbookKind = Literal["xlsx", "ods"]

# Exceptions that `zipfile` raises for invalid archives.
ZIP_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    IndexError,  # an empty name
    ValueError,
    RuntimeError,  # a password; its subclass NotImplementedError: an unknown compression
)
SIGNATURES: Final = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file of before 2007"),
    (b"{\\rtf", "a rich text (RTF) document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"!BDN", "a data file of Outlook (PST)"),
    (b"ID3", "a sound recording (MP3)"),
    (b"OggS", "a sound recording (Ogg)"),
    (b"fLaC", "a sound recording (FLAC)"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a model (GGUF)"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\0\x01\0\0Standard", "an Access database"),
)
"""The first bytes of files that are no text, and what they are."""

_PATTERNS: Final = (
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "an audio file (WAV)"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "a picture (WebP)"),
    (re.compile(rb"RIFF"), "a video (AVI)"),
    (re.compile(rb"....ftyp(?:M4A|heic|mif1|avif)", re.DOTALL), "a sound recording or a picture"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video (MP4)"),
    (re.compile(rb'.{5}\0{3}\{"', re.DOTALL), "the weights of a model (safetensors)"),
    (re.compile(rb"\x80[\x02-\x05][\x95\]}cX\x8c]"), "objects of Python (pickle)"),
    (re.compile(rb"\xff[\xfb\xf3\xf2]"), "a sound recording (MP3)"),
)
"""What begins otherwise, by patterns."""

_PAGES: Final = (
    (re.compile(rb"<title>Exported Data</title>"), "a page of Telegram's export"),
    (re.compile(rb"<title>ChatGPT Data Export</title>"), "a page of ChatGPT's export"),
    (re.compile(rb"<title>My Activity History</title>"), "a page of Google's My Activity"),
    (re.compile(rb'class="?chatlog__message'), "a page of DiscordChatExporter"),
    (
        re.compile(rb"type=[\"']?password|<title>[^<]{0,40}(?:[Ss]ign in|[Ll]og ?in|[45]\d\d\b)"),
        "a web page of a login or an error",
    ),
)
"""Pages of exports that can also be had as JSON."""

UNKNOWN_BINARY: Final = "a binary file"
# Control characters that do not occur in text, unlike tab, newline, form feed, carriage return, and
# the escape of ISO-2022. VISCII and TCVN use a few others as rare letters.
_CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13, 27}
_MAX_CONTROL_SHARE: Final = 0.02

_PARTS: Final[dict[str, DocumentKind | WorkbookKind]] = {
    "xl/workbook.xml": "xlsx",
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
    "META-INF/container.xml": "epub",
}
_MAX_UNPACKED_BYTES: Final = 512 * 1024**2
_MIN_PAGE_LETTERS: Final = 20  # a scanned page may have a stamp or a page number
_LETTER: Final = re.compile(r"[^\W\d_]")
_ROOT_FILE: Final = re.compile(rb'<rootfile\s[^>]*full-path="([^"]+)"')
_ITEM: Final = re.compile(rb"<(?:\w+:)?item\s[^>]*>")
_SPINE: Final = re.compile(rb'<(?:\w+:)?itemref\s[^>]*idref="([^"]+)"')
_ATTRIBUTE: Final = re.compile(rb'([\w-]+)="([^"]*)"')


class DocumentText(NamedTuple):
    """The text of a document, and where its pages or slides start, if it has them.

    `is_html` is whether the text is HTML.
    """

    text: str
    pages: tuple[int, ...] = ()
    is_html: bool = False

    def empty_pages(self) -> list[int]:
        """Return the numbers of the pages without text, from 1, such as scans."""
        ends = (*self.pages[1:], len(self.text))
        texts = (self.text[start:end] for start, end in zip(self.pages, ends, strict=False))
        found = enumerate(texts, 1)
        return [at for at, text in found if len(_LETTER.findall(text)) < _MIN_PAGE_LETTERS]


def binary_kind(head: bytes) -> str | None:
    """Return the kind of a binary file by its first bytes, or None if the file may be text.

    The kind is a noun such as "a PDF", or `UNKNOWN_BINARY`.
    """
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            return kind
    if codec_by_mark(head):
        return None
    controls = sum(head.count(code) for code in _CONTROLS)
    is_binary = b"\0" in head or controls > _MAX_CONTROL_SHARE * len(head)
    return UNKNOWN_BINARY if is_binary else None


_OLE_KINDS: Final = {
    "WordDocument": "a Word document of before 2007 (DOC)",
    "PowerPoint Document": "a presentation of before 2007 (PPT)",
    "__substg1.0": "an e-mail of Outlook (MSG)",
    "EncryptedPackage": "an Office file with a password",
}
_OLE_BYTES: Final = 4 * 1024**2


_ZIP_KINDS: Final = {
    "content.xml": "an OpenDocument text or presentation (ODT, ODP)",
    "Index/Document.iwa": "a document of Apple's Pages, Numbers or Keynote",
    "AndroidManifest.xml": "an app for Android (APK)",
    "META-INF/MANIFEST.MF": "a program in Java (JAR)",
}


def zip_kind(path: Path) -> str | None:
    """Return what a ZIP archive is if it is a document that is not read, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
    except ZIP_DAMAGE:
        return None
    return next((kind for name, kind in _ZIP_KINDS.items() if name in names), None)


def is_arrow(head: bytes) -> bool:
    """Return whether a file is an Arrow file, or an Arrow stream, which begins with its schema."""
    is_stream = head.startswith(b"\xff\xff\xff\xff") and head[8:12] == b"\x10\0\0\0"
    return head.startswith(b"ARROW1") or is_stream


def ole_kind(path: Path) -> str | None:
    """Return the kind of an Office file of before 2007 by the names of its streams, or None."""
    with path.open("rb") as file:
        data = file.read(_OLE_BYTES)
    return next(
        (kind for name, kind in _OLE_KINDS.items() if name.encode("utf-16-le") in data), None
    )


def page_kind(page: bytes) -> str | None:
    """Return what an HTML page is if it is a part of an export, or None."""
    return next((kind for pattern, kind in _PAGES if pattern.search(page)), None)


def document_kind(path: Path) -> DocumentKind | None:
    """Return the kind of a document whose text can be extracted, or None."""
    match office_kind(path):
        case "xlsx" | "ods" | None:
            return None
        case kind:
            return kind


def office_kind(path: Path) -> DocumentKind | WorkbookKind | None:
    """Return the kind of a document whose text can be extracted, or of a workbook, or None."""
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"%PDF":
        return "pdf"
    if head != b"PK\x03\x04":
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
            kind = archive.read("mimetype")[:80] if "mimetype" in names else b""
    except ZIP_DAMAGE:
        return None
    if kind.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        return "ods"
    return next((kind for part, kind in _PARTS.items() if part in names), None)


def extract_text(path: Path, kind: DocumentKind) -> DocumentText:
    """Return the text of a document.

    Raises DatasetError if it is damaged, encrypted, too large, or consists of scanned pages.
    """
    with _refuse_damage():
        if kind != "pdf":
            with zipfile.ZipFile(path) as archive:
                if sum(info.file_size for info in archive.infolist()) > _MAX_UNPACKED_BYTES:
                    raise refuse("unpacks_too_large", limit=_MAX_UNPACKED_BYTES)
        match kind:
            case "pdf":
                return _pdf(path)
            case "docx":
                return _docx(path)
            case "pptx":
                return _pptx(path)
            case "epub":
                return _epub(path)


@contextmanager
def _refuse_damage() -> Iterator[None]:
    from xml.parsers.expat import ExpatError

    from lxml.etree import LxmlError
    from pptx.exc import PythonPptxError
    from pypdfium2 import PdfiumError

    try:
        yield
    except DatasetError:
        raise
    except (PdfiumError, LxmlError, ExpatError, PythonPptxError, *ZIP_DAMAGE, KeyError) as error:
        raise refuse("damaged_document") from error


def _pdf(path: Path) -> DocumentText:
    from pypdfium2 import PdfDocument

    pdf = PdfDocument(path)
    try:
        pages = [_pdf_page(page) for page in pdf]
    finally:
        pdf.close()
    document = _join_pages(pages)
    if len(document.empty_pages()) == len(pages):
        raise refuse("scanned_document", count=len(pages))
    return document


def _pdf_page(page: Any) -> str:
    text = page.get_textpage().get_text_bounded()
    # U+FFFE is a hyphen at the end of a line, within a word.
    return str(text).replace("\ufffe\r\n", "").replace("\ufffe", "").replace("\r\n", "\n").strip()


def _join_pages(pages: list[str]) -> DocumentText:
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + 2
    return DocumentText("\n\n".join(pages), tuple(starts))


def _docx(path: Path) -> DocumentText:
    import mammoth

    def no_image(_image: Any) -> list[Any]:
        return []

    with path.open("rb") as file:
        page = mammoth.convert_to_html(file, convert_image=no_image).value
    return DocumentText(f"<html>{page}</html>", is_html=True)


def _pptx(path: Path) -> DocumentText:
    from pptx import Presentation

    return _join_pages([_slide(slide) for slide in Presentation(str(path)).slides])


def _slide(slide: Any) -> str:
    title = slide.shapes.title
    parts = [f"# {title.text_frame.text.strip()}"] if title is not None else []
    for shape in slide.shapes:
        if shape.has_text_frame and (title is None or shape.shape_id != title.shape_id):
            parts.append(shape.text_frame.text.strip())
        elif shape.has_table:
            rows = [[cell.text.strip() for cell in row.cells] for row in shape.table.rows]
            parts.append("\n".join(" | ".join(row) for row in rows))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        parts.append(slide.notes_slide.notes_text_frame.text.strip())
    return "\n\n".join(part for part in parts if part)


def _epub(path: Path) -> DocumentText:
    """Return the chapters of an e-book in their order, as one HTML page."""
    with zipfile.ZipFile(path) as archive:
        found = _ROOT_FILE.search(archive.read("META-INF/container.xml"))
        if found is None:
            raise refuse("damaged_document")
        root = found.group(1).decode()
        package = archive.read(root)
        items = [dict(_ATTRIBUTE.findall(item)) for item in _ITEM.findall(package)]
        places = {item.get(b"id"): unquote(item.get(b"href", b"").decode()) for item in items}
        folder = root.rpartition("/")[0]
        chapters = [
            archive.read(f"{folder}/{places[name]}" if folder else places[name])
            for name in _SPINE.findall(package)
            if name in places
        ]
    bodies = "\n".join(chapter.decode("utf-8", "replace") for chapter in chapters)
    return DocumentText(f"<html>{bodies}</html>", is_html=True)
