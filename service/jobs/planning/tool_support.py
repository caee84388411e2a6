"""Tool support check: rows with tool calls need a chat template that renders them."""

from __future__ import annotations

from service.datasets.contract import Measures

CODE = "tools_not_supported"


def tools_refusal(measured: Measures | None, model: str) -> str | None:
    """Return why the base model cannot be trained on the measured rows, with advice.

    Returns None if it can be trained on them, or if that is unknown.
    """
    if measured is None or not measured.tool_rows or measured.takes_tools is not False:
        return None
    return (
        f"{measured.tool_rows} of {measured.rows} rows of the training file contain tool calls or "
        f"results, which the chat template of the base model {model} does not render: the model "
        f"would learn to give empty answers. Choose a base model whose chat template "
        "supports tools, or remove these rows. The operator can also add such a template to the "
        "base model's folder."
    )
