"""Tags, through the kafka API and through Resource Groups Tagging."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from moto.core.base_backend import BackendDict

from pytest_msk.aws.kafka.state import MskService
from pytest_msk.brokers.metadata import MetadataPlane
from pytest_msk.spec import ClusterSpec
from tests.aws.kafka_api import create, create_serverless, refused


def tags(client: Any, arn: str) -> dict[str, str]:
    found: dict[str, str] = client.list_tags_for_resource(ResourceArn=arn)["Tags"]
    return found


def test_tag_and_untag(client: Any) -> None:
    arn = create(client, Tags={"a": "1"})
    before = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["CurrentVersion"]
    reply = client.tag_resource(ResourceArn=arn, Tags={"a": "2", "b": ""})
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(client, arn) == {"a": "2", "b": ""}
    reply = client.untag_resource(ResourceArn=arn, TagKeys=["a", "never there"])
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(client, arn) == {"b": ""}
    info = client.describe_cluster(ClusterArn=arn)["ClusterInfo"]
    assert info["Tags"] == {"b": ""}
    assert info["CurrentVersion"] == before


def test_several_keys_are_removed_at_once(client: Any) -> None:
    arn = create_serverless(client)
    client.tag_resource(ResourceArn=arn, Tags={"a b": "1", "c+d": "2", "e": "3"})
    client.untag_resource(ResourceArn=arn, TagKeys=["a b", "c+d"])
    assert tags(client, arn) == {"e": "3"}


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"aws:x": ""}, "reserved"),
        ({"AWS:x": ""}, "reserved"),
        ({"": ""}, "1 to 128 characters"),
        ({"k" * 129: ""}, "1 to 128 characters"),
        ({"k": "v" * 257}, "at most 256"),
        ({"k;": ""}, "are allowed"),
        ({"k": "{v}"}, "are allowed"),
        ({f"k{n}": "" for n in range(50)}, "at most 50 tags"),
    ],
)
def test_refusals(client: Any, bad: dict[str, str], text: str) -> None:
    arn = create(client, Tags={"a": "1"})
    with refused("BadRequestException") as refusal:
        client.tag_resource(ResourceArn=arn, Tags=bad)
    assert text in refusal.message
    assert refusal.parameter == "tags"
    assert tags(client, arn) == {"a": "1"}


@pytest.mark.parametrize("call", ["tag_resource", "untag_resource", "list_tags_for_resource"])
@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("arn:aws:kafka:us-east-1:123456789012:cluster/gone/0-1", "NotFoundException"),
        ("gone", "BadRequestException"),
    ],
)
def test_resources_that_do_not_exist(client: Any, call: str, arn: str, code: str) -> None:
    needed: dict[str, Any] = {"tag_resource": {"Tags": {"a": "b"}}, "untag_resource": {"TagKeys": ["a"]}}
    with refused(code) as refusal:
        getattr(client, call)(ResourceArn=arn, **needed.get(call, {}))
    assert refusal.parameter == "resourceArn"


class TestResourceGroupsTagging:
    @pytest.fixture
    def tagging(self, client: Any, aws: boto3.Session) -> Any:
        return aws.client("resourcegroupstaggingapi")

    def found(self, tagging: Any, **filters: Any) -> dict[str, dict[str, str]]:
        return {
            resource["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
            for resource in tagging.get_resources(**filters)["ResourceTagMappingList"]
        }

    def test_get_resources(self, client: Any, tagging: Any) -> None:
        arn = create(client, Tags={"team": "orders"})
        create(client, "untagged")
        assert self.found(tagging) == {arn: {"team": "orders"}}
        assert self.found(tagging, ResourceTypeFilters=["kafka:cluster"]) == {arn: {"team": "orders"}}
        assert self.found(tagging, TagFilters=[{"Key": "team", "Values": ["others"]}]) == {}

    def test_tag_and_untag_resources(self, client: Any, tagging: Any) -> None:
        arn = create(client, Tags={"a": "1"})
        tagging.tag_resources(ResourceARNList=[arn], Tags={"b": "2"})
        assert tags(client, arn) == {"a": "1", "b": "2"}
        tagging.untag_resources(ResourceARNList=[arn], TagKeys=["a"])
        assert tags(client, arn) == {"b": "2"}

    def test_another_account_after_a_reset(self, client: Any, service: MskService) -> None:
        arn = self.create_in(service, "1" * 12)
        BackendDict.reset()
        client.list_clusters()
        tagging = boto3.client(
            "resourcegroupstaggingapi",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

        def from_the_account(request: Any, **_: Any) -> None:
            request.headers["x-moto-account-id"] = "1" * 12

        tagging.meta.events.register("before-sign", from_the_account)
        assert self.found(tagging) == {arn: {"team": "orders"}}

    def create_in(self, service: MskService, account: str) -> str:
        spec = ClusterSpec("orders")
        region = service.region(account, "us-east-1")
        return str(region.create_cluster("PROVISIONED", spec, {}, {"team": "orders"}, MetadataPlane()).arn)

    def test_another_region(self, client: Any, aws: boto3.Session) -> None:
        create(client, Tags={"team": "orders"})
        assert self.found(aws.client("resourcegroupstaggingapi", region_name="eu-west-1")) == {}
