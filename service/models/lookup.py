"""Finds the models that requests name."""

from __future__ import annotations

from service.core.errors import NotFound
from service.models.registry import ModelRegistry, ResolvedModel


async def named_model(
    registry: ModelRegistry, project_id: str, name: str, param: str = "model"
) -> ResolvedModel:
    """Return the model that a parameter names. Raises NotFound."""
    found = await registry.resolve(project_id, name)
    if found is None:
        raise model_not_found(name, param)
    return found


def model_not_found(name: str, param: str = "model", advice: str = "") -> NotFound:
    """Build the error for a model that does not exist in the caller's project."""
    return NotFound(
        f"The model '{name[:200]}' does not exist or you do not have access to it.{advice}",
        param=param,
        code="model_not_found",
    )
