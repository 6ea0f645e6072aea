"""The secrets that SCRAM users are in, as moto's Secrets Manager and KMS hold them.

Importing these takes long. Where nobody did, there is no secret, and no key, to find.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pytest_msk import neighbours
from pytest_msk.aws.kafka.state import Region

NAME_PREFIX = "AmazonMSK_"

# AWS's own texts.
WRONG_NAME = (
    "The provided secret arn cannot be used with Amazon MSK. "
    f"Secret names must have the prefix '{NAME_PREFIX}'"
)
INACCESSIBLE = "Amazon MSK wasn't able to access the provided secret."
# Ours: what AWS says of these is not public.
NO_CREDENTIALS = "The provided secret must be a JSON object with a username and a password."

_SECRET_ARN = re.compile(
    r"arn:[a-z-]+:secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):secret:(?P<name>.+)"
)
_AWS_ALIAS = "alias/aws/"
_POLICY_ID = "AWSKafkaResourcePolicy"


class UnusableSecretError(Exception):
    """A secret that MSK cannot use.

    Args:
        message: as AWS tells the caller.
        reason: what is wrong, where the message does not say.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Secret:
    """A secret's present version.

    Attributes:
        arn: the secret's ARN.
        version_id: which version.
        username: whom it lets in.
        password: by what.
    """

    arn: str
    version_id: str
    username: str
    password: str = field(repr=False)


def read_secret(region: Region, arn: str) -> Secret:
    """The secret of an account and region with an ARN.

    Raises:
        UnusableSecretError: MSK cannot use it.
    """
    match = _SECRET_ARN.fullmatch(arn)
    if not match:
        raise _inaccessible(f"{arn!r} is not the ARN of a secret")
    if not match["name"].startswith(NAME_PREFIX):
        raise UnusableSecretError(WRONG_NAME)
    if (match["region"], match["account"]) != (region.name, region.account_id):
        raise _inaccessible(f"{arn} is not a secret of account {region.account_id} in {region.name}")
    held = _held(region, arn)
    if held is None:
        raise _inaccessible(f"there is no secret {arn} in moto's Secrets Manager")
    _check_key(region, held)
    version_id = held.default_version_id
    text = held.versions[version_id].get("secret_string") if version_id else None
    username, password = _credentials(text)
    return Secret(arn, version_id, username, password)


def admit_msk(region: Region, secret: Secret) -> None:
    """Let MSK read a secret by its resource policy, as MSK itself does; what else is in there stays."""
    held = _held(region, secret.arn)
    if held is None:
        return
    document = _json(held.policy or '{"Version": "2012-10-17", "Statement": []}')
    if document is None:
        return  # moto takes any text for a policy
    statements = document.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    if any(statement.get("Sid") == _POLICY_ID for statement in statements):
        return
    admission = {
        "Sid": _POLICY_ID,
        "Effect": "Allow",
        "Principal": {"Service": "kafka.amazonaws.com"},
        "Action": "secretsmanager:getSecretValue",
        "Resource": secret.arn,
    }
    held.policy = json.dumps({**document, "Statement": [*statements, admission]})


def _held(region: Region, arn: str) -> Any:
    """Moto's record of a secret. Its ARN has to be whole: moto itself takes part of one too."""
    backend = neighbours.backend("secretsmanager", region.account_id, region.name)
    secrets = list(dict.values(backend.secrets)) if backend else []
    return next((held for held in secrets if held.arn == arn and not held.is_deleted()), None)


def _check_key(region: Region, held: Any) -> None:
    """Refuse what is not encrypted with a symmetric key of the customer's own."""
    # A replica, which moto keeps without a key, has the default one.
    key_id = getattr(held, "kms_key_id", None) or ""
    _, _, alias = key_id.rpartition(":")
    if not key_id or alias.startswith(_AWS_ALIAS):
        raise _inaccessible("it is encrypted with the default key, and has to be with one of your own")
    key = _key(region, key_id)
    if key is None:
        raise _inaccessible(f"its key {key_id} is not in moto's KMS")
    if key.key_manager != "CUSTOMER" or any(name.startswith(_AWS_ALIAS) for name in key.aliases):
        raise _inaccessible(f"its key {key_id} is one of AWS's own")
    if key.key_spec != "SYMMETRIC_DEFAULT":
        raise _inaccessible(f"its key {key_id} is not symmetric ({key.key_spec})")
    if key.key_state != "Enabled":
        raise _inaccessible(f"its key {key_id} is not enabled ({key.key_state})")


def _key(region: Region, key_id: str) -> Any:
    """Moto's record of a key, by id, alias or the ARN of either. Another account's is found by ARN."""
    parts = key_id.split(":", 5)
    whole = len(parts) > 5 and parts[0] == "arn"  # noqa: PLR2004
    account, name = (parts[4], parts[5]) if whole else (region.account_id, key_id)
    backend = neighbours.backend("kms", account, region.name)
    if backend is None:
        return None
    found = backend.get_key_id_from_alias(name) if name.startswith("alias/") else name.removeprefix("key/")
    return backend.keys.get(found)


def _credentials(text: Any) -> tuple[str, str]:
    values = _json(text) or {}
    username, password = values.get("username"), values.get("password")
    if isinstance(username, str) and isinstance(password, str) and username and password:
        return username, password
    raise UnusableSecretError(NO_CREDENTIALS)


def _json(text: Any) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is none."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _inaccessible(reason: str) -> UnusableSecretError:
    return UnusableSecretError(INACCESSIBLE, reason)
