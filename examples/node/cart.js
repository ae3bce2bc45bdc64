#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
'use strict';
/*
 * A counter of visits and a shopping cart on plain http: an application to try sessions with.
 *
 *     node cart.js --route=hostA --port=8081
 */
const http = require('http');
const haSessions = require('./ha-sessions');

// Only the proxy may reach it: what it says of sessions is believed.
const options = {route: 'hostA', port: '8081', ttl: '1800', address: '127.0.0.1'};
for (const arg of process.argv.slice(2)) {
    const [, name, value] = /^--(\w+)=(.*)$/.exec(arg) || [];
    if (!(name in options)) {
        console.error('use --route=ROUTE --port=PORT --ttl=SECONDS --address=ADDRESS');
        process.exit(2);
    }
    options[name] = value;
}

const pages = {
    '': (session) => {
        session.set('visits', session.get('visits', 0) + 1);
        return `visits=${session.get('visits')}`;
    },
    cart: (session, given) => {
        if (given.has('add')) {
            session.set('cart', [...session.get('cart', []), ...given.getAll('add')]);
        }
        return `cart=${session.get('cart', []).join(',')}`;
    },
    login: (session, given) => {
        session.login();
        session.set('user', given.get('user') || 'somebody');
        return `user=${session.get('user')}`;
    },
    logout: (session) => {
        session.logout();
        return 'bye';
    },
    health: () => 'ok',
};

async function application(req, res) {
    const url = new URL(req.url, 'http://localhost');
    const pieces = [];
    for await (const piece of req) {
        pieces.push(piece);
    }
    const given = new URLSearchParams(`${url.search.slice(1)}&${Buffer.concat(pieces)}`);
    const name = url.pathname.split('/').pop();
    const page = Object.hasOwnProperty.call(pages, name) ? pages[name] : null;
    const text = page ? page(req.session, given) : 'there is no such page';
    const type = 'text/plain; charset=utf-8';
    res.writeHead(page ? 200 : 404, {'Content-Type': type, 'X-Instance': options.route});
    res.end(`${options.route} ${text}\n`);
}

const sessions = haSessions({route: options.route, ttl: Number(options.ttl), path: '/App'});
// A state of 21,000 bytes is 28,000 characters in a request's head; Node takes 16 KiB unless told.
const server = http.createServer({maxHeaderSize: 65536}, (req, res) => {
    sessions(req, res, () => application(req, res).catch(() => res.destroy()));
});
server.listen(Number(options.port), options.address);
