"""What a pytest session, or one `mock_msk`, holds: the MSK service, its planes, its living clusters."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import boto3

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.aws.patch import Patch, region_name
from pytest_msk.brokers.metadata import MetadataPlane
from pytest_msk.brokers.plane import Plane
from pytest_msk.pool import Pool
from pytest_msk.settings import Backend, Settings


class Runtime:
    """One MSK, with everything that it runs. Made cheaply, closed once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pid = os.getpid()
        self._planes: dict[Backend, Plane] = {}
        self.service = MskService(self.plane(settings.backend), strict=settings.strict)
        self.patch = Patch(self.service)
        self._own_clients: dict[str | None, Any] = {}
        self.pool = Pool(self.service, self.plane, self.client, self._own_client)

    @cached_property
    def _boto3_session(self) -> boto3.Session:
        # A session takes 0.2 s to read its models, and moto drops boto3's default one with every test.
        return boto3.Session(aws_access_key_id="pytest-msk", aws_secret_access_key="pytest-msk")  # noqa: S106

    def client(self) -> Any:
        """A new boto3 ``kafka`` client in the user's region, for use while the patch is on."""
        return self._boto3_session.client("kafka", region_name=region_name())

    def _own_client(self) -> Any:
        """A client that no test gets to see: to make one takes longer than to make a cluster with it."""
        region = region_name()
        if region not in self._own_clients:
            self._own_clients[region] = self.client()
        return self._own_clients[region]

    def plane(self, backend: Backend) -> Plane:
        """The plane for a backend, made when first asked for."""
        if backend not in self._planes:
            self._planes[backend] = self._make_plane(backend)
        return self._planes[backend]

    def _make_plane(self, backend: Backend) -> Plane:
        if backend == "metadata":
            return MetadataPlane()
        if backend == "embedded":
            from pytest_msk.brokers.embedded.plane import EmbeddedPlane

            return EmbeddedPlane(process=self.settings.embedded_process)
        from pytest_msk.brokers.docker.plane import DockerPlane

        return DockerPlane(self.settings.image, self.settings.startup_timeout)

    def close(self) -> None:
        """Remove every cluster and let the planes go. Does nothing in a forked child, whose they are not."""
        if self._pid != os.getpid():
            return
        try:
            self.pool.close()
        finally:
            try:
                self.service.close()
            finally:
                for plane in self._planes.values():
                    plane.close()
