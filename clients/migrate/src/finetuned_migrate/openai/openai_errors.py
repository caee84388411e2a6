"""Errors of OpenAI's SDK while an account is read, as errors of this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from finetuned.errors import (
    BadRequest,
    ConnectionFailed,
    FinetunedError,
    NotAuthenticated,
    PermissionDenied,
    RateLimited,
    ServerError,
)


@contextlib.contextmanager
def errors_of(what: str, *, refusals: bool = True) -> Iterator[None]:
    """Turn the SDK's errors into ours. With `refusals=False`, those of one object are left."""
    import openai

    try:
        yield
    except openai.AuthenticationError as e:
        raise NotAuthenticated(
            "OpenAI rejects the key.", next_step="Set OPENAI_API_KEY to a key of the account."
        ) from e
    except openai.PermissionDeniedError as e:
        if not refusals:
            raise
        raise PermissionDenied(
            f"The key may not read {what}: {e.message[:300]}",
            next_step="Use a key with all permissions, or one that may read files, models, "
            "fine-tuning and evals, and request model capabilities.",
        ) from e
    except openai.RateLimitError as e:
        raise RateLimited(
            f"OpenAI's limit was reached again and again, or there is no credit: {e.message[:300]}",
            next_step="Run the command again later, with a lower --requests-per-minute.",
        ) from e
    except (openai.BadRequestError, openai.NotFoundError) as e:
        if not refusals:
            raise
        raise BadRequest(f"OpenAI refuses to list {what}: {e.message[:300]}") from e
    except openai.APIConnectionError as e:
        raise ConnectionFailed(
            f"OpenAI cannot be reached for {what}.",
            next_step="Run the command again: it continues where it stopped.",
        ) from e
    except openai.APIStatusError as e:
        raise ServerError(
            f"OpenAI failed on {what}: {e.message[:300]}",
            next_step="Run the command again: it continues where it stopped.",
        ) from e
    except openai.OpenAIError as e:
        raise FinetunedError(f"OpenAI's answer for {what} cannot be used: {str(e)[:300]}") from e
