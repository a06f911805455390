/* Buttons for the messengers that the tracker's script tag names, in its order, into every element with
   data-throughline-buttons: docs/tracker.md. No inline style or script; the tracker adds the tokens. */
(() => {
'use strict';
const tag = document.querySelector('script[src*="tracker.js"]');
if (!tag) return;

const digits = x => x.replace(/\D/g, '').replace(/^0+/, '').replace(/^8(9\d{9})$/, '7$1');
const name = x => encodeURIComponent(x.replace(/^@/, ''));
const phoneOrName = x => /^\+?\d/.test(x) ? '+' + digits(x) : name(x);
const MESSENGERS = {
  'data-whatsapp': ['WhatsApp', x => 'https://wa.me/' + digits(x)],
  'data-telegram': ['Telegram', x => 'https://t.me/' + name(x)],
  'data-telegram-people': ['Telegram', x => 'https://t.me/' + phoneOrName(x)],
  'data-viber': ['Viber', x => 'viber://pa?chatURI=' + name(x)],
  'data-vk': ['VK', x => 'https://vk.me/' + name(x.replace(/^-?(\d+)$/, 'club$1'))],
  'data-messenger': ['Messenger', x => 'https://m.me/' + name(x)],
  'data-instagram': ['Instagram', x => 'https://ig.me/m/' + name(x)]
};

/* [label, link, account] of each account. */
const accounts = [];
for (const attribute of Array.from(tag.attributes)) {
  const known = MESSENGERS[attribute.name];
  if (!known) continue;
  for (const account of attribute.value.split(',').map(x => x.trim()).filter(Boolean)) {
    accounts.push([known[0], known[1](account), account]);
  }
}

const root = document.documentElement;
const language = (root.lang || '').toLowerCase().split('-')[0];
if (!root.dir && ['ar', 'fa', 'he', 'ur', 'ps', 'ckb', 'yi', 'ug', 'sd', 'dv'].includes(language)) root.dir = 'rtl';

document.querySelectorAll('[data-throughline-buttons]').forEach(place => {
  if (place.querySelector('a.throughline-button')) return;
  for (const [label, href, account] of accounts) {
    const button = document.createElement('a');
    button.className = 'throughline-button throughline-' + label.toLowerCase();
    button.href = href;
    button.rel = 'noopener';
    const word = document.createElement('bdi');
    word.textContent = label;
    button.append(word);
    /* Two accounts of one messenger are told apart by their names. */
    if (accounts.filter(other => other[0] === label).length > 1) {
      const which = document.createElement('bdi');
      which.dir = 'ltr';
      which.textContent = account;
      button.append(' ', which);
    }
    place.append(button);
  }
});
})();
