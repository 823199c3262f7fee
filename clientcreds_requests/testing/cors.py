"""What lets a page of another origin call the servers from a browser (Fetch standard: CORS)."""

from __future__ import annotations

from .messages import RecordedRequest, is_preflight

# Content-Type for a JSON body; the others for a token or the client's credentials on the request.
ALLOWED_HEADERS = "Authorization, Content-Type, DPoP"
EXPOSED_HEADERS = "DPoP-Nonce, Retry-After, WWW-Authenticate"


def cors_headers(request: RecordedRequest, origin: str | None) -> dict[str, str]:
    """Return the header fields that allow pages of that origin to make and read this request.

    :param origin: None: no page may.
    """
    if origin is None:
        return {}
    headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    if not is_preflight(request):
        return {**headers, "Access-Control-Expose-Headers": EXPOSED_HEADERS}
    return {
        **headers,
        "Access-Control-Allow-Methods": request.headers["Access-Control-Request-Method"],
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
    }
