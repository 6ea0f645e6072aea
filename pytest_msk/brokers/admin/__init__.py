"""What the plugin asks of brokers as their administrator: the one package that does so."""

from pytest_msk.brokers.admin.admin import Admin
from pytest_msk.brokers.admin.values import (
    TIMED_OUT,
    UNKNOWN_TOPIC,
    UNREACHABLE,
    Acl,
    CommittedOffset,
    ConfigSource,
    ConfigValue,
    Group,
    KafkaRequestError,
    ListedGroup,
    Member,
    Partition,
    QuotaKey,
    Resource,
    Survey,
    Topic,
    Transaction,
)

__all__ = [
    "TIMED_OUT",
    "UNKNOWN_TOPIC",
    "UNREACHABLE",
    "Acl",
    "Admin",
    "CommittedOffset",
    "ConfigSource",
    "ConfigValue",
    "Group",
    "KafkaRequestError",
    "ListedGroup",
    "Member",
    "Partition",
    "QuotaKey",
    "Resource",
    "Survey",
    "Topic",
    "Transaction",
]
