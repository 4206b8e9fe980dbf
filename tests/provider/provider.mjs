// A conforming OpenID provider on loopback, for the tests, over panva's oidc-provider.
//
// usage: node provider.mjs FOLDER [PORT]   (FOLDER/node_modules holds the packages)
//
// The first line of stdout is JSON: {issuer, clients}. Any name signs in, without a password, at the
// page of an interaction; what it claims is set under /_control. Ends with its stdin.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, port = '0'] = process.argv.slice(2);
const { resolve: find } = createRequire(pathToFileURL(`${resolve(folder)}/`));
const load = (name) => import(pathToFileURL(find(name)).href);
const [{ default: Provider }, { SignJWT, importJWK }] = [await load('oidc-provider'), await load('jose')];

const SCOPES = 'zia.users.read zia.users.write zia.users.delete zia.activate zia.approve zia.audit.read zia.metrics.read';
const CLIENTS = [
  // A bot: it signs in as itself.
  { client_id: 'chatops', client_secret: 'chatops-secret-that-only-the-tests-know', grant_types: ['client_credentials'],
    response_types: [], redirect_uris: [] },
  // An application that people use, with any redirect URI on loopback.
  { client_id: 'console', client_secret: 'console-secret-that-only-the-tests-know', grant_types: ['authorization_code'],
    response_types: ['code'], redirect_uris: ['http://127.0.0.1/callback'] },
  // The same without a secret, as an MCP client is.
  { client_id: 'desktop', token_endpoint_auth_method: 'none', grant_types: ['authorization_code'],
    response_types: ['code'], redirect_uris: ['http://127.0.0.1/callback'] },
];

const accounts = new Map(); // sub -> claims, acr and amr among them
const counts = {};
const down = new Set(); // paths that answer 503
const settings = { alg: 'RS256', ttl: 600, type: 'at+jwt', claims: {} };

class Memory {
  static kept = new Map();
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { Memory.kept.set(this.key(id), payload); }
  async find(id) { return Memory.kept.get(this.key(id)); }
  async findByUid(uid) { return this.first((p) => p.uid === uid); }
  async findByUserCode(code) { return this.first((p) => p.userCode === code); }
  first(is) { return [...Memory.kept].find(([k, p]) => k.startsWith(`${this.model}:`) && is(p))?.[1]; }
  async consume(id) { Memory.kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { Memory.kept.delete(this.key(id)); }
  async revokeByGrantId(grant) {
    for (const [k, p] of Memory.kept) if (p.grantId === grant) Memory.kept.delete(k);
  }
}

const generated = (alg) => {
  const [kind, options] = { RS256: ['rsa', { modulusLength: 2048 }], PS256: ['rsa', { modulusLength: 2048 }],
    ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] }[alg];
  const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, alg, use: 'sig', kid: `${alg}-${randomUUID().slice(0, 8)}` };
};
const keys = () => ['RS256', 'PS256', 'ES256', 'EdDSA'].map(generated);

const configuration = (jwks) => ({
  adapter: Memory,
  clients: CLIENTS,
  jwks: { keys: jwks },
  cookies: { keys: ['a-key-of-the-tests'] },
  pkce: { required: () => true },
  scopes: ['openid', ...SCOPES.split(' ')],
  acrValues: ['urn:test:password', 'urn:test:mfa'],
  claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  // Claims of the granted scopes stand in the ID token, as at the big providers.
  conformIdTokenClaims: false,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  ttl: { AccessToken: () => settings.ttl, ClientCredentials: () => settings.ttl, Session: 3600, Interaction: 600, Grant: 3600, IdToken: 600, AuthorizationCode: 60 },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => {
    const { acr, amr, ...claims } = accounts.get(sub) ?? {};
    return { accountId: sub, claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true, name: sub, groups: [], ...claims }) };
  },
  // Who signed in has agreed.
  loadExistingGrant: async (ctx) => {
    const { client, session, params, provider } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope ?? 'openid');
    for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, params.scope ?? '');
    await grant.save();
    return grant;
  },
  formats: {
    customizers: {
      jwt: (_, token, { payload }) => Object.assign(payload, settings.claims, accounts.get(token.accountId)?.access_token),
    },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    userinfo: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: SCOPES, audience: resource, accessTokenTTL: settings.ttl, accessTokenFormat: 'jwt', jwt: { sign: { alg: settings.alg } },
      }),
    },
  },
});

const isLoopback = (uri) => {
  try {
    const { protocol, hostname } = new URL(uri);
    return ['http:', 'https:'].includes(protocol) && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
  } catch {
    return false;
  }
};

let ring = keys(); // those that sign come first
let provider;
const build = () => {
  provider = new Provider(issuer, configuration(ring));
  provider.Client.prototype.redirectUriAllowed = isLoopback;
};

const read = async (request) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
};

const form = (uid, prompt) => `<!doctype html><html lang="en"><title>Sign in</title><h1>Sign in</h1>
<form method="post" action="/interaction/${uid}"><label>Name <input name="login" autofocus></label>
<button name="do" value="sign-in">Sign in</button> <button name="do" value="cancel">Cancel</button></form><p>${prompt}</p></html>`;

// The page on which people sign in.
const interaction = async (request, response, uid) => {
  const details = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(form(uid, details.prompt.name));
    return;
  }
  const sent = new URLSearchParams(await read(request));
  const login = sent.get('login') ?? '';
  const { acr, amr = ['pwd'] } = accounts.get(login) ?? {};
  const result = sent.get('do') === 'cancel' || !login
    ? { error: 'access_denied', error_description: 'the person cancelled' }
    : { login: { accountId: login, acr, amr, remember: true } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
};

// Signs anything with the provider's own key.
const mint = async ({ alg = settings.alg, header = {}, payload }) => {
  const key = ring.find((k) => k.alg === alg);
  const jwt = new SignJWT(payload).setProtectedHeader({ alg, kid: key.kid, typ: 'at+jwt', ...header });
  return jwt.sign(await importJWK(key, alg));
};

const controls = {
  // New keys sign from now on; the old ones stay published if asked.
  'POST rotate': ({ keep = true }) => { ring = [...keys(), ...(keep ? ring : [])]; build(); return ring.map((k) => k.kid); },
  'POST account': ({ sub, claims }) => { accounts.set(sub, claims); },
  'POST settings': (changed) => Object.assign(settings, changed),
  'POST down': ({ paths }) => { down.clear(); paths.forEach((p) => down.add(p)); },
  // Every login was so many seconds earlier.
  'POST age': ({ seconds }) => {
    for (const [k, p] of Memory.kept) if (k.startsWith('Session:') && p.loginTs) p.loginTs -= seconds;
  },
  'POST mint': mint,
  'GET counts': () => counts,
};

const server = createServer(async (request, response) => {
  try {
    const { pathname } = new URL(request.url, issuer);
    if (pathname.startsWith('/_control/')) {
      const control = controls[`${request.method} ${pathname.slice('/_control/'.length)}`];
      const answer = (await control(request.method === 'POST' ? JSON.parse(await read(request)) : {})) ?? null;
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      return;
    }
    counts[pathname] = (counts[pathname] ?? 0) + 1;
    if (down.has(pathname)) { response.writeHead(503).end(); return; }
    const uid = pathname.match(/^\/interaction\/([\w-]+)$/)?.[1];
    await (uid ? interaction(request, response, uid) : provider.callback()(request, response));
  } catch (error) {
    process.stderr.write(`${request.method} ${request.url}: ${error.stack}\n`);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
});

await new Promise((ready) => server.listen(Number(port), '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;
build();
process.stdout.write(`${JSON.stringify({ issuer, clients: CLIENTS })}\n`);
process.stdin.resume().on('end', () => process.exit(0));
