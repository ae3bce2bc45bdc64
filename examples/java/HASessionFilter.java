// SPDX-License-Identifier: Apache-2.0
package sessions;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.FilterConfig;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

import sessions.HASession.Shared;

/**
 * Sessions that survive their instance: what doc/zones.md (L1) asks of an application. A servlet:
 *
 * <pre>HASession.of(request).update("cart", cart -> cart == null ? "pear" : cart + ",pear");</pre>
 *
 * The state has to be settled when the first byte of the body is written: it travels in the head.
 * Init parameters: route, the member's route in the proxy's configuration, else the system property
 * jvmRoute; cookie; ttl in seconds; path, that ProxyPass names, and attributes of the cookie.
 */
public final class HASessionFilter implements Filter {
    private static final int STATE_BYTES_MAX = 21000;
    private static final int PART_CHARS = 7000;
    private static final long SWEEP_NANOS = TimeUnit.MINUTES.toNanos(1);
    private static final Pattern VERSION = Pattern.compile("ver=(\\d+)");

    private final SecureRandom random = new SecureRandom();
    private final Map<String, Shared> table = new HashMap<>(); // by id; guard: itself
    private long swept = System.nanoTime(); // guard: table
    private String route;
    private String cookie;
    private String attributes;
    private long ttl;
    private Pattern cookiePattern;

    @Override
    public void init(FilterConfig config) throws ServletException {
        route = parameter(config, "route", System.getProperty("jvmRoute"));
        cookie = parameter(config, "cookie", "zsessionid");
        ttl = Long.parseLong(parameter(config, "ttl", "1800"));
        // Add Secure where the site has TLS only.
        attributes = "Path=" + parameter(config, "path", "/") + "; "
                + parameter(config, "attributes", "HttpOnly; SameSite=Lax");
        if (route == null) {
            throw new ServletException("the filter needs the init parameter route");
        }
        cookiePattern = Pattern.compile(
                "(?:^|;\\s*)" + Pattern.quote(cookie) + "=([\\w-]{1,256})\\.([\\w-]+)");
    }

    @Override
    public void destroy() {
        // Nothing is to be done; before Servlet 4 it has to be said.
    }

    private static String parameter(FilterConfig config, String name, String other) {
        String value = config.getInitParameter(name);
        return value == null ? other : value;
    }

    @Override
    public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        HttpServletRequest asked = (HttpServletRequest) request;
        HttpServletResponse answer = (HttpServletResponse) response;
        String field = asked.getHeader("Cookie");
        Matcher found = cookiePattern.matcher(field == null ? "" : field);
        boolean known = found.find();
        HASession session = settle(known ? found.group(1) : null, asked);
        if (session == null) {
            // The proxy sends the request again. Its body is read all the same: closing a
            // connection with bytes unread resets it, and the answer may be lost with that.
            asked.getInputStream().transferTo(OutputStream.nullOutputStream());
            answer.addHeader("HA-Session", "miss");
            answer.setStatus(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
            return;
        }
        asked.setAttribute(HASession.ATTRIBUTE, session);
        String cookieRoute = known ? found.group(2) : null;
        HeadResponse held = new HeadResponse(answer, () -> say(session, cookieRoute));
        try {
            chain.doFilter(asked, held);
            held.say();
        } finally {
            synchronized (session.shared) {
                session.shared.unsaid |= session.changed && !held.said();
            }
        }
    }

    /** Rules 1 to 4 of doc/zones.md. Null when the state is needed first. */
    private HASession settle(String sid, HttpServletRequest request) {
        String field = request.getHeader("HA-Session");
        String word = field == null ? "" : field.split(";")[0];
        String fenceField = request.getHeader("HA-Fence");
        long fence = fenceField == null ? 0 : Long.parseLong(fenceField);
        synchronized (table) {
            sweep();
            if (word.equals("gone")) {
                forget(sid);
            } else if (word.equals("restore") && sid != null) {
                take(sid, fence, field, decode(request));
            }
            Shared mine = table.get(sid);
            boolean stale = fence > (mine == null ? 0 : mine.epoch);
            if (stale && word.isEmpty()) {
                return null;
            }
            if (stale) { // what came after it is nowhere
                forget(sid);
                mine = null;
            }
            if (mine != null) {
                mine.used = System.nanoTime();
            }
            // An id that we do not know is not taken over: somebody may have made it up.
            return new HASession(mine == null ? new Shared() : mine);
        }
    }

    private void take(String sid, long epoch, String parameters, Map<String, String> data) {
        Matcher found = VERSION.matcher(parameters);
        long version = found.find() ? Long.parseLong(found.group(1)) : 0;
        Shared mine = table.get(sid);
        boolean newer = mine == null || epoch > mine.epoch
                || (epoch == mine.epoch && version > mine.version);
        if (data != null && newer) {
            // A new object: requests that still run keep the old one, their answers are refused.
            table.put(sid, new Shared(sid, data, epoch, version));
        }
    }

    /** The data of HA-Session-Data; null if it is none of ours. */
    private static Map<String, String> decode(HttpServletRequest request) {
        Map<String, String> parts = new TreeMap<>(); // by number, of which there are fewer than ten
        for (String field : Collections.list(request.getHeaders("HA-Session-Data"))) {
            for (String part : field.split(",")) {
                String[] halves = part.split(";");
                parts.put(halves[0].trim(), halves[halves.length - 1].trim());
            }
        }
        try {
            byte[] state = Base64.getUrlDecoder().decode(String.join("", parts.values()));
            return HASession.fromJson(new String(state, StandardCharsets.UTF_8));
        } catch (IllegalArgumentException malformed) {
            return null;
        }
    }

    private void forget(String sid) {
        Shared mine = table.remove(sid);
        if (mine != null) {
            mine.ended = true;
        }
    }

    private void sweep() {
        long now = System.nanoTime();
        if (now - swept > SWEEP_NANOS) {
            swept = now;
            table.values().removeIf(mine -> now - mine.used > TimeUnit.SECONDS.toNanos(ttl));
        }
    }

    /** Rule 5: the fields for an answer's head, as names and values in turn. */
    private List<String> say(HASession session, String cookieRoute) {
        Shared shared = session.shared;
        List<String> fields = new ArrayList<>();
        // One step under the lock: no two requests have the same version, and each state has the
        // changes of all versions before it.
        synchronized (shared) {
            String old = shared.sid;
            if (session.ended) {
                end(shared, fields);
                return fields;
            }
            if (shared.ended) { // by another request
                return fields;
            }
            boolean changed = session.changed || shared.unsaid;
            boolean renamed = session.renamed && old != null;
            if (renamed || (changed && old == null)) {
                rename(shared);
            }
            // With each state: a proxy that remembers nothing keeps it for ids that we have issued.
            // But who came with an id from before a login of another request does not learn the new
            // one.
            boolean made = !Objects.equals(shared.sid, old);
            boolean again = shared.sid != null && Objects.equals(old, session.came)
                    && (changed || !route.equals(cookieRoute));
            if (made || again) {
                addCookie(fields, shared.sid + "." + route, "");
            }
            String about = changed ? sayState(shared, fields) : "";
            if (renamed) {
                Collections.addAll(fields, "HA-Session",
                        "rekey; new=\"" + shared.sid + "\"; id=\"" + old + "\"" + about);
            } else if (!about.isEmpty()) {
                Collections.addAll(fields, "HA-Session", "put; id=\"" + shared.sid + "\"" + about);
            } else if (shared.sid != null) {
                touch(shared, fields);
            }
            return fields;
        }
    }

    private void rename(Shared shared) {
        byte[] bytes = new byte[24];
        random.nextBytes(bytes);
        synchronized (table) {
            table.remove(shared.sid, shared);
            shared.sid = Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
            shared.epoch = 1;
            table.put(shared.sid, shared);
        }
    }

    /** Parameters of the state, whose fields are added; none of a state that is too large. */
    private String sayState(Shared shared, List<String> fields) {
        shared.version++;
        shared.unsaid = false;
        byte[] state = HASession.toJson(shared.data).getBytes(StandardCharsets.UTF_8);
        if (state.length > STATE_BYTES_MAX) {
            System.getLogger(HASessionFilter.class.getName()).log(System.Logger.Level.ERROR,
                    "a session of " + state.length + " bytes is too large for its zone");
            return "";
        }
        shared.kept = System.nanoTime();
        String text = Base64.getUrlEncoder().withoutPadding().encodeToString(state);
        int parts = (text.length() + PART_CHARS - 1) / PART_CHARS;
        for (int i = 0; i < parts; i++) {
            int end = Math.min((i + 1) * PART_CHARS, text.length());
            Collections.addAll(fields, "HA-Session-Data",
                    i + "; " + text.substring(i * PART_CHARS, end));
        }
        return "; ver=" + shared.version + "; ttl=" + ttl + "; parts=" + parts;
    }

    /** One that is only looked at must not run out: now and then is enough. */
    private void touch(Shared shared, List<String> fields) {
        if (System.nanoTime() - shared.kept > TimeUnit.SECONDS.toNanos(ttl) / 4) {
            shared.kept = System.nanoTime();
            Collections.addAll(fields, "HA-Session",
                    "touch; id=\"" + shared.sid + "\"; ttl=" + ttl);
        }
    }

    private void end(Shared shared, List<String> fields) {
        synchronized (table) {
            if (table.remove(shared.sid, shared)) {
                shared.ended = true;
            }
        }
        addCookie(fields, "", "; Max-Age=0");
        if (shared.sid != null) {
            Collections.addAll(fields, "HA-Session", "del; id=\"" + shared.sid + "\"");
        }
    }

    private void addCookie(List<String> fields, String value, String more) {
        Collections.addAll(fields, "Set-Cookie", cookie + "=" + value + "; " + attributes + more);
    }
}
