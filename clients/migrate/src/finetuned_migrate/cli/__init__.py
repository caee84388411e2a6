"""The `finetuned leave-openai` commands.

Each imports what it does when it runs, so that all other commands start without it.
"""

from __future__ import annotations

from finetuned_cli.options import App

from finetuned_migrate.cli import plan, record, report, retrain

app = App(
    help="Move fine-tuned models from OpenAI, before they are shut down.", no_args_is_help=True
)
app.command()(record.record)
app.command()(plan.plan)
app.command()(retrain.retrain)
app.command()(report.report)
