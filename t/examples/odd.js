// SPDX-License-Identifier: Apache-2.0
// An application of ways in which Node lets one answer.
'use strict';
const http = require('http');
const haSessions = require('../../examples/node/ha-sessions');

const options = Object.fromEntries(process.argv.slice(2).map((arg) => arg.slice(2).split('=')));

const pages = {
    empty: (req, res) => {
        res.statusCode = 204;
        res.end();
    },
    fail: (req, res) => res.destroy(),
    late: (req, res) => {
        res.setHeader('Set-Cookie', 'other=1');
        setTimeout(() => {
            req.session.set('pages', [...req.session.get('pages'), 'before the first byte']);
            res.write('first, ');
            res.end('second');
        }, 10);
    },
    look: (req, res) => res.end(),
    list: (req, res) => {
        res.writeHead(200, 'Fine', ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-Other', 'c']);
        res.end();
    },
    object: (req, res) => {
        res.writeHead(200, {'Set-Cookie': ['a=1', 'b=2'], 'X-Other': 'c'});
        res.end();
    },
};

const sessions = haSessions({route: options.route});
http.createServer((req, res) => sessions(req, res, () => {
    const page = req.url.split('/').pop();
    if (page !== 'look') {
        req.session.set('pages', [...req.session.get('pages', []), page]);
    }
    pages[page](req, res);
})).listen(Number(options.port), '127.0.0.1');
