"""All issue codes, each with its severity, message, and suggested fix."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.datasets.checks.check import Check
from service.datasets.checks.table_adapter import ADAPTER
from service.datasets.checks.table_evals import EVALS
from service.datasets.checks.table_format import FILE, FORMAT
from service.datasets.checks.table_row import ORDER, ROW, TOOLS
from service.datasets.checks.table_set import QUALITY, SET, TASK

CHECKS: Mapping[str, Check] = MappingProxyType(
    {**FILE, **FORMAT, **ROW, **ORDER, **TOOLS, **SET, **QUALITY, **EVALS, **ADAPTER, **TASK}
)
