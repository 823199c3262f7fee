"""Hostile answers: drawn from a grammar, then mutated. The same seed draws the same."""

from __future__ import annotations

import functools
import gzip
import json
import random
import zlib
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from clientcreds_requests._dialects import _RESETS, CODES, DESCRIPTIONS

CLIENT_ID = "my-service"
CLIENT_SECRET = "s3cr3t: a+b/c & <d>=%64"
ACCESS_TOKEN = "an-access-token-that-nobody-may-see"

PORT = b"@PORT"
"""Stands for the five digits of the server's port."""
ISSUER = "http://127.0.0.1:@PORT"

TARGETS = ("token", "metadata", "api")
ENDINGS = ("close", "reset", "hang", "drip", "flood")
"""What comes after the bytes: the end, a reset, silence; or they come one by one, or for ever."""


ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-7", "cp500")


class Case(NamedTuple):
    """One answer.

    :param target: whose answer it is.
    :param ending: what comes after it.
    :param data: head and body, as they go over the wire.
    """

    target: str
    ending: str
    data: bytes


def forms_of(secret: str) -> tuple[str, ...]:
    """A secret as a careless server may repeat it."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in secret)
    entities = secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    go = json.dumps(secret).replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return (
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret).replace("/", "\\/")[1:-1],
        go[1:-1],
        escaped,
        entities,
        secret.replace(" ", "\t"),
        secret.replace(" ", "\0"),
    )


SECRETS = forms_of(CLIENT_SECRET)

NAMES = (
    *("access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"),
    *("error", "error_description", "error_uri", "errorCode", "errorSummary", "ErrorCode"),
    *("code", "status", "message", "detail", "title", "response", "errors", "expires_on"),
    *("expires_at", "fault", "errorMessage", "reason", "__type"),
    *("issuer", "token_endpoint", "token_endpoint_auth_methods_supported"),
    *("mtls_endpoint_aliases", "", "__proto__", "\ud800", "\0"),
)
NUMBERS = (
    *("0", "-0", "1", "-1", "3600", "3600.5", "1e400", "-1e400", "1e-400", "1e308", "NaN"),
    *(
        "Infinity",
        "-Infinity",
        "9" * 18,
        "9" * 400,
        "9" * 4299,
        "9" * 4301,
        "0x10",
        "01",
        "1.",
        ".5",
    ),
    *(
        "18446744073709551616",
        "1E999999999",
        "-" + "9" * 5000,
        "2147483648",
        "1.7976931348623159e308",
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "Bearer",
        "bearer",
        "BEARER ",
        "DPoP",
        "mac",
        "pop",
        "N_A",
        "BearerToken",
        "\u212aearer",
    ),
    *(
        "3600",
        " 3600 ",
        "3600s",
        "+5",
        "-5",
        "1e3",
        "\u0663\u0666",
        "9" * 301,
        "NaN",
        "1.5.",
        "\x1f7",
    ),
    *(
        "read write",
        "read\nwrite",
        "a\r\nX-Injected: 1",
        "\0",
        "\x1b[31m",
        "\u202eabc",
        "\u2028",
        "\x85",
    ),
    *("invalid_client", "invalid_grant", "use_dpop_nonce", "access_denied", "\ud83d", "\udc00x"),
    *(
        "https://as.example/why",
        "https://a b",
        "http://",
        "javascript:alert(1)",
        "https://\u0130.example",
    ),
    *(
        "é" * 300,
        "x" * 299 + "\ud800",
        "y" * 301,
        " " * 5000 + "z",
        "A" * 100_000,
        "%s%n{}{0}",
        "...",
    ),
)
TOKEN_TYPES = (*TEXTS[:10], *("Bearer",) * 20)
TOKENS = (
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN,
    "a b",
    "a\n",
    "a\0b",
    "é",
    "",
    "x" * 70_000,
)
LOCATIONS = (
    *(
        "",
        "/",
        "//",
        "///",
        "?",
        "#",
        ":",
        "::",
        "http:",
        "http://",
        "https://[",
        "https://[::1",
        "//[v1.x]",
    ),
    *(
        "http://a:b@c/",
        "http://h:99999/",
        "http://h:-1/",
        "http://h:x/",
        "http://\u0130/".encode().decode("latin-1"),
    ),
    *(
        "javascript:1",
        "data:,x",
        "file:///etc/passwd",
        "\\\\h\\x",
        "http://h\\@x/",
        "http://%00/",
        "http://\x80/",
    ),
    *(
        "http://127.0.0.1:@PORT/token",
        "http://127.0.0.1:@PORT/" + "a" * 5000,
        "/.well-known/oauth-authorization-server",
    ),
    *(
        "http://" + "a" * 70 + ".example/",
        "http://" + "a." * 200,
        "http://xn--/",
        "http://xn--a-\xff/",
        "http://1.2.3/",
    ),
    *(
        "http://[fe80::1%25eth0]/",
        "http://0x7f.1/",
        "http://" + "\xe9" * 3000 + "/",
        "ht\ttp://h/",
        "http://h/\x7f",
    ),
    *(
        f"https://h/#access_token={ACCESS_TOKEN}",
        "https://h/?" + SECRETS[3],
        "http://h:0/",
        "HTTP://LOCALHOST",
    ),
)
DATES = (
    *(
        "0",
        "1",
        "5",
        "007",
        "-1",
        "1.5",
        "1e3",
        "+3",
        "9" * 10,
        "9" * 11,
        "9" * 5000,
        "inf",
        "nan",
        "\xb2",
    ),
    *(
        "Fri, 15 Jan 2027 08:00:03 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ),
    *(
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 32 Jan 2027 25:61:61 GMT",
    ),
    *(
        "Mon, 01 Jan 99999 00:00:00 GMT",
        "Mon, 01 Jan 2027 00:00:00 +9999",
        "1 Jan 1 1:1 -0000",
        ",",
        ", ,",
        "a,b",
    ),
    *(
        "Jan 1 2027",
        "Fri, 1-Jan-27 00:00:00 GMT",
        "Fri, Jan 1 2027 00.00.00",
        "\x00",
        ": : :",
        "1 2 3 4 5 6 7",
    ),
    *(
        "0 Jan 00 00:00:00 +" + "9" * 20,
        "1 Jan " + "9" * 4400 + " 0:0:0",
        "5, 5",
        "(" * 3000,
        "1 Jan 2027 0:0:0 -:-",
    ),
)
CHALLENGES = (
    *(
        "Bearer",
        'Bearer error="invalid_token"',
        "Basic",
        "Negotiate abc==",
        "DPoP algs=ES256",
        ",",
        ",,",
        "=",
        '"',
    ),
    *(
        'Bearer realm="',
        'Bearer realm="a\\',
        "Bearer a=b, c=d",
        'Bearer error="insufficient_scope"',
        "Bearer ,",
    ),
    *(
        'Bearer error="invalid_token',
        "bearer\terror=x",
        'Basic realm="Bearer error=x", Bearer',
        "\xff\xfe",
        "Bearer =a",
    ),
    *(
        "Bearer " + "a" * 60_000,
        "Bearer " + " " * 60_000 + "a",
        "a=" * 30_000,
        '"\\' * 30_000,
        'a="' * 20_000,
        ", " * 30_000,
    ),
    *(
        "a " * 30_000,
        "a\t=" * 20_000,
        "Bearer " + "=" * 60_000,
        'Bearer x="' + "\\" * 59_999,
        "/" * 60_000,
    ),
)
CHARSETS = (
    *(
        "utf-8",
        "UTF-16",
        "latin-1",
        "idna",
        "punycode",
        "unicode_escape",
        "zlib_codec",
        "hex",
        "undefined",
    ),
    *("iso-8859-1", "ISO_8859-15", "iso-8859-99", "windows-1252", "big5", "gbk", "utf-32be"),
    *("a\0b", "", '"', "x" * 5000, CLIENT_SECRET, "rot13", "utf-7", "mbcs", "\xff", "../x"),
)
STATUSES = (
    *(200,) * 10,
    201,
    204,
    206,
    299,
    301,
    302,
    307,
    308,
    304,
    399,
    *(400,) * 4,
    *(401,) * 3,
    403,
)
STATUSES = (
    *STATUSES,
    404,
    405,
    407,
    408,
    425,
    520,
    524,
    413,
    418,
    422,
    429,
    429,
    431,
    500,
    500,
    502,
    503,
    504,
    599,
    999,
)
CODINGS = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "x-gzip",
    "identity",
    "gzip, gzip",
    "gzip,deflate,br",
    "\0",
    "gzip,",
)


@functools.lru_cache
def _bomb(mib: int) -> bytes:
    """So many MiB of spaces, as what may follow in a gzip file."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(b" " * (1 << 20)) for _ in range(mib)) + packer.flush()


class Source:
    """Draws cases; the same seed and number give the same case.

    :param seed: of the whole run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random()

    def message(self, target: str, number: int) -> Case:
        """An answer that needs no framing: status line, fields, and a body to the end."""
        r = self._begin(target, number)
        status, body = self._status(target), self._body(target)
        head = b"HTTP/1.1 %d %s\r\n" % (status, self._bytes(self._reason()))
        data = head + self._fields(target, status) + b"\r\n" + body
        return Case(target, "close", data if r.random() < 0.95 else self._mutated(data))

    def wire(self, target: str, number: int, slow: float = 0.01) -> Case:
        """An answer as it goes over a socket, its framing as hostile as its content.

        :param slow: how many of them take the client's time: silence, drips, floods.
        """
        r = self._begin(target, number + (1 << 40))
        chance = r.random()
        if chance < slow:
            return self._slow(target)
        if chance < slow + 0.03:  # nothing of the kind
            data = r.choice(
                (b"", b"\0", b"\r\n\r\n", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n", b"\x15\x03\x03")
            )
            return Case(
                target, r.choice(("close", "reset")), data + r.randbytes(r.choice((0, 7, 999)))
            )
        status, body = self._status(target), self._body(target)
        fields = self._fields(target, status)
        body, coding = self._coded(body)
        framing, body = self._framed(body)
        data = self._interim() + self._status_line(status) + fields + coding + framing
        data += self._end_of_line() + body
        if r.random() < 0.15:
            data = self._mutated(data)
        return Case(target, "reset" if r.random() < 0.04 else "close", data)

    def _begin(self, target: str, number: int) -> random.Random:
        self._random.seed((self._seed << 44) + (number << 2) + TARGETS.index(target))
        return self._random

    # Content

    def _status(self, target: str) -> int:
        r = self._random
        if target == "api":
            return r.choice((401, 401, 401, 401, *STATUSES))
        return 200 if r.random() < 0.5 else r.choice(STATUSES)

    def _reason(self) -> str:
        r = self._random
        return r.choice(("OK", "OK", "OK", "", "\0", "é", CLIENT_SECRET, "x" * 3000))

    def _body(self, target: str) -> bytes:
        r = self._random
        chance = r.random()
        if chance < 0.05:
            return r.choice(
                (
                    b"",
                    b"null",
                    b"[]",
                    b"{}",
                    b"{} {}",
                    b"[" * 200_000,
                    b'{"a":' * r.choice((100, 300, 900, 990, 2000, 50_000)),
                    b"<!doctype html><title>" + self._bytes(r.choice(SECRETS)),
                    f"access_token={ACCESS_TOKEN}&token_type=bearer".encode(),
                    b" " * (1024 * 1024 + r.choice((-1, 0, 1))),
                    r.randbytes(300),
                )
            )
        text = self._error() if chance > 0.9 else self._object(target)
        encoding = "utf-8"
        if chance < 0.12:
            encoding = r.choice(("utf-8-sig", "utf-16", *ENCODINGS))
        body = text.encode(encoding, "surrogatepass" if encoding.startswith("utf-") else "replace")
        return self._mutated(body) if chance > 0.85 else body

    def _object(self, target: str) -> str:
        r = self._random
        members: list[tuple[str, str]] = []
        if target == "metadata":
            issuer = ISSUER if r.random() < 0.9 else r.choice((*LOCATIONS, *TEXTS, ISSUER + "/"))
            members.append(("issuer", self._string(issuer)))
            members.append(("token_endpoint", self._url()))
            if r.random() < 0.5:
                members.append(("mtls_endpoint_aliases", f'{{"token_endpoint":{self._url()}}}'))
            if r.random() < 0.6:
                members.append(("token_endpoint_auth_methods_supported", self._methods()))
        elif r.random() < 0.75:
            members.append(("access_token", self._string(r.choice(TOKENS))))
            members.append(
                ("token_type", self._string(r.choice((*TEXTS[:10], "Bearer", "Bearer"))))
            )
        for _ in range(r.choice((0, 0, 1, 1, 2, 5))):
            name = r.choice(NAMES)
            members.append((name, self._value(2)))
        if r.random() < 0.2:
            r.shuffle(members)
        pad = r.choice(("", "", "", " ", "\n\t", "\0"))
        return pad + "{" + ",".join(f"{self._string(n)}:{pad}{v}" for n, v in members) + "}" + pad

    def _error(self) -> str:
        """An error in the shape of some vendor, or nearly so."""
        r = self._random
        shapes = []
        for paths in (CODES, DESCRIPTIONS):
            shape = self._value(1)
            for step in reversed(r.choice(paths)):
                shape = f"[{shape}]" if isinstance(step, int) else f"{{{json.dumps(step)}:{shape}}}"
            shapes.append(shape)
        if all(shape.startswith("{") for shape in shapes):
            return f"{shapes[0][:-1]},{shapes[1][1:]}"
        return r.choice(shapes)

    def _url(self) -> str:
        r = self._random
        if r.random() < 0.5:
            return self._string(
                f"{ISSUER}/token" + r.choice(("", "", "?a=b", "#f", "/" + "p" * 5000))
            )
        return self._string(r.choice(LOCATIONS)) if r.random() < 0.8 else self._value(1)

    def _methods(self) -> str:
        r = self._random
        known = (
            "client_secret_post",
            "client_secret_basic",
            "client_secret_jwt",
            "none",
            "\n",
            "m" * 999,
        )
        names = [self._string(r.choice(known)) for _ in range(r.randrange(4))]
        return f"[{','.join(names)}]" if r.random() < 0.8 else self._value(2)

    def _value(self, depth: int) -> str:
        r = self._random
        chance = r.random()
        if chance < 0.35:
            return self._string(r.choice(TEXTS))
        if chance < 0.5:
            return self._string(self._around(r.choice(SECRETS)))
        if chance < 0.7:
            return r.choice(NUMBERS)
        if chance < 0.78 or depth == 0:
            return r.choice(
                ("true", "false", "null", "nul", "undefined", "'x'", '"\\x"', '"\n"', '"\\ud800"')
            )
        if chance < 0.8:
            size = r.choice((10, 300, 900, 980, 1100))
            return "[" * size + "]" * size
        inner = [self._value(depth - 1) for _ in range(r.randrange(3))]
        if chance < 0.9:
            return f"[{','.join(inner)}]"
        return "{" + ",".join(f"{self._string(r.choice(NAMES))}:{v}" for v in inner) + "}"

    def _around(self, text: str) -> str:
        r = self._random
        return (
            r.choice(("", "x", "wrong: ", " " * 300, "y" * 295)) + text + r.choice(("", "z", "\n"))
        )

    def _string(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=self._random.random() < 0.7)

    # Fields

    def _fields(self, target: str, status: int) -> bytes:
        r = self._random
        lines: list[bytes] = []
        if r.random() < 0.7:
            kind = r.choice(
                (
                    *("application/json", "application/json", "text/html", "text/plain", ""),
                    *("application/problem+json", "multipart/x; boundary=a"),
                )
            )
            charset = f"; charset={r.choice(CHARSETS)}" if r.random() < 0.2 else ""
            lines.append(b"Content-Type: " + self._bytes(kind + charset))
        if status in (429, 503) or r.random() < 0.1:
            lines.append(b"Retry-After: " + self._mutated_text(r.choice(DATES)))
        if status == 429 or r.random() < 0.1:
            name = r.choice((*_RESETS, "RateLimit", "Date"))
            value = r.choice((*DATES, *NUMBERS, "t=5", '"a";r=0;t=' + "9" * 20))
            lines.append(f"{name}: ".encode() + self._mutated_text(value))
        if 300 <= status < 400 or r.random() < 0.03:
            lines.append(b"Location: " + self._mutated_text(r.choice(LOCATIONS)))
        if (target == "api" and r.random() < 0.9) or r.random() < 0.03:
            for _ in range(r.choice((1, 1, 1, 1, 1, 1, 2, 2, 3, 30)) if target == "api" else 1):
                # The long ones take their time, and only an API's are read.
                challenge = r.choice(CHALLENGES if target == "api" else CHALLENGES[:20])
                lines.append(b"WWW-Authenticate: " + self._mutated_text(challenge))
        if r.random() < 0.1:
            name = r.choice(
                ("X-Echo", "Set-Cookie", "DPoP-Nonce", "Content-Type", "Link", "X" * 500)
            )
            lines.append(self._bytes(f"{name}: {self._around(r.choice(SECRETS))}"))
        if r.random() < 0.03:
            lines.append(
                self._bytes(
                    r.choice(("a=b; Domain=.", "=", "a\0=b", "; ;", "x" * 9999, "a=b; expires=1"))
                )
            )
            lines[-1] = b"Set-Cookie: " + lines[-1]
        return b"".join(line + b"\r\n" for line in lines)

    def _mutated_text(self, text: str) -> bytes:
        data = self._bytes(text)
        return self._mutated(data) if self._random.random() < 0.2 else data

    @staticmethod
    def _bytes(text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")
        return data.replace(b"\r", b" ").replace(b"\n", b" ")

    # Framing

    def _status_line(self, status: int) -> bytes:
        r = self._random
        if r.random() < 0.9:
            return b"HTTP/1.1 %d %s\r\n" % (status, self._bytes(self._reason()))
        return r.choice(
            (
                b"HTTP/1.1 200\r\n",
                b"HTTP/1.1 20 OK\r\n",
                b"HTTP/1.1 -200 OK\r\n",
                b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n",
                b"HTTP/1.1 1000 OK\r\n",
                b"HTTP/9.9 200 OK\r\n",
                b"HTTP/1.0 200 OK\r\n",
                b"HTTP/0.9 200 OK\r\n",
                b"HTTP/ 200 OK\r\n",
                b"http/1.1 200 ok\r\n",
                b"ICY 200 OK\r\n",
                b"\r\nHTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 200 OK\n",
                b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n",
                self._bytes(f"{CLIENT_SECRET} {ACCESS_TOKEN}") + b"\r\n",
            )
        )

    def _interim(self) -> bytes:
        r = self._random
        if r.random() < 0.93:
            return b""
        status = r.choice((100, 100, 101, 102, 103, 199))
        return b"HTTP/1.1 %d Wait\r\nX: y\r\n\r\n" % status * r.choice((1, 2, 500))

    def _end_of_line(self) -> bytes:
        r = self._random
        chance = r.random()
        if chance < 0.9:
            return b"\r\n"
        return r.choice(
            (
                b"\n",
                b"\r\r\n",
                b" folded: line\r\n\r\n",
                b"no colon\r\n\r\n",
                b": no name\r\n\r\n",
                b"X\0Y: z\r\n\r\n",
                b"X: \xff\xfe\r\n\r\n",
                b"X: " + b"h" * 70_000 + b"\r\n\r\n",
                b"X: y\r\n" * 101 + b"\r\n",
                self._bytes(f"no colon {CLIENT_SECRET}") + b"\r\n\r\n",
                b"",
            )
        )

    def _coded(self, body: bytes) -> tuple[bytes, bytes]:
        r = self._random
        if r.random() < 0.85:
            return body, b""
        coding = r.choice(CODINGS)
        if "gzip" in coding:
            body = gzip.compress(body, 1)
            if r.random() < 0.1:
                body += _bomb(r.choice((8, 64)))
            body = gzip.compress(body, 1) if coding == "gzip, gzip" else body
        elif coding == "deflate":
            body = zlib.compress(body, 1)
            body = body[2:-4] if r.random() < 0.3 else body
        chance = r.random()
        if chance < 0.2:
            body = body[: r.randrange(len(body) + 1)]
        elif chance < 0.3:
            body = body * 2
        elif chance < 0.4:
            body = self._mutated(body)
        return body, self._bytes(f"Content-Encoding: {coding}") + b"\r\n"

    def _framed(self, body: bytes) -> tuple[bytes, bytes]:
        r = self._random
        chance = r.random()
        if chance < 0.4:
            return b"Content-Length: %d\r\n" % len(body), body
        if chance < 0.5:
            return b"", body
        if chance < 0.65:
            size = r.choice(
                (b"-1", b"0", b"x", b"", b"1, 2", b"5, 5", b"9" * 30, b"+5", b"1_0", b" 7", b"0x5")
            )
            return b"Content-Length: " + size + b"\r\n", body
        chunked = b"Transfer-Encoding: chunked\r\n"
        if chance < 0.8:
            return chunked, self._chunks(body) + b"0\r\n\r\n"
        if chance < 0.85:
            return b"Content-Length: 3\r\n" + chunked, self._chunks(body) + b"0\r\n\r\n"
        broken = r.choice(
            (
                b"0\r\n" + b"Trailer: x\r\n" * 5000 + b"\r\n",
                b"0\r\n" + b"T: " + b"x" * 70_000,
                b"-5\r\nhello\r\n",
                b"5;" + b"x" * 70_000 + b"\r\nhello\r\n",
                b"ffffffffffffffffffff\r\nhello",
                b"g\r\nhello\r\n",
                b"\r\n\r\n\r\n",
                b"5\r\nhel",
                b"1_0\r\n0123456789abcdef\r\n",
                b"",
            )
        )
        return chunked, (self._chunks(body) if r.random() < 0.5 else b"") + broken

    def _chunks(self, body: bytes) -> bytes:
        size = self._random.choice((1, 7, 1000, 1 << 20))
        if len(body) > 2000 * size:
            size = len(body)
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)

    def _slow(self, target: str) -> Case:
        r = self._random
        if r.random() < 0.3:
            data = r.choice(
                (
                    b"HTTP/1.1 100 Continue\r\n\r\n",
                    b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 50,
                    b"X: y\r\n",
                    b"x" * 1000,
                    b"\r\n",
                    b"\0" * 1000,
                )
            )
            return Case(target, "flood", data)
        head = r.choice(
            (
                b"",
                b"HTTP/1.1 200",
                b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 500,
                b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500,
                b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 400,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 500,
                b"HTTP/1.1 401 No\r\nContent-Length: 500\r\nWWW-Authenticate: Bearer\r\n\r\n"
                + b"x" * 400,
            )
        )
        return Case(target, r.choice(("hang", "drip")), head)

    # Mutation

    def _mutated(self, data: bytes) -> bytes:
        r = self._random
        changed = bytearray(data)
        for _ in range(r.choice((1, 1, 2, 5))):
            at = r.randrange(len(changed) + 1)
            match r.randrange(6):
                case 0:
                    changed[at : at + 1] = r.randbytes(1)
                case 1:
                    changed[at:at] = r.choice(
                        (b"\0", b"\r\n", b"\xff", b"\xed\xa0\x80", b'"', b"\\", b"{")
                    )
                case 2:
                    del changed[at : at + r.choice((1, 2, 20))]
                case 3:
                    changed[at:at] = changed[at : at + r.choice((1, 5, 50))]
                case 4:
                    del changed[at:]
                case _:
                    changed[at:at] = self._bytes(r.choice(SECRETS))
        return bytes(changed)
