"""Brokers in containers of the official apache/kafka image."""

from pytest_msk.brokers.docker.plane import DockerPlane

__all__ = ["DockerPlane"]
