"""django-oidc-provider's authorization server and protected resource, on Django and sqlite.

Facts, each seen by experiment with django-oidc-provider 0.9.0 and Django 5.2:
- It reads forms alone, and looks for the client first: a JSON token request is 400
  `invalid_client`, by Basic 400 `unsupported_grant_type`.
- client_secret_post and client_secret_basic both work out of the box, for every client.
- Basic: nothing is percent-decoded, and a pair with more than one colon is `invalid_client`.
- A wrong secret or id is 400 `invalid_client` without a challenge, however it came.
- An unknown scope, or one that the client may not have, is 400 `invalid_scope`. Asked for none, it
  grants all.
- `resource` is ignored. It has introspection, no revocation: that is our own.
- The API says 401 to a token that is expired or unknown, and to none, with a challenge that names
  no scheme: `error="invalid_token", error_description="..."`.
- Metadata are at /.well-known/openid-configuration.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django_site import serve, set_up
from loopback import CLIENT_SECRET, LIFETIME, SCOPES

set_up(__name__, "oidc_provider", OIDC_TOKEN_EXPIRE=LIFETIME)

# These read the settings when they are imported.
from oidc_provider.lib.utils.oauth2 import protected_resource_view  # noqa: E402
from oidc_provider.models import Client, Token  # noqa: E402


@protected_resource_view()
def api(request: HttpRequest, token: Token) -> HttpResponse:
    return HttpResponse(request.body)


def revoke(request: HttpRequest) -> HttpResponse:
    Token.objects.filter(access_token=request.POST["token"]).delete()
    return HttpResponse()


urlpatterns = [
    path("api", csrf_exempt(api)),
    path("revoke", csrf_exempt(revoke)),
    path("", include("oidc_provider.urls")),
]

if __name__ == "__main__":
    for client_id in ("post-client", "basic-client"):
        Client.objects.create(
            client_id=client_id,
            client_secret=CLIENT_SECRET,
            client_type="confidential",
            scope=list(SCOPES),
        )
    serve()
