// The authorization server: oidc-provider, configured for the client credentials grant.

import { randomBytes } from 'node:crypto';

import { errors, Provider } from 'oidc-provider';

const SCOPES = ['api:read', 'api:write'];
const NOT_FOR_OUR_CLIENTS = 'api:admin';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

// One client for each authentication method, and one whose tokens are bound by DPoP.
function clients(secret, jwks) {
  const metadata = {
    'post-client': { token_endpoint_auth_method: 'client_secret_post', client_secret: secret },
    'basic-client': { token_endpoint_auth_method: 'client_secret_basic', client_secret: secret },
    'secret-jwt-client': { token_endpoint_auth_method: 'client_secret_jwt', client_secret: secret },
    'private-key-client': { token_endpoint_auth_method: 'private_key_jwt', jwks },
    'dpop-client': {
      token_endpoint_auth_method: 'client_secret_post',
      client_secret: secret,
      dpop_bound_access_tokens: true,
    },
    'exchange-client': { token_endpoint_auth_method: 'none', grant_types: [TOKEN_EXCHANGE] },
    'tls-client': {
      token_endpoint_auth_method: 'tls_client_auth',
      tls_client_auth_san_dns: 'client.example.com',
      tls_client_certificate_bound_access_tokens: true,
    },
  };
  return Object.entries(metadata).map(([id, own]) => ({
    client_id: id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: SCOPES.join(' '),
    ...own,
  }));
}

// RFC 8693: a token of any client for one of the client that asks, for the same resource.
async function exchange(ctx) {
  const { client, params, provider } = ctx.oidc;
  const type = 'urn:ietf:params:oauth:token-type:access_token';
  if (params.subject_token_type !== type) {
    throw new errors.InvalidRequest('subject_token_type is not supported');
  }
  const subject = await provider.ClientCredentials.find(params.subject_token ?? '');
  if (!subject?.isValid) {
    throw new errors.InvalidGrant('subject_token is unknown or expired');
  }
  const token = new provider.ClientCredentials({ client, aud: subject.aud, scope: subject.scope });
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: type,
    token_type: token.tokenType,
    expires_in: token.expiration,
  };
}

export function createProvider({ issuer, tlsIssuer, resources, secret, jwks, lifetime }) {
  const routes = { token: '/token', revocation: '/revoke', introspection: '/introspect' };
  const provider = new Provider(issuer, {
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
      'none',
    ],
    clients: clients(secret, jwks),
    discovery: {
      mtls_endpoint_aliases: Object.fromEntries(
        Object.entries(routes).map(([name, path]) => [`${name}_endpoint`, tlsIssuer + path]),
      ),
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      introspection: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_dns' &&
          ctx.socket.getPeerX509Certificate().subjectAltName === `DNS:${expected}`,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resources[0],
        getResourceServerInfo(ctx, resource) {
          if (!resources.includes(resource)) {
            throw new errors.InvalidTarget();
          }
          return { scope: SCOPES.join(' '), accessTokenTTL: lifetime };
        },
      },
      revocation: { enabled: true },
    },
    routes,
    scopes: [...SCOPES, NOT_FOR_OUR_CLIENTS],
    ttl: { ClientCredentials: lifetime },
  });
  provider.registerGrantType(TOKEN_EXCHANGE, exchange, ['subject_token', 'subject_token_type']);
  return provider;
}
