"""Clients of web services that send with an auth, or a session, which they are given."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from clientcreds_requests.testing import Answer, RecordedRequest


def answers(body: Any, **headers: str):
    """The API of a test: the same answer to every call with a valid token."""
    if isinstance(body, list):
        body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
    return lambda _: Answer(200, body, headers)


def port_of(story) -> int:
    return urlsplit(story.server.api_url).port


# -- GraphQL and SOAP ------------------------------------------------------------------------------


@pytest.mark.package("gql")
def test_gql(story):
    from gql import Client, gql
    from gql.transport.requests import RequestsHTTPTransport

    story.server.answer = answers({"data": {"a": 1}})
    transport = RequestsHTTPTransport(story.server.api_url, auth=story.auth())
    with Client(transport=transport) as client:
        query = gql("query { a }")
        story.tell(lambda _: client.execute(query)["a"])


@pytest.mark.package("sgqlc")
def test_sgqlc(story):
    from sgqlc.endpoint.requests import RequestsEndpoint

    story.server.answer = answers({"data": {"a": 1}})
    with story.session() as session:
        endpoint = RequestsEndpoint(story.server.api_url, session=session)
        story.tell(lambda _: endpoint("query { a }")["data"])


WSDL = """<definitions name="Echo" targetNamespace="urn:echo" xmlns="http://schemas.xmlsoap.org/wsdl/"
    xmlns:tns="urn:echo" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xsd="http://www.w3.org/2001/XMLSchema">
  <message name="Asked"><part name="text" type="xsd:string"/></message>
  <message name="Answered"><part name="text" type="xsd:string"/></message>
  <portType name="Echo">
    <operation name="Echo"><input message="tns:Asked"/><output message="tns:Answered"/></operation>
  </portType>
  <binding name="Echo" type="tns:Echo">
    <soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Echo">
      <soap:operation soapAction="urn:echo"/>
      <input><soap:body use="literal" namespace="urn:echo"/></input>
      <output><soap:body use="literal" namespace="urn:echo"/></output>
    </operation>
  </binding>
  <service name="Echo">
    <port name="Echo" binding="tns:Echo"><soap:address location="{url}"/></port>
  </service>
</definitions>"""
ENVELOPE = """<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>
<e:EchoResponse xmlns:e="urn:echo"><text>heard</text></e:EchoResponse>
</soap:Body></soap:Envelope>"""


@pytest.mark.package("zeep")
def test_zeep(story):
    from zeep import Client, Transport
    from zeep.cache import SqliteCache

    def answer(request: RecordedRequest) -> Answer:
        content = ENVELOPE if request.method == "POST" else WSDL.format(url=story.server.api_url)
        return Answer(200, content, {"Content-Type": "text/xml"})

    story.server.answer = answer
    with story.session() as session:
        transport = Transport(session=session, cache=SqliteCache("zeep.db"))
        client = Client(f"{story.server.api_url}?wsdl", transport=transport)
        story.tell(lambda _: client.service.Echo("said"))
    assert Path("zeep.db").stat().st_size


# -- search and data -------------------------------------------------------------------------------


@pytest.mark.package("opensearch-py")
def test_opensearch(story, monkeypatch):
    # It needs a module events, which is not that of these tests.
    tests = str(Path(__file__).parents[1])
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != tests])
    monkeypatch.setitem(sys.modules, "events", None)
    monkeypatch.delitem(sys.modules, "events")
    from opensearchpy import OpenSearch, RequestsHttpConnection

    story.server.answer = answers({"hits": {"hits": []}})
    host = {"host": "127.0.0.1", "port": port_of(story)}
    with OpenSearch(
        [host], http_auth=story.auth(), connection_class=RequestsHttpConnection
    ) as client:
        story.tell(lambda _: client.search(index="a")["hits"])


@pytest.mark.package("elasticsearch")
def test_elasticsearch(story):
    from elastic_transport import NodeConfig
    from elasticsearch import Elasticsearch

    story.server.answer = answers({"hits": {"hits": []}}, **{"X-Elastic-Product": "Elasticsearch"})
    extras = {"requests.session.auth": story.auth()}
    node = NodeConfig("http", "127.0.0.1", port_of(story), _extras=extras)
    with Elasticsearch([node], node_class="requests") as client:
        story.tell(lambda _: client.search(index="a")["hits"])


@pytest.mark.package("pysolr")
def test_pysolr(story):
    from pysolr import Solr

    story.server.answer = answers({"response": {"docs": [], "numFound": 0}})
    solr = Solr(story.server.api_url, auth=story.auth())
    story.tell(lambda _: solr.search("a").docs)
    solr.get_session().close()


@pytest.mark.package("dlt")
@pytest.mark.parametrize("by", ["auth", "session"])
def test_dlt(story, by):
    from dlt.sources.helpers.rest_client import RESTClient

    story.server.answer = answers([{"a": 1}])
    with story.session() as session:
        given = {"auth": story.auth()} if by == "auth" else {"session": session}
        client = RESTClient(story.server.api_url, **given)
        story.tell(lambda url: list(client.paginate(urlsplit(url).path)))


@pytest.mark.package("pyiceberg")
def test_pyiceberg(story):
    from pyiceberg.catalog.rest import RestCatalog

    class Catalog(RestCatalog):
        """Its own AuthManager is asked for a header, and told of no 401."""

        def _create_session(self):
            session = super()._create_session()
            session.auth = auth
            return session

    def answer(request: RecordedRequest) -> Answer:
        is_config = request.path.endswith("/config")
        return Answer(200, {"defaults": {}, "overrides": {}} if is_config else {"namespaces": []})

    story.server.answer = answer
    auth = story.auth()
    with Catalog("a", uri=story.server.api_url) as catalog:
        story.tell(lambda _: catalog.list_namespaces())


@pytest.mark.package("trino")
def test_trino(story):
    from trino.dbapi import connect

    story.server.answer = answers(
        {
            "id": "q",
            "infoUri": story.server.api_url,
            "columns": [{"name": "a", "type": "integer", "typeSignature": {"rawType": "integer"}}],
            "data": [[1]],
            "stats": {"state": "FINISHED"},
        }
    )
    with story.session() as session:
        settings = {"host": "127.0.0.1", "port": port_of(story), "http_session": session}
        with connect(user="a", **settings) as connection:
            story.tell(lambda _: connection.cursor().execute("SELECT 1").fetchall())


@pytest.mark.package("pystac-client")
def test_pystac_client(story):
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO

    story.server.answer = answers(
        {
            "type": "Catalog",
            "id": "a",
            "stac_version": "1.0.0",
            "description": "a",
            "links": [],
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core"],
        }
    )
    reader = StacApiIO()
    reader.session.auth = story.auth()
    story.tell(lambda url: Client.open(url, stac_io=reader).id)
    reader.session.close()


@pytest.mark.package("pooch")
def test_pooch(story):
    from pooch import HTTPDownloader, retrieve

    story.server.answer = answers("content")
    downloader = HTTPDownloader(auth=story.auth())

    def call(url: str) -> None:
        path = retrieve(url, None, path="downloads", downloader=downloader)
        assert Path(path).read_text() == "content"

    story.tell(call)


# -- products --------------------------------------------------------------------------------------


@pytest.mark.package("jira")
def test_jira(story):
    from jira import JIRA

    story.server.answer = answers([])
    client = JIRA(story.server.api_url, get_server_info=False)
    client._session.auth = story.auth()
    story.tell(lambda _: client.projects())
    client.close()


@pytest.mark.package("atlassian-python-api")
def test_atlassian_python_api(story):
    from atlassian import Confluence

    with story.session() as session:
        client = Confluence(story.server.api_url, session=session)
        story.tell(lambda _: client.get_page_by_id("1"))


@pytest.mark.package("hvac")
def test_hvac(story):
    from hvac import Client

    story.server.answer = answers({"data": {"a": 1}})
    with story.session() as session:
        vault = Client(story.server.api_url, session=session)
        story.tell(lambda _: vault.read("secret/a"))


@pytest.mark.package("simple-salesforce")
def test_simple_salesforce(story):
    from simple_salesforce import Salesforce

    story.server.answer = answers({"records": [], "totalSize": 0, "done": True})
    with story.session() as session:
        # Its own header is replaced by the session's auth.
        client = Salesforce(instance_url=story.server.api_url, session_id="unused", session=session)
        client.base_url = f"{story.server.api_url}/"
        story.tell(lambda _: client.query("SELECT Id FROM Account"))


@pytest.mark.package("python-gitlab")
def test_python_gitlab(story):
    from gitlab import Gitlab

    story.server.answer = answers([])
    with story.session() as session, Gitlab(story.server.api_url, session=session) as client:
        story.tell(lambda _: client.projects.list(get_all=False))


@pytest.mark.package("spotipy")
def test_spotipy(story):
    from spotipy import Spotify

    with story.session() as session:
        client = Spotify(requests_session=session, auth_manager=None)
        client.prefix = f"{story.server.api_url}/"
        story.tell(lambda _: client.track("4iV5W9uYEdYUVa79Axb7Rh"))


@pytest.mark.package("pynetbox")
def test_pynetbox(story):
    import pynetbox

    story.server.answer = answers({"netbox-version": "4"})
    with story.session() as session:
        netbox = pynetbox.api(story.server.api_url.removesuffix("/api"))
        netbox.http_session = session
        story.tell(lambda _: netbox.status())


@pytest.mark.package("docker")
def test_docker(story):
    from docker import APIClient

    story.server.answer = answers("OK")
    # The client is a session.
    with APIClient(f"tcp://127.0.0.1:{port_of(story)}", version="1.45") as client:
        client.auth = story.auth()
        story.tell(lambda _: client.ping())


@pytest.mark.package("google-auth")
def test_the_transport_of_google_auth(story):
    from google.auth.transport.requests import Request

    with story.session() as session:
        send = Request(session)

        def call(url: str) -> None:
            assert send(url).status == 200

        story.tell(call)


# -- what clients are made with --------------------------------------------------------------------


@pytest.mark.package("uplink")
def test_uplink(story):
    from uplink import Consumer, RequestsClient, get

    class API(Consumer):
        @get("{path}")
        def read(self, path: Path): ...

    with story.session() as session:
        api = API(base_url=f"{story.server.api_url}/", client=RequestsClient(session))
        story.tell(lambda url: api.read(urlsplit(url).path.removeprefix("/api/")))


@pytest.mark.package("api-client")
def test_api_client(story):
    from apiclient import APIClient

    with story.session() as session:
        client = APIClient()
        client.set_session(session)
        story.tell(client.get)


@pytest.mark.package("sseclient-py")
def test_sseclient(story):
    from sseclient import SSEClient

    story.server.answer = answers("data: a\n\ndata: b\n\n", **{"Content-Type": "text/event-stream"})

    def call(url: str) -> None:
        with session.get(url, stream=True) as response:
            assert [event.data for event in SSEClient(response).events()] == ["a", "b"]

    with story.session() as session:
        story.tell(call)


@pytest.mark.package("MechanicalSoup")
def test_mechanicalsoup(story):
    from mechanicalsoup import StatefulBrowser

    story.server.answer = answers("<title>a</title>", **{"Content-Type": "text/html"})
    with story.session() as session, StatefulBrowser(session=session) as browser:
        story.tell(browser.open)
        assert browser.page.title.text == "a"
