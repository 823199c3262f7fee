"""The users of a load test share an auth."""

from __future__ import annotations


def test_locust(story):
    from gevent.pool import Pool
    from locust import HttpUser, task
    from locust.env import Environment

    auth, seen = story.auth(), []

    class Visitor(HttpUser):
        host = story.server.api_url

        def on_start(self) -> None:
            self.client.auth = auth

        @task
        def visit(self) -> None:
            with self.client.get("/visit", catch_response=True) as response:
                assert response.status_code == 200

    environment = Environment(user_classes=[Visitor])
    environment.events.request.add_listener(lambda **event: seen.append(event))
    users = [Visitor(environment) for _ in range(5)]
    for user in users:
        user.on_start()
    pool = Pool(5)

    def call(_: str) -> None:
        pool.map(lambda user: user.visit(), users)

    story.tell(call, at_once=True)
    assert len(seen) == 4 * len(users)
    assert not [event for event in seen if event["exception"]]
    for event in seen:
        told = {name: value for name, value in event.items() if name != "response"}
        story.search("an event", repr(told))
