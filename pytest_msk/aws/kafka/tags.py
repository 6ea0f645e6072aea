"""Tags: TagResource, UntagResource, ListTagsForResource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_msk.aws.arns import parse_arn
from pytest_msk.aws.errors import bad_request, not_found
from pytest_msk.aws.kafka.api import Call, operation
from pytest_msk.aws.kafka.resources import Resource
from pytest_msk.aws.kafka.state import Cluster, Region

_MOST_TAGS = 50
_LONGEST_KEY = 128
_LONGEST_VALUE = 256
_TAG_TEXT = re.compile(r"[\w\s.:/=+\-@]*")


def check_tags(tags: Mapping[str, str]) -> None:
    """Refuse tags that AWS's tagging rules do not allow.

    Raises:
        AwsError: BadRequestException that names the tag.
    """
    if len(tags) > _MOST_TAGS:
        raise bad_request(f"A resource can have at most {_MOST_TAGS} tags.", "tags")
    for key, value in tags.items():
        if not 1 <= len(key) <= _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise bad_request(
                f"The tag {key!r} is not valid: a key has 1 to {_LONGEST_KEY} characters, "
                f"a value at most {_LONGEST_VALUE}.",
                "tags",
            )
        if key.lower().startswith("aws:"):
            raise bad_request(f"The tag {key!r} is not valid: the prefix aws: is reserved.", "tags")
        if not _TAG_TEXT.fullmatch(key) or not _TAG_TEXT.fullmatch(value):
            raise bad_request(
                f"The tag {key!r} is not valid: letters, digits, spaces and _ . : / = + - @ are allowed.",
                "tags",
            )


def tagged(region: Region, arn: str) -> Cluster | Resource:
    """The resource with an ARN, of a kind that has tags.

    Raises:
        AwsError: BadRequestException when it is no ARN, NotFoundException when nothing here has it.
    """
    if parse_arn(arn, None, "resourceArn").kind == "cluster":
        return region.cluster(arn, "resourceArn")
    found = region.resource(Resource, arn)
    if found is None or found.tagged_as is None:
        raise not_found(f"The resource {arn} does not exist.", "resourceArn")
    return found


def tag(region: Region, arn: str, tags: Mapping[str, str]) -> None:
    """Put tags on a resource, over those with the same keys."""
    resource = tagged(region, arn)
    with region.service.changed:
        together = {**resource.tags, **tags}
        check_tags(together)
        resource.tags = together


def untag(region: Region, arn: str, keys: Iterable[str]) -> None:
    """Take tags off a resource; keys that it does not have are passed over."""
    resource = tagged(region, arn)
    gone = set(keys)
    with region.service.changed:
        resource.tags = {key: value for key, value in resource.tags.items() if key not in gone}


@operation("TagResource")
def tag_resource(call: Call) -> None:
    """Tags need no version and do not change it."""
    tag(call.region, call.params["ResourceArn"], call.params["Tags"])


@operation("UntagResource")
def untag_resource(call: Call) -> None:
    """Remove tags by key."""
    untag(call.region, call.params["ResourceArn"], call.params["TagKeys"])


@operation("ListTagsForResource")
def list_tags_for_resource(call: Call) -> Mapping[str, Any]:
    """All tags of a resource."""
    return {"Tags": tagged(call.region, call.params["ResourceArn"]).tags}
