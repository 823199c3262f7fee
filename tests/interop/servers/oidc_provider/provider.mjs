// The authorization server: oidc-provider, configured for the client credentials grant.

import { randomBytes } from 'node:crypto';

import { errors, Provider } from 'oidc-provider';

const SCOPES = ['api:read', 'api:write'];
const NOT_FOR_OUR_CLIENTS = 'api:admin';

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

export function createProvider({ issuer, tlsIssuer, resources, secret, jwks, lifetime }) {
  const routes = { token: '/token', revocation: '/revoke', introspection: '/introspect' };
  return new Provider(issuer, {
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
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
}
