// A real Chromium that reaches loopback alone, and what a page must not do in it.
import { createRequire } from 'node:module';

const { chromium } = createRequire(process.env.MODULES_FROM)('playwright-core');

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
});

// Puts into `wrong` what no page may do; `expected` tells whether an error on the console is part of the test.
export async function guard(context, wrong, expected) {
  await context.route('**/*', route => {
    const { hostname } = new URL(route.request().url());
    if (hostname === '127.0.0.1') return route.continue();
    wrong.push(`a request left loopback: ${route.request().url()}`);
    return route.abort();
  });
  context.on('console', message => {
    const text = message.text();
    if (['error', 'warning'].includes(message.type()) && !expected(text)) wrong.push(`console: ${text}`);
  });
  context.on('weberror', error => wrong.push(`uncaught: ${error.error().stack}`));
}
