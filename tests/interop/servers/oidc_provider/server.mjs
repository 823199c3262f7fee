// oidc-provider's authorization server below /op, and a protected resource of our own at /api.
//
// It keeps to the protocol that ../loopback.py tells, with its settings for TLS besides, and
// listens twice: for http, and at `tls_url` for https with a client certificate, which is not
// required.
//
// Facts, each seen by experiment with oidc-provider 9.13.3 on Node 24.21:
// - It reads forms alone: a JSON token request is 400 `invalid_request`.
// - A client of client_secret_post may use Basic, and the other way round.
// - Basic: the pair is split at the first colon, then both halves are form-decoded: `%20` and `+`
//   are both a space, and what is badly encoded or beyond ASCII is 400 `invalid_request`. A client
//   that was configured with a secret beyond ASCII is answered `invalid_client_metadata`, whatever
//   it sends.
// - A wrong secret or id is 401 `invalid_client`, with a Basic challenge if it came by Basic, and
//   so is a refused assertion or certificate; `error_description` never says why. Errors are HTML
//   where `Accept` prefers it.
// - Assertions: `aud` may be the issuer, or the token endpoint; a `jti` works once. ES256, RS256,
//   PS256, EdDSA and HS256 are read. Without a `kid` the keys that fit are tried.
// - A scope it does not know is left out, silently; one it knows and the client may not have is 400
//   `invalid_scope`. Asked for none, it grants none, and the answer has no `scope`.
// - One resource a token: two are 400 `invalid_target`, and so is one it does not know.
// - It counts in whole seconds: a token of two seconds may live for one and a bit.
// - DPoP: a bound client without a proof is 400 `invalid_grant`; without a nonce it is 400
//   `use_dpop_nonce`; a used `jti` is `invalid_grant`, any other bad proof `invalid_dpop_proof`.
//   With a nonce, `iat` is not looked at. Any client may send a proof, and gets a bound token then.
//   ES256 proofs are read out of the box, RS256 are not.
// - Certificates: a client without the right one is 401 `invalid_client`; at the plain http port
//   too.
// - Metadata are at /op/.well-known/openid-configuration, and the same at
//   /op/.well-known/oauth-authorization-server; RFC 8414's place for an issuer with a path,
//   /.well-known/oauth-authorization-server/op, is for whoever mounts it to serve.
// - The development store keeps between one and two thousand things, used `jti`s included.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import { countAnswer, listen, run, tellAnswers } from '../loopback.mjs';
import { Api } from './api.mjs';
import { createProvider } from './provider.mjs';

const MOUNT = '/op';
const settings = process.env;

const plain = http.createServer();
const tls = https.createServer({
  cert: readFileSync(settings.INTEROP_TLS_CERTIFICATE),
  key: readFileSync(settings.INTEROP_TLS_CERTIFICATE),
  ca: readFileSync(settings.INTEROP_TLS_CLIENT_AUTHORITY),
  requestCert: true,
  rejectUnauthorized: false,
});
const url = await listen(plain, 'http');
const tlsUrl = await listen(tls, 'https');

const issuer = url + MOUNT;
const resource = `${url}/api`;
const provider = createProvider({
  issuer,
  tlsIssuer: tlsUrl + MOUNT,
  resources: [resource, 'https://other.example/'],
  secret: settings.INTEROP_CLIENT_SECRET,
  jwks: JSON.parse(settings.INTEROP_CLIENT_KEYS),
  lifetime: Number(settings.INTEROP_LIFETIME),
});
const authorizationServer = provider.callback();
const api = new Api(provider, resource);

for (const [server, origin] of [
  [plain, url],
  [tls, tlsUrl],
]) {
  server.on('request', (request, response) => {
    const { pathname } = new URL(request.url, origin);
    if (pathname === '/stats') {
      tellAnswers(response);
      return;
    }
    const mounted = pathname.startsWith(`${MOUNT}/`);
    const path = mounted ? pathname.slice(MOUNT.length) : pathname;
    countAnswer(request.method, path, response);
    if (mounted) {
      request.originalUrl = request.url;
      request.url = request.url.slice(MOUNT.length);
      authorizationServer(request, response);
    } else if (path === '/api') {
      api.answer(request, response, origin + path);
    } else {
      response.writeHead(404).end();
    }
  });
}

await run({ url, issuer, tls_url: tlsUrl });
