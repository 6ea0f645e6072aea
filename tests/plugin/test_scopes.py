"""Which cluster a test gets, and how long it lives."""

from __future__ import annotations

import pytest

NAMES = """
import pytest

names = {}

def other(*keys):
    assert len({names[key] for key in keys}) == len(keys)

def same(*keys):
    assert len({names[key] for key in keys}) == 1
"""


def passes(pytester: pytest.Pytester, source: str, *arguments: str) -> None:
    pytester.makepyfile(NAMES + source)
    result = pytester.runpytest("-p", "no:randomly", *arguments)
    assert result.ret == 0, result.stdout.str()


def test_a_session_cluster_is_shared(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_a(msk_cluster): names["a"] = msk_cluster.name
def test_b(msk_cluster): names["b"] = msk_cluster.name
def test_c(): same("a", "b")
""",
    )


def test_scopes(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.msk(scope="function")
def test_f1(msk_cluster): names["f1"] = msk_cluster.name

def test_s1(msk_cluster): names["s1"] = msk_cluster.name

@pytest.mark.msk(scope="function")
def test_f2(msk_cluster):
    names["f2"] = msk_cluster.name
    found = msk_cluster.client.list_clusters()["ClusterInfoList"]
    assert [cluster["ClusterName"] for cluster in found] == [msk_cluster.name]

@pytest.mark.msk(scope="module")
def test_m1(msk_cluster): names["m1"] = msk_cluster.name

@pytest.mark.msk(scope="class")
class TestClass:
    def test_c1(self, msk_cluster): names["c1"] = msk_cluster.name
    def test_no_cluster(self): ...
    @pytest.mark.msk(scope="function")
    def test_f3(self, msk_cluster): names["f3"] = msk_cluster.name
    def test_c2(self, msk_cluster): names["c2"] = msk_cluster.name

@pytest.mark.msk(scope="module")
def test_m2(msk_cluster): names["m2"] = msk_cluster.name

def test_s2(msk_cluster): names["s2"] = msk_cluster.name

def test_all():
    same("s1", "s2")
    same("m1", "m2")
    same("c1", "c2")
    other("s1", "m1", "c1", "f1", "f2", "f3")
""",
    )


def test_requests_that_differ_get_clusters_that_differ_and_come_back(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.parametrize("turn", [1, 2])
class TestTurns:
    @pytest.mark.msk(brokers=2)
    def test_two(self, msk_cluster, turn):
        assert msk_cluster.spec.brokers == 2
        names["two", turn] = msk_cluster.name

    @pytest.mark.msk(brokers=3)
    def test_three(self, msk_cluster, turn):
        assert msk_cluster.spec.brokers == 3
        names["three", turn] = msk_cluster.name

def test_all():
    same(("two", 1), ("two", 2))
    same(("three", 1), ("three", 2))
    other(("two", 1), ("three", 1))
""",
    )


def test_getfixturevalue_gets_the_marker_s_cluster(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_first(msk_cluster):
    assert msk_cluster.spec.brokers == 1

@pytest.mark.msk(brokers=2)
def test_marked(request):
    cluster = request.getfixturevalue("msk_cluster")
    assert cluster.spec.brokers == 2
    assert cluster.client.describe_cluster(ClusterArn=cluster.arn)

def test_unmarked(request):
    import boto3
    arn = request.getfixturevalue("msk_cluster").arn
    assert boto3.client("kafka", region_name="us-east-1").describe_cluster(ClusterArn=arn)
""",
    )


def test_a_session_fixture_may_build_on_the_cluster(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.fixture(scope="session")
def arn(msk_cluster):
    return msk_cluster.arn

def test_default(arn, msk_client):
    names["1"] = arn
    assert msk_client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["NumberOfBrokerNodes"] == 1

@pytest.mark.msk(brokers=2, scope="function")
def test_marked(arn, msk_client):
    names["2"] = arn
    assert msk_client.describe_cluster(ClusterArn=arn)["ClusterInfo"]["NumberOfBrokerNodes"] == 2

def test_default_again(arn, msk_client):
    names["3"] = arn
    assert msk_client.describe_cluster(ClusterArn=arn)

def test_all():
    same("1", "3")
    other("1", "2")
""",
    )


def test_test_case_gets_the_marker_s_cluster(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import unittest

@pytest.mark.msk(brokers=2)
class InjectedTest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def inject(self, msk_cluster):
        self.cluster = msk_cluster

    def test_class_marker(self):
        self.assertEqual(self.cluster.spec.brokers, 2)

    @pytest.mark.msk(brokers=3, scope="function")
    def test_method_marker(self):
        self.assertEqual(self.cluster.spec.brokers, 3)

    def test_class_marker_again(self):
        self.assertEqual(self.cluster.spec.brokers, 2)

@pytest.mark.usefixtures("msk_cluster")
@pytest.mark.msk(name="used")
class UsingTest(unittest.TestCase):
    def test_it(self):
        import boto3
        found = boto3.client("kafka", region_name="us-east-1").list_clusters()["ClusterInfoList"]
        self.assertEqual([cluster["ClusterName"] for cluster in found], ["used"])
""",
    )


def test_a_conftest_may_override_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest

@pytest.fixture
def msk_cluster(msk_cluster):
    return ("mine", msk_cluster)
"""
    )
    passes(
        pytester,
        """
@pytest.mark.msk(brokers=2)
def test_it(msk_cluster):
    mine, cluster = msk_cluster
    assert (mine, cluster.spec.brokers) == ("mine", 2)

def test_default(msk_cluster):
    assert msk_cluster[1].spec.brokers == 1
""",
    )


def test_a_user_s_own_parametrization_is_left_alone(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
@pytest.mark.parametrize("msk_cluster", ["direct"])
def test_direct(msk_cluster):
    assert msk_cluster == "direct"

@pytest.mark.parametrize("msk_cluster", [{"brokers": 2}, {"brokers": 3}], indirect=True)
def test_indirect(msk_cluster, request):
    assert msk_cluster.spec.brokers == request.node.callspec.params["msk_cluster"]["brokers"]
""",
    )


def test_node_ids_stay_as_they_are(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(msk_cluster): ...")
    pytester.runpytest("--collect-only", "-q").stdout.fnmatch_lines(
        ["test_node_ids_stay_as_they_are.py::test_it"]
    )


def test_the_factory_makes_clusters_that_end_with_the_test(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_two(msk_cluster_factory, msk_client):
    names["a"] = msk_cluster_factory(brokers=2, name="a").name
    names["b"] = msk_cluster_factory(brokers=2).name
    assert len(msk_client.list_clusters()["ClusterInfoList"]) == 2

def test_none_left(msk_client):
    other("a", "b")
    assert msk_client.list_clusters()["ClusterInfoList"] == []

def test_refuses(msk_cluster_factory):
    with pytest.raises(ValueError, match="no argument 'borkers'"):
        msk_cluster_factory(borkers=3)
""",
    )


def test_fixtures_of_one_s_own(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pytest_msk

orders = pytest_msk.msk_cluster_fixture(brokers=3, scope="session")
anonymous = pytest_msk.msk_cluster_fixture("payments", brokers=2)
"""
    )
    passes(
        pytester,
        """
def test_first(orders, payments, msk_cluster, msk_client):
    names["orders"], names["payments"] = orders.name, payments.name
    assert (orders.spec.brokers, payments.spec.brokers, msk_cluster.spec.brokers) == (3, 2, 1)
    assert len(msk_client.list_clusters()["ClusterInfoList"]) == 3

def test_second(orders, payments, msk_client):
    same("orders", "orders")
    assert orders.name == names["orders"]
    assert payments.name != names["payments"]
    assert len(msk_client.list_clusters()["ClusterInfoList"]) == 2

def test_third(msk_cluster, msk_client):
    (found,) = msk_client.list_clusters()["ClusterInfoList"]
    assert found["ClusterName"] == msk_cluster.name
""",
    )


def test_a_wrong_fixture_of_one_s_own_is_refused_where_it_is_made(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest_msk\nwrong = pytest_msk.msk_cluster_fixture(brokers='3')\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*brokers='3'*whole number*"])


def test_a_deleted_session_cluster_is_made_anew_for_the_next_test(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_deletes(msk_cluster):
    names["1"] = msk_cluster.name
    msk_cluster.client.delete_cluster(ClusterArn=msk_cluster.arn)

def test_next(msk_cluster):
    names["2"] = msk_cluster.name
    other("1", "2")
    assert msk_cluster.client.describe_cluster(ClusterArn=msk_cluster.arn)["ClusterInfo"]["State"] == "ACTIVE"
""",
    )


def test_what_a_test_made_by_the_api_is_gone_after_it(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_makes(msk_client):
    msk_client.create_cluster(
        ClusterName="mine", KafkaVersion="3.7.1", NumberOfBrokerNodes=1,
        BrokerNodeGroupInfo={"InstanceType": "kafka.m5.large", "ClientSubnets": ["subnet-1"]},
    )

def test_next(msk_client):
    assert msk_client.list_clusters()["ClusterInfoList"] == []
""",
    )


def test_two_clusters_of_one_name_in_one_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
def test_it(msk_cluster_factory):
    msk_cluster_factory(name="twin")
    msk_cluster_factory(name="twin")
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ConflictException*"])
