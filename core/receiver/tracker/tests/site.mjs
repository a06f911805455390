// A small site on loopback: pages as the tests put them, and the receiver's two paths for the tracker.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';

const folder = new URL('..', import.meta.url);
const file = (name, type) => ({ type, body: readFileSync(new URL(name, folder)) });
const FILES = {
  '/site/shop/tracker.js': file('tracker.js', 'text/javascript'),
  '/tracker.js': file('tracker.js', 'text/javascript'),
  '/landing.js': file('landing.js', 'text/javascript'),
  '/landing.css': file('landing.css', 'text/css'),
  '/landing.html': file('landing.html', 'text/html'),
  // Clicks on links must not leave the page.
  '/stay.js': { type: 'text/javascript', body: "addEventListener('click', e => e.preventDefault());addEventListener('auxclick', e => e.preventDefault());" },
};
export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'";

export async function site() {
  const pages = new Map();
  const posts = []; // { body, type, answered }
  // What the next posts get in place of 204: a status, or 'cut' for a connection that breaks.
  const answers = [];
  const others = []; // Methods that no tracker needs.
  const allowed = {}; // The other site that may send.
  const server = createServer((request, response) => {
    const path = request.url.split('?')[0];
    if (!['GET', 'POST'].includes(request.method)) others.push(request.method);
    if (request.method === 'POST') {
      const parts = [];
      request.on('data', part => parts.push(part));
      request.on('end', () => {
        const answer = path === '/site/shop/events' ? answers.shift() ?? 204 : 404;
        const body = Buffer.concat(parts).toString('utf8');
        posts.push({ body, answer, type: request.headers['content-type'], cookie: request.headers.cookie });
        if (answer === 'cut') return request.socket.destroy();
        response.writeHead(answer, { 'access-control-allow-origin': allowed.origin ?? 'null' }).end();
      });
      return;
    }
    const found = FILES[path] ?? pages.get(path);
    if (!found) return response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': found.type + '; charset=utf-8',
      'content-security-policy': found.csp ?? CSP,
      'cache-control': 'no-store',
    }).end(found.body);
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    posts,
    answers,
    others,
    allowed,
    put: (path, body, csp) => pages.set(path, { type: 'text/html', body, csp }),
    // Events that were answered with 204, each id once, in the order of their first coming.
    events() {
      const seen = new Map();
      for (const post of posts) {
        if (post.answer !== 204) continue;
        for (const event of JSON.parse(post.body).events) if (!seen.has(event.id)) seen.set(event.id, event);
      }
      return [...seen.values()];
    },
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

export const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

// A page with the tracker; `tag` gives the attributes of its script tag.
export function page({ tag = {}, body = '', lang = 'en', head = '' }) {
  const attributes = Object.entries({ 'data-endpoint': '/site/shop/events', ...tag })
    .filter(([, value]) => value !== null).map(([name, value]) => ` ${name}="${escape(value)}"`).join('');
  return `<!DOCTYPE html><html lang="${lang}"><head><meta charset="utf-8"><title>Shop</title>${head}
<script src="/site/shop/tracker.js"${attributes}></script></head><body>${body}<script src="/stay.js"></script></body></html>`;
}
