"""Gets an image that the engine does not have."""

from __future__ import annotations

import threading

from docker.errors import ImageNotFound
from docker.utils import parse_repository_tag
from testcontainers.core.config import testcontainers_config

from pytest_msk.brokers.docker import images
from pytest_msk.brokers.docker.engine import ENGINE_ERRORS, connected, reason
from pytest_msk.errors import BrokerStartError


def ensure(image: str, kafka_version: str, cancelled: threading.Event) -> None:
    """Pull an image unless it is there.

    Args:
        image: its name, which testcontainers may be configured to prefix with a registry.
        kafka_version: what it is to run, for the message.
        cancelled: gives up as soon as this is set.

    Raises:
        BrokerStartError: it is not there and cannot be pulled.
    """
    name = f"{testcontainers_config.hub_image_name_prefix}{image}"
    with connected() as client:
        try:
            client.client.images.get(name)
            return
        except ImageNotFound:
            pass
        repository, tag = parse_repository_tag(name)
        try:
            for step in client.client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                if "error" in step:
                    raise _cannot_pull(name, kafka_version, step["error"])
                if cancelled.is_set():
                    return
        except ENGINE_ERRORS as error:
            raise _cannot_pull(name, kafka_version, reason(error)) from error


def _cannot_pull(image: str, kafka_version: str, words: str) -> BrokerStartError:
    others = ", ".join(images.nearest(kafka_version))
    return BrokerStartError(
        f"Image {image} is not on this engine and cannot be pulled: {words.strip()}\n"
        f"A registry mirror or an image of your own is named with --msk-image (`{{version}}` is filled in). "
        f"The versions nearest to {kafka_version} with an official image: {others}."
    )
