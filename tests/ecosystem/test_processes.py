"""Other processes, greenlets, and what patches a whole process."""

from __future__ import annotations

from pickle import PicklingError

import pytest

from .elsewhere import auth_to_send, live, session_to_send


@pytest.fixture
def clock() -> None:
    """No clock of the story's own: other processes have theirs."""


@pytest.mark.package("joblib")
def test_processes_of_joblib(story, monkeypatch):
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    auth = auth_to_send(story, monkeypatch)
    try:
        (statuses,) = Parallel(n_jobs=2)(delayed(live)(auth, url) for url in [story.url])
        with pytest.raises(PicklingError) as caught:
            Parallel(n_jobs=2)(delayed(live)(story.auth(), story.url) for _ in range(2))
        assert "a literal client_secret is neither pickled" in str(caught.value.__cause__)
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert statuses == [200] * 4
    story.check()


@pytest.mark.package("joblib")
def test_threads_of_joblib(story, monkeypatch):
    from joblib import Parallel, delayed

    auth = auth_to_send(story, monkeypatch)
    (statuses,) = Parallel(n_jobs=2, prefer="threads")(
        delayed(live)(auth, url) for url in [story.url]
    )
    assert statuses == [200] * 4
    story.check()


@pytest.mark.package("joblib")
def test_a_cache_of_joblib_keeps_no_token(story, tmp_path):
    from joblib import Memory

    memory = Memory("memory", verbose=0)
    with story.session() as session:
        fetch = memory.cache(lambda url: session.get(url).json())
        url = story.url
        assert fetch(url) == fetch(url)
    assert story.calls() == [(1, 200)]
    assert any(path.name == "output.pkl" for path in story.search_files(tmp_path))
    story.told = True


@pytest.mark.package("cloudpickle")
def test_cloudpickle(story, monkeypatch):
    import cloudpickle

    auth = auth_to_send(story, monkeypatch)
    pickled = cloudpickle.dumps((auth, lambda url, auth=auth: live(auth, url)))
    story.search("the pickle", pickled)
    copy, run = cloudpickle.loads(pickled)
    assert run(story.url, copy) == [200] * 4
    story.check()
    with pytest.raises(TypeError, match="secret"):
        cloudpickle.dumps(story.auth())


@pytest.mark.package("dill")
def test_dill(story, monkeypatch):
    import dill

    with session_to_send(story, monkeypatch) as session:
        pickled = dill.dumps(session)
    story.search("the pickle", pickled)
    with dill.loads(pickled) as copy:
        assert live(copy.auth, story.url) == [200] * 4
    story.check()


@pytest.mark.package("billiard")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_billiard(story, monkeypatch, method):
    from billiard import get_context

    auth = auth_to_send(story, monkeypatch)
    with get_context(method).Pool(1) as pool:
        assert pool.apply(live, (auth, story.url)) == [200] * 4
        pool.close()
        pool.join()
    story.check()


@pytest.mark.package("gevent")
def test_gevent(alone):
    alone("with_gevent.py", "from gevent import monkey; monkey.patch_all()")


@pytest.mark.package("eventlet")
def test_eventlet(alone):
    alone(
        "with_eventlet.py",
        "import warnings; warnings.simplefilter('ignore')\n"
        "import eventlet; eventlet.monkey_patch()",
    )


@pytest.mark.package("locust")
def test_locust(alone):
    alone("with_locust.py", "import locust")


@pytest.mark.package("truststore")
def test_truststore(alone):
    alone("with_truststore.py", "import truststore; truststore.inject_into_ssl()")
