# SPDX-License-Identifier: Apache-2.0
# An application of ways in which WSGI lets one answer, watched by wsgiref's validator on both sides
# of the middleware.
import argparse
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from wsgiref.validate import validator

from ha_sessions import HASessions


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


HEAD = [('Content-Type', 'text/plain')]


def application(environ, start_response):
    session = environ['ha.session']
    page = environ['PATH_INFO'].rsplit('/', 1)[-1]
    if page != 'look':
        session['pages'] = session.get('pages', []) + [page]
    if page == 'fail':
        raise RuntimeError('meant to')
    if page == 'write':
        start_response('200 OK', HEAD)(b'written, ')
        return [b'then returned']
    if page == 'changed-mind':
        start_response('200 OK', HEAD)
        start_response('500 Sorry', HEAD, (RuntimeError, RuntimeError(), None))
        return [b'sorry']
    if page == 'late':
        return late(session, start_response)
    start_response('204 No Content', [])
    return []


def late(session, start_response):
    start_response('200 OK', HEAD)
    yield b''
    session['pages'] = session.get('pages') + ['before the first byte']
    yield b'first, '
    yield b'second'


parser = argparse.ArgumentParser()
parser.add_argument('--route')
parser.add_argument('--port', type=int)
options = parser.parse_args()
middleware = validator(HASessions(validator(application), route=options.route))
make_server('127.0.0.1', options.port, middleware, Server).serve_forever()
