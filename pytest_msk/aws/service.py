"""An AWS API of the rest-json kind, answered from botocore's own model of it.

`RestJsonApi` finds the operation that a request means, gives its handler the parsed and checked
members, and turns what the handler returns or raises into the HTTP answer that AWS would send.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, unquote

from botocore.loaders import create_loader
from botocore.model import OperationModel, ServiceModel

from pytest_msk.aws.errors import AwsError, bad_request, not_found
from pytest_msk.aws.shapes import Parts, read_input, write_output

_log = logging.getLogger(__name__)

Answer = tuple[int, dict[str, str], str]
"""HTTP status, headers, body."""

R = TypeVar("R")


@dataclass(frozen=True)
class Request:
    """An HTTP request as it arrived.

    Attributes:
        method: the HTTP method.
        path: the path, percent-encoded as it came.
        query: the query string, without its question mark.
        body: the body.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Call(Generic[R]):
    """One call of an operation.

    Attributes:
        operation: the operation's name, ``CreateCluster``.
        params: its members by the names that boto3's users write (``ClusterName``), checked against
            the model; members that were not given are absent.
        region: what the calling account has in the region that was called.
    """

    operation: str
    params: Mapping[str, Any]
    region: R


Handler = Callable[[Call[R]], Mapping[str, Any] | None]


class Route:
    """The path of one operation."""

    def __init__(self, model: OperationModel) -> None:
        self.model = model
        self.method: str = model.http["method"]
        self._segments: list[str] = model.http["requestUri"].split("?")[0].split("/")
        self.literals = sum(not segment.startswith("{") for segment in self._segments)
        self._decoded = re.compile("/".join(map(_decoded_pattern, self._segments)))

    def match(self, raw_path: str) -> dict[str, str] | None:
        """The path's parameters when each is one percent-encoded segment, as AWS's SDKs send them."""
        segments = raw_path.split("/")
        if len(segments) != len(self._segments):
            return None
        parameters = {}
        for pattern, segment in zip(self._segments, segments, strict=True):
            if pattern.startswith("{") and segment:
                parameters[pattern.strip("{}")] = unquote(segment)
            elif pattern != unquote(segment):
                return None
        return parameters

    def match_decoded(self, path: str) -> dict[str, str] | None:
        """The path's parameters when the path was decoded on its way, so that ARNs have slashes."""
        match = self._decoded.fullmatch(path)
        return match.groupdict() if match else None


def _decoded_pattern(segment: str) -> str:
    if not segment.startswith("{"):
        return re.escape(segment)
    name = segment.strip("{}")
    return f"(?P<{name}>{'.+' if name.lower().endswith('arn') else '[^/]+'})"


@cache
def service_model(service_name: str) -> ServiceModel:
    """Botocore's model of a service."""
    return ServiceModel(create_loader().load_service_model(service_name, "service-2"), service_name)


@cache
def _routes(service_name: str) -> list[Route]:
    model = service_model(service_name)
    routes = [Route(model.operation_model(name)) for name in model.operation_names]
    # More fixed segments first: a topic may be called "partitions", and an ARN that was decoded
    # would otherwise swallow "/policy".
    return sorted(routes, key=lambda route: route.literals, reverse=True)


class RestJsonApi(Generic[R]):
    """One AWS API.

    Args:
        service_name: botocore's name of the service.
        unlimited: wire names of members whose maximum in the model the real service does not keep to.
    """

    def __init__(self, service_name: str, *, unlimited: frozenset[str] = frozenset()) -> None:
        self.service_name = service_name
        self._unlimited = unlimited
        self._handlers: dict[str, Handler[R]] = {}

    def operation(self, name: str) -> Callable[[Handler[R]], Handler[R]]:
        """Decorate the function that answers an operation.

        The function gets a `Call` and returns the members of the operation's output (None for none),
        or raises `AwsError`.
        """
        if name not in service_model(self.service_name).operation_names:
            raise ValueError(f"{self.service_name} has no operation {name}")

        def register(handler: Handler[R]) -> Handler[R]:
            self._handlers[name] = handler
            return handler

        return register

    def answer(self, request: Request, region: R) -> Answer:
        """The HTTP answer to a request. Never raises."""
        try:
            return self._answer(request, region)
        except Exception as error:
            _log.exception("%s %s of %s failed", request.method, request.path, self.service_name)
            return self._crash(error)

    def _answer(self, request: Request, region: R) -> Answer:
        try:
            route, path = self._route(request)
            return self._success(route.model, self._call(route.model, request, path, region))
        except AwsError as error:
            return self._failure(error, self._status(error.code))

    def _route(self, request: Request) -> tuple[Route, dict[str, str]]:
        candidates = [route for route in _routes(self.service_name) if route.method == request.method]
        for route in candidates:
            path = route.match(request.path)
            if path is not None:
                return route, path
        for route in candidates:
            path = route.match_decoded(unquote(request.path))
            if path is not None:
                return route, path
        raise not_found(f"No operation of {self.service_name} is at {request.method} {request.path}")

    def _call(
        self, model: OperationModel, request: Request, path: Mapping[str, str], region: R
    ) -> Mapping[str, Any]:
        parts = Parts(
            path=path,
            query=parse_qs(request.query, keep_blank_values=True),
            body=_json_object(request.body),
        )
        params = read_input(model.input_shape, parts, self._unlimited) if model.input_shape else {}
        handler = self._handlers.get(model.name)
        if handler is None:
            # BadRequest is the one refusal that the model lists for every operation, and botocore
            # does not retry it.
            raise bad_request(f"{model.name} is not implemented yet by pytest-msk")
        return handler(Call(model.name, params, region)) or {}

    def _success(self, model: OperationModel, result: Mapping[str, Any]) -> Answer:
        status = model.http.get("responseCode", 200)
        if model.output_shape is None:
            return status, _headers(), ""
        return status, _headers(), json.dumps(write_output(model.output_shape, result))

    def _failure(self, error: AwsError, status: int) -> Answer:
        body = {"message": error.message}
        if error.invalid_parameter:
            body["invalidParameter"] = error.invalid_parameter
        return status, _headers() | {"X-Amzn-ErrorType": error.code}, json.dumps(body)

    def _status(self, code: str) -> int:
        model: Any = service_model(self.service_name)
        shape = model.shape_for_error_code(code)
        if shape is None:
            raise KeyError(f"{self.service_name} has no {code}")
        return int(shape.metadata["error"]["httpStatusCode"])

    def _crash(self, error: Exception) -> Answer:
        # botocore and the other SDKs repeat a request that got 500, 502, 503 or 504, with waits of
        # seconds between; a bug here would look like a hang, and the handler would run five times.
        # None of them repeats 501, and the code still raises InternalServerErrorException.
        message = f"pytest-msk failed: {type(error).__name__}: {error}"
        return self._failure(AwsError("InternalServerErrorException", message), status=501)


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())}


def _json_object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except ValueError as error:
        raise bad_request(f"The request body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise bad_request("The request body is not a JSON object.")
    return value
