"""What a test did through the MSK API is undone before the next one."""

from __future__ import annotations

import pytest

UPDATES = """
import pytest

def current(cluster):
    return cluster.client.describe_cluster(ClusterArn=cluster.arn)["ClusterInfo"]

def enlarged(cluster):
    cluster.client.update_broker_type(
        ClusterArn=cluster.arn,
        CurrentVersion=current(cluster)["CurrentVersion"],
        TargetInstanceType="kafka.m5.xlarge",
    )
    cluster.wait_for(lambda: current(cluster)["State"] == "ACTIVE")
"""


def test_tags_and_policy_of_a_shared_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import json
import pytest

@pytest.fixture(scope="module", autouse=True)
def team(msk_cluster):
    msk_cluster.client.tag_resource(ResourceArn=msk_cluster.arn, Tags={"team": "orders"})

@pytest.mark.parametrize("number", range(2))
def test_it(msk_cluster, number):
    client, arn = msk_cluster.client, msk_cluster.arn
    assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "orders"}
    with pytest.raises(client.exceptions.NotFoundException):
        client.get_cluster_policy(ClusterArn=arn)
    client.tag_resource(ResourceArn=arn, Tags={"team": "mine", "stage": "test"})
    statement = {"Effect": "Allow", "Principal": "*", "Action": "kafka:*", "Resource": arn}
    client.put_cluster_policy(ClusterArn=arn, Policy=json.dumps({"Statement": [statement]}))
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_configurations_go_but_for_those_of_clusters(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.msk(configuration={"num.partitions": 3})
@pytest.mark.parametrize("number", range(2))
def test_it(msk_cluster, number):
    client = msk_cluster.client
    (own,) = client.list_configurations()["Configurations"]
    assert own["Name"] == f"{msk_cluster.name}-configuration"
    client.create_configuration(Name="mine", ServerProperties=b"num.partitions=1")
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_shared_cluster_that_was_updated_is_made_anew(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        UPDATES
        + """
names = []

@pytest.mark.parametrize("number", range(3))
def test_it(msk_cluster, number):
    assert current(msk_cluster)["BrokerNodeGroupInfo"]["InstanceType"] == "kafka.m5.large"
    names.append(msk_cluster.name)
    if number == 0:
        enlarged(msk_cluster)

def test_which(): assert names[0] != names[1] == names[2]
"""
    )
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=4)


def test_without_isolation_it_stays(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        UPDATES
        + """
pytestmark = pytest.mark.msk(isolation="none")

def test_updates(msk_cluster):
    enlarged(msk_cluster)

def test_finds_it_updated(msk_cluster):
    assert current(msk_cluster)["BrokerNodeGroupInfo"]["InstanceType"] == "kafka.m5.xlarge"
"""
    )
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)
