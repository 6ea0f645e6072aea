"""What has an ARN and is no cluster: configurations, VPC connections, replicators, channels."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from pytest_msk.aws.arns import Arn

if TYPE_CHECKING:
    from pytest_msk.aws.kafka.state import Cluster

_numbers = count(1)


@dataclass(eq=False, kw_only=True)
class Resource:
    """One resource of a region. A region keeps all of them, by ARN, whatever their kind.

    Attributes:
        tagged_as: the type under which the tagging API lists it (``kafka:replicator``); None for what
            MSK does not tag.
        arn: its ARN.
        tags: its tags.
        creation_time: when it was made.
        number: the how-manieth resource this is; lists are in this order.
    """

    tagged_as: ClassVar[str | None] = None

    arn: Arn
    tags: dict[str, str] = field(default_factory=dict)
    creation_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self.arn.name


@dataclass(eq=False, kw_only=True)
class ClusterResource(Resource):
    """A resource that is gone when its cluster is.

    Attributes:
        cluster: the cluster.
    """

    cluster: Cluster
