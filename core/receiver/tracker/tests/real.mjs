// The tracker against a real `throughline serve`, on another origin: what its files hold is what the page did.
//   THROUGHLINE=target/debug/throughline CHROMIUM=.. MODULES_FROM=.. node real.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { guard, launch } from './chromium.mjs';
import { escape, site } from './site.mjs';

const shop = await site(), stranger = await site();
const folder = mkdtempSync(join(tmpdir(), 'throughline-real-'));
writeFileSync(join(folder, 'pipeline.toml'), `
[pipeline]
name = "shop"

[receiver]
listen = "127.0.0.1:0"
metrics_listen = "none"

[receiver.sites.shop]
origins = ["${shop.url}"]

[[source]]
name = "shop"
connector = "site"
inbox = ".throughline/inbox/shop/*.jsonl*"

[[sink]]
connector = "parquet"
path = "out"
`);

const server = spawn(process.env.THROUGHLINE, ['--json', 'serve', '-v'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
let said = '', log = '';
server.stdout.on('data', part => { said += part; });
server.stderr.on('data', part => { log += part; });
const ended = new Promise(done => server.on('exit', code => done(code)));

// Until it holds, at most 20 s.
async function until(what, holds) {
  for (let i = 0; i < 400; i++) {
    if (await holds()) return;
    await pause(50);
  }
  assert.fail(`never: ${what}`);
}
const inbox = join(folder, '.throughline/inbox/shop');
const lines = () => readdirSync(inbox).sort().flatMap(name => readFileSync(join(inbox, name), 'utf8').split('\n').slice(0, -1).map(line => JSON.parse(line)));
const kinds = () => lines().map(line => JSON.parse(line.body).kind).sort().join();

const wrong = [];
let refused = false; // A stranger's errors are part of its test.
try {
  await until('serving', () => { try { JSON.parse(said); return true; } catch { return false; } });
  const receiver = `http://${JSON.parse(said).listening}`;
  const browser = await launch();
  const visitor = async () => {
    const context = await browser.newContext({ locale: 'ru-RU' });
    await guard(context, wrong, () => refused);
    return context;
  };
  const csp = `default-src 'none'; script-src 'self' ${receiver}; connect-src ${receiver}`;
  const page = consent => `<!DOCTYPE html><html lang="ru"><head><meta charset="utf-8"><title>Диваны</title>
<script src="${receiver}/site/shop/tracker.js" data-endpoint="${receiver}/site/shop/events" data-whatsapp="79990001122"
 data-text="Здравствуйте!"${consent ? ' data-consent="required"' : ''}></script></head>
<body><a id="wa" href="${escape('https://wa.me/79990001122')}">chat</a><script src="/stay.js"></script></body></html>`;
  shop.put('/free', page(false), csp);
  shop.put('/asks', page(true), csp);
  stranger.put('/free', page(false), csp);

  // 1. Consent is not asked for: a visit, its page, a click; the leaving page's beacon tells nothing twice.
  const one = await visitor();
  const first = await one.newPage();
  const landing = `${shop.url}/free?utm_source=yandex&utm_campaign=%D0%BB%D0%B5%D1%82%D0%BE&yclid=77`;
  await first.goto(landing);
  const token = await first.evaluate(() => throughline.token());
  const href = `https://wa.me/79990001122?text=${encodeURIComponent(`Здравствуйте! [ID:${token}]`)}`;
  await until('the link has the token', async () => href === await first.getAttribute('#wa', 'href'));
  await first.click('#wa');
  await until(`visit, page and click, not ${kinds()}`, () => kinds() === 'click,page,visit');
  // Another page of the site sends again whatever a beacon took.
  await first.goto(`${shop.url}/free`);
  await until(`a second page, not ${kinds()}`, () => kinds() === 'click,page,page,visit');
  const events = lines().map(line => JSON.parse(line.body));
  const of = kind => events.filter(event => event.kind === kind);
  const common = {
    token, landing, title: 'Диваны', utm: { source: 'yandex', campaign: 'лето' }, click_ids: { yclid: '77' },
    os: 'Linux', device: 'desktop', language: 'ru-RU',
  };
  const plain = ({ id, at, sent, visitor, first, screen, ...rest }) => {
    assert.match(id, /^[0-9A-Z]{20}$/);
    assert.match(visitor, /^[0-9A-Z]{20}$/);
    assert.match(screen, /^\d+x\d+$/);
    assert.ok(Math.abs(at - Date.now()) < 60000 && sent >= at);
    assert.deepEqual({ ...first, at: 0 }, { source: 'yandex', campaign: 'лето', referrer: '', landing, at: 0 });
    return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== ''));
  };
  const want = (kind, url, more = {}) => ({ kind, url, ...common, ...more });
  assert.deepEqual(of('visit').map(plain), [want('visit', landing)]);
  assert.deepEqual(of('click').map(plain), [want('click', landing, { link: { messenger: 'whatsapp', href } })]);
  const pages = of('page').map(plain).sort((a, b) => b.url.length - a.url.length);
  assert.deepEqual(pages, [want('page', landing), want('page', `${shop.url}/free`)]);
  assert.equal(new Set(events.map(event => event.id)).size, 4);
  // Of a visitor only these headers are kept.
  for (const line of lines()) {
    assert.deepEqual(Object.keys(line.headers).sort(), ['origin', 'user-agent']);
    assert.equal(line.headers.origin, shop.url);
    assert.ok(Math.abs(line.received_at / 1000 - Date.now()) < 60000);
  }
  await one.close();

  // 2. Consent is asked for: before it nothing comes, though the link carries a token.
  const two = await visitor();
  const asked = await two.newPage();
  await asked.goto(`${shop.url}/asks`);
  const kept = await asked.evaluate(() => throughline.token());
  await until('the link has the token', async () => (await asked.getAttribute('#wa', 'href')).includes(kept));
  await asked.click('#wa');
  await asked.goto('about:blank');
  await pause(700);
  assert.equal(lines().length, 4, 'nothing is told before consent');
  await asked.goto(`${shop.url}/asks`);
  await asked.evaluate(() => throughline.consent(true));
  await until(`consent, visit and page, not ${kinds()}`, () => kinds() === 'click,consent,page,page,page,visit,visit');
  const agreed = lines().slice(4).map(line => JSON.parse(line.body));
  const its = await asked.evaluate(() => throughline.token());
  assert.deepEqual(agreed.map(event => event.token), [its, its, its]);
  assert.equal(new Set(agreed.map(event => event.visitor)).size, 1);
  assert.ok(agreed[0].visitor !== events[0].visitor);
  // Taken back: nothing more.
  await asked.evaluate(() => throughline.consent(false));
  await asked.click('#wa');
  await asked.goto('about:blank');
  await pause(700);
  assert.equal(lines().length, 7, 'nothing is told after consent was taken back');
  await two.close();

  // 3. A page of another origin with the same tag: the browser hears no, and nothing is kept.
  refused = true;
  const three = await visitor();
  const strange = await three.newPage();
  const denied = strange.waitForEvent('requestfailed', request => request.url().endsWith('/events'));
  await strange.goto(`${stranger.url}/free`);
  await denied;
  await strange.click('#wa');
  await pause(700);
  await three.close();
  assert.equal(lines().length, 7, 'a stranger is not received');
  await browser.close();

  server.kill('SIGTERM');
  assert.equal(await ended, 0, log);
  assert.equal(lines().length, 7);
  assert.deepEqual(lines().map(line => line.seq), [1, 2, 3, 4, 5, 6, 7]);
  assert.ok(log.includes('status=403') && log.includes('note="origin"'), log);
  assert.deepEqual(wrong, []);
  console.log('ok    tracker and beacon against `throughline serve`');
} catch (error) {
  console.log(`FAIL  tracker and beacon against \`throughline serve\`\n${error.stack}\n${wrong.join('\n')}\n${log}`);
  process.exitCode = 1;
} finally {
  if (server.exitCode === null) server.kill('SIGKILL');
  shop.close();
  stranger.close();
  rmSync(folder, { recursive: true, force: true });
  // A browser that hangs must not keep the tests.
  setTimeout(() => process.exit(), 2000).unref();
}
