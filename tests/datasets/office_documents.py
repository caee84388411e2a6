"""Small documents with a heading and a text, as the programs of their formats write them."""

from __future__ import annotations

import io
import zipfile

from pptx import Presentation

_OFFICE = "http://schemas.openxmlformats.org"
_WORD = f"{_OFFICE}/wordprocessingml/2006/main"


def _zipped(parts: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def docx(heading: str, text: str) -> bytes:
    """Return a Word document."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    types = f'<Override PartName="/word/document.xml" ContentType="{kind}"/>'
    link = f"{_OFFICE}/officeDocument/2006/relationships/officeDocument"
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    return _zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types">{types}'
            "</Types>",
            "_rels/.rels": f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">'
            f'<Relationship Id="a" Type="{link}" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body>'
            f"<w:p>{style}<w:r><w:t>{heading}</w:t></w:r></w:p>"
            f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
        }
    )


def pptx(heading: str, text: str) -> bytes:
    """Return a presentation with one slide."""
    show, out = Presentation(), io.BytesIO()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = heading
    slide.placeholders[1].text = text
    show.save(out)
    return out.getvalue()


def epub(heading: str, text: str) -> bytes:
    """Return an e-book with one chapter."""
    return _zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="a/b.opf"/>'
            "</rootfiles></container>",
            "a/b.opf": '<package><manifest><item id="c" href="c.xhtml"/></manifest>'
            '<spine><itemref idref="c"/></spine></package>',
            "a/c.xhtml": f"<html><body><h1>{heading}</h1><p>{text}</p></body></html>",
        }
    )


def pdf(*pages: str) -> bytes:
    """Return a PDF with a text in Latin letters on each page. An empty page is like a scan."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, text in enumerate(pages):
        drawn = "".join(f"({text[i : i + 90]}) Tj T* " for i in range(0, len(text), 90))
        content = f"BT /F1 9 Tf 11 TL 40 760 Td {drawn}ET" if text else ""
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * at} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    data, places = b"%PDF-1.4\n", []
    for number, written in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{written}\nendobj\n".encode()
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    head = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    return data + head.encode() + table + end.encode()
