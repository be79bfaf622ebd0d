// One demo institution: an OpenID provider (npm oidc-provider) with its own key, memory, cookies and login page.

import Provider from 'oidc-provider';
import { Memory } from './memory.mjs';
import { errorPage, language, loginPage } from './pages.mjs';

const CLIENT = 'kirzl-lab';
const MOST_FORM_BYTES = 4096;
const MINUTE = 60;
const HOUR = 60 * MINUTE;

/** What the institution says about an account: the same in the ID token and from userinfo. */
function claimsOf(login, account, institution) {
  const { domain, title } = institution;
  return {
    sub: login,
    preferred_username: login,
    name: `${account.title.en} (${title.en})`,
    email: `${login}@${domain}`,
    email_verified: true,
    ...(account.matriculation_number && { matriculation_number: account.matriculation_number }),
    ...(account.affiliations && {
      eduperson_scoped_affiliation: account.affiliations.map((affiliation) => `${affiliation}@${domain}`),
    }),
  };
}

/** Everything that was asked for is granted: there is no consent page. */
async function grantAll(ctx) {
  const { client, params, provider, session } = ctx.oidc;
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(params.scope);
  await grant.save();
  return grant;
}

function configuration({ name, institution, redirectBases, key }) {
  const secret = institution.client_secret;
  const redirects = redirectBases.map((redirectBase) => `${redirectBase}/hub/callback/${name}`);
  return {
    adapter: Memory,
    jwks: { keys: [key] },
    clients: [
      {
        client_id: CLIENT,
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: redirects,
        ...(secret
          ? { token_endpoint_auth_method: 'client_secret_basic', client_secret: process.env[secret.env] || secret.default }
          : { token_endpoint_auth_method: 'none' }),
      },
    ],
    clientAuthMethods: ['client_secret_basic', 'none'],
    responseTypes: ['code'],
    scopes: ['openid', 'offline_access'],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'matriculation_number', 'eduperson_scoped_affiliation'],
      email: ['email', 'email_verified'],
    },
    conformIdTokenClaims: false, // the claims stand in the ID token too
    pkce: { required: () => true },
    enabledJWA: { idTokenSigningAlgValues: ['RS256'] },
    // Cookies ignore ports and this host serves three providers: each has names and a path of its own.
    cookies: {
      names: { session: `demo_${name}_session`, interaction: `demo_${name}_login`, resume: `demo_${name}_resume` },
      long: { httpOnly: true, sameSite: 'lax', path: `/${name}` },
      short: { httpOnly: true, sameSite: 'lax' },
    },
    features: {
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
    },
    interactions: { url: (ctx, interaction) => `/${name}/login/${interaction.uid}` },
    loadExistingGrant: grantAll,
    findAccount: (ctx, login) =>
      Object.hasOwn(institution.accounts, login)
        ? { accountId: login, claims: () => claimsOf(login, institution.accounts[login], institution) }
        : undefined,
    clientBasedCORS: () => false,
    expiresWithSession: () => false,
    issueRefreshToken: (ctx, client, code) => code.scopes.has('offline_access'),
    ttl: {
      AccessToken: HOUR,
      AuthorizationCode: MINUTE,
      Grant: 14 * HOUR,
      IdToken: HOUR,
      Interaction: 15 * MINUTE,
      RefreshToken: 14 * HOUR,
      Session: HOUR,
    },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      const about = { error: out.error, detail: out.error_description };
      ctx.body = errorPage(institution, language(ctx.get('accept-language')), about);
    },
  };
}

/** The fields of a posted form; throws when it is longer than a login form can be. */
async function formOf(request) {
  let text = '';
  for await (const part of request) {
    text += part;
    if (text.length > MOST_FORM_BYTES) throw new Error('The form is too long.');
  }
  return new URLSearchParams(text);
}

/** Who the posted form logs in: one click on an account, or its name with its password; null when neither fits. */
function accountOf(form, accounts) {
  const login = form.get('account') ?? form.get('login')?.trim();
  const proven = form.has('account') || form.get('password') === login;
  return proven && Object.hasOwn(accounts, login ?? '') ? login : null;
}

function without(cookies, name) {
  return cookies
    .split(/;\s*/)
    .filter((cookie) => !cookie.startsWith(`${name}=`))
    .join('; ');
}

/** Gives the (request, response) function of one institution; `base` is the origin in front of its path. */
export function demoProvider({ name, institution, base, redirectBases, key }) {
  const provider = new Provider(`${base}/${name}`, configuration({ name, institution, redirectBases, key }));
  provider.on('server_error', (ctx, error) => console.error(`demo institutions: ${name}: ${error.stack}`));
  const answer = provider.callback();
  // After a login the browser is sent on to the lab, and browsers hold a form to this list for that step too.
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' ${redirectBases.join(' ')}`;

  function send(response, status, page) {
    response.writeHead(status, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    });
    response.end(page);
  }

  async function login(request, response) {
    let spoken = language(request.headers['accept-language']);
    let interaction;
    try {
      interaction = await provider.interactionDetails(request, response);
    } catch {
      send(response, 400, errorPage(institution, spoken, { error: 'login_expired' }));
      return;
    }
    spoken = language(interaction.params.ui_locales?.replaceAll(' ', ','), spoken);
    const page = (form) => loginPage(institution, spoken, { hint: interaction.params.login_hint, ...form });
    if (request.method !== 'POST') {
      send(response, 200, page({}));
      return;
    }
    const form = await formOf(request);
    if (form.has('cancel')) {
      const cancelled = { error: 'access_denied', error_description: 'The login was cancelled.' };
      await provider.interactionFinished(request, response, cancelled);
      return;
    }
    const accountId = accountOf(form, institution.accounts);
    if (accountId === null) {
      send(response, 422, page({ wrong: true, hint: form.get('login') }));
      return;
    }
    await provider.interactionFinished(request, response, { login: { accountId, remember: false }, consent: {} });
  }

  return (request, response) => {
    if (/^\/login\/[\w-]+$/.test(request.url)) {
      login(request, response).catch((error) => {
        console.error(`demo institutions: ${name}: ${error.message}`);
        if (!response.headersSent) send(response, 500, errorPage(institution, 'en', { error: 'server_error' }));
      });
      return;
    }
    // Nobody stays logged in: each request to authorize starts without the session of an earlier one.
    if (request.headers.cookie && request.url.startsWith('/auth')) {
      request.headers.cookie = without(request.headers.cookie, `demo_${name}_session`);
    }
    answer(request, response);
  };
}
