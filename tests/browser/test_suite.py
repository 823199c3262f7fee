"""Python 3.14, which no other run has: what of the tests needs no server, thread or process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import open_in
from .page import Page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    yield from open_in("worker", tmp_path_factory)


def test_the_tests_that_need_nothing_but_python_pass_on_3_14(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    report = page.run("suite.run_tests", within=600)
    with capsys.disabled():
        left_out = [f"{len(tests)}: {reason}" for reason, tests in report["left_out"].items()]
        print(f"\n{report['passed']} tests passed on Python 3.14; left out: {'; '.join(left_out)}")
    assert report["failed"] == {}, "\n\n".join(report["failed"].values())
    assert report["status"] == 0, report["said"]
    assert report["skipped"] == []
    assert report["passed"] > 500
