// The protected resource: it asks the provider's own store about a token, and echoes the body.

import { createHash } from 'node:crypto';

import { ALGORITHMS, Proofs, RefusedProof } from './proofs.mjs';

class Refused extends Error {
  constructor(challenges) {
    super('refused');
    this.challenges = challenges;
  }
}

export class Api {
  #proofs = new Proofs();
  #provider;
  #resource;

  constructor(provider, resource) {
    this.#provider = provider;
    this.#resource = resource;
  }

  // The URL is the one that the client called.
  async answer(request, response, url) {
    const body = await Array.fromAsync(request);
    try {
      await this.#authorize(request, response, url);
      response.end(Buffer.concat(body));
    } catch (error) {
      if (!(error instanceof Refused)) {
        throw error;
      }
      response.writeHead(401, { 'WWW-Authenticate': error.challenges }).end();
    }
  }

  async #authorize(request, response, url) {
    const [scheme, value] = (request.headers.authorization ?? '').split(' ');
    if (!['bearer', 'dpop'].includes(scheme.toLowerCase())) {
      throw new Refused(['Bearer realm="api"', `DPoP algs="${ALGORITHMS.join(' ')}"`]);
    }
    const refuse = (error, description) => {
      throw new Refused([`${scheme} error="${error}", error_description="${description}"`]);
    };

    const token = await this.#provider.ClientCredentials.find(value);
    if (!token) {
      refuse('invalid_token', 'unknown, expired or revoked');
    }
    if (token.aud !== this.#resource) {
      refuse('invalid_token', 'meant for another resource');
    }
    if (token.tokenType.toLowerCase() !== scheme.toLowerCase()) {
      refuse('invalid_token', `to be sent as ${token.tokenType}`);
    }
    if (token['x5t#S256'] && token['x5t#S256'] !== certificateThumbprint(request.socket)) {
      refuse('invalid_token', 'bound to another certificate');
    }
    if (token.jkt) {
      response.setHeader('DPoP-Nonce', this.#proofs.nextNonce());
      await this.#proofs
        .check(request.headers.dpop, {
          method: request.method,
          url,
          token: value,
          thumbprint: token.jkt,
        })
        .catch((error) => {
          if (!(error instanceof RefusedProof)) {
            throw error;
          }
          refuse(error.error, error.message);
        });
    }
  }
}

function certificateThumbprint(socket) {
  const certificate = socket.getPeerX509Certificate?.();
  return certificate && createHash('sha256').update(certificate.raw).digest('base64url');
}
