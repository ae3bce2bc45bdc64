#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A counter of visits and a shopping cart on wsgiref: an application to try sessions with.

    python3 cart.py --route=hostA --port=8081
"""
import argparse
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIServer, make_server

from ha_sessions import HASessions


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


def parameters(environ):
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    return parse_qs(environ.get('QUERY_STRING', '') + '&' + body.decode('latin-1'))


def front(session, given):
    with session:
        session['visits'] = session.get('visits', 0) + 1
        return f'visits={session.get("visits")}'


def cart(session, given):
    with session:
        if 'add' in given:
            session['cart'] = session.get('cart', []) + given['add']
        return 'cart=' + ','.join(session.get('cart', []))


def login(session, given):
    session.login()
    session['user'] = given.get('user', ['somebody'])[0]
    return f'user={session.get("user")}'


def logout(session, given):
    session.logout()
    return 'bye'


def health(session, given):
    return 'ok'


PAGES = {'': front, 'cart': cart, 'login': login, 'logout': logout, 'health': health}


def application(environ, start_response):
    page = PAGES.get(environ['PATH_INFO'].rsplit('/', 1)[-1])
    given = parameters(environ)
    text = page(environ['ha.session'], given) if page else 'there is no such page'
    body = f'{options.route} {text}\n'.encode()
    start_response('200 OK' if page else '404 Not Found', [
        ('Content-Type', 'text/plain; charset=utf-8'),
        ('Content-Length', str(len(body))),
        ('X-Instance', options.route),
    ])
    return [body]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--route', default='hostA', help="the member's route")
    parser.add_argument('--port', type=int, default=8081)
    parser.add_argument('--ttl', type=int, default=1800, help='seconds that a session lives unused')
    # Only the proxy may reach it: what it says of sessions is believed.
    parser.add_argument('--address', default='127.0.0.1')
    options = parser.parse_args()
    middleware = HASessions(application, route=options.route, ttl=options.ttl, path='/App')
    make_server(options.address, options.port, middleware, Server).serve_forever()
