"""ApiVersions: what a broker of the cluster's release serves, and the features that are on in it."""

from __future__ import annotations

import re
from functools import cache

from pytest_msk.brokers.embedded.api import Request, handles
from pytest_msk.brokers.embedded.dispatch import served_versions
from pytest_msk.brokers.embedded.features import features
from pytest_msk.brokers.wire import codec
from pytest_msk.brokers.wire.errors import code
from pytest_msk.brokers.wire.message import Message

_SOFTWARE_IS_NAMED = 3
"""The first version with the name and version of the client's software (KIP-511)."""

_ZERO_IS_UNDERSTOOD = 4
"""The first version that names features whose lowest level is 0: older clients fail at them (KAFKA-17492)."""

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


@handles("ApiVersions", 0, 4)
def api_versions(request: Request) -> Message:
    """Name every API that is served, with its versions (KIP-35), and the finalized features (KIP-584)."""
    if not _names_software(request):
        return Message(error_code=code("INVALID_REQUEST"))
    release = request.broker.release
    return Message(
        api_keys=_api_keys(release),
        supported_features=[
            Message(name=name, min_version=feature.lowest, max_version=feature.highest)
            for name, feature in features(release).items()
            if feature.lowest or request.version >= _ZERO_IS_UNDERSTOOD
        ],
        finalized_features_epoch=request.cluster.features_epoch,
        finalized_features=[
            Message(name=name, min_version_level=feature.level, max_version_level=feature.level)
            for name, feature in request.cluster.features.items()
            if feature.level
        ],
    )


def _names_software(request: Request) -> bool:
    """Whether the client's software has a name and a version of the right form (``ApiVersionsRequest``)."""
    body = request.body
    if request.version < _SOFTWARE_IS_NAMED:
        return True
    names = (body.client_software_name, body.client_software_version)
    return all(_SOFTWARE.fullmatch(name) for name in names)


@cache
def _api_keys(release: tuple[int, ...]) -> list[Message]:
    keys = [
        Message(api_key=codec.api_key(api), min_version=versions.start, max_version=versions.stop - 1)
        for api, versions in served_versions(release).items()
    ]
    if release >= (4, 0):
        # librdkafka takes a broker without these for one that is older than 0.10 (KAFKA-18659).
        next(key for key in keys if key.api_key == codec.api_key("Produce")).min_version = 0
    return sorted(keys, key=lambda key: key.api_key)
