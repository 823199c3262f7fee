// What a protected resource does to check DPoP proofs (RFC 9449 §4.3, §7, §9). oidc-provider checks
// those of token requests itself, and exports nothing for this.

import { createHash, randomUUID } from 'node:crypto';

import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose';

export const ALGORITHMS = ['ES256', 'EdDSA', 'PS256', 'RS256'];
const NONCES_KEPT = 64;
const SECONDS_OLD = 60;

export class RefusedProof extends Error {
  constructor(error, description) {
    super(description);
    this.error = error;
  }
}

export class Proofs {
  #nonces = [];
  #seen = new Set();

  // Goes with every answer; a client that heeds it never meets a nonce that is no longer kept.
  nextNonce() {
    this.#nonces.push(randomUUID());
    this.#nonces = this.#nonces.slice(-NONCES_KEPT);
    return this.#nonces.at(-1);
  }

  async check(proof, { method, url, token, thumbprint }) {
    const { payload, protectedHeader } = await verified(proof);
    demand(payload.htm === method, 'htm is not the method of the request');
    demand(payload.htu === url, 'htu is not the URL of the request');
    demand(Math.abs(Date.now() / 1000 - payload.iat) < SECONDS_OLD, 'iat is not recent');
    demand(payload.ath === sha256(token), 'ath is not the hash of the token');
    demand(
      (await calculateJwkThumbprint(protectedHeader.jwk)) === thumbprint,
      'the key is not the one that the token is bound to',
    );
    if (!this.#nonces.includes(payload.nonce)) {
      throw new RefusedProof('use_dpop_nonce', 'a nonce of this resource is needed');
    }
    demand(typeof payload.jti === 'string' && !this.#seen.has(payload.jti), 'jti is not new');
    this.#seen.add(payload.jti);
  }
}

async function verified(proof) {
  try {
    return await jwtVerify(proof, EmbeddedJWK, {
      algorithms: ALGORITHMS,
      requiredClaims: ['htm', 'htu', 'iat', 'ath', 'jti'],
      typ: 'dpop+jwt',
    });
  } catch (error) {
    throw new RefusedProof('invalid_dpop_proof', error.message);
  }
}

function demand(condition, otherwise) {
  if (!condition) {
    throw new RefusedProof('invalid_dpop_proof', otherwise);
  }
}

function sha256(text) {
  return createHash('sha256').update(text).digest('base64url');
}
