// The pages of a demo institution, in German and English: its login form, and what it says when something is wrong.

const WORDS = {
  en: {
    login: 'Log in',
    for: 'to go on to KIRZL Lab',
    notice: 'A demo institution on this machine, for trying only. The password of each account is its user name.',
    oneClick: 'Log in with one click',
    more: 'More accounts',
    orForm: 'Or type it yourself',
    user: 'User name',
    password: 'Password',
    wrong: 'There is no such account here, or the password is another. The password of each account is its user name.',
    cancel: 'Cancel and go back',
    number: 'Matriculation no.',
    errorTitle: 'This did not work',
    login_expired: 'This login was finished already or is too old. Go back to KIRZL Lab and choose your institution again.',
    other: 'Go back to KIRZL Lab and choose your institution again.',
    detail: 'For whoever runs the lab',
  },
  de: {
    login: 'Anmelden',
    for: 'und weiter zum KIRZL Lab',
    notice: 'Eine Demo-Einrichtung auf diesem Rechner, nur zum Ausprobieren. Das Passwort jedes Kontos ist sein Benutzername.',
    oneClick: 'Mit einem Klick anmelden',
    more: 'Weitere Konten',
    orForm: 'Oder selbst eintippen',
    user: 'Benutzername',
    password: 'Passwort',
    wrong: 'Dieses Konto gibt es hier nicht, oder das Passwort lautet anders. Das Passwort jedes Kontos ist sein Benutzername.',
    cancel: 'Abbrechen und zurück',
    number: 'Matrikelnr.',
    errorTitle: 'Das hat nicht geklappt',
    login_expired: 'Diese Anmeldung ist schon abgeschlossen oder zu alt. Bitte im KIRZL Lab die Einrichtung noch einmal wählen.',
    other: 'Bitte im KIRZL Lab die Einrichtung noch einmal wählen.',
    detail: 'Für die Menschen, die das Lab betreiben',
  },
};

const STYLE = `
:root { color-scheme: light dark; --page: #f3f4f6; --card: #fff; --text: #1f2328; --soft: #57606a; --line: #c4cad1;
  --hover: #f0f4ff; --bad: #b42318; --bad-page: #fef3f2; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1318; --card: #191f26; --text: #e8ebee; --soft: #a8b1bb;
  --line: #454f5a; --hover: #242d38; --bad: #ffb4ab; --bad-page: #3a1a17; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem 1rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 29rem; background: var(--card); border-radius: .9rem; overflow: hidden;
  border: 1px solid var(--line); box-shadow: 0 8px 28px rgb(0 0 0 / 10%); }
main::before { content: ''; display: block; height: .4rem; background: var(--colour); }
header { display: flex; gap: .9rem; align-items: center; padding: 1.3rem 1.5rem .9rem; }
header span { flex: none; width: 2.9rem; height: 2.9rem; display: grid; place-items: center; border-radius: .7rem;
  background: var(--colour); color: #fff; font-size: 1.4rem; font-weight: 700; }
h1 { margin: 0; font-size: 1.2rem; line-height: 1.25; }
header p { margin: .15rem 0 0; color: var(--soft); font-size: .95rem; }
h2 { margin: 1.4rem 0 .5rem; font-size: .95rem; }
section { padding: 0 1.5rem 1.5rem; }
.notice, .wrong { margin: 0; padding: .6rem .8rem; border-radius: .5rem; font-size: .9rem; background: var(--page); }
.wrong { margin-bottom: .6rem; color: var(--bad); background: var(--bad-page); }
.accounts { list-style: none; margin: 0; padding: 0; display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
button, input { font: inherit; color: inherit; width: 100%; border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .75rem; background: var(--card); }
button { cursor: pointer; }
button:hover { background: var(--hover); }
button:focus-visible, input:focus-visible { outline: 3px solid var(--colour); outline-offset: 2px; }
@media (prefers-color-scheme: dark) { button:focus-visible, input:focus-visible { outline-color: #9db8ff; } }
.accounts button { display: flex; flex-direction: column; align-items: flex-start; text-align: left; height: 100%; }
.accounts + details { margin-top: .6rem; }
summary { cursor: pointer; color: var(--soft); font-size: .9rem; margin-bottom: .5rem; }
.accounts small { color: var(--soft); font-size: .82rem; overflow-wrap: anywhere; }
label { display: block; margin: .6rem 0 .2rem; font-size: .9rem; }
.main { margin-top: .9rem; background: var(--colour); border-color: var(--colour); color: #fff; font-weight: 600; }
.main:hover { background: var(--colour); filter: brightness(1.12); }
.cancel { margin-top: .6rem; border-color: transparent; color: var(--soft); text-decoration: underline; }
code { overflow-wrap: anywhere; }
`;

/** So many accounts fit on a screen; those of a whole class wait behind a click. */
const AT_ONCE = 8;

const SAFE = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const safe = (text) => String(text).replace(/[&<>"']/g, (sign) => SAFE[sign]);

/** `de` or `en`, whichever an Accept-Language header prefers; `otherwise` when it names neither. */
export function language(header, otherwise = 'en') {
  const wishes = (header ?? '').split(',').map((wish) => {
    const [tag, ...rest] = wish.trim().toLowerCase().split(';');
    const weight = rest.map((part) => /^\s*q=([\d.]+)$/.exec(part)?.[1]).find(Boolean) ?? '1';
    return { tag: tag.split('-')[0], weight: Number(weight) };
  });
  const known = wishes.filter(({ tag, weight }) => Object.hasOwn(WORDS, tag) && weight > 0);
  return known.sort((one, other) => other.weight - one.weight)[0]?.tag ?? otherwise;
}

function page(institution, spoken, title, body) {
  return `<!doctype html>
<html lang="${spoken}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${safe(title)} · ${safe(institution.title[spoken])}</title>
<link rel="icon" href="data:,">
<style>:root { --colour: ${institution.colour}; }${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

function header(institution, spoken, line) {
  return `<header><span aria-hidden="true">${institution.badge}</span>
<div><h1>${safe(institution.title[spoken])}</h1><p>${safe(line)}</p></div></header>`;
}

function accountButton(login, account, institution, spoken, words) {
  const number = account.matriculation_number;
  const more = number ? `<small>${words.number} ${safe(number)}</small>` : '';
  return `<li><button name="account" value="${safe(login)}"><strong>${safe(account.title[spoken])}</strong>
<small>${safe(login)}@${safe(institution.domain)}</small>${more}</button></li>`;
}

/** The login form; `hint` is put into the user name field, `wrong` tells that the last try fitted no account. */
export function loginPage(institution, spoken, { hint, wrong }) {
  const words = WORDS[spoken];
  const buttons = Object.entries(institution.accounts).map(([login, account]) =>
    accountButton(login, account, institution, spoken, words),
  );
  const list = (some, mark = '') => `<ul class="accounts"${mark}>\n${some.join('\n')}\n</ul>`;
  const more = buttons.slice(AT_ONCE);
  const rest = more.length ? `<details><summary>${words.more}</summary>${list(more)}</details>` : '';
  const said = wrong ? `<p class="wrong" id="wrong" role="alert">${words.wrong}</p>` : '';
  const mark = wrong ? ' aria-invalid="true" aria-describedby="wrong" autofocus' : '';
  return page(
    institution,
    spoken,
    words.login,
    `${header(institution, spoken, `${words.login} ${words.for}`)}
<section>
<p class="notice">${words.notice}</p>
<h2 id="one-click">${words.oneClick}</h2>
<form method="post">${list(buttons.slice(0, AT_ONCE), ' aria-labelledby="one-click"')}${rest}</form>
<h2>${words.orForm}</h2>
${said}
<form method="post">
<label for="login">${words.user}</label>
<input id="login" name="login" value="${safe(hint ?? '')}" autocomplete="username" autocapitalize="none" spellcheck="false" required${mark}>
<label for="password">${words.password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button class="main">${words.login}</button>
</form>
<form method="post"><button class="cancel" name="cancel" value="yes">${words.cancel}</button></form>
</section>`,
  );
}

/** The page for a request that cannot go on; `error` is OAuth's code for it, or `login_expired`. */
export function errorPage(institution, spoken, { error, detail }) {
  const words = WORDS[spoken];
  const more = detail ? `<h2>${words.detail}</h2><p><code>${safe(error)}: ${safe(detail)}</code></p>` : '';
  return page(
    institution,
    spoken,
    words.errorTitle,
    `${header(institution, spoken, words.errorTitle)}
<section><p class="notice">${words[error === 'login_expired' ? error : 'other']}</p>${more}</section>`,
  );
}
