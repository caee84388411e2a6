"""Lists the pages, and which of them need the stack to run."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import Block, blocks

ROOT = Path(__file__).parent.parent.parent

# Run against the stack, which tests/e2e starts; the others need nothing but the repository.
ON_THE_STACK = (
    "README.md",
    "docs/quick-start.md",
    "docs/tutorial.md",
    "docs/data-sets.md",
    "docs/data-in-your-language.md",
    "docs/when-not-to-fine-tune.md",
    "docs/training.md",
    "docs/serving.md",
    "docs/graders.md",
    "docs/evals.md",
    "docs/integrations.md",
    "docs/api/guide.md",
    "docs/operations.md",
    "docs/rotate.md",
    "docs/access.md",
    "docs/backup.md",
    "docs/privacy.md",
    "clients/python/README.md",
)


def all_pages() -> list[str]:
    """Return every hand-written page of the site, and the README."""
    found = [
        "README.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        "clients/cli/README.md",
        "clients/python/README.md",
        "clients/typescript/README.md",
        "helm/finetuned/README.md",
        *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
    ]
    assert set(ON_THE_STACK) <= set(found)
    return found


def blocks_of(page: str) -> list[Block]:
    """Return the code blocks of a page."""
    return blocks(ROOT / page, ROOT)
