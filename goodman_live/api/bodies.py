"""Bodies as old scripts send them: JSON, or the fields of a form, whatever their header says."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

_Model = TypeVar("_Model", bound=BaseModel)


def body_as(model: type[_Model]) -> Callable[[Request], Coroutine[Any, Any, _Model]]:
    """A dependency that reads the body of a request as a model, with any method."""

    async def read(request: Request) -> _Model:
        fields = _fields_in(await request.body())
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
            raise RequestValidationError(faults) from None

    return read


def described(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """What the documentation says of such a body."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


def _fields_in(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=100))
    except ValueError:
        return {}
