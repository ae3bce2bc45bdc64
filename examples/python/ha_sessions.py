# SPDX-License-Identifier: Apache-2.0
"""Sessions that survive their instance: what doc/zones.md (L1) asks of an application, for WSGI.

    application = HASessions(application, route='hostA')

and in the application

    session = environ['ha.session']
    with session:                    # other requests may change it at the same time
        session['cart'] = session.get('cart', []) + ['pear']

Values are what JSON can say. They are replaced, never changed in place: that would not be noticed.
A client gets a session with the first value that is set. The state has to be settled when the first
byte of the body is handed out, as it travels in the head.
"""
import base64
import json
import logging
import re
import secrets
import threading
import time

STATE_BYTES_MAX = 21000
PART_CHARS = 7000
SWEEP_SECONDS = 60

log = logging.getLogger(__name__)


class Shared:
    """What this instance has of a session, for all requests of it."""

    def __init__(self, sid=None, data=None, epoch=1, version=0):
        self.lock = threading.RLock()  # of all this; taken before the table's
        self.sid, self.data = sid, data or {}
        # 1 is a record's first epoch, so that of a session which nobody had before.
        self.epoch, self.version = epoch, version
        self.unsaid = False  # changed by a request that failed before it had a head
        self.ended = False
        self.used = self.kept = time.monotonic()  # last asked for; last heard of by the proxy


class Session:
    """A session as one request has it."""

    def __init__(self, shared):
        self.shared, self.came = shared, shared.sid
        self.changed = self.renamed = self.ended = False

    def __enter__(self):
        self.shared.lock.acquire()
        return self

    def __exit__(self, *_):
        self.shared.lock.release()

    def get(self, key, default=None):
        return self.shared.data.get(key, default)

    def __setitem__(self, key, value):
        with self:
            self.shared.data[key] = value
            self.changed = True

    def login(self):
        """Gives it a new id, so that an id from before the login is worth nothing."""
        self.renamed = True

    def logout(self):
        """Ends it, on all instances."""
        self.ended = True


class HASessions:
    """The middleware. `route` is the member's route in the proxy's configuration."""

    def __init__(self, app, route, cookie='zsessionid', ttl=1800, path='/',
                 attributes='HttpOnly; SameSite=Lax'):
        self.app, self.route, self.cookie, self.ttl = app, route, cookie, ttl
        # Of the cookie: the path that ProxyPass names. Add Secure where the site has TLS only.
        self.attributes = f'Path={path}; {attributes}'
        pattern = r'(?:^|;\s*)%s=([\w-]{1,256})\.([\w-]+)' % re.escape(cookie)
        self.cookie_pattern = re.compile(pattern, re.ASCII)
        self.lock = threading.Lock()
        self.table = {}  # of Shared, by id; guard: lock
        self.swept = time.monotonic()

    def __call__(self, environ, start_response):
        found = self.cookie_pattern.search(environ.get('HTTP_COOKIE', ''))
        sid, route = found.groups() if found else (None, None)
        session = self._settle(sid, environ)
        if not session:
            return self._miss(environ, start_response)
        environ['ha.session'] = session
        return self._serve(environ, start_response, session, route)

    def _settle(self, sid, environ):
        """Rules 1 to 4 of doc/zones.md. None when the state is needed first."""
        word, _, parameters = environ.get('HTTP_HA_SESSION', '').partition(';')
        fence = int(environ.get('HTTP_HA_FENCE') or 0)
        with self.lock:
            self._sweep()
            if word == 'gone':
                self._forget(sid)
            elif word == 'restore' and sid:
                self._take(sid, fence, parameters, environ.get('HTTP_HA_SESSION_DATA', ''))
            mine = self.table.get(sid)
            stale = fence > (mine.epoch if mine else 0)
            if stale and not word:
                return None
            if stale:  # what came after it is nowhere
                self._forget(sid)
                mine = None
            if mine:
                mine.used = time.monotonic()
            # An id that we do not know is not taken over: somebody may have made it up.
            return Session(mine or Shared())

    def _take(self, sid, fence, parameters, parts):
        version = int(re.search(r'ver=(\d+)', parameters).group(1))
        mine = self.table.get(sid)
        data = decode(parts)
        if data is not None and (not mine or (fence, version) > (mine.epoch, mine.version)):
            # A new object: requests that still run keep the old one, their answers are refused.
            self.table[sid] = Shared(sid, data, fence, version)

    def _forget(self, sid):
        mine = self.table.pop(sid, None)
        if mine:
            mine.ended = True

    def _sweep(self):
        now = time.monotonic()
        if now - self.swept > SWEEP_SECONDS:
            self.swept = now
            self.table = {sid: s for sid, s in self.table.items() if now - s.used < self.ttl}

    def _miss(self, environ, start_response):
        # The proxy sends the request again. Its body is read all the same: closing a connection
        # with bytes unread resets it, and the answer may be lost with that.
        left = int(environ.get('CONTENT_LENGTH') or 0)
        while left > 0:
            piece = environ['wsgi.input'].read(min(left, 65536))
            left = left - len(piece) if piece else 0
        start_response('503 Service Unavailable', [
            ('HA-Session', 'miss'), ('Content-Type', 'text/plain'), ('Content-Length', '0')])
        return []

    def _serve(self, environ, start_response, session, route):
        """Runs the application, and keeps its head back until the body begins."""
        held, sent = [], []

        def hold(*head):
            if sent:  # an error within the body; the server breaks off
                return start_response(*head)
            held[:] = head
            return lambda piece: send()(piece)

        def send():
            if not sent:
                status, headers, *error = held
                sent.append(start_response(status, headers + self._say(session, route), *error))
            return sent[0]

        body = ()
        try:
            body = self.app(environ, hold)
            for piece in filter(None, body):
                send()
                yield piece
            send()
        finally:
            if session.changed and not sent:
                session.shared.unsaid = True
            if hasattr(body, 'close'):
                body.close()

    def _say(self, session, route):
        """Rule 5: the fields for an answer's head."""
        shared = session.shared
        # One step under the lock: no two requests have the same version, and each state has the
        # changes of all versions before it.
        with shared.lock:
            old = shared.sid
            if session.ended:
                return self._end(shared)
            if shared.ended:  # by another request
                return []
            changed = session.changed or shared.unsaid
            renamed = session.renamed and old
            if renamed or (changed and not old):
                self._name(shared)
            fields = []
            # With each state: a proxy that remembers nothing keeps it for ids that we have issued.
            # But who came with an id from before a login of another request does not learn the new
            # one.
            made = shared.sid != old
            if made or (shared.sid and old == session.came and (changed or route != self.route)):
                fields.append(self._cookie(f'{shared.sid}.{self.route}', self.attributes))
            about, data = self._state(shared) if changed else ('', [])
            if renamed:
                said = f'rekey; new="{shared.sid}"; id="{old}"{about}'
            elif about:
                said = f'put; id="{shared.sid}"{about}'
            else:
                return fields + self._touch(shared)
            return fields + [('HA-Session', said)] + data

    def _name(self, shared):
        with self.lock:
            if self.table.get(shared.sid) is shared:
                del self.table[shared.sid]
            shared.sid, shared.epoch = secrets.token_urlsafe(24), 1
            self.table[shared.sid] = shared

    def _state(self, shared):
        """Parameters and fields of the state; none of a state that is too large."""
        shared.version += 1
        shared.unsaid = False
        state = json.dumps(shared.data, separators=(',', ':')).encode()
        if len(state) > STATE_BYTES_MAX:
            log.error('a session of %d bytes is too large for its zone', len(state))
            return '', []
        shared.kept = time.monotonic()
        text = base64.urlsafe_b64encode(state).rstrip(b'=').decode()
        parts = [text[i:i + PART_CHARS] for i in range(0, len(text), PART_CHARS)]
        about = f'; ver={shared.version}; ttl={self.ttl}; parts={len(parts)}'
        return about, [('HA-Session-Data', f'{i}; {part}') for i, part in enumerate(parts)]

    def _touch(self, shared):
        # A session that is only looked at must not run out: now and then is enough.
        if not shared.sid or time.monotonic() - shared.kept < self.ttl / 4:
            return []
        shared.kept = time.monotonic()
        return [('HA-Session', f'touch; id="{shared.sid}"; ttl={self.ttl}')]

    def _end(self, shared):
        with self.lock:
            if self.table.get(shared.sid) is shared:
                self._forget(shared.sid)
        fields = [self._cookie('', self.attributes + '; Max-Age=0')]
        return fields + ([('HA-Session', f'del; id="{shared.sid}"')] if shared.sid else [])

    def _cookie(self, value, attributes):
        return 'Set-Cookie', f'{self.cookie}={value}; {attributes}'


def decode(parts):
    """The data of HA-Session-Data, which WSGI has joined with commas; None if it is not ours."""
    try:
        numbered = dict(part.split(';') for part in parts.replace(' ', '').split(','))
        text = ''.join(numbered[str(i)] for i in range(len(numbered)))
        data = json.loads(base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)))
        return data if isinstance(data, dict) else None
    except (ValueError, KeyError):
        return None
