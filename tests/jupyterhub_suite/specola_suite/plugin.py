"""The plug-in of pytest: puts Specola in JupyterHub's place before the tests are imported, and keeps the list honest.

A test that fails has to be in `listed.txt`, with the reason; what is in the list has to fail.
"""

from pathlib import Path

import pytest

from . import stand_in

LIST = Path(__file__).parent.parent / "listed.txt"

stand_in.install()


def read_list():
    """The listed tests with their reasons: `file::test` or `file::test[parameters]` below a `[reason]`."""
    listed, reason = {}, None
    for line in LIST.read_text().splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            reason = line[1:-1]
        elif line and not line.startswith("#"):
            listed[line] = reason
    return listed


LISTED = read_list()
# By listed name: how its tests ended.
ended = {}
counts = {"passed": 0, "asked nothing": 0, "listed": 0}


def name_of(item):
    return f"{item.path.name}::{item.name}"


def entry_of(item):
    name = name_of(item)
    return name if name in LISTED else name.split("[")[0] if name.split("[")[0] in LISTED else None


def pytest_collection_modifyitems(items):
    for item in items:
        entry = entry_of(item)
        if entry is not None:
            # What never answers is not waited for.
            reason = LISTED[entry]
            mark = pytest.mark.skip if reason.startswith("not run: ") else pytest.mark.xfail
            item.add_marker(mark(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and stand_in.StandIn.current is not None:
        report.sections.append(("Specola's log", stand_in.StandIn.current.what_the_hub_said()[-4000:]))
    entry = entry_of(item)
    if entry is not None and (report.when == "call" or not report.passed):
        ended.setdefault(entry, set()).add("passed" if report.passed and not hasattr(report, "wasxfail") else "not")
        if hasattr(report, "wasxfail") and report.passed:
            ended[entry].add("passed")
    if report.when == "call" and report.passed and entry is None:
        app = stand_in.StandIn.current
        counts["passed" if app is not None and app.asked > 0 else "asked nothing"] += 1
    elif entry is not None and report.when == "call":
        counts["listed"] += 1
    return report


def pytest_terminal_summary(terminalreporter):
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    terminalreporter.line(f"of JupyterHub's tests: {told}")
    for entry in stale():
        terminalreporter.line(f"listed, and passes: {entry}")


def stale():
    return sorted(entry for entry, how in ended.items() if how == {"passed"})


def pytest_sessionfinish(session):
    if stale() and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Each test finds the hub as the first one did."""
    app = request.getfixturevalue("app") if "app" in request.fixturenames else None
    stand_in.StandIn.current = app
    if app is not None:
        app.asked = 0
    yield
    stand_in.StandIn.current = app
    if app is not None:
        app.clean_up()


@pytest.fixture(autouse=True, scope="module")
async def none_left():
    """Tests that start a hub of their own leave it."""
    yield
    for app in list(stand_in.StandIn.alive):
        app.specola.end()
    stand_in.StandIn.alive.clear()
