"""pytest's hooks: options, marker, header, report sections. Imports nothing heavy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_msk.brokers import clock as _clock  # noqa: F401  # takes the clock before anybody freezes it
from pytest_msk.errors import BackendUnavailableError, MskError, MskUsageError
from pytest_msk.fixtures import _msk, msk_client, msk_cluster, msk_cluster_factory
from pytest_msk.settings import SETTINGS, Setting, Settings, Source, Value, environment, resolve
from pytest_msk.usage import CLUSTER_FIXTURE, MARKER, item_key, session_key, settings_key, uses_msk

if TYPE_CHECKING:
    from pytest_msk.session import MskSession

__all__ = ["_msk", "msk_client", "msk_cluster", "msk_cluster_factory"]

_MARKER_LINE = (
    f"{MARKER}(brokers=, kafka_version=, topics=, configuration=, scope=, docker=, name=, isolation=): "
    "the MSK cluster of a test."
)
_FLAGS = ("docker", "embedded_process", "strict")
_LOG_LINES = 50
_LOG_CHARACTERS = 8_000

_refusal_key = pytest.StashKey[str]()
_elsewhere_key = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings as options and ini values."""
    group = parser.getgroup("msk", "Amazon MSK clusters")
    for setting in SETTINGS:
        text = f"{setting.help} (default: {setting.default})" if setting.default is not None else setting.help
        kind: dict[str, Any] = {"action": "store_true"} if setting.name in _FLAGS else {"metavar": "VALUE"}
        group.addoption(setting.option, dest=setting.ini, default=None, help=text, **kind)
        parser.addini(setting.ini, text, type=setting.ini_type, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Settle the settings before anything is collected."""
    config.addinivalue_line("markers", _MARKER_LINE)
    try:
        config.stash[settings_key] = resolve(_command_line(config), environment, _ini_file(config))
    except MskUsageError as error:
        raise pytest.UsageError(f"pytest-msk: {error}") from None


def _command_line(config: pytest.Config) -> Source:
    def look(setting: Setting) -> Value | None:
        value = config.getoption(setting.ini)
        return None if value is None else Value(value, f"command line {setting.option}")

    return look


def _ini_file(config: pytest.Config) -> Source:
    def look(setting: Setting) -> Value | None:
        source = f"ini {setting.ini}"
        try:
            value = config.getini(setting.ini)
        except (TypeError, ValueError, pytest.UsageError) as error:
            raise MskUsageError(f"{source}: {error}") from None
        return None if value is None else Value(value, source)

    return look


def pytest_report_header(config: pytest.Config) -> str | None:
    """The settings, where anybody has set one."""
    settings = config.stash[settings_key]
    return _header(settings) if settings.explicit else None


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """The settings, where tests use clusters and the header has not shown them; and where brokers will be."""
    settings = config.stash[settings_key]
    if config.get_verbosity() < 0 or not any(map(uses_msk, items)):
        return []
    shown = [] if settings.explicit else [_header(settings)]
    return [*shown, *config.stash.get(_elsewhere_key, [])]


def _header(settings: Settings) -> str:
    return f"msk: {settings.describe()}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where xdist's workers run the tests, find out here whether the backend can run, and say so once."""
    settings = session.config.stash[settings_key]
    if settings.backend == "docker" and session.config.pluginmanager.hasplugin("dsession"):
        from pytest_msk.session import msk_session

        error = _engine_error(msk_session(session.config))
        if error and settings.docker_missing == "fail":
            raise pytest.UsageError(error)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse wrong markers, and a backend that cannot run here, before anything is started."""
    using = [item for item in items if uses_msk(item)]
    if not using:
        return
    from pytest_msk.session import marked_request, msk_session

    session = msk_session(config)
    _refuse(config, _errors(using, lambda item: marked_request(item, session.settings)))
    if not config.option.collectonly:
        _check_docker(config, session, [item for item in using if _refusal_key not in item.stash])


def _errors(items: list[pytest.Item], check: Callable[[pytest.Item], object]) -> dict[pytest.Item, str]:
    errors = {}
    for item in items:
        try:
            check(item)
        except MskUsageError as error:
            errors[item] = f"{item.nodeid}: {error}"
    return errors


def _refuse(config: pytest.Config, errors: Mapping[pytest.Item, str]) -> None:
    if hasattr(config, "workerinput"):
        # A worker that ends during collection takes xdist down with an internal error; so its tests fail.
        for item, error in errors.items():
            item.stash[_refusal_key] = error
    elif errors:
        raise pytest.UsageError("\n".join(dict.fromkeys(errors.values())))


def _check_docker(config: pytest.Config, session: MskSession, items: list[pytest.Item]) -> None:
    from pytest_msk.session import marked_request

    requests = {item: marked_request(item, session.settings) for item in items}
    dockers = [item for item, request in requests.items() if request.backend == "docker"]
    if not dockers:
        return
    plane = session.runtime.plane("docker")
    _refuse(config, _errors(dockers, lambda item: plane.check_spec(requests[item].spec("unnamed"))))
    error = _engine_error(session)
    if error and session.settings.docker_missing == "fail":
        _refuse(config, dict.fromkeys(dockers, error))
    elif error:
        for item in dockers:
            item.add_marker(pytest.mark.skip(reason=error))
    else:
        config.stash[_elsewhere_key] = _elsewhere()


def _elsewhere() -> list[str]:
    """What there is to say of an engine that is not on this machine."""
    from pytest_msk.brokers.docker.engine import LOOPBACK, published_host

    host = published_host()
    return [] if host == LOOPBACK else [f"msk: brokers run, are published and advertised at {host}"]


def _engine_error(session: MskSession) -> str | None:
    try:
        session.runtime.plane("docker").check()
    except BackendUnavailableError as error:
        return f"pytest-msk: {error}"
    return None


# Innermost of the wrappers, so that those of pytest itself have set up what their teardowns need.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Patch boto3 for tests that ask for MSK, and see that ``msk_cluster`` is the one they ask for."""
    if _refusal_key in item.stash:
        pytest.fail(item.stash[_refusal_key], pytrace=False)
    stash = item.config.stash
    stash[item_key] = item
    if session_key in stash:
        stash[session_key].enter(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test whose requests a broker could not serve by a fault of its own."""
    session = item.config.stash.get(session_key, None)
    if session is None:
        return (yield)
    session.mark()
    try:
        result = yield
    except Exception as error:
        _check_served(session, error)
        raise
    _check_served(session)
    return result


def _check_served(session: MskSession, cause: Exception | None = None) -> None:
    if failures := session.failures():
        raise MskError("The brokers failed to serve:\n" + "\n".join(failures)) from cause


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Take the patch off after the test's fixtures are gone."""
    try:
        return (yield)
    finally:
        if session_key in item.config.stash:
            item.config.stash[session_key].leave()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Learn how pytest ends ``msk_cluster``, and tell what a test makes from what was made for several."""
    session = request.config.stash.get(session_key, None)
    if session is None:
        return (yield)
    if fixturedef.argname == CLUSTER_FIXTURE and fixturedef.func.__module__ == "pytest_msk.fixtures":
        session.hold(functools.partial(fixturedef.finish, request=request))  # type: ignore[arg-type]
        return (yield)
    if fixturedef.scope == "function":
        session.mark()
        return (yield)
    with session.wider():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the tails of the brokers' logs to the report of a test that failed."""
    report = yield
    if report.failed and session_key in item.config.stash:
        for title, log in item.config.stash[session_key].logs(_LOG_LINES):
            report.sections.append((title, log[-_LOG_CHARACTERS:]))
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last resort, where the session's fixtures did not get to end."""
    if session_key in session.config.stash:
        session.config.stash[session_key].close()
