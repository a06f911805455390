// The tracker in a real Chromium: node browser.mjs [part of a test's name]
import assert from 'node:assert/strict';
import { guard, launch } from './chromium.mjs';
import { CSP, site } from './site.mjs';
import { CASES } from './cases.mjs';

const browser = await launch();

// Tokens of the page are these, in turn; other random symbols stay random.
const TOKENS = ['HHR3D1196WD', 'P3CA02H73HV', '003JZ9J6GMG'];
const fixTokens = tokens => {
  if (location.protocol !== 'http:') return; // the empty page before the first
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ', real = crypto.getRandomValues.bind(crypto);
  let next = Number(sessionStorage.getItem('tests-next-token') ?? 0);
  crypto.getRandomValues = array => {
    if (array.length !== 10 || next >= tokens.length) return real(array);
    const token = tokens[next++];
    sessionStorage.setItem('tests-next-token', String(next));
    // Any three high bits: only five of the eight may count.
    array.set([...token.slice(0, 10)].map((c, i) => alphabet.indexOf(c) + 32 * (i % 8)));
    return array;
  };
  // Time can be put forward.
  const now = Date.now;
  Date.now = () => now() + (window.testsAheadMs ?? 0);
};

let passed = 0, failed = 0;
for (const [name, test, expectedErrors = /^$/] of CASES) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  const shop = await site();
  const context = await browser.newContext();
  const wrong = [];
  await guard(context, wrong, text => expectedErrors.test(text));
  await context.addInitScript(fixTokens, TOKENS);
  const started = Date.now();
  try {
    await test({ shop, context, CSP, open: async path => {
      const page = await context.newPage();
      page.setDefaultTimeout(10000);
      await page.goto(shop.url + path);
      return page;
    } });
    assert.deepEqual(wrong, []);
    passed += 1;
    console.log(`ok    ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}\n${wrong.join('\n')}`);
  }
  await context.close();
  shop.close();
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
