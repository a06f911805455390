// What the tracker must do. Each: a name, the test, and which errors on the console are part of it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { ACCOUNTS, LINKS } from './links.mjs';
import { CSP, escape, page, site } from './site.mjs';

const [T, T2] = ['HHR3D1196WD', 'P3CA02H73HV'];
const ALL = { tag: ACCOUNTS };
const a = (href, more = '', words = 'chat') => `<a href="${escape(href)}" ${more}>${words}</a>`;
const hrefs = on => on.$$eval('a', all => all.map(x => x.getAttribute('href')));
const stored = on => on.evaluate(() => localStorage.getItem('throughline'));

// Until it holds, at most 15 s.
async function until(what, holds) {
  for (let i = 0; i < 300; i++) {
    if (await holds()) return;
    await pause(50);
  }
  assert.fail(`never: ${what}`);
}
const kinds = shop => shop.events().map(e => e.kind);
const arrived = (shop, ...want) => until(`${want} arrive, not ${kinds(shop)}`, () => want.join() === kinds(shop).join());

export const CASES = [
  ['every kind of link, exactly', async ({ shop, open }) => {
    assert.ok(LINKS.length > 60);
    shop.put('/', page({ ...ALL, body: LINKS.map(([from]) => a(from)).join('\n') }));
    const on = await open('/');
    const want = LINKS.map(([from, to]) => to === null ? from : to.replace(/(?<==|__|--|A)T(?=$|[#&%])/g, T));
    assert.deepEqual(await hrefs(on), want);
    // Again, and the whole script again: nothing changes.
    await on.evaluate(() => { throughline.decorate(); throughline.decorate(document.body); });
    await on.addScriptTag({ url: '/tracker.js' });
    assert.deepEqual(await hrefs(on), want);
  }],

  ['nothing configured, nothing touched', async ({ shop, open }) => {
    shop.put('/', page({ body: LINKS.map(([from]) => a(from)).join('\n') }));
    assert.deepEqual(await hrefs(await open('/')), LINKS.map(([from]) => from));
  }],

  ['tokens are those of the reference', async ({ shop, open }) => {
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-consent': 'required' } }));
    // Nothing is stored: every load makes the next token of the list.
    const on = await open('/');
    for (const token of [T, T2, '003JZ9J6GMG']) {
      assert.equal(await on.evaluate(() => throughline.token()), token);
      await on.reload();
    }
  }],

  ['phrases by language, section and button; Cyrillic and Arabic', async ({ shop, open }) => {
    const wa = 'https://wa.me/79990001122';
    const body = [
      a(wa), a(wa, 'lang="ar"'), a(wa, 'lang="pt-BR"'), a(wa, 'lang="de"'),
      `<div data-throughline-text="Вопрос о доставке">${a(wa)}${a(wa, 'data-throughline-text="أريد هذا &amp; ذاك"')}</div>`,
      a(wa + '?text=' + encodeURIComponent('Своё'), 'data-throughline-text="Чужое"'),
      a('https://t.me/shop_bot', 'data-throughline-text="unseen"'),
    ].join('');
    const tag = { ...ACCOUNTS, 'data-text': 'Hello!', 'data-text-ru': 'Здравствуйте!\nЕсть вопрос', 'data-text-ar': 'مرحبا، كم السعر؟', 'data-text-pt': 'Olá' };
    shop.put('/', page({ tag, body, lang: 'ru-RU' }));
    const text = words => `${wa}?text=${encodeURIComponent(`${words} [ID:${T}]`)}`;
    const got = await hrefs(await open('/'));
    assert.deepEqual(got, [
      text('Здравствуйте!\nЕсть вопрос'), text('مرحبا، كم السعر؟'), text('Olá'), text('Hello!'),
      text('Вопрос о доставке'), text('أريد هذا & ذاك'), text('Своё'), `https://t.me/shop_bot?start=${T}`,
    ]);
    assert.ok(got[0].includes('%20') && got[0].includes('%0A') && !got[0].includes('+'));
  }],

  ['a long text is cut between characters, the link stays under 2000', async ({ shop, open }) => {
    const long = 'a' + '😀Здравствуйте '.repeat(400);
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-text': long }, body: a('https://wa.me/79990001122') + a('https://wa.me/79990001122?text=' + encodeURIComponent(long)) }));
    for (const href of await hrefs(await open('/'))) {
      assert.ok(href.length < 2000 && href.length > 1950, String(href.length));
      const text = new URL(href).searchParams.get('text');
      assert.ok(text.endsWith(`[ID:${T}]`));
      assert.ok(long.startsWith(text.slice(0, text.lastIndexOf('[')).trimEnd()), text);
    }
  }],

  ['links that come later, change, or are copied', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: `<main></main>${a('https://t.me/shop_bot', 'id="one"')}` }));
    const on = await open('/');
    const want = `https://vk.me/shop?ref=${T}`;
    await on.evaluate(() => { document.querySelector('main').innerHTML = '<p><a id="late" href="https://vk.me/shop">x</a></p>'; });
    await until('a late link', async () => await on.getAttribute('#late', 'href') === want);
    await on.evaluate(() => { document.querySelector('#one').href = 'https://vk.me/shop?ref=x'; });
    await until('a changed link', async () => await on.getAttribute('#one', 'href') === `https://vk.me/shop?ref=x__${T}`);
    await on.evaluate(() => {
      for (const id of ['one', 'late']) document.body.append(Object.assign(document.getElementById(id).cloneNode(true), { id: 'copy-' + id }));
      document.body.append(Object.assign(document.createElement('area'), { id: 'area', href: 'https://m.me/shop.page' }));
    });
    await until('an area', async () => await on.getAttribute('#area', 'href') === `https://m.me/shop.page?ref=${T}`);
    assert.equal(await on.getAttribute('#copy-one', 'href'), `https://vk.me/shop?ref=x__${T}`);
    assert.equal(await on.getAttribute('#copy-late', 'href'), want);
    // A link that is no messenger's any more is left alone.
    await on.evaluate(() => { document.querySelector('#one').href = '/cart'; });
    await pause(100);
    assert.equal(await on.getAttribute('#one', 'href'), '/cart');
  }],

  ['two scripts that write the same link do not do so for ever', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: a('https://vk.me/shop', 'id="one"') }));
    const on = await open('/');
    const writes = await on.evaluate(async () => {
      const one = document.querySelector('#one');
      let writes = 0;
      new MutationObserver(() => { if (one.getAttribute('href') !== 'https://vk.me/shop') { writes += 1; one.href = 'https://vk.me/shop'; } })
        .observe(one, { attributes: true });
      one.href = 'https://vk.me/shop?x=1';
      await new Promise(done => setTimeout(done, 500));
      return writes;
    });
    assert.ok(writes > 5 && writes < 100, String(writes));
    // The press still has the token.
    await on.dispatchEvent('#one', 'click');
    await until('the click', () => shop.events().some(e => e.kind === 'click' && e.link.href === `https://vk.me/shop?ref=${T}`));
  }],

  ['in an open shadow root, at the press', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: '<div id="host"></div>' }));
    const on = await open('/');
    await on.evaluate(() => {
      document.querySelector('#host').attachShadow({ mode: 'open' }).innerHTML = '<a id="in" href="https://t.me/shop_bot"><b>chat</b></a>';
    });
    await on.locator('#in b').dispatchEvent('mousedown');
    assert.equal(await on.locator('#in').getAttribute('href'), `https://t.me/shop_bot?start=${T}`);
  }],

  ['what a visit tells', async ({ shop, context, open }) => {
    await context.addCookies([
      { name: '_ga', value: 'GA1.2.1234567890.1609459200', url: shop.url },
      { name: '_ym_uid', value: '1609459200123456789', url: shop.url },
    ]);
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-variant': 'B' }, body: a('/next', 'id="next"') }));
    shop.put('/next', page(ALL));
    const landing = '/?utm_source=yandex&utm_medium=cpc&utm_campaign=%D0%BB%D0%B5%D1%82%D0%BE&utm_term=a+b&utm_content=x&yclid=123&gclid=&fbclid=F#access_token=secret';
    const on = await open(landing);
    await arrived(shop, 'visit', 'page');
    const [visit, view] = shop.events();
    const utm = { source: 'yandex', medium: 'cpc', campaign: 'лето', term: 'a b', content: 'x' };
    const url = shop.url + landing.replace(/#.*/, '');
    const { id, at, sent, visitor, first, language, screen, os, ...rest } = visit;
    assert.deepEqual(rest, {
      kind: 'visit', token: T, url, referrer: '', landing: url, title: 'Shop', utm, click_ids: { yclid: '123', fbclid: 'F' },
      device: 'desktop', variant: 'B', ga_client_id: '1234567890.1609459200', ym_client_id: '1609459200123456789',
    });
    assert.match(id, /^[0-9A-Z]{20}$/);
    assert.match(visitor, /^[0-9A-Z]{20}$/);
    assert.ok(Math.abs(at - Date.now()) < 60000 && sent >= at && sent - at < 60000);
    assert.deepEqual(first, { ...utm, referrer: '', landing: url, at: first.at });
    assert.match(screen, /^\d+x\d+$/);
    assert.equal(os, 'Linux');
    assert.ok(language);
    assert.equal(view.kind, 'page');
    assert.ok(view.id !== id && view.visitor === visitor && view.token === T);
    assert.match(shop.posts[0].type, /^text\/plain/);

    // The next page belongs to the same visit.
    await on.goto(`${shop.url}/next`);
    await arrived(shop, 'visit', 'page', 'page');
    const next = shop.events()[2];
    assert.deepEqual([next.token, next.visitor, next.utm, next.first, next.landing, next.url], [T, visitor, utm, first, url, `${shop.url}/next`]);

    // Another ad begins a visit; what was first stays first.
    await on.goto(`${shop.url}/next?utm_source=vk`, { referer: 'https://vk.com/' });
    await arrived(shop, 'visit', 'page', 'page', 'visit', 'page');
    const second = shop.events()[3];
    assert.deepEqual([second.token, second.utm, second.click_ids, second.first, second.visitor], [T2, { source: 'vk' }, {}, first, visitor]);
    assert.equal(second.referrer, 'https://vk.com/');
    // The same address again is the same visit.
    await on.reload();
    await arrived(shop, 'visit', 'page', 'page', 'visit', 'page', 'page');
    assert.deepEqual(await on.evaluate(() => [document.cookie.split('; ').length, Object.keys(localStorage)]), [2, ['throughline']]);
    for (const post of shop.posts) assert.ok(!post.body.includes('secret'));
  }],

  ['half an hour of quiet ends a visit, at the press too', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: a('https://t.me/shop_bot', 'id="one"') + a('https://wa.me/79990001122?text=Hi', 'id="two"') }));
    const on = await open('/');
    await on.evaluate(() => { window.testsAheadMs = 31 * 60000; });
    await on.click('#one');
    assert.equal(await on.getAttribute('#one', 'href'), `https://t.me/shop_bot?start=${T2}`);
    assert.equal(await on.getAttribute('#two', 'href'), `https://wa.me/79990001122?text=Hi%20%5BID%3A${T2}%5D`);
    await until('the second visit', () => shop.events().filter(e => e.kind === 'visit').length === 2);
    assert.equal(shop.events().find(e => e.kind === 'click').token, T2);
  }],

  ['a single-page site', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: '<main></main>' }));
    const on = await open('/');
    await on.evaluate(() => {
      history.pushState({}, '', '/catalog?color=red');
      document.title = 'Каталог';
      document.querySelector('main').innerHTML = '<a href="https://t.me/shop_bot">x</a>';
    });
    await pause(300);
    await on.evaluate(() => { location.hash = '#/deep'; });
    await pause(300);
    await on.evaluate(() => { location.hash = '#anchor'; history.replaceState({ only: 'state' }, ''); });
    await pause(300);
    await on.goBack();
    await arrived(shop, 'visit', 'page', 'page', 'page', 'page', 'page');
    const views = shop.events().filter(e => e.kind === 'page').map(e => [e.url.replace(shop.url, ''), e.referrer.replace(shop.url, ''), e.title]);
    assert.deepEqual(views, [
      ['/', '', 'Shop'],
      ['/catalog?color=red', '/', 'Каталог'],
      ['/catalog?color=red#/deep', '/catalog?color=red', 'Каталог'],
      ['/catalog?color=red', '/catalog?color=red#/deep', 'Каталог'],
      ['/catalog?color=red#/deep', '/catalog?color=red', 'Каталог'],
    ]);
    assert.deepEqual(await hrefs(on), [`https://t.me/shop_bot?start=${T}`]);
  }],

  ['clicks, once each', async ({ shop, open }) => {
    const body = a('https://wa.me/89990001122', 'id="wa" data-throughline-variant="green"') + a('https://t.me/shop_bot?start=%D0%B0', 'id="tg"') + a('/cart', 'id="cart"');
    shop.put('/', page({ ...ALL, body }));
    const on = await open('/');
    await on.dblclick('#wa');
    await on.click('#cart');
    await on.focus('#tg');
    await on.keyboard.press('Enter');
    await until('two clicks', () => kinds(shop).filter(k => k === 'click').length === 2);
    await on.click('#tg', { button: 'middle' });
    await pause(1500);
    const clicks = shop.events().filter(e => e.kind === 'click');
    assert.deepEqual(clicks.map(e => [e.link.messenger, e.link.href, e.link.original, e.variant, e.token]), [
      ['whatsapp', `https://wa.me/79990001122?text=%5BID%3A${T}%5D`, undefined, 'green', T],
      ['telegram', `https://t.me/shop_bot?start=${T}`, 'https://t.me/shop_bot?start=%D0%B0', undefined, T],
    ]);
    assert.equal(JSON.parse(await stored(on)).q.length, 0);
  }],

  ['who leaves at once is known all the same', async ({ shop, open }) => {
    shop.put('/', page(ALL));
    shop.put('/other', '<!DOCTYPE html><title>no tracker</title>');
    const on = await open('/');
    await on.goto(`${shop.url}/other`);
    await arrived(shop, 'visit', 'page');
    const [first] = shop.posts;
    // The next page tells it again, for a beacon has no answer, under the same ids.
    await on.goto(`${shop.url}/`);
    await until('the queue is empty', async () => JSON.parse(await stored(on)).q.length === 0);
    assert.deepEqual(kinds(shop), ['visit', 'page', 'page']);
    assert.deepEqual(shop.posts.at(-1) !== first && JSON.parse(shop.posts.at(-1).body).events.map(e => e.kind), ['visit', 'page', 'page']);
  }],

  ['what cannot be sent is sent later', async ({ shop, open }) => {
    shop.put('/', page(ALL));
    shop.answers.push(503, 'cut', 429);
    const on = await open('/');
    await arrived(shop, 'visit', 'page');
    await until('the queue is empty', async () => JSON.parse(await stored(on)).q.length === 0);
    assert.deepEqual(shop.posts.map(p => p.answer), [503, 'cut', 429, 204]);
    assert.equal(new Set(shop.posts.map(p => JSON.stringify(JSON.parse(p.body).events.map(e => ({ ...e, sent: 0 }))))).size, 1);
    // By the browser's clock, so that one that is wrong can be known.
    const moments = shop.posts.map(p => JSON.parse(p.body).events[0].sent);
    assert.ok(moments[0] < moments[1] && moments[1] < moments[3], String(moments));
  }, /Failed to load resource/],

  ['what cannot be sent is sent by the next page', async ({ shop, open }) => {
    shop.put('/', page(ALL));
    shop.answers.push(...Array(2).fill('cut'));
    const on = await open('/');
    await until('two failures', () => shop.posts.length === 2);
    shop.answers.push('cut', 'cut'); // The beacon at the end too.
    await on.close();
    shop.answers.length = 0;
    const again = await open('/');
    await arrived(shop, 'visit', 'page', 'page');
    assert.equal(await again.evaluate(() => throughline.token()), T);
  }, /Failed to load resource/],

  ['a receiver on another host, without asking for permission first', async ({ shop, open }) => {
    const receiver = await site();
    receiver.allowed.origin = shop.url;
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-endpoint': `${receiver.url}/site/shop/events` }, body: a('https://t.me/shop_bot', 'id="tg"') }),
      CSP.replace("connect-src 'self'", `connect-src ${receiver.url}`));
    const on = await open('/');
    await on.click('#tg');
    await until('the queue is empty', async () => JSON.parse(await stored(on)).q.length === 0);
    assert.deepEqual([kinds(receiver), receiver.others, shop.posts.length], [['visit', 'page', 'click'], [], 0]);
    receiver.close();
  }],

  ['consent that was not required is told once', async ({ shop, open }) => {
    shop.put('/', page(ALL));
    for (const on of [await open('/'), await open('/')]) await on.evaluate(() => { throughline.consent(true); throughline.consent(true); });
    await until('three events', () => shop.events().length >= 4);
    await pause(500);
    assert.deepEqual(kinds(shop).sort(), ['consent', 'page', 'page', 'visit']);
  }],

  ['what is refused for good is given up', async ({ shop, open }) => {
    shop.put('/', page(ALL));
    shop.answers.push(400);
    const on = await open('/');
    await until('the queue is empty', async () => JSON.parse(await stored(on)).q.length === 0);
    assert.deepEqual(kinds(shop), []);
  }, /400/],

  ['before consent nothing is stored or sent', async ({ shop, open }) => {
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-consent': 'required' }, body: a('https://wa.me/79990001122?text=Hi', 'id="wa"') }));
    const on = await open('/?utm_source=yandex');
    const link = `https://wa.me/79990001122?text=Hi%20%5BID%3A${T}%5D`;
    assert.deepEqual(await hrefs(on), [link]);
    await on.click('#wa');
    await on.evaluate(() => history.pushState({}, '', '/deeper'));
    await pause(1800);
    const left = () => on.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage).filter(k => !k.startsWith('tests-')), document.cookie]);
    assert.deepEqual([await left(), shop.posts.length], [[[], [], ''], 0]);

    // Given: the visit is told with the token that the links carried all along.
    await on.evaluate(() => throughline.consent(true));
    await arrived(shop, 'consent', 'visit', 'page');
    const [, visit] = shop.events();
    assert.deepEqual([visit.token, visit.utm, visit.landing], [T, { source: 'yandex' }, `${shop.url}/?utm_source=yandex`]);
    assert.deepEqual(await hrefs(on), [link]);
    await on.evaluate(() => throughline.consent(true));
    // The next page knows it.
    const next = await open('/');
    await arrived(shop, 'consent', 'visit', 'page', 'page');
    assert.equal(await next.evaluate(() => throughline.token()), T);

    // Withdrawn: in all tabs, and nothing stays.
    await next.evaluate(() => throughline.consent(false));
    await pause(300);
    const posts = shop.posts.length;
    for (const tab of [on, next]) {
      await tab.click('#wa');
      await tab.evaluate(() => history.pushState({}, '', '/more'));
    }
    await pause(1800);
    assert.deepEqual([await left(), shop.posts.length], [[[], [], ''], posts]);
    // Links go on with another token, that no visit tells of.
    assert.deepEqual(await hrefs(on), [link.replace(T, T2)]);
  }],

  ['a refusal is remembered where consent is not required', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, body: a('https://t.me/shop_bot') }));
    const on = await open('/');
    await on.evaluate(() => throughline.consent(false));
    const next = await open('/');
    await pause(1500);
    assert.deepEqual(kinds(shop), []);
    assert.equal(await stored(next), '{"no":1}');
    assert.match((await hrefs(next))[0], /^https:\/\/t\.me\/shop_bot\?start=[0-9A-Z]{11}$/);
    await next.evaluate(() => throughline.consent(true));
    await arrived(shop, 'consent', 'visit', 'page');
  }],

  ['without an endpoint links are still decorated', async ({ shop, open }) => {
    shop.put('/', page({ tag: { ...ACCOUNTS, 'data-endpoint': null }, body: a('https://t.me/shop_bot', 'id="tg"') }));
    const on = await open('/');
    await on.click('#tg');
    await pause(1500);
    assert.deepEqual(await hrefs(on), [`https://t.me/shop_bot?start=${T}`]);
    assert.equal(shop.posts.length, 0);
  }],

  ['where storage is closed, full or spoilt, memory serves', async ({ shop, context, open }) => {
    shop.put('/', page(ALL));
    shop.put('/spoil', '<!DOCTYPE html><title>x</title>');
    const on = await open('/spoil');
    for (const spoilt of ['{', '5', 'null', '{"s":{}}', '{"s":{},"q":[]}', '{"s":{"token":"X"},"q":5}', '[]']) {
      await on.goto(`${shop.url}/spoil`);
      await on.evaluate(text => localStorage.setItem('throughline', text), spoilt);
      const before = shop.events().length;
      await on.goto(`${shop.url}/`);
      await until(`a visit with ${spoilt} stored`, () => shop.events().length === before + 2);
    }
    await context.addInitScript(() => {
      Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };
    });
    let before = shop.events().length;
    await on.goto(`${shop.url}/`);
    await until('a page with a full storage', () => shop.events().length > before);
    await context.addInitScript(() => {
      Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('closed', 'SecurityError'); } });
    });
    before = shop.events().length;
    await on.goto(`${shop.url}/`);
    await until('a visit without storage', () => shop.events().length >= before + 2);
  }],

  ['a strange title makes no broken JSON', async ({ shop, open }) => {
    shop.put('/', page({ ...ALL, }));
    const on = await open('/');
    await on.evaluate(() => { document.title = 'a'.repeat(299) + '😀'; history.pushState({}, '', '/x'); });
    await pause(300);
    await on.evaluate(() => { document.title = 'half \ud83d and \\ud83d written "\\"'; history.pushState({}, '', '/y'); });
    await arrived(shop, 'visit', 'page', 'page', 'page');
    const titles = shop.events().map(e => e.title);
    assert.equal(titles[2], 'a'.repeat(299) + '\ufffd');
    assert.equal(titles[3], 'half \ufffd and \\ud83d written "\\"');
    for (const post of shop.posts) assert.ok(!/(^|[^\\])(\\\\)*\\ud[89a-f]/.test(post.body));
  }],

  ['the mini landing, left to right and right to left', async ({ shop, open }) => {
    const landing = await open('/landing.html');
    assert.deepEqual(await hrefs(landing), [
      `https://wa.me/79990001122?text=Hello!%20%5BID%3A${T}%5D`, `https://t.me/shop_bot?start=${T}`,
      `viber://pa?chatURI=shop&context=${T}`, `https://vk.me/shop?ref=${T}`,
    ]);
    assert.equal(await landing.evaluate(() => document.documentElement.dir), '');
    const tag = { ...ACCOUNTS, 'data-text-ar': 'مرحبا!' };
    const attributes = Object.entries(tag).map(([k, v]) => ` ${k}="${v}"`).join('');
    shop.put('/ar', `<!DOCTYPE html><html lang="ar"><meta charset="utf-8"><title>راسلنا</title><link rel="stylesheet" href="/landing.css">
<main><h1>راسلنا</h1><nav data-throughline-buttons></nav></main><script src="/tracker.js"${attributes}></script><script src="/landing.js"></script></html>`);
    const ar = await open('/ar');
    assert.equal(await ar.evaluate(() => document.documentElement.dir), 'rtl');
    const all = await hrefs(ar);
    assert.equal(all.length, 12);
    assert.equal(all[0], `https://wa.me/79990001122?text=${encodeURIComponent(`مرحبا! [ID:${T}]`)}`.replace(T, await ar.evaluate(() => throughline.token())));
    assert.ok(all.includes(`https://vk.me/club123456?ref=${await ar.evaluate(() => throughline.token())}`));
    // Styled by its own sheet under the strict policy, the edge at the side where the text begins.
    assert.deepEqual(await ar.$eval('a', x => [getComputedStyle(x).display, getComputedStyle(x).borderRightWidth, getComputedStyle(x).borderLeftWidth]), ['block', '8px', '0px']);
    if (process.env.TRACKER_SCREENSHOTS) {
      for (const [name, on] of [['en', landing], ['ar', ar]]) await on.screenshot({ path: `${process.env.TRACKER_SCREENSHOTS}/landing-${name}.png` });
    }
  }],

  ['the QR code of a printed link is read as the link', async ({ context }) => {
    const svg = readFileSync(`${process.env.PRINTED}/poster.svg`, 'utf8');
    const { link, token } = JSON.parse(readFileSync(`${process.env.PRINTED}/link.json`, 'utf8'));
    const on = await context.newPage();
    const [side, pixels] = await on.evaluate(async svg => {
      const image = new Image(500, 500);
      image.src = 'data:image/svg+xml,' + encodeURIComponent(svg);
      await image.decode();
      const drawn = new OffscreenCanvas(500, 500).getContext('2d');
      drawn.drawImage(image, 0, 0, 500, 500);
      return [500, Array.from(drawn.getImageData(0, 0, 500, 500).data)];
    }, svg);
    const read = createRequire(process.env.MODULES_FROM)('jsqr')(Uint8ClampedArray.from(pixels), side, side);
    assert.equal(read?.data, link);
    assert.equal(new URL(link).searchParams.get('text'), `Здравствуйте! مرحبا [ID:${token}]`);
  }],

  ['the policy of the tests is as strict as promised', async ({ shop, open }) => {
    assert.equal(CSP, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
    shop.put('/', page({ ...ALL, head: '<script>window.inline = 1</script>' }));
    const on = await open('/');
    assert.equal(await on.evaluate(() => window.inline), undefined);
    await arrived(shop, 'visit', 'page');
  }, /Content Security Policy/],
];
