// SPDX-License-Identifier: Apache-2.0
package sessions;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

import jakarta.servlet.ServletRequest;

/**
 * A session as one request has it; HASessionFilter gives it to each. Values are strings, so that
 * the state is JSON without a library: what is more goes into one as JSON of your own. A client
 * gets a session with the first value that is set.
 */
public final class HASession {
    static final String ATTRIBUTE = "ha.session";

    final Shared shared;
    final String came; // the id that the request came with; null: it has begun the session
    boolean changed;
    boolean renamed;
    boolean ended;

    HASession(Shared shared) {
        this.shared = shared;
        this.came = shared.sid;
    }

    /** The session of a request. */
    public static HASession of(ServletRequest request) {
        return (HASession) request.getAttribute(ATTRIBUTE);
    }

    public String get(String key) {
        synchronized (shared) {
            return shared.data.get(key);
        }
    }

    public void set(String key, String value) {
        update(key, old -> value);
    }

    /** Makes a value of the old one, which is null at first, in one step: other requests may change
     * it at the same time. The new value, null for none. */
    public String update(String key, UnaryOperator<String> change) {
        synchronized (shared) {
            changed = true;
            return shared.data.compute(key, (name, old) -> change.apply(old));
        }
    }

    /** Gives it a new id, so that an id from before the login is worth nothing. */
    public void login() {
        renamed = true;
    }

    /** Ends it, on all instances. */
    public void logout() {
        ended = true;
    }

    /** What this instance has of a session, for all requests of it. Guard: its own lock, which is
     * taken before that of the filter's table. */
    static final class Shared {
        volatile String sid; // null until something is set
        final Map<String, String> data;
        volatile long epoch; // that the state is had under
        volatile long version; // rises with each state that is sent
        boolean unsaid; // changed by a request that failed before it had a head
        volatile boolean ended;
        volatile long used = System.nanoTime(); // when it was last asked for
        volatile long kept = System.nanoTime(); // when the proxy last heard of it

        /** 1 is a record's first epoch, so that of a session which nobody had before. */
        Shared() {
            this(null, new LinkedHashMap<>(), 1, 0);
        }

        Shared(String sid, Map<String, String> data, long epoch, long version) {
            this.sid = sid;
            this.data = data;
            this.epoch = epoch;
            this.version = version;
        }
    }

    // --- JSON: one object whose values are strings ---

    static String toJson(Map<String, String> data) {
        StringBuilder json = new StringBuilder("{");
        data.forEach((key, value) -> {
            json.append(json.length() > 1 ? "," : "");
            quote(json, key);
            quote(json.append(':'), value);
        });
        return json.append('}').toString();
    }

    private static void quote(StringBuilder json, String text) {
        json.append('"');
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                json.append('\\').append(c);
            } else if (c < ' ') {
                json.append(String.format("\\u%04x", (int) c));
            } else {
                json.append(c);
            }
        }
        json.append('"');
    }

    /** Reads what toJson has written. IllegalArgumentException for anything else. */
    static Map<String, String> fromJson(String json) {
        Map<String, String> data = new LinkedHashMap<>();
        Reader reader = new Reader(json);
        char next = reader.next('{');
        for (next = json.equals("{}") ? reader.next('}') : ','; next == ','; next = reader.next()) {
            String key = reader.string();
            reader.next(':');
            data.put(key, reader.string());
        }
        if (next != '}' || reader.at != json.length()) {
            throw new IllegalArgumentException("this is no state");
        }
        return data;
    }

    private static final class Reader {
        private final String json;
        private int at;

        Reader(String json) {
            this.json = json;
        }

        char next() {
            return at < json.length() ? json.charAt(at++) : 0;
        }

        char next(char expected) {
            if (next() != expected) {
                throw new IllegalArgumentException("this is no state");
            }
            return expected;
        }

        String string() {
            StringBuilder text = new StringBuilder();
            next('"');
            for (char c = next(); c != '"'; c = next()) {
                if (c == 0) {
                    throw new IllegalArgumentException("this is no state");
                }
                text.append(c == '\\' ? escaped() : c);
            }
            return text.toString();
        }

        private char escaped() {
            char c = next();
            if (c != 'u' || at + 4 > json.length()) {
                return c;
            }
            at += 4;
            return (char) Integer.parseInt(json.substring(at - 4, at), 16);
        }
    }
}
