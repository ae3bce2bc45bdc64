// SPDX-License-Identifier: Apache-2.0
package sessions;

import java.io.FilterWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.util.List;
import java.util.function.Supplier;

import jakarta.servlet.ServletOutputStream;
import jakarta.servlet.WriteListener;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpServletResponseWrapper;

/** A response that asks for further fields of its head before anything can send that. */
final class HeadResponse extends HttpServletResponseWrapper {
    private final Supplier<List<String>> source;
    private List<String> fields; // names and values in turn; null until they were asked for
    private PrintWriter writer;
    private ServletOutputStream stream;

    HeadResponse(HttpServletResponse response, Supplier<List<String>> source) {
        super(response);
        this.source = source;
    }

    boolean said() {
        return fields != null;
    }

    /** Adds the fields, once. */
    void say() {
        if (fields == null) {
            fields = source.get();
            add();
        }
    }

    private void add() {
        for (int i = 0; i < fields.size(); i += 2) {
            addHeader(fields.get(i), fields.get(i + 1));
        }
    }

    @Override
    public void reset() {
        super.reset();
        if (fields != null) {
            add();
        }
    }

    @Override
    public void sendError(int status) throws IOException {
        say();
        super.sendError(status);
    }

    @Override
    public void sendError(int status, String message) throws IOException {
        say();
        super.sendError(status, message);
    }

    @Override
    public void sendRedirect(String location) throws IOException {
        say();
        super.sendRedirect(location);
    }

    @Override
    public void flushBuffer() throws IOException {
        say();
        super.flushBuffer();
    }

    @Override
    public PrintWriter getWriter() throws IOException {
        if (writer == null) {
            writer = new PrintWriter(new HeadWriter(super.getWriter()));
        }
        return writer;
    }

    @Override
    public ServletOutputStream getOutputStream() throws IOException {
        if (stream == null) {
            stream = new HeadStream(super.getOutputStream());
        }
        return stream;
    }

    private final class HeadWriter extends FilterWriter {
        HeadWriter(Writer out) {
            super(out);
        }

        @Override
        public void write(int c) throws IOException {
            say();
            out.write(c);
        }

        @Override
        public void write(char[] text, int from, int n) throws IOException {
            say();
            out.write(text, from, n);
        }

        @Override
        public void write(String text, int from, int n) throws IOException {
            say();
            out.write(text, from, n);
        }

        @Override
        public void flush() throws IOException {
            say();
            out.flush();
        }

        @Override
        public void close() throws IOException {
            say();
            out.close();
        }
    }

    private final class HeadStream extends ServletOutputStream {
        private final ServletOutputStream out;

        HeadStream(ServletOutputStream out) {
            this.out = out;
        }

        @Override
        public void write(int b) throws IOException {
            say();
            out.write(b);
        }

        @Override
        public void write(byte[] bytes, int from, int n) throws IOException {
            say();
            out.write(bytes, from, n);
        }

        @Override
        public void flush() throws IOException {
            say();
            out.flush();
        }

        @Override
        public void close() throws IOException {
            say();
            out.close();
        }

        @Override
        public boolean isReady() {
            return out.isReady();
        }

        @Override
        public void setWriteListener(WriteListener listener) {
            out.setWriteListener(listener);
        }
    }
}
