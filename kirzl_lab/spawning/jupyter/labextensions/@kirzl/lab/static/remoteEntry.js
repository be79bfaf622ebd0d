// Which space and size this server is, and the way back, in JupyterLab's top bar; and a word before it ends for lack of
// work.
//
// Written by hand as what JupyterLab loads: a Module Federation container with `init` and `get`
// (docs/decisions/0401-jupyterlab-extension-without-a-bundler.md). What it shows comes from the page
// configuration, which kirzl_lab/spawning/server_extension.py fills.
(() => {
  'use strict';

  const WORDS = {
    en: {
      back: 'My spaces',
      label: 'Space and size',
      preview: 'Preview as a student',
      ends: time => `Nothing has been done on this server for a while, so it ends at ${time}. Your files are kept.`,
      here: 'I am still here'
    },
    de: {
      back: 'Meine Bereiche',
      label: 'Bereich und Größe',
      preview: 'Vorschau als Studierende',
      ends: time => `Auf diesem Server ist länger nichts geschehen; er endet um ${time} Uhr. Ihre Dateien bleiben erhalten.`,
      here: 'Ich bin noch da'
    }
  };

  const IDLE_URL = 'kirzl-lab/idle'; // kirzl_lab/spawning/idle.py
  const ASK_EVERY_S = 60;
  const ASK_AGAIN_S = 10; // while a warning is shown, so that it goes soon after somebody works again

  const STYLE = `
    .kirzl-where { display: flex; align-items: center; justify-content: flex-end; gap: 8px; min-width: 0;
      padding: 0 12px; white-space: nowrap; color: var(--jp-ui-font-color1); font-size: var(--jp-ui-font-size1); }
    .kirzl-where-names { min-width: 0; overflow: hidden; text-overflow: ellipsis; }
    .kirzl-where-preview { padding: 0 6px; border: 1px solid currentColor; border-radius: 8px; font-size: 0.85em; }
    .kirzl-where a { flex: none; padding: 1px 8px; border: 1px solid var(--jp-border-color1); border-radius: 3px;
      color: var(--jp-content-link-color); text-decoration: none; }
    .kirzl-where a:hover { text-decoration: underline; }
    .kirzl-where a:focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: 1px; }
    @media (max-width: 700px) { .kirzl-where-names, .kirzl-where-preview { display: none; } }`;

  let shared = null;

  const pageConfig = () => JSON.parse(document.getElementById('jupyter-config-data')?.textContent || '{}');

  /** `de` or `en`: what was chosen in the lab, or else what the browser prefers. */
  const languageOf = config => {
    const wanted = [config.kirzlLanguage, ...navigator.languages].map(name => (name || '').slice(0, 2).toLowerCase());
    return wanted.find(name => name in WORDS) || 'en';
  };

  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const content = config => {
    const language = languageOf(config);
    const [suffix, words] = [language === 'de' ? 'De' : 'En', WORDS[language]];
    const names = [config[`kirzlSpaceTitle${suffix}`], config[`kirzlSizeTitle${suffix}`]].filter(Boolean).join(' · ');
    const node = element('div', '', '');
    node.lang = language;
    node.setAttribute('role', 'group');
    node.setAttribute('aria-label', words.label);
    const shown = element('span', 'kirzl-where-names', names);
    shown.title = names;
    node.append(shown);
    if (config.kirzlPurpose === 'preview') {
      node.append(element('span', 'kirzl-where-preview', words.preview));
    }
    const back = element('a', '', words.back);
    back.href = config.kirzlHomeUrl;
    node.append(back);
    return node;
  };

  const where = Widget => ({
    id: '@kirzl/lab:where',
    description: 'Shows the space and the size of this server, and the way back to My spaces.',
    autoStart: true,
    activate: app => {
      const config = pageConfig();
      if (!config.kirzlHomeUrl) {
        return;
      }
      document.head.append(element('style', '', STYLE));
      const widget = new Widget({ node: content(config) });
      widget.id = 'kirzl-where';
      widget.addClass('kirzl-where');
      app.shell.add(widget, 'top', { rank: 1000 });
    }
  });

  const idle = (Notification, ServerConnection) => ({
    id: '@kirzl/lab:idle',
    description: 'Tells people before their server ends because nothing was done on it.',
    autoStart: true,
    activate: app => {
      const config = pageConfig();
      if (!config.kirzlIdleHours) {
        return;
      }
      const language = languageOf(config);
      const words = WORDS[language];
      const settings = app.serviceManager.serverSettings;
      let shown = '';
      let timer = 0;

      const show = standing => {
        if (shown && !standing.warn) {
          Notification.dismiss(shown);
          shown = '';
        } else if (standing.warn && !shown) {
          const end = new Date(Date.now() + standing.left_s * 1000);
          const time = end.toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
          shown = Notification.warning(words.ends(time), {
            autoClose: false,
            actions: [{ label: words.here, displayType: 'accent', callback: () => ask('POST') }]
          });
        }
      };

      const ask = async method => {
        window.clearTimeout(timer);
        let next = ASK_EVERY_S;
        try {
          const response = await ServerConnection.makeRequest(settings.baseUrl + IDLE_URL, { method }, settings);
          if (response.ok) {
            const standing = await response.json();
            show(standing);
            next = standing.warn ? ASK_AGAIN_S : Math.min(ASK_EVERY_S, standing.warn_in_s);
          }
        } catch {
          // The server or the network is away: JupyterLab says so itself.
        }
        timer = window.setTimeout(() => ask('GET'), Math.max(1, next) * 1000);
      };
      void ask('GET');
    }
  });

  /** The module of that name that JupyterLab shares; there is one version of it. */
  const sharedModule = async name => (await Object.values(shared[name])[0].get())();

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['@kirzl/lab'] = {
    init: scope => {
      shared = scope;
    },
    get: async () => {
      const { Widget } = await sharedModule('@lumino/widgets');
      const { Notification } = await sharedModule('@jupyterlab/apputils');
      const { ServerConnection } = await sharedModule('@jupyterlab/services');
      const made = { __esModule: true, default: [where(Widget), idle(Notification, ServerConnection)] };
      return () => made;
    }
  };
})();
