# SPDX-License-Identifier: Apache-2.0
# A fresh apache2 of the distribution, with all that it enables by default, and a merged file beside
# it: clients are told the same with the lane as without it, field by field.
use v5.36;

use Cwd qw(getcwd);
use File::Path qw(make_path);

use HA::Client;
use HA::Debian qw(enable fresh_tree);
use HA::Response qw(gunzip);
use HA::Test;
use HA::Zero;

my $t = HA::Test->new;
# The tree names no server.
$t->expect_log(qr/AH00558: /);
# What it says of requests that it refuses, and what shows us who carries one.
$t->expect_log(qr/AH(?:01276|01630|01139|10244): /, qr/\[proxy:debug\]/);
my @app = map {$t->app($_, health => '/App/health')} qw(hostA hostB);

# --- two servers ----------------------------------------------------------------------------------

# A file of the tree with its places moved.
sub move($file, %to)
{
    my $text = slurp($file);
    for my $from (sort keys %to) {
        $text =~ s/$from/$to{$from}/g or die "$file has no $from\n";
    }
    spew($file, $text);
    return;
}

sub merge($file)
{
    my @fragments = map {$_->name . '.conf'} @app;
    for my $app (@app) {
        my @options = ('-app=App', '-context=/App', '-host=127.0.0.1', '-port=' . $app->port, '-route=' . $app->name,
            '-sticky=zsessionid', '-health=/App/health', '-force');
        zero(qw(modproxy generate), @options, '-o=' . $app->name . '.conf');
    }
    my ($code, undef, $said) = zero(qw(modproxy merge -balancer -force), "-o=$file", @fragments);
    is($code, 0, 'App.conf is merged') or diag($said);
    return;
}

# The tree, as install.md has it done: modules and App.conf enabled.
sub make_tree()
{
    my $etc = fresh_tree() or return undef;
    my $built = HA::Test::top_builddir() . '/conf/haproxy';
    spew("$etc/mods-available/haproxy.$_", slurp("$built.$_")) for qw(load conf);
    move("$etc/mods-available/haproxy.load", '/\S+/mod_haproxy\.so' => HA::Test::module_path());
    move("$etc/mods-available/haproxy.conf", 'HAStateFile \S+' => 'HAStateFile ${RUN}/members.state');
    move("$etc/ports.conf", '(?m)^Listen 80$' => 'Listen 127.0.0.1:${PORT}');
    move("$etc/sites-enabled/000-default.conf", '\*:80' => '*:${PORT}', '/var/www' => '${WWW}');
    move("$etc/apache2.conf", '/var/www' => '${WWW}');
    enable($etc, 'mods', qw(proxy proxy_http slotmem_shm proxy_balancer lbmethod_byrequests haproxy));
    merge("$etc/conf-enabled/App.conf");
    return $etc;
}

my $home = getcwd();
chdir $t->dir or die;
my $etc = make_tree();
plan(skip_all => 'the package apache2 is not here') if !$etc;
$etc = $t->dir($etc);
make_path('www/html/deep');
spew('www/html/index.html', "<html>\n" . "It works.\n" x 30 . "</html>\n");
spew('www/html/deep/a.txt', 'a' x 500);
chmod 0755, 'www', 'www/html', 'www/html/deep';
chdir $home;

# What stands in for /etc/apache2/envvars, and the one line that makes the difference.
sub server($name, $lane)
{
    my ($user, $group) = HA::Httpd->identity;
    $user //= getpwuid $>;
    $group //= getgrgid $( + 0;
    my $config = <<~"CONFIG";
        ServerRoot "$etc"
        Define PORT \@PORT\@
        Define WWW "${\$t->dir('www')}"
        Define RUN "\@ROOT\@/run"
        Define APACHE_RUN_DIR "\@ROOT\@/run"
        Define APACHE_LOCK_DIR "\@ROOT\@/run"
        Define APACHE_PID_FILE "\@ROOT\@/run/httpd.pid"
        Define APACHE_LOG_DIR "\@ROOT\@/logs"
        Define APACHE_RUN_USER $user
        Define APACHE_RUN_GROUP $group
        Include apache2.conf
        Mutex pthread default
        LogLevel warn haproxy:debug proxy:debug
        $lane
        CONFIG
    return $t->httpd(name => $name, whole => 1, preload => 1, config => $config);
}

my %server = (off => server('off', 'HALane Off'), on => server('on', ''));

# --- the same requests to both --------------------------------------------------------------------

# Head and body as a text that can be compared: fields by name, those of one name in their order.
sub shown($answer)
{
    return 'no answer: ' . $answer->error . "\n" if !$answer->status;
    my ($body, @fields) = ($answer->body, map {[@$_]} @{$answer->fields});
    # A part of what is compressed is none by itself.
    if (($answer->header('Content-Encoding') // '') =~ /gzip/ && $body ne '' && $answer->status != 206) {
        $body = gunzip($body) // 'NO GZIP';
        # How compressed bytes are framed and how many they are is each one's own.
        @fields = grep {$_->[0] !~ /^(?:Transfer-Encoding|Content-Length)$/i} @fields;
    }
    my @lines = map {"$_->[0]: $_->[1]\n"} sort {lc $a->[0] cmp lc $b->[0]} @fields;
    my $text = join '', "HTTP/1.$answer->{minor} $answer->{status} $answer->{reason}\n", @lines, "\n$body\n";
    my $interim = join '', map {"interim $_->{status}\n"} @{$answer->interim};
    return tidy($interim . $text) =~ s/([^\n -~])/sprintf '\\x%02x', ord $1/ger;
}

# What is never the same twice.
sub tidy($text)
{
    $text =~ s/^Date: \w{3}, .* GMT$/Date: now/m;
    $text =~ s/\b[0-9a-f]{32}\b/SESSION/g;
    $text =~ s/^Allow: (.*)$/'Allow: ' . join ',', sort split m{,}, $1/gem;
    if (my ($boundary) = $text =~ /; boundary=([0-9a-f]{9,})$/m) {
        $text =~ s/$boundary/BOUNDARY/g;
        $text =~ s/^Content-Length: \d+$/Content-Length: N/m;
    }
    my @ports = map {$_->port} values %server;
    $text =~ s/\b$_\b/PORT/g for @ports;
    return $text;
}

my $cookie = 'Cookie: zsessionid=s1.hostA';
my $probe = "GET /App/plain HTTP/1.1\r\nHost: app.example\r\n$cookie\r\nConnection: close\r\n\r\n";

# Whether the connection carries one more request.
sub goes_on($client, $socket)
{
    @$client{qw(socket in)} = ($socket, '');
    $client->send($probe);
    my $answer = $client->read_response;
    return $answer->status ? "goes on: $answer->{status}\n" : "ends\n";
}

# Who has answered, by what the log has said since it had so many lines: mod_proxy, httpd to whom the
# lane gave the connection, or the lane.
sub carrier($log, $from)
{
    my @lines = @{$log->lines};
    my @new = @lines[$from .. $#lines];
    return 'mod_proxy' if grep {/AH01143: Running scheme balancer/} @new;
    return grep({/given back by the lane/} @new) ? 'httpd' : 'lane';
}

# What these bytes come to at a server: a text, and who has carried them.
sub outcome($which, $bytes)
{
    my $server = $server{$which};
    my $client = HA::Client->new(port => $server->port, cookies => 0);
    my $from = @{$server->log->lines};
    $client->send($bytes) or die "$which: $client->{error}\n";
    my $socket = $client->socket;
    my ($method) = $bytes =~ /^(\S+)/;
    my $answer = $client->read_response($method);
    my $by = carrier($server->log, $from);
    return (shown($answer) . goes_on($client, $socket), $by);
}

# Options: raw => the bytes of the instance's answer, or reset => 1 for none; by => who carries it
# where the lane is on; as => a sub that makes of httpd's answer what the lane's is meant to be.
sub same($name, $bytes, %opt)
{
    my %got;
    for my $which (qw(off on)) {
        $app[0]->raw('stay', $opt{raw}, 1) if defined $opt{raw};
        $app[0]->reset('before', 1) if $opt{reset};
        $got{$which} = [outcome($which, $bytes)];
    }
    my $by = $opt{by} // 'lane';
    is($got{on}[0], $opt{as} ? $opt{as}->($got{off}[0]) : $got{off}[0], $name);
    like($got{on}[1], qr/^(?:$by)$/, "$name: by $by");
    return $got{on}[0];
}

sub request($line, @fields)
{
    return join '', map {"$_\r\n"} $line, 'Host: app.example', @fields, '';
}

# A request of a session of hostA, so that both servers ask the same instance.
sub bound($line, @fields)
{
    return request($line, $cookie, @fields);
}

sub get($path, @fields)
{
    return bound("GET $path HTTP/1.1", @fields);
}

sub raw($status, $body, @fields)
{
    return join "\r\n", "HTTP/1.1 $status Whatever", 'Content-Length: ' . length $body, @fields, '', $body;
}

my $gzip = 'Accept-Encoding: gzip, deflate, br';
my $text = join '', map {"line $_ of what is to be compressed\n"} 1 .. 20;

subtest 'the log says that the mount is in the lane, or why not' => sub {
    my %said = map {$_ => join '', grep {m{ App: /App: }} @{$server{$_}->log->lines}} qw(off on);
    like($said{on}, qr{ App: /App: in the lane$}, 'with the merged file alone');
    like($said{off}, qr{ App: /App: on the standard path, HALane \(\S+\) is Off$}, 'with HALane Off');
};

subtest 'pages of the application' => sub {
    for my $accept ('text/html', 'text/plain') {
        for my $fields ([], [$gzip], ['Accept-Encoding: identity'], ['Accept-Encoding: gzip;q=0']) {
            same("GET $accept @$fields", get('/App/', "Accept: $accept", @$fields));
            same("HEAD $accept @$fields", bound('HEAD /App/ HTTP/1.1', "Accept: $accept", @$fields));
        }
    }
    same("GET $_", get($_, $gzip)) for '/App', '/App/plain', '/App/bytes?n=0', '/App/bytes?n=50', '/App/bytes?n=5000',
        '/App/bytes?n=300000', '/App/chunked?n=5000&chunk=100', '/App/bytes?n=5000&close=1',
        '/App/chunked?n=5000&chunk=1000&trailer=1';
    same("GET $_, no gzip", get($_)) for '/App/bytes?n=5000', '/App/bytes?n=300000', '/App/chunked?n=5000&chunk=100',
        '/App/bytes?n=5000&close=1', '/App/chunked?n=5000&chunk=1000&trailer=1';
    same("$_ with a body", bound("$_ /App/upload HTTP/1.1", 'Content-Length: 5', $gzip) . 'abcde') for qw(POST PUT);
    same('a body in chunks', bound('POST /App/upload HTTP/1.1', 'Transfer-Encoding: chunked') . "5\r\nabcde\r\n0\r\n\r\n");
    same('a body that is asked for', bound('POST /App/upload HTTP/1.1', 'Expect: 100-continue', 'Content-Length: 5') . 'abcde');
    same($_, bound("$_ /App/plain HTTP/1.1", $gzip)) for qw(OPTIONS DELETE PATCH);
    same("status $_", get("/App/status?code=$_", $gzip))
        for 200, 201, 204, 206, 301, 302, 303, 304, 307, 400, 401, 403, 404, 405, 410, 500, 501, 502, 503, 504, 599;
    same("status $_ to HEAD", bound("HEAD /App/status?code=$_ HTTP/1.1", $gzip)) for 200, 204, 302, 304, 404, 500;
};

subtest 'answers with the fields that applications send' => sub {
    my @type = map {"Content-Type: $_"} 'text/html', 'text/html; charset=iso-8859-1', 'text/plain', 'text/css', 'text/xml',
        'text/javascript', 'application/javascript', 'application/json', 'application/xml', 'application/wasm', 'image/png',
        'image/svg+xml', 'application/octet-stream', 'application/rss+xml', 'TEXT/HTML', 'text/plain;charset=UTF-8', '';
    my @etag = ('ETag: "abc"', 'ETag: W/"abc"', 'ETag: abc', "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\nETag: \"x\"");
    my @other = ('Vary: Cookie', 'Vary: Accept-Encoding', 'Vary: *', 'Cache-Control: no-store', 'Cache-Control: no-transform',
        'Expires: 0', 'Pragma: no-cache', 'Content-Language: de', 'Content-Disposition: attachment; filename="a"',
        'Content-Encoding: br', 'Content-Encoding: identity', 'Server: own/1.0', 'Date: Sat, 01 Jan 2022 00:00:00 GMT',
        'Date: x', 'Via: 1.1 x', 'Keep-Alive: timeout=9', 'Connection: X-A', 'Connection: close', 'X-A: 1', 'Link: </a>; rel=x',
        'Accept-Ranges: bytes', 'Content-MD5: x', 'WWW-Authenticate: Basic realm="x"', 'Age: 5', 'X-Powered-By: PHP', 'X-Empty:',
        'Strict-Transport-Security: max-age=1', 'Content-Security-Policy: default-src \'self\'; x', 'Allow: GET, POST', 'Refresh: 1',
        "Set-Cookie: a=1; Path=/App\r\nSet-Cookie: b=2; Path=/; HttpOnly\r\nSet-Cookie: a=3; Domain=x",
        "X-B: 1\r\nx-b: 2\r\nX-B: 3", "Vary: A\r\nVary: B", "Cache-Control: a\r\nCache-Control: b", "Link: a\r\nX-C: c\r\nLink: b");
    for my $to ($gzip, 'Accept-Encoding: identity') {
        my $for = $to eq $gzip ? 'gzip' : 'plain';
        same("$for: $_", get('/App/x', $to), raw => raw(200, $text, $_ ? $_ : ())) for @type;
        same("$for: $_", get('/App/x', $to), raw => raw(200, $text, 'Content-Type: text/html', $_)) for @etag, @other;
        same("$for: HEAD $_", bound('HEAD /App/x HTTP/1.1', $to), raw => raw(200, $text, 'Content-Type: text/html', $_) =~ s/\r\n\r\n\K.*//sr)
            for @etag;
        same("$for: $_ to who asks again", get('/App/x', $to, 'If-None-Match: "abc"', 'If-Modified-Since: Sun, 02 Jan 2022 00:00:00 GMT'),
            raw => raw(200, $text, 'Content-Type: text/html', $_)) for @etag;
        same("$for: $_ to who asks for the compressed one", get('/App/x', $to, 'If-None-Match: "abc-gzip"'),
            raw => raw(200, $text, 'Content-Type: text/html', $_)) for @etag;
        same("$for: 304 $_", get('/App/x', $to, 'If-None-Match: "abc-gzip"'),
            raw => "HTTP/1.1 304 Not Modified\r\n$_\r\nContent-Type: text/html\r\nVary: Cookie\r\n\r\n") for @etag;
    }
};

# mod_http cuts parts out of answers: such requests are httpd's.
subtest 'parts' => sub {
    my @part = (by => 'mod_proxy');
    for my $to ($gzip, 'Accept-Encoding: identity') {
        my $for = $to eq $gzip ? 'gzip' : 'plain';
        same("$for: a part", get('/App/x', $to, 'Range: bytes=0-9'), @part,
            raw => raw(206, '0123456789', 'Content-Type: text/html', 'Content-Range: bytes 0-9/900', 'ETag: "x"'));
        same("$for: parts", get('/App/x', $to, 'Range: bytes=0-1,5-6'), @part,
            raw => raw(206, "--x\r\n\r\nab\r\n--x--\r\n", 'Content-Type: multipart/byteranges; boundary=x'));
        same("$for: no part", get('/App/x', $to, 'Range: bytes=999-'), @part,
            raw => raw(416, '', 'Content-Range: bytes */900', 'Content-Type: text/html'));
        same("$for: the whole to who asks for a part", get('/App/x', $to, "Range: $_"), @part,
            raw => raw(200, $text, 'Content-Type: text/html', 'ETag: "x"')) for 'bytes=0-9', 'bytes=5-', 'bytes=-5', 'bytes=0-1,3-4', 'lines=1-2';
        same("$for: the whole with Accept-Ranges", get('/App/x', $to, 'Range: bytes=0-9', 'If-Range: "x"'), @part,
            raw => raw(200, $text, 'Content-Type: image/png', 'ETag: "x"', 'Accept-Ranges: bytes'));
    }
};

subtest 'redirects and cookies' => sub {
    my $base = $app[0]->url;
    for my $status (201, 301, 302, 303, 307, 308) {
        same("$status to $_", get('/App/x'), raw => raw($status, '', "Location: $_"))
            for "$base/App/y", "$base/other", '/App/y', 'y', 'http://elsewhere.example/App';
    }
    same('with a page', get('/App/x', $gzip), raw => raw(302, $text, 'Location: /App/y', 'Content-Type: text/html'));
    for my $accept ('text/html', 'text/plain') {
        my $new = request('GET /App/ HTTP/1.1', "Accept: $accept", $gzip);
        my %got = map {$_ => (outcome($_, $new))[0] =~ s/\bhost[AB]\b/INSTANCE/gr} qw(off on);
        is($got{on}, $got{off}, "a new session, $accept");
        like($got{on}, qr/^Set-Cookie: zsessionid=/m, 'has a cookie');
    }
};

# RFC 9112 6.1: there is no Transfer-Encoding for such clients.
subtest 'HTTP/1.0' => sub {
    my $no_coding = sub ($answer) { $answer =~ s/^Transfer-Encoding: chunked\n//mr };
    for my $fields ([], ['Connection: keep-alive'], ['Connection: close'], [$gzip], [$gzip, 'Connection: keep-alive']) {
        for my $path ('/App/plain', '/App/bytes?n=5000', '/App/bytes?n=300000', '/App/chunked?n=5000&chunk=100', '/App/bytes?n=500&close=1',
            '/App/status?code=404', '/App/status?code=500', '/App/status?code=204', '/App/status?code=304')
        {
            same("GET $path @$fields", bound("GET $path HTTP/1.0", @$fields));
            same("HEAD $path @$fields", bound("HEAD $path HTTP/1.0", @$fields), as => $no_coding);
        }
        same("POST @$fields", bound('POST /App/upload HTTP/1.0', 'Content-Length: 5', @$fields) . 'abcde');
        same("html @$fields", bound('GET /App/x HTTP/1.0', @$fields), raw => raw(200, $text, 'Content-Type: text/html', 'ETag: "x"'));
        same("$_, no Host", "GET $_ HTTP/1.0\r\n$cookie\r\n\r\n", by => 'mod_proxy') for '/App/plain', '/App/bytes?n=500';
    }
};

# --- who is httpd's -------------------------------------------------------------------------------

my @named = ('Mozilla/2.0 (x)', 'Mozilla/4.0 (compatible; MSIE 4.0b2; Windows 95)', 'RealPlayer 4.0', 'Java/1.0', 'JDK/1.0', 'MS FrontPage 4.0',
    'Microsoft Data Access Internet Publishing Provider DAV', 'WebDrive/1', 'WebDAVFS/1.2 (x)', 'gnome-vfs/1.0', 'gvfs/1.50', 'XML Spy', 'a Konqueror/4',
    'Dreamweaver-WebDAV-SCM1.02');
my @others = ('Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', 'curl/8.0', 'Mozilla/4.0 (compatible; MSIE 6.0)', '', 'Java/17',
    'xgvfs/1', 'davfs2/1.5');

subtest 'clients that BrowserMatch names are httpd\'s, others are not' => sub {
    for my $agent (@named, @others) {
        my $by = (grep {$_ eq $agent} @named) ? 'mod_proxy' : 'lane';
        for my $version ('1.1', '1.0') {
            my @fields = ("User-Agent: $agent", $gzip);
            same("$version $agent", bound("GET /App/x HTTP/$version", @fields), by => $by,
                raw => raw(200, $text, 'Content-Type: text/html', 'ETag: "x"'));
            same("$version $agent, kept", bound("GET /App/bytes?n=500 HTTP/$version", @fields, 'Connection: keep-alive'), by => $by);
        }
        same("PROPFIND $agent", bound('PROPFIND /App/x HTTP/1.1', "User-Agent: $agent"), by => 'mod_proxy');
    }
};

subtest 'what httpd itself answers' => sub {
    my @httpd = (by => 'httpd');
    for my $fields ([], [$gzip], ['Range: bytes=0-9'], ['If-None-Match: *'], ['Accept-Language: de'], ['Connection: close']) {
        same("$_ @$fields", get($_, @$fields), @httpd)
            for '/', '/index.html', '/deep', '/deep/', '/deep/a.txt', '/none', '/icons/', '/icons/README', '/cgi-bin/none', '/.htaccess';
    }
    same("a bad request: $_", request($_), @httpd) for 'GET /App/%zz HTTP/1.1', 'G@T /App/ HTTP/1.1', 'GET /App/ HTTP/x', 'GET App HTTP/1.1', 'GET /App/%00 HTTP/1.1';
    same('no Host', "GET /App/ HTTP/1.1\r\n\r\n", @httpd);
    same("TRACE $_", bound("TRACE $_ HTTP/1.1"), @httpd) for '/', '/App/', '/App/plain';
    same('OPTIONS *', bound('OPTIONS * HTTP/1.1'), @httpd);
    same('POST to a file', bound('POST /index.html HTTP/1.1', 'Content-Length: 3') . 'abc', @httpd);
    same('PUT to a file', bound('PUT /index.html HTTP/1.1', 'Content-Length: 3') . 'abc', @httpd);
    same("a header of $_", get('/App/echo', 'X: ' . 'y' x $_), $_ < 8000 ? () : @httpd) for 1000, 7000, 8200, 20_000;
    same("a path of $_", get('/App/' . 'y' x $_), $_ < 8000 ? () : @httpd) for 1000, 7000, 8200;
    same("$_ headers", get('/App/echo', map {"X$_: 1"} 1 .. $_), $_ < 98 ? () : @httpd) for 50, 90, 110;
    for my $which (qw(off on)) {
        my ($page) = outcome($which, get('/server-status', 'Accept: text/html'));
        like($page, qr{^HTTP/1.1 200 OK\n.*<title>Apache Status</title>.*goes on: 200$}s, "$which: server-status");
        my ($head) = outcome($which, get('/ha-health/App'));
        like($head, qr{^HTTP/1.1 200 OK\n}, "$which: ha-health");
    }
};

subtest 'paths whose extension mod_mime knows' => sub {
    for my $path ('/App/a.html', '/App/a.txt', '/App/a.png', '/App/a.de', '/App/a.html.de', '/App/a.utf8', '/App/a.gz', '/App/a.tgz', '/App/a.var',
        '/App/a.shtml', '/App/a.css', '/App/a.js', '/App/a.json', '/App/a.Z', '/App/a.es')
    {
        my $by = $path =~ /\.(?:de|es)$/ ? 'mod_proxy' : 'lane';
        for my $to ($gzip, 'Accept-Encoding: identity') {
            same("$path $to $_", get($path, $to), by => $by, raw => raw(200, $text, "Content-Type: $_")) for 'text/html', 'image/png';
        }
    }
};

subtest 'the access logs say the same' => sub {
    my $lines = sub ($which) {
        my $text = slurp($server{$which}->root . '/logs/access.log') // '';
        # Times, and bytes that were sent, which depend on how a body is framed.
        my %times;
        $times{s/\[[^\]]+\]/[now]/r =~ s/(" \d{3}) \d+ /$1 N /r}++ for split /\n/, $text;
        return join '', map {"$times{$_} times $_\n"} sort keys %times;
    };
    my $equal = sub { $lines->('on') eq $lines->('off') };
    eval { $t->wait_for($equal, 5, 'the same lines') };
    is($lines->('on'), $lines->('off'), 'line by line');
    cmp_ok($lines->('on') =~ tr/\n//, '>', 100, 'of all kinds of requests');
};

subtest 'pages that say what went wrong' => sub {
    $t->expect_log(qr/AH(?:01102|00898): /, qr/App: member hostA failed on /, qr/App: no member for /);
    my @none = (reset => 1, by => 'httpd');
    same('no answer', bound('POST /App/upload HTTP/1.1'), @none);
    same('no answer, HTTP/1.0', bound('POST /App/upload HTTP/1.0'), @none);
    # The lane has passed the body on: httpd cannot read it again, nor what follows it.
    my $ends = sub ($answer) { $answer =~ s/^(?=Content-Length)/Connection: close\n/mr =~ s/^goes on: 200$/ends/mr };
    same('no answer to a body', bound('POST /App/upload HTTP/1.1', 'Content-Length: 5') . 'abcde', @none, as => $ends);
    $t->mark;
    $_->stop for @app;
    for my $log (map {$_->log} values %server) {
        $t->wait_for(sub { $log->take(qr/member $_: \S+ -> down/) }) for qw(hostA hostB);
    }
    same("no instance, $_", bound("$_ /App/plain HTTP/1.1", $gzip, 'Accept-Language: de'), by => 'httpd') for qw(GET HEAD);
    same('no instance, HTTP/1.0', bound('GET /App/plain HTTP/1.0'), by => 'httpd');
};

# --- the verdict beforehand -----------------------------------------------------------------------

# What they say of App, without the words in which they differ and the folders of files.
sub verdict($text)
{
    my ($said) = $text =~ m{ /App: (.*)$}m;
    return ($said // 'nothing') =~ s/^(?:on|in) the //r =~ s{\(\S+/}{(}r;
}

subtest 'check and configtest judge as the log does' => sub {
    my @check = (qw(modproxy check), '-module=' . HA::Test::module_path());
    local %ENV = (%ENV, %{HA::Httpd::runtime_env()}, ASAN_OPTIONS => 'detect_leaks=0');
    for my $which (qw(off on)) {
        my ($code, $said, $error) = zero(@check, $server{$which}->conf);
        is($code, 0, "$which: check finds no fault") or diag($said, $error);
        is(verdict($said), verdict($server{$which}->log->text), "$which: and the same verdict");
        my ($good, $output) = $server{$which}->check;
        ok($good, "$which: configtest neither") or diag($output);
    }
};

$t->done;
