// oauth2orize's authorization server, with passport's strategies for clients and for tokens, on
// Express. Tokens are kept in memory; oauth2orize has no revocation, so that is our own.
//
// Facts, each seen by experiment with oauth2orize 1.12.0, passport 0.7.0 and Express 5.3.0 on
// Node 24.21:
// - The client is authenticated before oauth2orize sees the request, by what the body parser has
//   made of the body. Where that reads forms alone, a JSON token request is 401 with the text
//   "Unauthorized", without a content type, and with a Basic challenge.
// - So is a wrong secret or id, however it came: there is no OAuth error for a wrong client.
// - A JSON token request by Basic gets as far as oauth2orize, which is not ready for a request
//   without a body: 500 `server_error`. An unknown grant type is 501.
// - Basic: the pair is split at every colon, and what follows the second is dropped. Nothing is
//   percent-decoded.
// - Scopes are the application's business; `expires_in` and `scope` are in the answer where the
//   application puts them. `resource` is ignored.
// - The API says `Bearer realm="Users", error="invalid_token"`, with "Unauthorized" as the body, to
//   a token that is expired or revoked.

import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import http from 'node:http';

import express from 'express';
import oauth2orize from 'oauth2orize';
import { Passport } from 'passport';
import { BasicStrategy } from 'passport-http';
import { Strategy as BearerStrategy } from 'passport-http-bearer';
import { Strategy as ClientPasswordStrategy } from 'passport-oauth2-client-password';

import { countAnswer, listen, run, tellAnswers } from './loopback.mjs';

const CLIENTS = ['post-client', 'basic-client'];
const SCOPES = ['api:read', 'api:write'];
const secret = process.env.INTEROP_CLIENT_SECRET;
const lifetime = Number(process.env.INTEROP_LIFETIME);
const expiries = new Map(); // in milliseconds since the epoch, by token

function sha256(text) {
  return createHash('sha256').update(text).digest();
}

function authenticateClient(id, given, done) {
  const known = CLIENTS.includes(id) && timingSafeEqual(sha256(given), sha256(secret));
  done(null, known && { id });
}

function authenticateToken(token, done) {
  done(null, expiries.get(token) > Date.now() && { token });
}

function issue(client, scope, done) {
  if (scope?.some((name) => !SCOPES.includes(name))) {
    done(new oauth2orize.TokenError('no such scope', 'invalid_scope'));
    return;
  }
  const token = randomUUID();
  expiries.set(token, Date.now() + lifetime * 1000);
  done(null, token, { expires_in: lifetime, scope: scope?.join(' ') });
}

const authorization = oauth2orize.createServer();
authorization.exchange(oauth2orize.exchange.clientCredentials(issue));

const passport = new Passport();
passport.use(new BasicStrategy(authenticateClient));
passport.use(new ClientPasswordStrategy(authenticateClient));
passport.use(new BearerStrategy(authenticateToken));
const asClient = passport.authenticate(['basic', 'oauth2-client-password'], { session: false });
const withToken = passport.authenticate('bearer', { session: false });

const app = express();
app.get('/stats', (request, response) => tellAnswers(response));
app.use((request, response, next) => {
  countAnswer(request.method, request.path, response);
  next();
});
const form = express.urlencoded();
app.post('/token', form, asClient, authorization.token(), authorization.errorHandler());
app.post('/revoke', form, asClient, (request, response) => {
  expiries.delete(request.body.token);
  response.end();
});
app.all('/api', withToken, express.raw({ type: () => true }), (request, response) => {
  response.end(request.body);
});

const url = await listen(http.createServer(app), 'http');
await run({ url, issuer: url });
