// SPDX-License-Identifier: Apache-2.0
package sessions;

import java.io.IOException;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;

/** A counter of visits and a shopping cart: an application to try sessions with. It is mapped to
 * all paths below its context. */
public final class CartServlet extends HttpServlet {
    private static final long serialVersionUID = 1;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        HASession session = HASession.of(request);
        String path = request.getRequestURI();
        String text = page(session, path.substring(path.lastIndexOf('/') + 1), request);
        response.setStatus(text == null ? 404 : 200);
        response.setContentType("text/plain;charset=utf-8");
        String route = System.getProperty("jvmRoute", "");
        response.setHeader("X-Instance", route);
        response.getWriter().print(
                route + " " + (text == null ? "there is no such page" : text) + "\n");
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        doGet(request, response);
    }

    /** The text of a page, null if there is none of that name. */
    private static String page(HASession session, String name, HttpServletRequest request) {
        switch (name) {
        case "":
            return "visits=" + session.update("visits",
                    old -> String.valueOf(old == null ? 1 : Integer.parseInt(old) + 1));
        case "cart":
            String[] items = request.getParameterValues("add");
            if (items != null) {
                String more = String.join(",", items);
                session.update("cart", old -> old == null ? more : old + "," + more);
            }
            return "cart=" + (session.get("cart") == null ? "" : session.get("cart"));
        case "login":
            String user = request.getParameter("user");
            session.login();
            session.set("user", user == null ? "somebody" : user);
            return "user=" + session.get("user");
        case "logout":
            session.logout();
            return "bye";
        case "health":
            return "ok";
        default:
            return null;
        }
    }
}
