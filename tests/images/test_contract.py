"""What the plugin relies on in an `apache/kafka` image, held against every such image on this machine."""

import io
import re
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache

import docker
import pytest
from docker.errors import DockerException
from docker.models.containers import Container
from docker.models.images import Image

from tests.leaks import collect_sockets

STARTED = "Kafka Server started"
PATIENCE = 60  # seconds
APPUSER = 1000
CONFIGURE = "cd /etc/kafka/docker && . ./bash-config && . ./configureDefaults && . ./configure"

BROKER = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:9092",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
}
VARIABLES = BROKER | {
    "CLUSTER_ID": "abcdefghijklmnopqrstug",
    "KAFKA_MADE_UP__NAME___HERE": "kept",
    "KAFKA_HEAP_OPTS": "-Xmx300m",
    "KAFKA_JVM_PERFORMANCE_OPTS": "-XX:+UseSerialGC",
    # %p tells the two JVMs apart.
    "KAFKA_OPTS": "-Dour.option=kept -Xlog:class+load=info:file=/tmp/classes-%p.log",
    "KAFKA_LOG4J_LOGGERS": "kafka.log.LogManager=WARN",
}
FILE = "# from a file\nlog.retention.hours=7\nlog.dirs=/var/lib/kafka/data\n" + "".join(
    f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n" for name, value in BROKER.items()
)
TOOLS = [
    "connect-distributed",
    "connect-standalone",
    "kafka-acls",
    "kafka-configs",
    "kafka-console-consumer",
    "kafka-console-producer",
    "kafka-consumer-groups",
    "kafka-run-class",
    "kafka-server-start",
    "kafka-server-stop",
    "kafka-storage",
    "kafka-topics",
    "kafka-verifiable-consumer",
    "kafka-verifiable-producer",
]


@cache
def client() -> docker.DockerClient:
    return docker.from_env()


@cache
def engine() -> bool:
    with suppress(DockerException):
        return bool(client().ping())
    collect_sockets()
    return False


@cache
def versions() -> list[str]:
    images = client().images.list("apache/kafka") if engine() else []
    tags = [tag for image in images for tag in image.tags]
    return sorted(tag.partition(":")[2] for tag in tags if re.fullmatch(r"apache/kafka:\d+\.\d+\.\d+", tag))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("version", versions() or [None], indirect=True, scope="module")


@pytest.fixture(scope="module")
def version(request: pytest.FixtureRequest) -> str:
    if request.param is not None:
        return str(request.param)
    missing = "no image apache/kafka:<version>" if engine() else "no Docker engine"
    pytest.skip(missing)


@pytest.fixture(scope="module")
def image(version: str) -> Image:
    return client().images.get(f"apache/kafka:{version}")


@contextmanager
def running(
    image: Image,
    command: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """A container, and its end."""
    container = client().containers.create(image, command, environment=dict(environment or {}))
    try:
        container.put_archive("/", archive(files or {}))
        container.start()
        yield container
    finally:
        container.remove(force=True, v=True)


def archive(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.uid, member.gid = len(text.encode()), APPUSER, APPUSER
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def result(
    image: Image,
    script: str | None = None,
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """The exit status and output of a script, or of the image's own command."""
    command = None if script is None else ["bash", "-c", script]
    with running(image, command, environment, files) as container:
        status = container.wait(timeout=PATIENCE)["StatusCode"]
        return status, container.logs().decode()


def output(image: Image, script: str, environment: Mapping[str, str] | None = None) -> str:
    status, text = result(image, script, environment)
    assert status == 0, text
    return text.strip()


def ask(container: Container, script: str) -> str:
    """What a script prints inside a running container."""
    status, text = container.exec_run(["bash", "-c", script])
    assert status == 0, text.decode()
    return str(text.decode().strip())


def await_started(container: Container, times: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE
    while container.logs().decode().count(STARTED) < times:
        container.reload()
        if container.status == "exited" or time.monotonic() > deadline:
            pytest.fail(f"Kafka did not start:\n{container.logs(tail=40).decode()}")
        time.sleep(0.05)


def properties(container: Container) -> dict[str, str]:
    lines = ask(container, "cat /opt/kafka/config/server.properties").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.fixture(scope="module")
def default(image: Image) -> Iterator[Container]:
    """A broker that was given nothing."""
    with running(image) as container:
        await_started(container)
        yield container


@pytest.fixture(scope="module")
def from_variables(image: Image) -> Iterator[Container]:
    with running(image, environment=VARIABLES) as container:
        await_started(container)
        yield container


@pytest.fixture(scope="module")
def from_file(image: Image) -> Iterator[Container]:
    added = {"KAFKA_LOG_RETENTION_BYTES": "12345"}
    with running(image, environment=added, files={"/mnt/shared/config/server.properties": FILE}) as container:
        await_started(container)
        yield container


class TestImage:
    def test_user(self, image: Image) -> None:
        assert image.attrs["Config"]["User"] == "appuser"
        assert output(image, "id -un; id -u").split() == ["appuser", str(APPUSER)]

    def test_volumes(self, image: Image) -> None:
        volumes = {"/var/lib/kafka/data", "/etc/kafka/secrets", "/mnt/shared/config"}
        assert set(image.attrs["Config"]["Volumes"]) == volumes

    def test_volumes_are_writable(self, image: Image) -> None:
        places = "/var/lib/kafka/data /etc/kafka/secrets /mnt/shared/config /opt/kafka/config"
        assert output(image, f"for place in {places}; do touch $place/file || exit; done") == ""

    def test_port(self, image: Image) -> None:
        assert set(image.attrs["Config"]["ExposedPorts"]) == {"9092/tcp"}

    def test_command(self, image: Image) -> None:
        assert image.attrs["Config"]["Cmd"] == ["/etc/kafka/docker/run"]

    def test_scripts_of_the_start(self, image: Image) -> None:
        names = output(image, "ls /etc/kafka/docker").split()
        assert {"run", "bash-config", "configureDefaults", "configure", "launch"} <= set(names)

    def test_tools(self, image: Image) -> None:
        found = output(image, "cd /opt/kafka/bin && find . -name '*.sh' -executable").split()
        assert {f"./{tool}.sh" for tool in TOOLS} <= set(found)

    def test_archives_of_classes(self, image: Image) -> None:
        assert output(image, "cd /opt/kafka && ls *.jsa").split() == ["kafka.jsa", "storage.jsa"]

    def test_programs_on_the_path(self, image: Image) -> None:
        assert len(output(image, "command -v sh bash java sleep test cat mkdir").split()) == 7

    def test_holds_the_version_of_its_tag(self, image: Image, version: str) -> None:
        assert output(image, f"cd /opt/kafka/libs && ls kafka_2.13-{version}.jar kafka-clients-{version}.jar")
        assert output(image, "/opt/kafka/bin/kafka-topics.sh --version").startswith(version)


class TestConfigure:
    def test_cluster_id_has_a_default(self, image: Image) -> None:
        assert output(image, f"{CONFIGURE}; echo $CLUSTER_ID").endswith("5L6g3nShT-eMCtK--X86sw")

    def test_roles_need_a_cluster_id(self, image: Image) -> None:
        script = CONFIGURE.replace(". ./configureDefaults", "unset CLUSTER_ID")
        status, text = result(image, script, {"KAFKA_PROCESS_ROLES": "broker"})
        assert status
        assert "CLUSTER_ID" in text

    def test_listeners_are_derived(self, image: Image) -> None:
        advertised = {"KAFKA_ADVERTISED_LISTENERS": "ONE://some.host:9092,TWO://localhost:19092"}
        derived = output(image, f"{CONFIGURE}; printenv KAFKA_LISTENERS", advertised)
        assert derived.splitlines()[-1] == "ONE://0.0.0.0:9092,TWO://0.0.0.0:19092"

    def test_listeners_that_are_set_stay(self, image: Image) -> None:
        both = {"KAFKA_ADVERTISED_LISTENERS": "ONE://host:9092", "KAFKA_LISTENERS": "ONE://:1234"}
        assert output(image, f"{CONFIGURE}; printenv KAFKA_LISTENERS", both).endswith("ONE://:1234")

    def test_a_controller_advertises_nothing(self, image: Image) -> None:
        environment = {"KAFKA_PROCESS_ROLES": "controller", "KAFKA_ADVERTISED_LISTENERS": "ONE://host:9092"}
        status, text = result(image, environment=environment)
        assert status
        assert "KAFKA_ADVERTISED_LISTENERS is not supported" in text

    @pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
    def test_ssl_needs_a_keystore(self, image: Image, protocol: str) -> None:
        status, text = result(image, environment={"KAFKA_ADVERTISED_LISTENERS": f"{protocol}://host:9092"})
        assert status
        assert "KAFKA_SSL_KEYSTORE_FILENAME" in text

    def test_other_names_of_a_tls_listener_need_none(self, image: Image) -> None:
        advertised = {"KAFKA_ADVERTISED_LISTENERS": "CLIENT_TLS://host:9092"}
        assert output(image, f"{CONFIGURE}; echo went on", advertised).endswith("went on")

    def test_ssl_credentials_are_read_from_files(self, image: Image) -> None:
        environment = {
            "KAFKA_ADVERTISED_LISTENERS": "SSL://host:9092",
            "KAFKA_SSL_KEYSTORE_FILENAME": "store.jks",
            "KAFKA_SSL_KEYSTORE_CREDENTIALS": "of-store",
            "KAFKA_SSL_KEY_CREDENTIALS": "of-key",
        }
        folder = "/etc/kafka/secrets"
        files = {f"{folder}/store.jks": "", f"{folder}/of-store": "one", f"{folder}/of-key": "two"}
        status, text = result(image, f"{CONFIGURE}; env", environment, files)
        assert status == 0, text
        lines = text.splitlines()
        assert f"KAFKA_SSL_KEYSTORE_LOCATION={folder}/store.jks" in lines
        assert "KAFKA_SSL_KEYSTORE_PASSWORD=one" in lines
        assert "KAFKA_SSL_KEY_PASSWORD=two" in lines

    def test_sasl_needs_options(self, image: Image) -> None:
        status, text = result(image, environment={"KAFKA_ADVERTISED_LISTENERS": "SASL_PLAINTEXT://host:9092"})
        assert status
        assert "KAFKA_OPTS" in text


class TestVariables:
    def test_become_properties(self, from_variables: Container) -> None:
        found = properties(from_variables)
        assert found["process.roles"] == "broker,controller"
        assert found["made.up_name-here"] == "kept"

    def test_for_the_jvm_do_not(self, from_variables: Container) -> None:
        found = properties(from_variables)
        assert not {"heap.opts", "opts", "jvm.performance.opts", "log4j.loggers"} & set(found)

    def test_are_all_there_is(self, from_variables: Container) -> None:
        assert "num.partitions" not in properties(from_variables)

    def test_jvm_options(self, from_variables: Container) -> None:
        arguments = ask(from_variables, r"tr '\0' '\n' </proc/1/cmdline").splitlines()
        assert {"-Xmx300m", "-XX:+UseSerialGC", "-Dour.option=kept"} <= set(arguments)
        assert "-Xms1G" not in arguments

    def test_cluster_id(self, from_variables: Container) -> None:
        folder = "/tmp/kafka-logs"  # noqa: S108  Kafka's own default
        assert f"cluster.id={VARIABLES['CLUSTER_ID']}" in ask(from_variables, f"cat {folder}/meta.properties")

    def test_loggers(self, from_variables: Container) -> None:
        assert "INFO" in from_variables.logs().decode()
        assert "(kafka.log.LogManager)" not in from_variables.logs().decode()

    def test_both_jvms_load_from_their_archives(self, from_variables: Container) -> None:
        counts = ask(from_variables, "grep -c 'shared objects file (top)' /tmp/classes-*.log").splitlines()
        assert len(counts) == 2
        assert min(int(line.rpartition(":")[2]) for line in counts) > 1000


class TestFile:
    def test_is_taken_as_it_is(self, from_file: Container) -> None:
        assert ask(from_file, "cat /opt/kafka/config/server.properties").startswith(FILE.strip())

    def test_variables_are_appended(self, from_file: Container) -> None:
        assert properties(from_file)["log.retention.bytes"] == "12345"

    def test_needs_no_store_for_ssl(self, image: Image) -> None:
        files = {"/mnt/shared/config/server.properties": "advertised.listeners=SSL://host:9092\n"}
        status, text = result(image, f"{CONFIGURE}; echo went on", files=files)
        assert (status, text.splitlines()[-1]) == (0, "went on")

    def test_data_in_the_volume(self, from_file: Container) -> None:
        assert "5L6g3nShT-eMCtK--X86sw" in ask(from_file, "cat /var/lib/kafka/data/meta.properties")


class TestDefault:
    def test_properties(self, default: Container) -> None:
        found = properties(default)
        assert set(found["process.roles"].split(",")) == {"broker", "controller"}
        assert "localhost:9092" in found["advertised.listeners"]

    def test_log_lines(self, default: Container) -> None:
        line = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] INFO .*Kafka Server started \(kafka[\w.]+\)"
        assert re.search(line, default.logs().decode())

    def test_kafka_is_the_first_process(self, default: Container) -> None:
        arguments = ask(default, r"tr '\0' '\n' </proc/1/cmdline").splitlines()
        assert arguments[-2:] == ["kafka.Kafka", "/opt/kafka/config/server.properties"]
        assert "-Xmx1G" in arguments
        assert "-XX:SharedArchiveFile=/opt/kafka/kafka.jsa" in arguments

    def test_archive_is_mapped(self, default: Container) -> None:
        assert "/opt/kafka/kafka.jsa" in ask(default, "cat /proc/1/maps")

    def test_produce_and_consume(self, default: Container) -> None:
        at = "--bootstrap-server localhost:9092 --topic round-trip"
        ask(default, f"/opt/kafka/bin/kafka-topics.sh {at} --create --partitions 1")
        ask(default, f"echo ä record | /opt/kafka/bin/kafka-console-producer.sh {at}")
        limits = "--from-beginning --max-messages 1 --timeout-ms 30000 2>/dev/null"
        assert ask(default, f"/opt/kafka/bin/kafka-console-consumer.sh {at} {limits}") == "ä record"

    def test_starts_again(self, default: Container) -> None:
        default.restart()
        await_started(default, times=2)

    def test_stops_when_told(self, default: Container) -> None:
        default.stop(timeout=PATIENCE)
        assert default.wait()["StatusCode"] == 143
        assert "shut down completed" in default.logs().decode()
