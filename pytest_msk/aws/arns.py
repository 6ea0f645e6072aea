"""Amazon Resource Names of MSK's resources."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass

from pytest_msk.aws.errors import bad_request

_ARN = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":(?P<kind>[a-z0-9-]+)/(?P<name>[^/]+)/(?P<id>[^/]+)(?:/(?P<rest>.+))?"
)

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov", "us-iso-": "aws-iso", "us-isob-": "aws-iso-b"}


@dataclass(frozen=True)
class Arn:
    """An ARN of the form ``arn:<partition>:<service>:<region>:<account>:<kind>/<name>/<id>[/<rest>]``.

    Attributes:
        kind: ``cluster``, ``configuration``, ``topic`` …
        id: ``<uuid>-<n>``; the same in the ARNs of everything that belongs to one cluster.
        rest: what follows, a topic's name say.
    """

    partition: str
    service: str
    region: str
    account: str
    kind: str
    name: str
    id: str
    rest: str = ""

    def __str__(self) -> str:
        tail = f"/{self.rest}" if self.rest else ""
        prefix = f"arn:{self.partition}:{self.service}:{self.region}:{self.account}"
        return f"{prefix}:{self.kind}/{self.name}/{self.id}{tail}"

    @property
    def number(self) -> int:
        """The small number that ends a cluster's id; its host names have it too."""
        return int(self.id.rpartition("-")[2])

    def topic(self, topic_name: str) -> Arn:
        """The ARN of a topic of this cluster."""
        return self._of_cluster("topic", topic_name)

    def node(self, node: str) -> Arn:
        """The ARN of a node of this cluster. AWS documents no tail; ours is a UUID made from ``node``."""
        return self._of_cluster("broker", str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self}/{node}")))

    def operation(self, operation_id: str) -> Arn:
        """The ARN of an operation on this cluster."""
        return self._of_cluster("cluster-operation", operation_id)

    def _of_cluster(self, kind: str, rest: str) -> Arn:
        return Arn(self.partition, self.service, self.region, self.account, kind, self.name, self.id, rest)


def partition(region: str) -> str:
    """The partition that a region is in."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def new_arn(kind: str, name: str, region: str, account: str, service: str = "kafka") -> Arn:
    """The ARN of a new resource, ending in a UUID and a number from 1 to 25 as AWS's do."""
    resource_id = f"{uuid.uuid4()}-{1 + secrets.randbelow(25)}"
    return Arn(partition(region), service, region, account, kind, name, resource_id)


def parse_arn(text: str, kind: str | None, invalid_parameter: str) -> Arn:
    """Take an ARN apart.

    Args:
        text: the ARN.
        kind: the kind of resource it has to be of; None for any.
        invalid_parameter: the member it came in, for the refusal.

    Raises:
        AwsError: BadRequestException when it is no ARN, or not of that kind.
    """
    match = _ARN.fullmatch(text)
    if not match or (kind and match["kind"] != kind):
        form = f"arn:<partition>:kafka:<region>:<account>:{kind or '<kind>'}/<name>/<uuid>-<n>"
        raise bad_request(f"The ARN {text!r} is not valid. Its form is {form}", invalid_parameter)
    return Arn(**{name: value or "" for name, value in match.groupdict().items()})
