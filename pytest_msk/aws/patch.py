"""Switches moto's ``kafka`` over to ours, and back.

moto finds what answers a request through ``moto.kafka.kafka_backends``: its botocore stub, its
handler of ``requests``, its server and its tagging API all ask there. While a `Patch` is active that
name holds backends of ours, which take every path of the host. moto's server moreover keeps what it
once built for a service, so its choice of application is patched too; moto's own is neither used nor
changed.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace, TracebackType
from typing import Any
from unittest import mock

import botocore.session
import moto.kafka
from botocore.exceptions import BotoCoreError
from botocore.hooks import EventAliaser
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.base_backend import BackendDict, BaseBackend, backend_lock
from moto.core.models import botocore_stubber
from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.core.responses import BaseResponse
from moto.kafka.urls import url_bases

from pytest_msk.aws.kafka import tags
from pytest_msk.aws.kafka.api import api
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import MskService, Region
from pytest_msk.aws.service import Answer, Request

_DEFAULT_REGION = "us-east-1"
_PROFILE_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "HOME", "USERPROFILE")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

_lock = threading.RLock()
_active: list[Patch] = []
_installed = ExitStack()


class Patch:
    """moto on, with our service in it, from `start` to `stop` or for a ``with`` block.

    It may be used inside a user's ``mock_aws`` or around it. Of several patches the one that started
    last is in sight, and it does not matter which stops first. As ``mock_aws`` does, the outermost
    start and stop reset moto's backends; the service's clusters are none of those and outlive it.

    Args:
        service: what answers the ``kafka`` API meanwhile.
    """

    def __init__(self, service: MskService) -> None:
        self.service = service

    def start(self) -> None:
        """Patch; where that fails midway, nothing stays patched."""
        with _lock:
            if self in _active:
                raise RuntimeError("This patch is active already.")
            if not _active:
                _install()
            _active.append(self)

    def stop(self) -> None:
        """Put everything back. Does nothing when not active."""
        with _lock:
            if self in _active:
                _active.remove(self)
                if not _active:
                    _installed.close()

    def __enter__(self) -> Patch:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _install() -> None:
    with ExitStack() as stack:
        stack.enter_context(_moto_on())
        # Endpoints set in the environment or a profile would lead past moto.
        stack.enter_context(_environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"))
        if not _user_has_region():
            stack.enter_context(_environment("AWS_DEFAULT_REGION", _DEFAULT_REGION))
        stack.enter_context(_backends_swapped())
        stack.enter_context(_server_patched())
        _listen_everywhere()
        _installed.push(stack.pop_all())


@contextmanager
def _moto_on() -> Iterator[None]:
    moto_mock = mock_aws()
    moto_mock.start()
    try:
        yield
    finally:
        # moto deletes these without looking. When a test has removed them itself that is a KeyError,
        # after which moto would stay on.
        for name in _CREDENTIALS:
            os.environ.setdefault(name, "")
        moto_mock.stop()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def region_name() -> str | None:
    """The region of the environment, or else of the user's profile.

    Raises:
        BotoCoreError: that profile does not exist.
    """
    return os.environ.get("AWS_DEFAULT_REGION") or _region_of_profile(
        *(os.environ.get(name) for name in _PROFILE_VARIABLES)
    )


@cache
def _region_of_profile(*_profile: str | None) -> str | None:
    """Reading it takes longer than all the rest of a patch."""
    region: str | None = botocore.session.Session().get_config_variable("region")
    return region


def _user_has_region() -> bool:
    try:
        return bool(region_name())
    except BotoCoreError:
        # A profile that does not exist: boto3 will say so to the user, in its own words.
        return True


@contextmanager
def _backends_swapped() -> Iterator[None]:
    backends = _Backends(_Backend, "kafka")
    with mock.patch.object(moto.kafka, "kafka_backends", backends):
        _make_known(DEFAULT_ACCOUNT_ID)
        try:
            yield
        finally:
            with backend_lock:
                if backends in BackendDict._instances:
                    BackendDict._instances.remove(backends)


def _make_known(account_id: str) -> None:
    """Have moto's tagging API find an account's backends: these are known from when they are asked for it."""
    _ = moto.kafka.kafka_backends[account_id]


@contextmanager
def _server_patched() -> Iterator[None]:
    if find_spec("flask") is None or find_spec("flask_cors") is None:
        yield  # without these there is no moto server
        return
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    original = DomainDispatcherApplication.get_application

    def get_application(dispatcher: Any, environ: dict[str, Any]) -> Any:
        path = environ.get("PATH_INFO", "")
        for_moto_itself = path.startswith(("/moto-api", "/latest/"))
        host = None if for_moto_itself else dispatcher.infer_service_region_host(environ, path)
        if host and host.startswith("kafka."):
            return _application()
        return original(dispatcher, environ)

    with mock.patch.object(DomainDispatcherApplication, "get_application", get_application):
        yield


@cache
def _application() -> Any:
    """What answers ``kafka`` in moto's server: built by moto, from the backends that are in place now."""
    from moto.moto_server.werkzeug_app import create_backend_app

    application = create_backend_app("kafka")
    application.url_map.merge_slashes = False
    return application


@cache
def _listen_everywhere() -> None:
    """Make clients and sessions from before moto was imported call moto's stub; later ones do anyway."""
    # Not isinstance: it asks lazy proxies for their class, which makes them load.
    emitters = [found for found in gc.get_objects() if issubclass(type(found), EventAliaser)]
    for emitter in emitters:
        if botocore_stubber not in emitter._emitter._handlers.prefix_search("before-send"):
            emitter.register("before-send", botocore_stubber)


class _Backends(BackendDict):  # type: ignore[misc]
    """Knows every account that has called, also when moto has been reset since."""

    def __contains__(self, account_id: object) -> bool:
        return super().__contains__(account_id) or account_id in _active[-1].service.accounts()


class _Backend(BaseBackend, TaggableResourcesMixin):  # type: ignore[misc]
    """Our service as moto sees it. It holds nothing, so moto's resets take nothing away."""

    SERVICE_NAMESPACE = "kafka"

    @property
    def _url_module(self) -> Any:
        return SimpleNamespace(url_bases=url_bases, url_paths={"{0}/$": answer, "{0}/.*$": answer})

    @property
    def _region(self) -> Region:
        return _active[-1].service.region(self.account_id, self.region_name)

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        for cluster in self._region.clusters():
            yield TaggedResource(str(cluster.arn), cluster.tags, "kafka:cluster")
        for resource in self._region.resources(Resource):
            if resource.tagged_as is not None:
                yield TaggedResource(str(resource.arn), resource.tags, resource.tagged_as)

    def tag_resource(self, arn: str, tags_to_set: Mapping[str, str]) -> None:
        tags.tag(self._region, arn, tags_to_set)

    def untag_resource(self, arn: str, tag_keys: list[str]) -> None:
        tags.untag(self._region, arn, tag_keys)


class _Response(BaseResponse):  # type: ignore[misc]
    """moto's reading of a request: the account and the region that it is for."""

    use_raw_body = True

    def __init__(self) -> None:
        super().__init__(service_name="kafka")


def answer(request: Any, full_url: str, headers: Any) -> Answer:
    """Answer a request that moto has found to be for ``kafka``.

    The signature and the result are those of every handler in moto's tables of URLs.
    """
    response = _Response()
    response.setup_class(request, full_url, headers)
    # Again: moto may have been reset. (Its stub does that too, its server does not.)
    _make_known(response.current_account)
    region = _active[-1].service.region(response.current_account, response.region)
    received = Request(
        method=request.method,
        path=request.raw_path,
        query=response.parsed_url.query,
        body=response.raw_body,
    )
    return api.answer(received, region)
