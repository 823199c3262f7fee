"""The manager in any order of events, against a model simple enough to be believed."""

from __future__ import annotations

import random

import pytest
from conftest import Clock, patch_time
from fetches import settle
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest

LEEWAY, LIFETIME, LATEST_RENEWAL, MIN_USE = 20.0, 3600.0, 300.0, 1.0


class ManagerStates(RuleBasedStateMachine):
    """One token request's life; what must be true is said in terms of the model's few facts."""

    @initialize(seed=st.integers(0, 999))
    def begin(self, seed: int) -> None:
        random.seed(seed)
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock()
        patch_time(self.patch, self.clock)
        self.manager = TokenManager(self.fetch, leeway=LEEWAY)
        self.entry = self.manager.entry()  # as an auth holds it
        self.calls = 0
        self.lifetime: float | None = LIFETIME
        self.down: Exception | None = None
        # The model: the token that should be held, when it expires on each clock, and the rest.
        self.token: Token | None = None
        self.expires = (0.0, 0.0)
        self.serves_until = (0.0, 0.0)
        self.gone: set[str] = set()
        self.failures = 0
        self.failed = False
        self.renewal_rests_until = 0.0
        self.replacement_since: float | None = None
        self.refused = False

    def teardown(self) -> None:
        settle(self.manager)
        self.patch.undo()

    def fetch(self, request: TokenRequest) -> Token:
        self.calls += 1
        if self.down is not None:
            self.failed = True
            if isinstance(self.down, TokenError):
                self.failures += 1
            else:
                self.renewal_rests_until = self.clock.mono + 1.0
            raise self.down
        at = None if self.lifetime is None else self.clock.wall + self.lifetime
        token = Token(f"t{self.calls}", expires_at=at)
        left = float("inf") if self.lifetime is None else self.lifetime
        self.token, self.failures, self.failed = token, 0, False
        self.renewal_rests_until = 0.0
        self.expires = (self.clock.wall + left, self.clock.mono + left)
        self.serves_until = (self.clock.wall + MIN_USE, self.clock.mono + MIN_USE)
        self.replacement_since = self.clock.mono if self.refused else None
        self.refused = False
        return token

    def is_new(self) -> bool:
        """Has the token just been received?"""
        wall, mono = self.serves_until
        return self.token is not None and self.clock.wall < wall and self.clock.mono < mono

    def left(self) -> float:
        if self.token is None:
            return -1.0
        return min(self.expires[0] - self.clock.wall, self.expires[1] - self.clock.mono)

    @rule(insist=st.booleans())
    def get(self, insist: bool) -> None:
        held, left, calls, failures = self.token, self.left(), self.calls, self.failures
        is_new, failed = self.is_new(), self.failed
        rests = not insist and left > 0 and self.clock.mono < self.renewal_rests_until
        try:
            got: Token | None = self.manager.get_token(insist=insist)
        except TokenError as error:
            got = None
            self.saw_an_error_of_its_own(error)
        settle(self.manager)
        asked = self.calls - calls
        assert asked <= 1
        if left > LEEWAY:
            assert got is held
            assert not asked or left <= LATEST_RENEWAL
        elif is_new and not insist:
            assert got is held
            assert not asked
        elif self.down is None and (failures < 2 or insist) and not rests:
            assert asked
            assert got is self.token or (left > 0 and failed and got is held)
        elif left > 0:
            assert got is held or got is self.token
        elif got is None:
            assert failed or self.down is not None
            assert asked or failures >= 2  # at once, or after a pause's worth of failures
        else:
            assert asked
        if got is not None:
            assert got.access_token not in self.gone

    def saw_an_error_of_its_own(self, error: TokenError) -> None:
        assert error is not self.down
        assert error.__cause__ is not None

    @rule(seconds=st.sampled_from([0.25, 1.0, 9.0, 10.0, 30.0, 300.0, 3280.0, 3580.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-7200.0, -60.0, 60.0, 7200.0]))
    def step_the_wall_clock(self, seconds: float) -> None:
        self.clock.step(seconds)

    @rule(error=st.sampled_from(["invalid_client", "temporarily_unavailable"]))
    def break_the_endpoint(self, error: str) -> None:
        self.down = TokenError("down", error=error)

    @rule()
    def break_a_callable(self) -> None:
        self.down = LookupError("no such secret")

    @rule()
    def mend_the_endpoint(self) -> None:
        self.down = None

    @rule(lifetime=st.sampled_from([LIFETIME, 90.0, 25.0, 5.0, 0.0, None]))
    def change_the_lifetime(self, lifetime: float | None) -> None:
        self.lifetime = lifetime

    @precondition(lambda self: self.token is not None)
    @rule()
    def refuse(self) -> None:
        assert self.token is not None
        rests = (
            self.replacement_since is not None and self.clock.mono < self.replacement_since + 10.0
        )
        assert self.manager.invalidate(self.token) is not rests
        if not rests:
            self.gone.add(self.token.access_token)
            self.token, self.refused = None, True

    @rule()
    def refuse_another(self) -> None:
        assert not self.manager.invalidate(Token("somebody-elses"))

    @rule()
    def sign_out(self) -> None:
        self.manager.clear()
        if self.token is not None:
            self.gone.add(self.token.access_token)
        self.token, self.failures, self.failed, self.refused = None, 0, False, False
        self.replacement_since = None

    @rule()
    def wake_up_in_a_forked_child(self) -> None:
        self.manager._begin_anew()

    @invariant()
    def what_is_held_is_what_was_got_last(self) -> None:
        if hasattr(self, "manager"):
            assert self.entry.token is self.token
            assert (self.entry.error is not None) == self.failed
            assert self.entry.fetch is None


TestManagerStates = ManagerStates.TestCase
TestManagerStates.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
