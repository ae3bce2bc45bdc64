// SPDX-License-Identifier: Apache-2.0
'use strict';
/*
 * Sessions that survive their instance: what doc/zones.md (L1) asks of an application, as a
 * middleware for Express, or for plain http.
 *
 *     app.use(haSessions({route: 'hostA'}));
 *
 * and in the application
 *
 *     req.session.set('cart', [...req.session.get('cart', []), 'pear']);
 *
 * without an `await` between get and set, where another request could change it. Values are what
 * JSON can say. They are replaced, never changed in place: that would not be noticed. A client gets
 * a session with the first value that is set. The state has to be settled when the head is written,
 * with the first byte of the body, as it travels in the head.
 */
const crypto = require('crypto');

const STATE_BYTES_MAX = 21000;
const PART_CHARS = 7000;
const SWEEP_MS = 60000;

/* What this instance has of a session, for all requests of it. 1 is a record's first epoch, so that
 * of a session which nobody had before. */
class Shared {
    constructor(sid = null, data = {}, epoch = 1, version = 0) {
        Object.assign(this, {sid, data, epoch, version});
        this.unsaid = false; // changed by a request that failed before it had a head
        this.ended = false;
        this.used = this.kept = Date.now(); // last asked for; last heard of by the proxy
    }
}

/* A session as one request has it. */
class Session {
    constructor(shared) {
        this.shared = shared;
        this.came = shared.sid;
        this.changed = this.renamed = this.ended = false;
    }

    get(key, other) {
        return Object.hasOwnProperty.call(this.shared.data, key) ? this.shared.data[key] : other;
    }

    set(key, value) {
        this.shared.data[key] = value;
        this.changed = true;
    }

    /* Gives it a new id, so that an id from before the login is worth nothing. */
    login() {
        this.renamed = true;
    }

    /* Ends it, on all instances. */
    logout() {
        this.ended = true;
    }
}

/* The data of HA-Session-Data, which Node has joined with commas; null if it is none of ours. */
function decode(parts = '') {
    try {
        const text = [];
        for (const part of parts.split(',')) {
            const [number, chars] = part.split(';');
            text[Number(number)] = chars.trim();
        }
        const data = JSON.parse(Buffer.from(text.join(''), 'base64url').toString());
        return data && typeof data === 'object' ? data : null;
    } catch {
        return null;
    }
}

/* Sets what writeHead was given: an object, or a list of names and values in turn. */
function setAll(res, given) {
    if (!Array.isArray(given)) {
        Object.entries(given || {}).forEach(([name, value]) => res.setHeader(name, value));
        return;
    }
    const lists = {};
    for (let i = 0; i < given.length; i += 2) {
        (lists[given[i].toLowerCase()] ||= []).push(given[i + 1]);
    }
    Object.entries(lists).forEach(([name, all]) => res.setHeader(name, all[1] ? all : all[0]));
}

/* `route` is the member's route in the proxy's configuration, `path` the path that ProxyPass names.
 * Add Secure to the attributes where the site has TLS only. */
module.exports = function haSessions({
    route, cookie = 'zsessionid', ttl = 1800, path = '/', attributes = 'HttpOnly; SameSite=Lax',
}) {
    const table = new Map(); // of Shared, by id
    const name = cookie.replace(/[^\w-]/g, '\\$&');
    const pattern = new RegExp(`(?:^|;\\s*)${name}=([\\w-]{1,256})\\.([\\w-]+)`);
    let swept = Date.now();

    function forget(sid) {
        const mine = table.get(sid);
        if (mine) {
            mine.ended = true;
            table.delete(sid);
        }
    }

    function take(sid, epoch, parameters, parts) {
        const version = Number(/ver=(\d+)/.exec(parameters)[1]);
        const mine = table.get(sid);
        const newer = !mine || epoch > mine.epoch ||
            (epoch === mine.epoch && version > mine.version);
        const data = decode(parts);
        if (data && newer) {
            // A new object: requests that still run keep the old one, their answers are refused.
            table.set(sid, new Shared(sid, data, epoch, version));
        }
    }

    /* Rules 1 to 4 of doc/zones.md. Null when the state is needed first. */
    function settle(sid, headers) {
        const [word, ...parameters] = (headers['ha-session'] || '').split(';');
        const fence = Number(headers['ha-fence'] || 0);
        if (word === 'gone') {
            forget(sid);
        } else if (word === 'restore' && sid) {
            take(sid, fence, parameters.join(';'), headers['ha-session-data']);
        }
        let mine = table.get(sid);
        const stale = fence > (mine ? mine.epoch : 0);
        if (stale && !word) {
            return null;
        }
        if (stale) { // what came after it is nowhere
            forget(sid);
            mine = undefined;
        }
        if (mine) {
            mine.used = Date.now();
        }
        // An id that we do not know is not taken over: somebody may have made it up.
        return new Session(mine || new Shared());
    }

    function sweep() {
        const now = Date.now();
        if (now - swept > SWEEP_MS) {
            swept = now;
            table.forEach((mine, sid) => now - mine.used > ttl * 1000 && table.delete(sid));
        }
    }

    function rename(shared) {
        if (table.get(shared.sid) === shared) {
            table.delete(shared.sid);
        }
        shared.sid = crypto.randomBytes(24).toString('base64url');
        shared.epoch = 1;
        table.set(shared.sid, shared);
    }

    function addCookie(res, value, more = '') {
        const others = [].concat(res.getHeader('Set-Cookie') || []);
        const own = `${cookie}=${value}; Path=${path}; ${attributes}${more}`;
        res.setHeader('Set-Cookie', [...others, own]);
    }

    /* Parameters of the state, whose fields are set; none of a state that is too large. */
    function sayState(res, shared) {
        const state = Buffer.from(JSON.stringify(shared.data));
        shared.version++;
        shared.unsaid = false;
        if (state.length > STATE_BYTES_MAX) {
            console.error(`a session of ${state.length} bytes is too large for its zone`);
            return '';
        }
        shared.kept = Date.now();
        const parts = state.toString('base64url').match(new RegExp(`.{1,${PART_CHARS}}`, 'g'));
        res.setHeader('HA-Session-Data', parts.map((part, i) => `${i}; ${part}`));
        return `; ver=${shared.version}; ttl=${ttl}; parts=${parts.length}`;
    }

    /* Rule 5: the fields for an answer's head. Nothing else runs meanwhile, so no two requests have
     * the same version, and each state has the changes of all versions before it. */
    function say(res, session, cookieRoute) {
        const {shared} = session;
        const old = shared.sid;
        if (session.ended) {
            forget(old);
            addCookie(res, '', '; Max-Age=0');
            if (old) {
                res.setHeader('HA-Session', `del; id="${old}"`);
            }
            return;
        }
        if (shared.ended) { // by another request
            return;
        }
        const changed = session.changed || shared.unsaid;
        const renamed = session.renamed && old;
        if (renamed || (changed && !old)) {
            rename(shared);
        }
        // With each state: a proxy that remembers nothing keeps it for ids that we have issued. But
        // who came with an id from before a login of another request does not learn the new one.
        const made = shared.sid !== old;
        if (made || (shared.sid && old === session.came && (changed || cookieRoute !== route))) {
            addCookie(res, `${shared.sid}.${route}`);
        }
        const about = changed ? sayState(res, shared) : '';
        if (renamed) {
            res.setHeader('HA-Session', `rekey; new="${shared.sid}"; id="${old}"${about}`);
        } else if (about) {
            res.setHeader('HA-Session', `put; id="${shared.sid}"${about}`);
        } else if (shared.sid && Date.now() - shared.kept > ttl * 250) {
            // One that is only looked at must not run out: now and then is enough.
            shared.kept = Date.now();
            res.setHeader('HA-Session', `touch; id="${shared.sid}"; ttl=${ttl}`);
        }
    }

    return function (req, res, next) {
        sweep();
        const [, sid, cookieRoute] = pattern.exec(req.headers.cookie || '') || [];
        const session = settle(sid, req.headers);
        if (!session) {
            // The proxy sends the request again. Its body is read all the same: closing a
            // connection with bytes unread resets it, and the answer may be lost with that.
            req.resume().on('end', () => {
                res.writeHead(503, {'HA-Session': 'miss', 'Content-Length': 0});
                res.end();
            });
            return;
        }
        req.session = session;
        let said = false;
        const writeHead = res.writeHead;
        // Every head is written by this, that of a bare res.end() too.
        res.writeHead = function (status, ...rest) {
            // Fields that are given here would take the place of ours, such as the cookie.
            setAll(res, typeof rest[rest.length - 1] === 'object' ? rest.pop() : null);
            said = true;
            say(res, session, cookieRoute);
            return writeHead.call(res, status, ...rest);
        };
        res.on('close', () => {
            session.shared.unsaid ||= session.changed && !said;
        });
        next();
    };
};
