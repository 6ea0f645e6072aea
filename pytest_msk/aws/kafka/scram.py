"""SCRAM secrets: BatchAssociateScramSecret, BatchDisassociateScramSecret, ListScramSecrets.

A secret holds the name and the password of a user, who is set on the brokers over the Kafka protocol.
AWS takes up to ten minutes to notice that a secret has a new version. Here it is noticed when the
cluster's secrets are listed, and when the secret is associated once more, which AWS's callers may do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_msk.aws.arns import Arn
from pytest_msk.aws.errors import AwsError, bad_request
from pytest_msk.aws.kafka.api import Call, operation, provisioned_cluster
from pytest_msk.aws.kafka.resources import ClusterResource
from pytest_msk.aws.kafka.secrets import Secret, UnusableSecretError, admit_msk, read_secret
from pytest_msk.aws.kafka.state import Cluster
from pytest_msk.aws.pages import page

if TYPE_CHECKING:
    from pytest_msk.brokers.admin import Admin

_log = logging.getLogger(__name__)

MOST_PER_CALL = 10
"""ARNs in one call. Terraform's provider sends no more; what AWS says to more is not public."""

MOST_USERS = 1000
"""Users of a cluster (developer guide, "Limitations when using SCRAM secrets")."""

ERROR_CODE = "InvalidSecretArn"
"""The one code of unprocessed secrets that is public. It stands for all that AWS has."""

BROKER_TIMEOUT = 15.0
"""Seconds that brokers may take; well below the 60 s after which botocore repeats the call."""

# AWS's texts for these are not public.
_USER_TAKEN = "Another secret that is associated with the cluster, {arn}, has the same username."
_TOO_MANY = f"A cluster cannot have more than {MOST_USERS} SCRAM secrets."
_NOT_ASSOCIATED = "The provided secret is not associated with the cluster."

_NO_SUCH_API = "UNSUPPORTED_VERSION"

# Calls take turns from what they read of the secrets to what brokers know by the end: whichever was
# last has its way in both places.
_turn = threading.Lock()


@dataclass(eq=False, kw_only=True)
class ScramAssociation(ClusterResource):
    """A secret that is associated with a cluster.

    Attributes:
        secret: the secret, as of when its user was set on the brokers.
    """

    secret: Secret


@operation("BatchAssociateScramSecret")
def batch_associate_scram_secret(call: Call) -> Mapping[str, Any]:
    """Let the users of some secrets in; a secret that is associated already has its password read anew."""
    cluster = _scram_cluster(call)
    unprocessed: dict[str, str] = {}
    with _turn:
        associated = _associations(call, cluster)
        users = {association.secret.username: arn for arn, association in associated.items()}
        added: dict[str, Secret] = {}
        for arn in dict.fromkeys(call.params["SecretArnList"]):
            try:
                secret = read_secret(call.region, arn)
                _check_user(secret, users, new=arn not in associated)
            except UnusableSecretError as error:
                unprocessed[arn] = _told(error)
            else:
                users[secret.username] = arn
                added[arn] = secret
        _set_users(cluster, associated, added)
        for secret in added.values():
            admit_msk(call.region, secret)
        _keep(call, cluster, associated, added)
    return _answer(cluster, unprocessed)


@operation("BatchDisassociateScramSecret")
def batch_disassociate_scram_secret(call: Call) -> Mapping[str, Any]:
    """Let the users of some secrets in no more, whether the secrets are still there or not."""
    cluster = _scram_cluster(call)
    with _turn:
        associated = _associations(call, cluster)
        asked = dict.fromkeys(call.params["SecretArnList"])
        removed = [associated[arn] for arn in asked if arn in associated]
        if removed:
            with _admin(cluster) as admin:
                if admin:
                    _remove_users(admin, [association.secret.username for association in removed])
        with call.region.service.changed:
            for association in removed:
                call.region.remove(association)
    return _answer(cluster, {arn: _NOT_ASSOCIATED for arn in asked if arn not in associated})


@operation("ListScramSecrets")
def list_scram_secrets(call: Call) -> Mapping[str, Any]:
    """The ARNs of the cluster's secrets, those first that were associated first."""
    cluster = provisioned_cluster(call)
    with _turn:
        associated = _associations(call, cluster)
        if cluster.state == "ACTIVE":
            _follow_rotations(call, cluster, associated)
    shown, token = page(call, associated.values(), lambda association: f"{association.number:020}")
    return {"SecretArnList": [association.secret.arn for association in shown], "NextToken": token}


def _scram_cluster(call: Call) -> Cluster:
    """The cluster, if its secrets can be changed now, and not by too many at once."""
    cluster = provisioned_cluster(call)
    if cluster.state != "ACTIVE":
        raise bad_request(
            f"You can't change the SCRAM secrets of a cluster in {cluster.state} state.", "clusterArn"
        )
    sasl = cluster.settings.get("ClientAuthentication", {}).get("Sasl", {})
    if not sasl.get("Scram", {}).get("Enabled"):
        raise bad_request(
            f"SASL/SCRAM authentication is not enabled on cluster {cluster.name}.", "clusterArn"
        )
    if not 0 < len(call.params["SecretArnList"]) <= MOST_PER_CALL:
        raise bad_request(f"secretArnList must have 1 to {MOST_PER_CALL} ARNs.", "secretArnList")
    return cluster


def _associations(call: Call, cluster: Cluster) -> dict[str, ScramAssociation]:
    """The cluster's, by the secret's ARN."""
    return {
        association.secret.arn: association
        for association in call.region.resources(ScramAssociation)
        if association.cluster is cluster
    }


def _check_user(secret: Secret, users: Mapping[str, str], *, new: bool) -> None:
    """Refuse a second secret for a user, as nobody could say which password holds."""
    other = users.get(secret.username, secret.arn)
    if other != secret.arn:
        raise UnusableSecretError(_USER_TAKEN.format(arn=other))
    if new and len(users) >= MOST_USERS:
        raise UnusableSecretError(_TOO_MANY)


def _follow_rotations(call: Call, cluster: Cluster, associated: dict[str, ScramAssociation]) -> None:
    """Set users anew whose secrets have another version by now; the others stay as they are."""
    users = {association.secret.username: arn for arn, association in associated.items()}
    rotated = {}
    for arn, association in associated.items():
        try:
            secret = read_secret(call.region, arn)
            if secret.version_id != association.secret.version_id:
                _check_user(secret, users, new=False)
                users[secret.username] = arn
                rotated[arn] = secret
        except UnusableSecretError as error:
            _log.warning("The user of %s keeps the last password that could be read: %s", arn, error)
    try:
        _set_users(cluster, associated, rotated)
    except AwsError as error:
        _log.warning("New passwords of %s are not in effect yet: %s", cluster.arn, error)
    else:
        _keep(call, cluster, associated, rotated)


def _set_users(
    cluster: Cluster, before: Mapping[str, ScramAssociation], secrets: Mapping[str, Secret]
) -> None:
    """Have the brokers know the users of some secrets, and no more those that these held before."""
    if not secrets:
        return
    passwords = {secret.username: secret.password for secret in secrets.values()}
    old = {before[arn].secret.username for arn in secrets if arn in before}
    with _admin(cluster) as admin:
        if admin:
            from pytest_msk.brokers.admin.scram import set_scram_passwords

            set_scram_passwords(admin, passwords)
            if old - passwords.keys():
                _remove_users(admin, old - passwords.keys())


def _remove_users(admin: Admin, users: Collection[str]) -> None:
    from pytest_msk.brokers.admin.scram import remove_scram_users

    remove_scram_users(admin, users)


def _keep(
    call: Call,
    cluster: Cluster,
    before: Mapping[str, ScramAssociation],
    secrets: Mapping[str, Secret],
) -> None:
    with call.region.service.changed:
        for arn, secret in secrets.items():
            if arn in before:
                before[arn].secret = secret
            else:
                call.region.add(ScramAssociation(arn=_arn(cluster.arn, arn), cluster=cluster, secret=secret))


def _arn(cluster: Arn, secret_arn: str) -> Arn:
    """Where the region keeps an association. AWS has no such ARNs, and this one is never shown."""
    return replace(cluster, kind="scram-secret", rest=secret_arn)


def _told(error: UnusableSecretError) -> str:
    if error.reason:
        _log.warning("%s (%s)", error, error.reason)
    return str(error)


def _answer(cluster: Cluster, unprocessed: Mapping[str, str]) -> dict[str, Any]:
    return {
        "ClusterArn": str(cluster.arn),
        "UnprocessedScramSecrets": [
            {"SecretArn": arn, "ErrorCode": ERROR_CODE, "ErrorMessage": message}
            for arn, message in unprocessed.items()
        ],
    }


@contextmanager
def _admin(cluster: Cluster) -> Iterator[Admin | None]:
    """A connection to the brokers; None where the cluster has none, and so nobody to let in."""
    brokers = cluster.brokers.brokers
    if not brokers:
        yield None
        return
    # Not every use of the MSK API needs the codec, which takes its time to import.
    from pytest_msk.brokers.admin import Admin, KafkaRequestError

    bootstrap = ",".join(str(broker.endpoints["internal"]) for broker in brokers)
    try:
        with Admin(bootstrap, timeout=BROKER_TIMEOUT) as admin:
            yield admin
    except KafkaRequestError as error:
        if error.code_name == _NO_SUCH_API:
            _log.warning("Kafka %s takes no users over its protocol.", cluster.spec.kafka_version)
            return
        raise AwsError("ServiceUnavailableException", f"The brokers refuse: {error}", "clusterArn") from error
