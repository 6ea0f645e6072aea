"""Clusters whose spec changes while they run."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from pytest_msk.brokers import versions
from pytest_msk.brokers.embedded.config_definitions import definitions
from pytest_msk.brokers.embedded.listener import Listener
from pytest_msk.brokers.embedded.plane import EmbeddedBrokers, EmbeddedPlane
from pytest_msk.brokers.embedded.running import RunningCluster
from pytest_msk.errors import BrokerStartError, MskError, MskUsageError
from pytest_msk.spec import ClusterSpec
from tests.brokers.embedded.changes import (
    NEWEST,
    OLDEST,
    READ_ONLY,
    ClusterOf,
    admin,
    api_versions,
    bootstrap,
    change,
    committed,
    connections,
    consume,
    is_free,
    is_open,
    produce,
    replicas,
    settings,
)
from tests.brokers.embedded.test_server import is_closed


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The brokers that stopped. Each time all run, let clients in and are in sync with all they hold."""
    stopped: list[int] = []
    stop_broker = RunningCluster.stop_broker

    def stop(self: RunningCluster, broker_id: int, *, graceful: bool = True) -> None:
        assert all(broker.alive and not broker.fenced for broker in self.cluster.brokers.values())
        assert all(
            listener.is_open for doors in self._doors.values() for listener in doors._listeners.values()
        )
        for partition in self.cluster.topics.partitions():
            assert set(partition.isr) == set(partition.replicas)
        stopped.append(broker_id)
        stop_broker(self, broker_id, graceful=graceful)

    monkeypatch.setattr(RunningCluster, "stop_broker", stop)
    return stopped


def test_the_same_again_changes_nothing(three: EmbeddedBrokers, one_at_a_time: list[int]) -> None:
    places = three.brokers
    with connections(three) as opened:
        change(three)
        assert all(map(is_open, opened.values()))
    assert three.brokers == places
    assert one_at_a_time == []


def test_a_cluster_that_has_not_started_does_not_change(plane: EmbeddedPlane) -> None:
    cluster = plane.brokers(ClusterSpec("new"), "arn")
    with pytest.raises(MskError, match="'new' does not run"):
        change(cluster, brokers=3)
    with pytest.raises(MskError, match="'new' does not run"):
        cluster.reboot(1)
    cluster.stop()


class TestMoreBrokers:
    def test_they_are_like_those_of_a_new_cluster_of_as_many(self, cluster_of: ClusterOf) -> None:
        grown, new = cluster_of(zone_ids=("a", "b")), cluster_of(brokers=3, zone_ids=("a", "b"))
        [first] = grown.brokers
        change(grown, brokers=3)
        assert grown.brokers[0] == first
        assert [broker.rack for broker in grown.brokers] == ["a", "b", "a"]
        assert len({broker.port for broker in grown.brokers}) == 3
        for name in ("default.replication.factor", "min.insync.replicas", "offsets.topic.num.partitions"):
            assert settings(grown, name) == settings(new, name)

    def test_what_there_was_stays_where_it_was_and_goes_on(self, one: EmbeddedBrokers) -> None:
        produce(one, "orders", b"1")
        assert consume(one, "orders", 1) == [b"1"]
        with admin(one) as asked:
            before = asked.topics()
        change(one, brokers=3)
        with admin(one) as asked:
            assert [(each.name, [p.replicas for p in each.partitions]) for each in asked.topics()] == [
                (each.name, [p.replicas for p in each.partitions]) for each in before
            ]
        produce(one, "orders", b"2")
        assert consume(one, "orders", 1) == [b"2"]

    def test_what_a_test_sets_on_them_goes_with_it(self, three: EmbeddedBrokers) -> None:
        baseline = three.baseline()
        change(three, brokers=4)
        default = settings(three, "log.retention.ms")
        with admin(three) as asked:
            asked.set_broker_configs(4, {"log.retention.ms": "5000"})
        assert settings(three, "log.retention.ms") != default
        three.restore(baseline)
        assert settings(three, "log.retention.ms") == default

    def test_the_others_restart_only_where_a_setting_goes_by_the_number(
        self, cluster_of: ClusterOf, one_at_a_time: list[int]
    ) -> None:
        cluster = cluster_of(brokers=2)
        change(cluster, brokers=3)
        assert one_at_a_time == [1, 2]
        change(cluster, brokers=6)
        assert one_at_a_time == [1, 2]

    @pytest.mark.parametrize("joined", [1, 2, 3, 4])
    def test_where_one_gets_no_port_none_joins(
        self, three: EmbeddedBrokers, monkeypatch: pytest.MonkeyPatch, joined: int
    ) -> None:
        places = three.brokers
        make, made = Listener.__init__, list[int]()

        def refuse(self: Listener, *how: Any) -> None:
            if len(made) == joined - 1:
                raise OSError("no port is left")
            make(self, *how)
            made.append(self.endpoint.port)

        monkeypatch.setattr(Listener, "__init__", refuse)
        with pytest.raises(BrokerStartError, match="'embedded' did not change: no port is left"):
            change(three, brokers=5, configuration=READ_ONLY)
        monkeypatch.undo()
        assert three.brokers == places
        assert all(map(is_free, made))
        with admin(three) as asked:
            assert asked.brokers() == [1, 2, 3]
        assert settings(three, "auto.create.topics.enable") == {("true", "STATIC_BROKER_CONFIG")}
        change(three, brokers=5)
        assert len(three.brokers) == 5


class TestFewerBrokers:
    def test_their_clients_lose_them_and_their_ports_are_free(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(brokers=4)
        port = cluster.brokers[3].port
        with connections(cluster) as opened:
            change(cluster, brokers=3)
            assert is_closed(opened[4])
            assert all(is_open(opened[broker]) for broker in (1, 2, 3))
        assert is_free(port)
        assert [broker.id for broker in cluster.brokers] == [1, 2, 3]
        assert set(cluster.logs()) == {1, 2, 3}
        with pytest.raises(MskUsageError, match="no broker 4"):
            cluster.reboot(4)

    def test_those_that_hold_a_users_topic_stay(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(brokers=5)
        with admin(cluster) as asked:
            asked.create_topic("wide", 12, 5)
        refused = (
            r"'embedded' cannot have fewer brokers: broker 4, 5 still holds replicas of wide-0, .*wide-9 "
        )
        with pytest.raises(MskUsageError, match=f"{refused}and 2 more"):
            change(cluster, brokers=3, configuration=READ_ONLY)
        assert settings(cluster, "auto.create.topics.enable") == {("true", "STATIC_BROKER_CONFIG")}
        assert len(cluster.brokers) == 5
        with admin(cluster) as asked:
            asked.delete_topic("wide")
        change(cluster, brokers=3)
        assert len(cluster.brokers) == 3

    def test_kafkas_own_topics_move_and_go_on(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(brokers=3)
        with admin(cluster) as asked:
            asked.create_topic("orders", 1, 1)
            if replicas(cluster, "orders") != [(1,)]:
                asked.move_leader("orders", 0, 1)
        transactional = Producer({"bootstrap.servers": bootstrap(cluster), "transactional.id": "t"})
        transactional.init_transactions(10)
        for value in (b"1", b"2"):
            transactional.begin_transaction()
            transactional.produce("orders", value)
            if value == b"1":
                transactional.commit_transaction(10)
                assert consume(cluster, "orders", 1) == [b"1"]
        before = committed(cluster)
        change(cluster, brokers=1)
        transactional.commit_transaction(10)
        assert committed(cluster) == before
        for topic in ("__consumer_offsets", "__transaction_state"):
            assert set(replicas(cluster, topic)) == {(1,)}
        assert consume(cluster, "orders", 1) == [b"2"]

    def test_what_moves_is_spread(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(
            brokers=6,
            configuration={"offsets.topic.num.partitions": "60", "offsets.topic.replication.factor": "1"},
        )
        assert committed(cluster) == {}  # which asks for a coordinator, so that there is the topic
        moved = [number for number, [at] in enumerate(replicas(cluster, "__consumer_offsets")) if at > 3]
        assert len(moved) > 6
        change(cluster, brokers=3)
        after = replicas(cluster, "__consumer_offsets")
        assert {after[number] for number in moved} == {(1,), (2,), (3,)}

    @pytest.mark.parametrize("number", [0, -1])
    def test_one_stays(self, three: EmbeddedBrokers, number: int) -> None:
        with pytest.raises(MskUsageError, match=f"cannot have {number} brokers"):
            change(three, brokers=number)
        with admin(three) as asked:
            assert asked.brokers() == [1, 2, 3]

    @pytest.mark.parametrize("restored", [True, False])
    def test_who_comes_next_does_not_have_the_settings_of_who_left(
        self, cluster_of: ClusterOf, *, restored: bool
    ) -> None:
        cluster = cluster_of(brokers=4)
        default = settings(cluster, "log.cleaner.threads")
        with admin(cluster) as asked:
            asked.set_broker_configs(4, {"log.cleaner.threads": "2"})
        baseline = cluster.baseline()
        change(cluster, brokers=3)
        if restored:
            cluster.restore(baseline)
        change(cluster, brokers=4)
        assert settings(cluster, "log.cleaner.threads") == default


class TestConfiguration:
    def test_dynamic_ones_hold_at_once(self, three: EmbeddedBrokers, one_at_a_time: list[int]) -> None:
        with connections(three) as opened:
            change(three, configuration={"message.max.bytes": "2000", "log.retention.ms": "5000"})
            assert all(map(is_open, opened.values()))
        assert settings(three, "message.max.bytes") == {("2000", "STATIC_BROKER_CONFIG")}
        change(three, configuration={"log.retention.ms": "5000"})
        assert settings(three, "message.max.bytes") == {("1048588", "DEFAULT_CONFIG")}
        assert one_at_a_time == []

    def test_others_restart_each_broker_in_turn(
        self, three: EmbeddedBrokers, one_at_a_time: list[int]
    ) -> None:
        with admin(three) as asked:
            asked.create_topic("orders", 6, 3)
        places = three.brokers
        with connections(three) as opened:
            change(three, configuration=READ_ONLY)
            assert all(map(is_closed, opened.values()))
        assert one_at_a_time == [1, 2, 3]
        assert three.brokers == places
        assert settings(three, "auto.create.topics.enable") == {("false", "STATIC_BROKER_CONFIG")}

    def test_what_a_client_has_set_stays_above(self, three: EmbeddedBrokers) -> None:
        with admin(three) as asked:
            asked.set_broker_configs(2, {"log.cleaner.threads": "2"})
            asked.set_broker_configs(None, {"message.max.bytes": "3000"})
        baseline = three.baseline()
        change(three, configuration={**READ_ONLY, "message.max.bytes": "2000", "log.cleaner.threads": "4"})
        assert settings(three, "message.max.bytes") == {("3000", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
        static = ("4", "STATIC_BROKER_CONFIG")
        assert settings(three, "log.cleaner.threads") == {static, ("2", "DYNAMIC_BROKER_CONFIG")}
        assert three.baseline() == baseline

    @pytest.mark.parametrize(
        "bad", [{"num.partitions": "many"}, {"num.partitions": "0"}, {"log.cleanup.policy": "burn"}]
    )
    def test_a_bad_value_changes_nothing(
        self, three: EmbeddedBrokers, one_at_a_time: list[int], bad: Mapping[str, str]
    ) -> None:
        with pytest.raises(BrokerStartError, match=next(iter(bad))):
            change(three, brokers=4, configuration={**bad, **READ_ONLY}, kafka_version="3.9.1")
        assert one_at_a_time == []
        assert len(three.brokers) == 3
        assert settings(three, "auto.create.topics.enable") == {("true", "STATIC_BROKER_CONFIG")}

    def test_what_kafka_writes_down_itself_follows(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(brokers=3, kafka_version=NEWEST)
        before = cluster.baseline()
        change(cluster, configuration={"min.insync.replicas": "1"})
        assert settings(cluster, "min.insync.replicas") == {("1", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
        with admin(cluster) as asked:
            asked.set_broker_configs(None, {"min.insync.replicas": "3"})
        cluster.restore(before)
        assert settings(cluster, "min.insync.replicas") == {("1", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
        with admin(cluster) as asked:
            asked.set_broker_configs(None, {"min.insync.replicas": "3"})
        during = cluster.baseline()
        change(cluster, configuration={"min.insync.replicas": "2"})
        assert settings(cluster, "min.insync.replicas") == {("3", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
        assert cluster.baseline() == during

    def test_the_listener_for_clients_closes_and_opens(self, one: EmbeddedBrokers) -> None:
        [before] = one.brokers
        change(one, listeners=frozenset())
        [broker] = one.brokers
        assert broker.endpoints.keys() == {"internal"}
        assert {value for value, _ in settings(one, "listeners")} == {
            f"REPLICATION://{broker.endpoints['internal']}"
        }
        change(one, listeners=frozenset({"plaintext"}))
        assert one.brokers == (before,)
        assert {value for value, _ in settings(one, "listeners")} == {
            f"REPLICATION://{before.endpoints['internal']},CLIENT://{before.endpoints['plaintext']}"
        }


class TestVersion:
    def test_data_groups_and_open_transactions_are_kept(
        self, cluster_of: ClusterOf, one_at_a_time: list[int]
    ) -> None:
        cluster = cluster_of(brokers=3, kafka_version=OLDEST)
        with admin(cluster) as asked:
            asked.create_topic("orders", 1, 3)
        produce(cluster, "orders", b"1", b"2")
        assert consume(cluster, "orders", 1) == [b"1"]
        open_one = Producer({"bootstrap.servers": bootstrap(cluster), "transactional.id": "t"})
        open_one.init_transactions(10)
        open_one.begin_transaction()
        open_one.produce("orders", b"3")
        open_one.flush(10)
        epochs, keys = [api_versions(cluster).finalized_features_epoch], [len(api_versions(cluster).api_keys)]
        for version, level in (("3.9.1", 21), ("4.0.0", 25), (NEWEST, 30)):
            change(cluster, kafka_version=version)
            for broker in (1, 2, 3):
                told = api_versions(cluster, broker)
                levels = {each.name: each.max_version_level for each in told.finalized_features}
                assert levels["metadata.version"] == level
            epochs.append(told.finalized_features_epoch)
            keys.append(len(told.api_keys))
        assert epochs == sorted(set(epochs))
        assert keys[0] != keys[-1]
        assert one_at_a_time == [1, 2, 3] * 3
        assert committed(cluster) == {("orders", 0): 1}
        open_one.commit_transaction(10)
        produce(cluster, "orders", b"4")
        assert consume(cluster, "orders", 3) == [b"2", b"3", b"4"]

    def test_brokers_join_and_settings_change_with_it(self, cluster_of: ClusterOf) -> None:
        cluster = cluster_of(kafka_version=OLDEST)
        change(cluster, kafka_version="3.9.x", brokers=3, configuration=READ_ONLY)
        assert settings(cluster, "auto.create.topics.enable") == {("false", "STATIC_BROKER_CONFIG")}
        assert len({len(api_versions(cluster, broker).api_keys) for broker in (1, 2, 3)}) == 1

    @pytest.mark.parametrize(
        ("version", "says"), [("3.6.0", "back to 3.6.0"), ("9.9.9", "no brokers of 9.9")]
    )
    def test_an_older_or_unknown_one_changes_nothing(
        self, cluster_of: ClusterOf, one_at_a_time: list[int], version: str, says: str
    ) -> None:
        cluster = cluster_of(kafka_version=OLDEST)
        with pytest.raises(MskUsageError, match=says):
            change(cluster, kafka_version=version, brokers=2, configuration=READ_ONLY)
        assert one_at_a_time == []
        assert len(cluster.brokers) == 1

    def test_settings_that_the_newer_one_does_not_have_are_in_nobodys_way(
        self, cluster_of: ClusterOf
    ) -> None:
        gone = (
            definitions(versions.release(OLDEST)).topic.keys() - definitions(versions.release(NEWEST)).topic
        )
        values = {
            "message.downconversion.enable": "false",
            "message.format.version": "3.0-IV1",
            "message.timestamp.difference.max.ms": "1000000000000",
        }
        assert gone == values.keys()
        cluster = cluster_of(brokers=3, kafka_version=OLDEST)
        with admin(cluster) as asked:
            asked.create_topic("orders", 1, 3, values)
            asked.set_broker_configs(None, {"log.message.timestamp.difference.max.ms": "1000000000000"})
            asked.set_broker_configs(3, {"min.insync.replicas": "1"})
        before = cluster.baseline()
        change(cluster, kafka_version=NEWEST)
        for _ in range(2):
            with admin(cluster) as asked:
                assert asked.describe_configs("orders")["retention.ms"].value == "604800000"
            assert settings(cluster, "min.insync.replicas") == {("2", "DYNAMIC_DEFAULT_BROKER_CONFIG")}
            produce(cluster, "orders", b"1")
            cluster.restore(before)


def test_what_is_asked_at_once_is_done_in_turn(three: EmbeddedBrokers, one_at_a_time: list[int]) -> None:
    with admin(three) as asked:
        asked.create_topic("orders", 6, 3)
    wanted = [{"configuration": {**READ_ONLY, "num.partitions": str(number + 2)}} for number in range(6)]
    with ThreadPoolExecutor(12) as pool:
        changed = [pool.submit(change, three, **each) for each in wanted]
        rebooted = [pool.submit(three.reboot, broker) for broker in (1, 2, 3) * 2]
        for done in (*changed, *rebooted):
            done.result(30)
    assert len(one_at_a_time) >= 3 + 6
    assert settings(three, "num.partitions") == {
        (three._spec.configuration["num.partitions"], "STATIC_BROKER_CONFIG")
    }
    with admin(three) as asked:
        assert all(len(partition.isr) == 3 for partition in asked.topic("orders").partitions)


def test_offsets_of_brokers_that_joined_are_read(one: EmbeddedBrokers) -> None:
    """A group that is new after the change has its place on the cluster as it is then."""
    change(one, brokers=3)
    with admin(one) as asked:
        asked.create_topic("orders", 3, 3)
    produce(one, "orders", b"1")
    assert consume(one, "orders", 1, group="later") == [b"1"]
    assert {len(found) for found in replicas(one, "__consumer_offsets")} == {3}
    consumer = Consumer({"bootstrap.servers": bootstrap(one), "group.id": "later"})
    found = consumer.committed([TopicPartition("orders", number) for number in range(3)], timeout=10)
    assert sorted(place.offset for place in found)[-1] == 1
    consumer.close()
