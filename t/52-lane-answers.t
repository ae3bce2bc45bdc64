# SPDX-License-Identifier: Apache-2.0
# The same answers of an instance come to the same with the lane as without it, and what is no good
# answer is refused: with 502, or so that the client can see that it is cut.
use v5.36;

use HA::Pair;
use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $url = $app->url;
my $pair = HA::Pair->new(
    $t,
    app => $app,
    modules => [qw(proxy proxy_http env)],
    haproxy => 1,
    # mod_proxy takes a connection that an answer has ended for one that waits, and fails on it.
    off => 'SetEnv proxy-initial-not-pooled 1',
    config => <<~"CONFIG",
        ServerName app.example
        ProxyTimeout 2
        <Proxy "balancer://App">
        BalancerMember "$url" route=hostA
        </Proxy>
        HABalancer App
        \@LANE\@
        ProxyPass "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        ProxyPass "/Front" "balancer://App/App"
        ProxyPassReverse "/Front" "balancer://App/App"
        ProxyPassReverse "/Front/other" "http://other.example/App"
        ProxyPassReverse "/Front/rooted" "/rooted"
        ProxyPassReverseCookiePath "/App" "/Front"
        ProxyPassReverseCookieDomain "internal.example" "app.example"
        CONFIG
);
# What both say of bad answers.
$t->expect_log(qr/AH\d+/, qr/App: member hostA failed on|App: member hostA: .*suspect/);

my $host = 'Host: app.example';
my $ok = "HTTP/1.1 200 OK\r\n";
my $five = "Content-Length: 5\r\n\r\nabcde";

sub request($line, @fields)
{
    return join '', map {"$_\r\n"} $line, $host, @fields, '';
}

my %requests = (
    get => request('GET /App/page HTTP/1.1'),
    front => request('GET /Front/page HTTP/1.1'),
    head => request('HEAD /App/page HTTP/1.1'),
    post => request('POST /App/page HTTP/1.1', 'Content-Length: 5') . 'abcde',
    polite => request('POST /App/page HTTP/1.1', 'Expect: 100-continue', 'Content-Length: 5') . 'abcde',
    old => request('GET /App/page HTTP/1.0'),
    kept => request('GET /App/page HTTP/1.0', 'Connection: keep-alive'),
);

# What is not the same, and need not be.
sub tidy($text)
{
    # The page is httpd's with the lane, and mod_proxy's without; who sent a body may have to begin anew.
    $text =~ s{^(HTTP/1.1 50[02]) .*?\n--\n}{$1\n}gms;
    # Each of several names in one Vary, or one name in each of several.
    $text =~ s{^vary: (.*)\nvary: (.*)}{vary: $1,$2}gm;
    # What a folded line is joined with.
    $text =~ s{^((?:x|content-type|content-language|location|set-cookie): \S+)[ \t]+}{$1 }gm;
    # Deprecated by RFC 9111 5.5; mod_proxy drops it when it cannot make sense of it.
    $text =~ s{^warning: .*\n}{}gm;
    # An HTTP/1.0 client cannot know that an answer is cut unless its connection is broken off.
    $text =~ s{^!read: Connection reset by peer\n}{}gm;
    $text =~ s{^\(cut\) .*}{(cut)\n}gms;
    return $text;
}

sub outcome($side, $then, $bytes, $request)
{
    $app->raw($then, $bytes, 1);
    my $text = $pair->outcome($side => $requests{$request}, how => $then eq 'stay' ? 'pipe' : 'end');
    $app->raw;
    return $text;
}

sub shown($then, $bytes, $request)
{
    my $name = $bytes =~ s/\r\n/, /gr =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
    $name = substr($name, 0, 70) . '... ' . length $name if length $name > 90;
    return "$request, $then: $name";
}

sub same($then, $bytes, $request = 'get')
{
    my %got = map {$_ => tidy(outcome($_, $then, $bytes, $request))} qw(off on);
    is($got{on}, $got{off}, shown($then, $bytes, $request));
    return;
}

# Whatever httpd does with it, which is often to pass it on.
sub bad($then, $bytes, $request = 'get')
{
    my $got = outcome('on', $then, $bytes, $request);
    my $refused = $got =~ m{^(?:interim .*\n)*HTTP/1.1 502 };
    my $cut = $got =~ /^\(cut\)/ || $got =~ /^!read: Connection reset/m;
    ok($refused || $cut, 'bad: ' . shown($then, $bytes, $request)) or diag $got;
    return;
}

subtest 'status lines' => sub {
    my @good = ('HTTP/1.1 200 OK', 'HTTP/1.1 200', 'HTTP/1.1 200 ', "HTTP/1.1 200 \xe4", 'HTTP/1.1 200  OK', 'HTTP/1.0 200 OK',
        'HTTP/1.2 200 OK', 'HTTP/1.9 200 OK', 'HTTP/1.1 200 A reason with ( ) and ; in it', 'HTTP/1.1 200 ' . 'x' x 8000);
    my @statuses = (201 .. 203, 206, 207, 226, 299 .. 303, 305, 307, 308, 400 .. 418, 421 .. 426, 428, 429, 431, 451, 499,
        500 .. 508, 510, 511, 520, 599, 600, 700, 999);
    for my $line (@good, map {"HTTP/1.1 $_ Status"} @statuses) {
        same('stay', "$line\r\n$five");
    }
    same('close', "$_\r\n$five") for @good;
    for my $line (
        'HTTP/1.1  200 OK', "HTTP/1.1\t200 OK", "HTTP/1.1 200\tOK", 'HTTP/1.10 200 OK', 'HTTP/2.0 200 OK', 'HTTP/0.9 200 OK',
        'HTTP/1 200 OK', 'http/1.1 200 OK', 'ICY 200 OK', 'HTTP 200 OK', '200 OK', 'HTTP/1.1 OK', 'HTTP/1.1 20 OK',
        'HTTP/1.1 2000 OK', 'HTTP/1.1 099 OK', 'HTTP/1.1 000 OK', 'HTTP/1.1 -20 OK', 'HTTP/1.1 2x0 OK', 'HTTP/1.1 200OK',
        'HTTP/1.1200 OK', 'garbage', "\x00\x01\x02", '<html>', "HTTP/1.1 200 O\x01K", "HTTP/1.1 200 O\x00K",
        "HTTP/1.1 200 O\rK", ' HTTP/1.1 200 OK', "\r\nHTTP/1.1 200 OK", 'HTTP/1.1 ' . '2' x 9000, 'x' x 70_000
    ) {
        bad('close', "$line\r\n$five");
        bad('stay', "$line\r\n$five");
    }
};

subtest 'answers without a body' => sub {
    my @fields = ('', "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "ETag: \"x\"\r\n",
        "Connection: close\r\n", "Content-Type: text/plain\r\n");
    for my $fields (@fields) {
        for my $status (204, 304) {
            same($_, "HTTP/1.1 $status X\r\n$fields\r\n") for qw(stay close);
        }
        for my $status (200, 204, 205, 302, 304, 404, 500) {
            same('stay', "HTTP/1.1 $status X\r\n$fields\r\n", 'head');
            same('close', "HTTP/1.1 $status X\r\n$fields\r\n", 'head');
        }
    }
    same('close', "HTTP/1.1 205 X\r\n$_\r\n") for grep {!/: 5|chunked/} @fields;
    same('close', "$ok$five", 'head');
    same('close', "HTTP/1.1 $_ X\r\n$five") for 204, 304;
};

subtest 'bodies' => sub {
    my $chunked = "Transfer-Encoding: chunked\r\n\r\n";
    my $long = HA::Client::content(3000);
    for my $rest (
        $five, "Content-Length: 0\r\n\r\n", "\r\nabcde", "\r\n", "Content-Length: 5\r\n\r\nabc", "Content-Length: 5\r\n\r\nabcdefg",
        "Content-Length: 5\r\n\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", "Content-Length: 05\r\n\r\nabcde",
        "Content-Length: 5 \r\n\r\nabcde", "X: y\r\n\r\n$long", "X: the end of it\n\n$long",
        "Transfer-Encoding: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", "${chunked}5\r\nabcde\r\n0\r\n\r\n",
        "${chunked}5;x=y\r\nabcde\r\n0\r\n\r\n", "${chunked}5 \r\nabcde\r\n0\r\n\r\n", "${chunked}5  ;x\r\nabcde\r\n0\r\n\r\n",
        "${chunked}005\r\nabcde\r\n0\r\n\r\n", "${chunked}5\r\nabcde\r\n0\r\nX: 1\r\n\r\n", "${chunked}5\r\nabcde\r\n0\r\n",
        "${chunked}5\r\nabcde\r\n", "${chunked}5\r\nabc", "${chunked}5\r\nabcde\r\n0\r\n\r\nbehind",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ) {
        same('close', "$ok$rest", $_) for qw(get old kept);
        same('close', "HTTP/1.0 200 OK\r\n$rest");
    }
    same('close', "$ok${chunked}0\r\n\r\n", $_) for qw(get old);
    for my $rest (
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "Content-Length: 5, 5\r\n\r\nabcde", "Content-Length: +5\r\n\r\nabcde",
        "Content-Length: -5\r\n\r\nabcde", "Content-Length: x\r\n\r\nabcde", "Content-Length:\r\n\r\nabcde",
        "Content-Length: 5x\r\n\r\nabcde", "Content-Length: 5 5\r\n\r\nabcde", "Content-Length: 99999999999999999999\r\n\r\nabcde",
        "Content-Length: 9223372036854775807\r\n\r\nabcde", "Transfer-Encoding: gzip\r\n\r\nabcde",
        "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", "Transfer-Encoding: identity\r\n\r\nabcde",
        "Transfer-Encoding: identity\r\n$five", "Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n${chunked}5\r\nabcde\r\n0\r\n\r\n", "Transfer-Encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding:\r\n\r\nabcde", "${chunked}5\r\nabcdeX\r\n0\r\n\r\n", "${chunked}x\r\nabcde\r\n0\r\n\r\n",
        "${chunked}5\nabcde\n0\n\n", "${chunked}-1\r\n", "${chunked}fffffffffffffffff\r\nabcde", "$chunked", "${chunked}5",
        "${chunked}5\r", "${chunked}5;\x01\r\nabcde\r\n0\r\n\r\n", "${chunked}5\r\nabcde\r\n0\r\nX\r\n\r\n",
    ) {
        bad('close', "$ok$rest", $_) for qw(get old kept);
        bad('close', "HTTP/1.0 200 OK\r\n$rest");
    }
};

subtest 'fields' => sub {
    my $many = join "\r\n", map {"X$_: $_"} 1 .. 150;
    my $large = join "\r\n", map {"X$_: " . 'y' x 1000} 1 .. 40;
    for my $field (
        'X: 1', 'X:1', 'X:', "X: \t1 \t", "X: 1\r\n 2", "X: 1\r\n\t2", "X: 1\r\n \r\n 2", "X: \xe4", "X: 1\nY: 2", "X: 1\r\nX: 2",
        'X_Under: 1', 'X: ' . 'y' x 8000, $many, $large, "Set-Cookie: a=b\r\nSet-Cookie: c=d", 'Set-Cookie: s=x.hostA; Path=/App',
        'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest",
        'Proxy-Authenticate: Basic realm="x"', 'Proxy-Connection: close', 'Date: Thu, 01 Jan 2015 00:00:00 GMT', 'Date:',
        "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\nDate: Thu, 01 Jan 2015 00:00:01 GMT", 'Server: x', "Server: x\r\nServer: y",
        'Via: 1.1 x', 'Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT', 'Expires: 0', 'Expires: Thu, 01 Jan 2015 00:00:00 GMT',
        'Cache-Control: private', 'Pragma: no-cache', 'Age: 5', 'ETag: "x"', 'ETag: x', 'Vary: x', "Vary: x\r\nVary: y",
        'Accept-Ranges: bytes', 'Content-Type: text/html', 'Content-Type:', 'Content-Type: x',
        "Content-Type: text/html\r\nContent-Type: text/plain", 'Content-Language: de', 'Content-Encoding: gzip',
        'Content-Range: bytes 0-4/5', 'Content-MD5: x', 'Content-Disposition: x', 'Allow: GET', 'Retry-After: 5', 'Warning: 1',
        'Link: <x>', 'Upgrade: h2', "Upgrade: websocket\r\nConnection: Upgrade", 'Trailer: X', 'TE: x', 'Keep-Alive: timeout=5',
        "Keep-Alive: timeout=5\r\nConnection: Keep-Alive", 'Connection: close', 'Connection: keep-alive', 'Connection: X-A',
        "Connection: X-A, close\r\nX-A: 1\r\nX-B: 2", "Connection: X-A\r\nX-A: 1", "Connection: Set-Cookie\r\nSet-Cookie: a=b",
        "Connection: Location\r\nLocation: /x", "Connection: Content-Type\r\nContent-Type: x", 'Connection: Date',
        "Connection: a,b,c,d,e,f,g,h,i,j\r\nj: 1", 'Connection: (', 'Connection:', 'Status: 404', 'X-Instance: x', 'Location: ',
        'Refresh: 0', 'Strict-Transport-Security: x', "Content-Type: text/html;\r\n charset=utf-8", "Content-Type:\r\n text/html",
        "Content-Language:\r\n\tde", "Location: /x\r\n y", "Set-Cookie: a=b;\r\n Path=/App",
    ) {
        same('stay', "$ok$field\r\n$five");
        same('close', "$ok$field\r\n$five", $_) for qw(get old);
    }
    same('stay', "HTTP/1.0 200 OK\r\n$_$five") for '', "Connection: keep-alive\r\n", "Connection: close\r\n";
    same('close', $_) for "HTTP/1.1 200 OK\nContent-Length: 5\n\nabcde", "HTTP/1.1 200 OK\r\nContent-Length: 5\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nabcde";
    # RFC 9112 5.1: the proxy removes the blank. httpd refuses it.
    like(outcome('on', 'stay', "${ok}X : 1\r\n$five", 'get'), qr/^x: 1$/m, 'a blank before the colon is removed');
    # The lane counts the whole head, 60 KB at most; mod_proxy the line, 8 KB, however many there are.
    like(outcome('on', 'stay', "${ok}X: " . 'y' x 50_000 . "\r\n$five", 'get'), qr/^x: y{50000}$/m, 'a field of 50 KB is passed on');
    for my $field (
        'X', 'X 1', ': 1', ' X: 1', "X: \x01", "X: \x00", "X\x01: 1", 'X(: 1', "X: 1\rY: 2", "Content-Length:\r\n 5", "Transfer-Encoding:\r\n chunked", "Connection:\r\n close",
        'Connection: Content-Length', (join ',', 'Connection: a', 1 .. 40), 'X: ' . 'y' x 70_000,
        (join "\r\n", map {"X$_: $_"} 1 .. 300)
    ) {
        bad('stay', "$ok$field\r\n$five");
        bad('close', "$ok$field\r\n$five", 'old');
    }
};

subtest 'answers that end before their time' => sub {
    my @pieces = ('', 'H', 'HTTP/1.1', 'HTTP/1.1 200', "HTTP/1.1 200 OK\r", $ok, "${ok}Content-Le", "${ok}Content-Length: 5",
        "${ok}Content-Length: 5\r\n", "${ok}Content-Length: 5\r\n\r", "${ok}Content-Length: 5\r\n\r\n", "${ok}Content-Length: 5\r\n\r\nabc",
        "${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nabc", "${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
    for my $piece (@pieces) {
        for my $request (qw(get post old)) {
            bad($_, $piece, $request) for qw(close reset);
        }
    }
    bad('reset', "$ok\r\nabc", $_) for qw(get old);
};

subtest 'interim answers' => sub {
    my $final = "$ok$five";
    for my $interim (
        "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nConnection: X\r\nX: 1\r\nY: 2\r\n\r\n", "HTTP/1.1 199 X\r\nY: z\r\n\r\n",
        "HTTP/1.1 102 a\r\n\r\nHTTP/1.1 103 b\r\n\r\n", "HTTP/1.0 103 X\r\n\r\n", "HTTP/1.1 102 P\r\n\r\n" x 8,
    ) {
        same('stay', $interim . $final, $_) for qw(get post polite old);
        same('close', $interim);
    }
    for my $interim (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 103 X\r\nbad\r\n\r\n", "HTTP/1.1 102 P\r\n\r\n" x 50,
    ) {
        bad('stay', $interim . $final, $_) for qw(get post polite old);
    }
};

subtest 'ProxyPassReverse' => sub {
    for my $request ('get', 'front') {
        my @values = ("$url/App/x", "$url/App", "$url/App/", "$url/Apple", "$url/app/x", "$url/", $url, "$url/other",
            uc($url) . '/App/x', 'http://other.example/App/x', 'http://OTHER.example/app/x', 'http://other.example', '/App/x', '/x', 'x',
            '', '//x/y', "$url/App/x?q=$url/App", 'https' . substr($url, 4) . '/App/x', 'http://app.example/App/x', 'http:',
            'http://any.example/rooted/x', '/rooted/x', 'any/rooted', "$url/App\\x", "$url/App/x y", "$url/App/\xe4");
        same('stay', "HTTP/1.1 302 Found\r\nLocation: $_\r\n$five", $request) for @values;
        same('stay', "HTTP/1.1 201 Created\r\n$_: $url/App/x\r\n$five", $request)
            for qw(location Content-Location URI Destination Link Refresh);
        for my $cookie (
            'a=b; Path=/App', 'a=b; path=/App/', 'a=b;path=/App/x', 'a=b; Path=/', 'a=b; Path=/Apple', 'a=b; Path="/App"',
            'a=b; Path =/App', 'a=b; PATH=/App; HttpOnly; Secure', 'a=b; Domain=internal.example', 'a=b; domain=.internal.example',
            'a=b; Domain=INTERNAL.EXAMPLE; Path=/App', 'a=b; Domain=other.example', 'a=/App', 'path=/App', 'a=path=/App',
            'a=b; Path=', 'a', '', ';', 'a=b;', 'a="x;path=/App"'
        ) {
            same('stay', "${ok}Set-Cookie: $cookie\r\n$five", $request);
        }
    }
    for my $name ('app.example:1234', 'APP.example', 'other.example', '[::1]', '[::1]:80', 'app.example:80') {
        local $requests{named} = "GET /App/x HTTP/1.1\r\nHost: $name\r\n\r\n";
        same('stay', "HTTP/1.1 302 Found\r\nLocation: $url/App/x\r\n$five", 'named');
    }
};

$t->done;
