/* Throughline site tracker, served as it stands: docs/tracker.md */
(() => {
'use strict';
const tag = document.currentScript || document.querySelector('script[src*="tracker.js"]');
if (!tag || window.throughline || !window.crypto) return;

const MINUTE = 6e4, KEY = 'throughline', ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const UTM = 'source medium campaign term content'.split(' ');
const CLICK_IDS = 'yclid ymclid gclid gbraid wbraid dclid fbclid msclkid ttclid rb_clickid'.split(' ');
const setting = name => (tag.getAttribute('data-' + name) || '').trim();
const list = (name, plain) => setting(name).split(',').map(x => plain(x.trim())).filter(Boolean);
const endpoint = setting('endpoint'), asks = setting('consent') === 'required';

/* Accounts, as settings and links write them. */
const lower = x => x.toLowerCase().replace(/^@/, '');
const digits = x => x.replace(/\D/g, '').replace(/^0+/, '');
const person = x => /^\+?\d/.test(x) ? digits(x) : lower(x);
const club = x => lower(x).replace(/^(?:club|public|-)(\d+)$/, '$1');
/* Mobile only: 84 is Vietnam too. */
const phones = list('whatsapp', x => digits(x).replace(/^8(9\d{9})$/, '7$1'));
const bots = list('telegram', lower), people = list('telegram-people', person), vibers = list('viber', lower);
const clubs = list('vk', club), pages = list('messenger', lower), names = list('instagram', lower);

/* The token: ten random symbols and a check symbol, Luhn mod 32. */
const symbols = n => Array.from(crypto.getRandomValues(new Uint8Array(n)), b => ALPHABET[b & 31]).join('');
const newToken = () => {
  const ten = symbols(10);
  let sum = 0;
  for (let i = 0; i < 10; i++) {
    const p = ALPHABET.indexOf(ten[9 - i]) * (i % 2 ? 1 : 2);
    sum += (p >> 5) + (p & 31);
  }
  const token = ten + ALPHABET[(32 - sum % 32) % 32];
  made.push(token);
  return token;
};
const made = [];

/* Kept in memory, with consent in localStorage too: `s` the visit, `first` the first, `v` the visitor, `q` the queue. */
let memory = {}, agreed, disk = true;
const read = () => {
  if (agreed && disk) try {
    const text = localStorage.getItem(KEY), known = text && JSON.parse(text);
    if (known && /^\w{11}$/.test((known.s || 0).token) && Array.isArray(known.q)) memory = known;
  } catch (e) { disk = false; }
  return memory;
};
const save = () => {
  if (agreed && disk) try { localStorage.setItem(KEY, JSON.stringify(memory)); } catch (e) { disk = false; }
};
const refuse = store => {
  const was = agreed;
  agreed = false;
  if (store) try { asks ? localStorage.removeItem(KEY) : localStorage.setItem(KEY, '{"no":1}'); } catch (e) {}
  /* Links go on with a token that nothing was told about. */
  if (was) {
    memory = {};
    visit(came);
  }
};

/* A fragment may hold secrets, unless it is a route. */
const here = () => location.href.replace(/#(?![!/]).*/, '').slice(0, 2000);
const fromQuery = (keys, prefix) => {
  const query = new URLSearchParams(location.search), found = {};
  for (const key of keys) {
    const value = query.get(prefix + key);
    if (value) found[key] = value.slice(0, 500);
  }
  return found;
};

/* A new visit begins after 30 quiet minutes, or with another ad. */
const visit = referrer => {
  const state = read(), now = Date.now(), utm = fromQuery(UTM, 'utm_'), ids = fromQuery(CLICK_IDS, '');
  const ad = JSON.stringify([utm, ids]);
  let s = state.s;
  const fresh = !s || now - s.last > 30 * MINUTE || (referrer !== undefined && ad !== '[{},{}]' && ad !== s.ad);
  if (fresh) {
    s = state.s = { token: newToken(), ad, utm, ids, landing: here(), referrer: (referrer || '').slice(0, 2000), start: now };
    state.first = state.first || Object.assign({ referrer: s.referrer, landing: s.landing, at: now }, utm);
  }
  s.last = now;
  state.q = state.q || [];
  save();
  if (fresh) {
    event('visit', { referrer: s.referrer });
    decorate();
  }
};
let shown, came = '';
const view = () => {
  const from = shown;
  shown = here();
  came = (from || document.referrer).slice(0, 2000);
  visit(came);
  event('page');
};

/* Events wait till they are answered for. */
const agent = navigator.userAgent, touch = navigator.maxTouchPoints > 1;
const os = ['Windows', 'Android', 'CrOS', 'iPhone', 'iPad', 'Mac', 'Linux'].find(x => agent.includes(x));
const tablet = /iPad|Tablet/.test(agent) || (os === 'Mac' && touch) || (os === 'Android' && !/Mobile/.test(agent));
const event = (kind, more) => {
  if (!agreed || !endpoint || !memory.s) return;
  const state = read(), s = state.s;
  state.v = state.v || symbols(20);
  state.q.push(Object.assign({
    id: symbols(20), kind, at: Date.now(), token: s.token, visitor: state.v, url: here(), referrer: came,
    landing: s.landing, title: document.title.slice(0, 300), utm: s.utm, first: state.first, click_ids: s.ids,
    language: navigator.language, screen: screen.width + 'x' + screen.height,
    os: { iPhone: 'iOS', iPad: 'iOS', Mac: touch ? 'iOS' : 'macOS', CrOS: 'ChromeOS' }[os] || os,
    device: tablet ? 'tablet' : /Mobi/.test(agent) ? 'mobile' : 'desktop', variant: setting('variant') || undefined
  }, more));
  while (state.q.length > 100) state.q.splice(Math.max(0, state.q.findIndex(e => e.kind === 'page')), 1);
  save();
  later();
};
const cookie = pattern => { try { return (pattern.exec(document.cookie) || [])[1]; } catch (e) {} };

let wait = 1000, timer, busy;
const flown = {};
/* A second for the counters to set their ids. */
const later = () => { timer = timer || setTimeout(() => { timer = 0; send(); }, wait); };
const send = leaving => {
  if (!agreed || !endpoint) return;
  const sent = {};
  let body = '', size = 100;
  for (const e of read().q) {
    if (leaving ? flown[e.id] : busy) continue;
    e.sent = Date.now();
    e.ga_client_id = e.ga_client_id || cookie(/(?:^|; *)_ga=GA\d\.[-\d]+\.(\d+\.\d+)/);
    e.ym_client_id = e.ym_client_id || cookie(/(?:^|; *)_ym_uid=(\d+)/);
    /* Half a character, at a cut, is no JSON to strict readers. */
    const text = JSON.stringify(e).replace(/(\\\\)|\\ud[89a-f]../g, (all, slashes) => slashes || '\ufffd');
    size += new Blob([text]).size + 1;
    if (size > 60000) break;
    sent[e.id] = 1;
    body += (body && ',') + text;
  }
  if (!body) return;
  body = '{"v":1,"events":[' + body + ']}';
  /* A beacon has no answer: what it took is sent again by this page or the next. */
  if (leaving) return navigator.sendBeacon && navigator.sendBeacon(endpoint, body) && Object.assign(flown, sent);
  busy = true;
  fetch(endpoint, { method: 'POST', body, keepalive: true, credentials: 'omit' }).then(r => r.status, () => 0).then(code => {
    busy = false;
    const kept = code > 199 && code < 300, state = read();
    wait = kept ? 1000 : Math.min(wait * 2, 5 * MINUTE);
    /* Given up: what is refused for good or a week old. */
    const done = kept || [400, 413, 415, 422].includes(code), old = Date.now() - 10080 * MINUTE;
    state.q = (state.q || []).filter(e => !(done && sent[e.id]) && e.at > old);
    save();
    if (state.q.length) later();
  });
};

/* The messenger and the link with its token; nothing for a link that is not ours. */
const MARK = /\s*\[ID:[0-9A-Z]{11}\]/g;
const decode = x => decodeURIComponent(x.replace(/\+/g, '%20'));
const rewrite = (href, phrase) => {
  const m = /^((?:https?:)?\/\/|(whatsapp|tg|viber):(?:\/\/)?)([^?#]*)(?:\?([^#]*))?(#.*)?$/i.exec(href.trim());
  if (!m) return;
  const path = m[3].split('/').filter(Boolean), app = (m[2] || '').toLowerCase(), token = memory.s.token;
  const host = (path[0] || '').toLowerCase().replace(/^www\./, ''), n = path.length, query = m[4] ? m[4].split('&') : [];
  const find = name => query.findIndex(p => p.split('=')[0].toLowerCase() === name);
  const has = name => find(name) >= 0;
  const get = name => decode((query[find(name)] || '').replace(/^[^=]*=?/, ''));
  const set = (name, value) => {
    const i = find(name);
    query[i < 0 ? query.length : i] = (i < 0 ? name : query[i].split('=')[0]) + '=' + encodeURIComponent(value);
  };
  const web = m[3], done = (messenger, place, original) =>
    ({ messenger, original, href: m[1] + (place || web) + '?' + query.join('&') + (m[5] || '') });
  /* The link's own text, else the phrase, cut to keep the link under 2000. */
  const text = (messenger, place) => {
    const chars = Array.from(get('text').replace(MARK, '') || phrase).slice(0, 2000);
    for (;;) {
      const said = chars.join('');
      set('text', said + (/\S$/.test(said) ? ' ' : '') + '[ID:' + token + ']');
      const link = done(messenger, place), over = link.href.length - 1999;
      if (over <= 0 || !chars.length) return link;
      chars.length = Math.max(0, chars.length - Math.ceil(over / 12));
    }
  };
  /* Joined to the site's own payload, or in its place: the click tells it then. */
  const hidden = (messenger, name, max, allowed, sep) => {
    let old = get(name);
    for (const t of made.concat(token)) if (old.endsWith(t)) old = old.slice(0, -t.length).replace(/(__|--)$/, '');
    const both = old ? old + (sep && /^w\d+$/.test(old) ? sep : '__') + token : token;
    const fits = !old || (both.length <= max && allowed.test(old));
    set(name, fits ? both : token);
    return done(messenger, 0, fits ? undefined : href.slice(0, 2000));
  };

  const send = n === 2 && /^(api|web)\.whatsapp\.com$/.test(host) && path[1].toLowerCase() === 'send';
  if (app === 'whatsapp' ? n === 1 && host === 'send' : send || (host === 'wa.me' && n === 2)) {
    const written = !app && !send ? decode(path[1].replace(/\+/g, '%2B')) : get('phone');
    if (!/^[\s\d()+.-]+$/.test(written)) return;
    const all = digits(written), number = phones.includes(all) ? all : all.replace(/^8(\d{10})$/, '7$1');
    if (!phones.includes(number)) return;
    if (!app && !send) return text('whatsapp', path[0] + '/' + number);
    set('phone', number);
    return text('whatsapp');
  }
  const tme = !app && n === 2 && /^(t\.me|telegram\.(me|dog))$/.test(host);
  if (tme || (app === 'tg' && n === 1 && host === 'resolve')) {
    const written = tme ? decode(path[1].replace(/\+/g, '%2B')) : get('domain') || '+' + get('phone');
    if (bots.includes(lower(written))) {
      if (['startapp', 'startattach', 'startchannel', 'appname', 'game', 'post'].some(has)) return;
      return hidden('telegram', has('startgroup') ? 'startgroup' : 'start', 64, /^[\w-]*$/);
    }
    return people.includes(person(written)) ? text('telegram') : undefined;
  }
  if (app === 'viber') {
    return n === 1 && host === 'pa' && vibers.includes(lower(get('chaturi'))) ? hidden('viber', 'context', 1000, /^/) : undefined;
  }
  if (app) return;
  const vk = /^(m\.)?vk\.com$/.test(host) && n === 2 && path[1].toLowerCase();
  const group = host === 'vk.me' && n === 2 ? decode(path[1]) : vk === 'im' ? (/^-\d+$/.exec(get('sel')) || [])[0]
    : vk && (/^write(-\d+)$/.exec(vk) || [])[1];
  if (group && clubs.includes(club(group))) return hidden('vk', 'ref', 64, /^[\w-]*$/);
  if (host === 'm.me' && n === 2 && pages.includes(lower(decode(path[1])))) return hidden('facebook', 'ref', 2083, /^[\w=-]*$/, '--');
  if (host === 'ig.me' && n === 3 && path[1] === 'm' && names.includes(lower(decode(path[2])))) return hidden('instagram', 'ref', 2083, /^[\w=-]*$/);
};

/* What was written is remembered: doing it again changes nothing. */
const ours = new WeakMap(), LINKS = 'a[href],area[href]';
const near = (el, name) => { const at = el.closest('[' + name + ']'); return at && at.getAttribute(name); };
const phraseFor = el => {
  const lang = (near(el, 'lang') || navigator.language || '').toLowerCase();
  return near(el, 'data-throughline-text') || setting('text-' + lang) || setting('text-' + lang.split('-')[0]) || setting('text');
};
const link = (el, pressed) => {
  const href = el.getAttribute('href'), was = ours.get(el), token = memory.s.token, same = was && was.href === href;
  if (same && was.token === token) return was;
  const from = same ? was.from : href;
  let to;
  try { to = rewrite(from, phraseFor(el)); } catch (e) { }
  const times = (was ? was.times : 0) + 1;
  /* Two scripts must not rewrite one link for ever. */
  if (!to || (times > 50 && !pressed)) return;
  Object.assign(to, { from, token, times });
  ours.set(el, to);
  if (to.href !== href) el.setAttribute('href', to.href);
  return to;
};
const decorate = root => {
  if (!memory.s) return;
  root = root || document;
  if (root.matches && root.matches(LINKS)) link(root);
  if (root.querySelectorAll) root.querySelectorAll(LINKS).forEach(el => link(el));
};
let clicked = {};
const press = e => {
  const el = e.composedPath().find(x => x.matches && x.matches(LINKS));
  if (!el || !link(el, 1)) return;
  visit();
  const now = Date.now(), found = link(el, 1), click = e.type === 'click' || (e.type === 'auxclick' && e.button === 1);
  if (!found || !click || (clicked.el === el && now - clicked.at < 1000)) return;
  clicked = { el, at: now };
  event('click', {
    link: { messenger: found.messenger, href: found.href.slice(0, 2000), original: found.original },
    variant: near(el, 'data-throughline-variant') || setting('variant') || undefined
  });
  send(true);
};

const start = () => {
  let said = {};
  try { said = JSON.parse(localStorage.getItem(KEY)) || {}; } catch (e) {}
  agreed = asks ? !!said.yes : !said.no;
  if (agreed) read();
  view();
  new MutationObserver(list => list.forEach(m => {
    if (m.type === 'attributes') decorate(m.target); else m.addedNodes.forEach(decorate);
  })).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ['href'] });
  for (const type of ['mousedown', 'touchstart', 'click', 'auxclick']) addEventListener(type, press, { capture: true, passive: true });

  /* Single-page sites set the title after the address. */
  const moved = () => setTimeout(() => { if (here() !== shown) view(); }, 100);
  for (const name of ['pushState', 'replaceState']) {
    const real = history[name];
    history[name] = function () { const result = real.apply(this, arguments); moved(); return result; };
  }
  addEventListener('popstate', moved);
  addEventListener('hashchange', moved);
  addEventListener('pageshow', e => e.persisted && view());
  addEventListener('pagehide', () => send(true));
  addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && send(true));
  addEventListener('online', () => { wait = 1000; send(); });
  addEventListener('DOMContentLoaded', () => decorate());
  /* Withdrawn in another tab. */
  addEventListener('storage', e => { if (e.key === KEY && !/"s":/.test(e.newValue)) refuse(); });
};

window.throughline = {
  consent(yes) {
    if (!yes) return refuse(true);
    const before = agreed;
    if (before && read().yes) return;
    agreed = true;
    memory.yes = 1;
    save();
    event('consent');
    if (!before && memory.s) {
      event('visit', { at: memory.s.start, referrer: memory.s.referrer });
      event('page');
    }
  },
  token: () => (memory.s || 0).token,
  decorate
};
if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true }); else start();
})();
