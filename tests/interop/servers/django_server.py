"""django-oauth-toolkit's authorization server and protected resource, on Django and sqlite.

Facts, each seen by experiment with django-oauth-toolkit 3.4.1, oauthlib 4.0.1 and Django 5.2:
- It reads forms alone: a JSON token request is 400 `unsupported_grant_type`.
- client_secret_post and client_secret_basic both work out of the box, for every client.
- Basic: the pair is split at the first colon, then both halves are form-decoded: `%20` and `+` are
  both a space, and a raw secret with a `+` in it is refused.
- Secrets are stored hashed (PBKDF2), so a token request takes some 0.2 s.
- A wrong secret or id is 401 `invalid_client` with a *Bearer* challenge, however it came.
- An unknown scope is 400 `invalid_scope`, and so is an empty one. Asked for none, it grants all.
- `resource` (RFC 8707) may be repeated; the API says 401 `invalid_token` to a token for another
  resource. One without an authority (a URN) is 400 `invalid_target`, JSON labelled `text/html`.
- The API says `Bearer error="invalid_token",error_description="...",resource_metadata="..."` (no
  space after the commas, an empty body) to a token that is expired or revoked. That takes
  `advertise_metadata=True`, new in 3.4, and its URLs; without it the answer is a bare 403.
- Metadata are at /.well-known/oauth-authorization-server, and for an issuer with a path at the same
  with that path after it, whatever it is: the path goes into `issuer`, not into the endpoints.
- This grant works over http without OAUTHLIB_INSECURE_TRANSPORT.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django_site import serve, set_up
from loopback import CLIENT_SECRET, LIFETIME, SCOPES

set_up(
    __name__,
    "oauth2_provider",
    OAUTH2_PROVIDER={"ACCESS_TOKEN_EXPIRE_SECONDS": LIFETIME, "SCOPES": SCOPES},
)

# These read the settings when they are imported.
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.urls import metadata_urlpatterns  # noqa: E402
from oauth2_provider.views import RevokeTokenView, TokenView  # noqa: E402


@protected_resource(advertise_metadata=True)
def api(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


# The metadata tell where the views of these names are.
endpoints = [
    path("token", TokenView.as_view(), name="token"),
    path("revoke", RevokeTokenView.as_view(), name="revoke-token"),
]
urlpatterns = [
    path("api", api),
    path("", include(([*endpoints, *metadata_urlpatterns], "oauth2_provider"))),
]


if __name__ == "__main__":
    for client_id in ("post-client", "basic-client"):
        Application.objects.create(
            client_id=client_id,
            client_secret=CLIENT_SECRET,
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
        )
    serve()
