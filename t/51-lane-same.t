# SPDX-License-Identifier: Apache-2.0
# The same requests come to the same with the lane as without it: what clients are told, what reaches
# the instance, and whether the connection goes on. Never is the lane the more forgiving one.
use v5.36;

use HA::Pair;
use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');

# A virtual host of that name, with the mount and more.
sub vhost($name, $more, $port = '')
{
    return <<~"CONFIG";
        <VirtualHost *:\@PORT$port\@>
        ServerName $name
        $more
        ProxyPass "/App" "balancer://App/App"
        ProxyPassReverse "/App" "balancer://App/App"
        </VirtualHost>
        CONFIG
}

my $pair = HA::Pair->new(
    $t,
    app => $app,
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    ports => 4,
    log_level => 'info haproxy:debug',
    config => join '', <<~"CONFIG", vhost('app.example', ''),
        ServerName app.example
        UseCanonicalName Off
        <Proxy "balancer://App">
        BalancerMember "${\$app->url}" route=hostA
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer App
        \@LANE\@
        CONFIG
    vhost('preserve.example', "ProxyPreserveHost On\nProxyVia On"),
    vhost('full.example', 'ProxyVia Full'),
    vhost('block.example', 'ProxyVia Block'),
    vhost('bare.example', 'ProxyAddHeaders Off'),
    vhost('close.example', 'KeepAlive Off'),
    vhost('two.example', 'MaxKeepAliveRequests 2'),
    vhost('ever.example', "MaxKeepAliveRequests 0\nKeepAliveTimeout 7"),
    vhost('limits.example', "LimitRequestLine 100\nLimitRequestFields 5\nLimitRequestFieldSize 100", 2),
    # Of several at one address the first one counts.
    vhost('narrow.example', "LimitRequestLine 100\nLimitRequestFields 5\nLimitRequestFieldSize 100", 3),
    vhost('behind.example', '', 3),
    vhost('wide.example', "LimitRequestLine 12000\nLimitRequestFields 150\nLimitRequestFieldSize 14000", 4),
    vhost('within.example', "LimitRequestLine 100\nLimitRequestFields 5\nLimitRequestFieldSize 100", 4),
);
# What httpd says of bad requests.
$t->expect_log(qr/AH\d+/);

my $host = 'Host: app.example';

sub request($line, @fields)
{
    return join '', map {"$_\r\n"} $line, @fields, '';
}

sub get(@fields)
{
    return request('GET /App/echo HTTP/1.1', $host, @fields);
}

sub post(@fields)
{
    return request('POST /App/upload HTTP/1.1', $host, @fields);
}

sub shown($text)
{
    my $name = $text =~ s/\r\n/, /gr =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
    return length $name > 80 ? substr($name, 0, 60) . '... ' . length $text : $name;
}

# Both make it up anew each time.
sub tidy($text)
{
    $text =~ s/\b[0-9a-f]{32}\b/SESSION/g;
    $text =~ s/^allow: (.*)$/'allow: ' . join ',', sort split m{,}, $1/gem;
    return $text;
}

my %count = (carried => 0, given => 0);

sub same($name, $bytes, %opt)
{
    my $before = $pair->given;
    my %got = map {$_ => tidy($pair->outcome($_ => $bytes, %opt))} qw(off on);
    $count{$pair->given > $before ? 'given' : 'carried'}++;
    return is($got{on}, $got{off}, $name);
}

subtest 'request lines' => sub {
    my $long = sub ($n) { 'GET /App/' . 'x' x $n . ' HTTP/1.1' };
    my @whole = map {"$_ HTTP/1.1"} (
        'GET App/echo', 'GET *', 'OPTIONS *', 'OPTIONS /App/echo', 'GET http://app.example/App/echo', 'GET http:///App/echo',
        'GET http://other.example/App/echo', 'GET http:/App/echo', 'GET https://app.example/App/echo', 'CONNECT app.example:80',
        'GET http://u:p@app.example/App/echo', 'GET app.example:80', 'CONNECT /App/echo', 'TRACE /App/echo', 'DELETE /App/echo',
        'PATCH /App/echo', 'PUT /App/echo', 'BREW /App/echo', 'PROPFIND /App/echo', 'G{ET /App/echo', "G\x01T /App/echo",
        "GE\xe4T /App/echo", 'POST /App/upload', 'HEAD /App/echo', "GET /App/echo\x00", "GET /App/ec\x01ho", "GET /App/ec\x7fho",
        "GET /App/ec\xe4ho", "GET /App/echo\r", 'GET /App/%65cho', 'GET /App/echo%00', 'GET /App%2fecho', 'GET /App/%zz', 'GET /App/%',
        'GET /App/ec%C3%A4ho', 'GET /App/../App/echo', 'GET /App/../../etc/passwd', 'GET /App/..', 'GET /App/.', 'GET /App/./echo',
        'GET /App//echo', 'GET //App/echo', 'GET /App/..;/echo', 'GET /App/%2e%2e/echo', 'GET /App;x=1/echo', 'GET /App/echo?',
        'GET /App/echo;zsessionid=a.hostA', 'GET /App/echo;a=b;c?d=e;f', 'GET /App/echo?a=b&c=%20', 'GET /App/echo?a=%zz',
        'GET /App/echo?a=b#frag', 'GET /App/echo#frag', "GET /App/echo?a=\xe4", 'GET /App/echo?a="b"<c>', 'GET /App/echo?a={b}|^`\\',
        'GET /App/echo?http://x/../..', 'GET /App/ec\\ho', 'GET /App/{echo}', 'GET /App/echo"', 'GET /App/e(c)h!o*\'$&+,=:@~_-.',
        'GET /App', 'GET /App/', 'GET /Apple', 'GET /app/echo', 'GET /', 'GET /App?', 'GET /App?x', 'GET /nothing',
    );
    for my $line (
        @whole, 'GET /App/echo HTTP/1.0', 'GET /App/echo', 'GET', 'GET ', '', 'get /App/echo HTTP/1.1', 'GET  /App/echo HTTP/1.1',
        'GET /App/echo  HTTP/1.1', ' GET /App/echo HTTP/1.1', "GET\t/App/echo HTTP/1.1", "GET /App/echo\tHTTP/1.1",
        'GET /App/echo HTTP/1.1 ', 'GET /App/echo HTTP/1.1 x', 'GET /App/echo http/1.1', 'GET /App/echo HTTP/1.2',
        'GET /App/echo HTTP/1.10', 'GET /App/echo HTTP/01.1', 'GET /App/echo HTTP/2.0', 'GET /App/echo HTTP/0.9', 'GET /App/echo HTTP/1',
        'GET /App/echo HTTP/1.', 'GET /App/echo HTTP/.1', 'GET /App/echo HTTP/1.1.1', 'GET /App/echo HTTPS/1.1', 'GET /App/echo HTTP/1,1',
        'GET /App/echo HTTP 1.1', 'GET /App/echo ICY', 'GET HTTP/1.1', 'GET  HTTP/1.1', 'PRI * HTTP/2.0', 'HEAD /App/echo HTTP/1.0',
        'HEAD /App/echo', "GET /App/echo HTTP/1.1\r", map {$long->($_)} 8000, 8170 .. 8173, 9000, 20_000, 100_000
    ) {
        same(shown($line), request($line, $host));
    }
};

subtest 'Host' => sub {
    my @values = ('', ' ', "\tapp.example\t", map {" $_"} 'app.example:80', 'app.example:', 'app.example:x', 'app.example:99999',
        'app.example:-1', 'app.example:0', 'app.example:080', 'app.example.', 'app.example..', '.', '..', 'a..b', '.a', 'APP.EXAMPLE',
        'other.example', 'a_b.example', 'a b', 'a,b', 'a/b', 'a@b', 'http://a', 'a%41', 'a\\b', "a\x01", "a\xe4", '"a"', '<a>', 'a?b',
        'a#b', 'a;b', '-a', 'a-', '127.0.0.1', '127.0.0.1:80', '1.2.3', '1.2.3.4.5', '256.1.1.1', '[::1]', '[::1]:80', '[::1', '::1',
        '[]', '[x]', '[::1]x', '[::1]:', '[::g]', '[fe80::1%eth0]', 'a:b:c', 'a[b]', 'a' x 63 . '.example', 'a' x 64 . '.example',
        (join '.', ('a') x 200), 'a' x 300);
    my @lists = ([], [$host, $host], [$host, 'Host: b'], ['Host: a', 'Host:'], ['host: app.example'], ['HOST:app.example'],
        ['Host : app.example'], map {["Host:$_"]} @values);
    for my $fields (@lists) {
        same('1.1: ' . shown("@$fields"), request('GET /App/echo HTTP/1.1', @$fields));
        same('1.0: ' . shown("@$fields"), request('GET /App/echo HTTP/1.0', @$fields));
    }
    same('absolute form, ' . shown("@$_"), request('GET http://app.example/App/echo HTTP/1.1', @$_))
        for [], ['Host: b'], ['Host:'], ['Host: a b'];
};

subtest 'fields' => sub {
    my $numbered = sub ($n, $value) { join "\r\n", map {"X$_: $value"} 1 .. $n };
    for my $field (
        'X: 1', 'X:1', 'X:', 'X: ', "X:\t1\t", 'X:  1  2  ', 'X : 1', "X\t: 1", ' X: 1', "\tX: 1", ': 1', ':', 'X', 'X 1', 'X1 2: 3',
        "X: 1\r\n 2", "X: 1\r\n\t2", "X: 1\r\n", "X: 1\n", "X: 1\nY: 2", "X: 1\rY: 2", "X: 1\r\r", "X: \x00", "X: \x01", "X: \x0b",
        "X: \x7f", "X: \xe4\xff", "X: \x80", "X\x00: 1", "X\x01: 1", "X\xe4: 1", (map {"X$_: 1"} qw{( ) / ; < = ? @ [ \\ }, ',', '{', '"'),
        q(!#$%&'*+-.^_`|~09aZ: 1), 'X: :', 'X:: 1', 'X-Under_Score: 1', 'Content_Length: 5', (map {'X: ' . 'y' x $_} 8180, 8187 .. 8189, 9000, 30_000),
        'x' x 8000 . ': 1', "X: 1\r\nX: 2", "Accept: a\r\nAccept: b", "X-A: 1\r\nx-a: 2", (map {$numbered->($_, 'y')} 90, 99, 100, 200),
        $numbered->(50, 'y' x 300), $numbered->(90, 'y' x 300), $numbered->(60, 'y' x 3000), 'Cookie: a=b', "Cookie: a=b\r\nCookie: c=d",
        'Cookie: zsessionid=s1.hostA', 'Cookie: zsessionid="s1.hostA"', 'Cookie: ', 'Authorization: Basic dTpw', 'Proxy-Authorization: Basic dTpw',
        'Range: bytes=0-3', 'If-Range: "x"', 'If-None-Match: "x"', 'If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT', 'If-Match: "x"',
        'Accept-Encoding: gzip', 'Max-Forwards: 0', 'Max-Forwards: 5', 'From: a@b', 'Referer: http://x/', 'User-Agent: x (y; z)', 'Date: x',
        'Server: x', 'Location: x', 'Set-Cookie: a=b', 'Proxy: evil', 'Content-Type: text/plain', 'Content-Encoding: gzip', 'Warning: 1',
        'Forwarded: for=1.2.3.4', 'X-Forwarded-For: 1.2.3.4', "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8", 'X-Forwarded-For: ',
        'X-Forwarded-Host: evil', 'X-Forwarded-Server: evil', 'X-Forwarded-Proto: https', 'Via: 1.0 x', "Via: 1.0 x\r\nVia: 1.1 y",
        'Upgrade: websocket', 'Upgrade: h2c', 'Keep-Alive: 300', 'TE: trailers', 'Trailer: X', 'Proxy-Connection: close',
        'Proxy-Connection: keep-alive', 'HTTP2-Settings: x'
    ) {
        same(shown($field), get($field));
    }
};

# CVE-2022-31813 among them
subtest 'Connection' => sub {
    my @more = ('X-A: 1', 'X-B: 2', 'X-C: 3', 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Host: evil', 'Cookie: a=b', 'Accept: x',
        'User-Agent: y', 'Authorization: z', 'TE: trailers', 'Via: 1.1 v', 'Date: d');
    for my $value (
        'close', 'Close', 'CLOSE', 'keep-alive', 'Keep-Alive', 'close, keep-alive', 'keep-alive, close', ' close ', ',close', 'close,',
        ',,', '', 'x', 'x, close', 'closed', 'close x', 'close;x', '"close"', 'clo se', "close\r\nConnection: keep-alive",
        "keep-alive\r\nConnection: close", 'X-A', 'x-a, X-B', 'X-A, close', 'Cookie', 'Host', 'Content-Length', 'Transfer-Encoding',
        'Connection', 'Authorization', 'Accept', 'Date', 'Via', 'TE', 'TE, trailers', 'Upgrade', 'Upgrade, HTTP2-Settings',
        'X-Forwarded-For', 'X-Forwarded-Host, X-Forwarded-Server', 'X-Forwarded-For, X-Forwarded-For', 'x-forwarded-for,close',
        'a, b, c, d, e, f, g, h, i, j, k', (join ', ', 'X-A', 1 .. 50), 'User-Agent', 'Expect', 'Range', 'Forwarded', 'Content-Type',
        'X A', 'X/A', '(x)', 'a=b', "\xe4"
    ) {
        same(shown($value), get("Connection: $value", @more));
        same('1.0: ' . shown($value), request('GET /App/echo HTTP/1.0', $host, "Connection: $value", @more));
    }
};

# Of what reaches an instance in part, how much does is a matter of how much each proxy collects.
my %part = (whole => 1, how => 'end');

subtest 'lengths' => sub {
    my $body = 'abcde';
    my @values = ('', ' 5', ' 0', ' 3', ' 05', ' 000000000000000000000000005', ' +5', ' -5', ' 5 ', ' 5x', ' 0x5', ' 5 5', ' 5, 5', ' 5,5', ' 5.0',
        ' "5"', ' 5;', ' 1e1', "\t5\t", " 5\x0b", ' 9223372036854775808', ' 18446744073709551615', ' 18446744073709551621', ' ' . '9' x 26);
    my @lists = ([], ['Content-Length: 5', 'Content-Length: 5'], ['Content-Length: 5', 'Content-Length: 6'],
        ['Content-Length: 6', 'Content-Length: 5'], ['Content-Length: 5', 'content-length: 5'], ['Content-Length : 5'], ['Content-Length 5'],
        [' Content-Length: 5'], ["Content-\r\n Length: 5"], ["Content-Length:\r\n 5"], ['Transfer-Encoding: chunked', 'Content-Length: 5'],
        ['Content-Length: 5', 'Transfer-Encoding: chunked'], ['Content-Length: 5', 'Transfer-Encoding: identity'],
        ['Content-Length: 5', 'Transfer-Encoding:'], map {["Content-Length:$_"]} @values);
    for my $fields (@lists) {
        same(shown("@$fields"), post(@$fields) . $body);
        same('1.0, kept: ' . shown("@$fields"), request('POST /App/upload HTTP/1.0', $host, 'Connection: keep-alive', @$fields) . $body);
    }
    same('the longest', post('Content-Length: 9223372036854775807') . $body, %part);
    for my $method (qw(GET HEAD DELETE OPTIONS PUT PATCH POST)) {
        same("$method with a body", request("$method /App/echo HTTP/1.1", $host, 'Content-Length: 5') . $body);
        same("$method with an empty body", request("$method /App/echo HTTP/1.1", $host, 'Content-Length: 0'));
        same("$method without a body", request("$method /App/echo HTTP/1.1", $host));
    }
    same("a body of $_", post("Content-Length: $_") . HA::Client::content($_)) for 1, 100, 8192, 16_000, 16_384, 20_000, 65_536, 300_000, 1_000_000;
    same('a body cut short', post('Content-Length: 10') . 'abc', %part);
    same('a long body cut short', post('Content-Length: 1000000') . 'abc' x 100_000, %part);
    same('a head cut short', 'POST /App/upload HTTP/1.1', how => 'end');
    same('fields cut short', "POST /App/upload HTTP/1.1\r\n$host\r\nX: ", how => 'end');
    same('nothing', '', how => 'end');
    same('an empty line', "\r\n", how => 'end');
    same('a whole request and an end', get(), how => 'end');
    same('a whole body and an end', post('Content-Length: 5') . $body, how => 'end');
};

subtest 'transfer codings' => sub {
    my $good = "5\r\nabcde\r\n0\r\n\r\n";
    my @values = (' chunked', ' Chunked', 'chunked', " \tchunked \t", ' chunked, chunked', ' gzip, chunked', ' chunked, gzip', ' gzip', ' identity',
        ' identity, chunked', ' chunked, identity', ' xchunked', ' chunkedx', ' "chunked"', ' chunked;q=1', ' chunked;a=b', ' ,chunked', ' chunked,',
        ' , ,chunked', '', ' x', " chun\x00ked", " \x0bchunked", " chunked\x0c", " chunked\x01");
    my $te = 'Transfer-Encoding';
    my @lists = (["$te: chunked", "$te: chunked"], ["$te: chunked", "$te: identity"], ["$te: identity", "$te: chunked"], ["$te : chunked"],
        [" $te: chunked"], ["$te\t: chunked"], ["$te:\r\n chunked"], ['Transfer_Encoding: chunked'], ["X: y\n$te: chunked"],
        ["$te: chunked", 'TE: trailers'], ["$te: chunked", 'Trailer: X'], ['transfer-encoding: chunked'], map {["$te:$_"]} @values);
    for my $fields (@lists) {
        same(shown("@$fields"), post(@$fields) . $good);
        same('1.0: ' . shown("@$fields"), request('POST /App/upload HTTP/1.0', $host, @$fields) . $good);
    }
};

subtest 'chunks' => sub {
    my $end = "\r\nabcde\r\n0\r\n\r\n";
    my @sizes = ('5', '05', '0' x 16 . '5', '0' x 100 . '5', '5;x', '5;x=y', '5;x="y"', "5;x=\"a\r\nb\"", '5 ;x', '5; x', '5;', '5 ', "5\t", ' 5',
        "\t5", '5x', '5 x', '0x5', '+5', '-5', '', 'g', '5,5', "5;\x01", "5;\x00", "5;\xe4", "5;\rx", '5;' . 'x' x 1000, '5;' . 'x' x 9000, "5\r",
        'ffffffffffffffff', '10000000000000005', 'fffffffffffffffff', '8000000000000000');
    my @trailers = ("X: 1\r\n", "X: 1\r\nY: 2\r\n", "Content-Length: 3\r\nHost: evil\r\nTransfer-Encoding: chunked\r\nX-Forwarded-For: evil\r\n",
        "X\r\n", "X : 1\r\n", " X: 1\r\n", "X: 1\r\n 2\r\n", ": 1\r\n", "X: \x01\r\n", "X: \x00\r\n", "X: 1\n", "X: 1\r\r\n", 'X: ' . 'y' x 8000 . "\r\n",
        'X: ' . 'y' x 9000 . "\r\n", (join '', map {"X$_: 1\r\n"} 1 .. 90), (join '', map {"X$_: 1\r\n"} 1 .. 200),
        "GET /App/plain HTTP/1.1\r\nHost: x\r\n");
    for my $chunks (
        "0\r\n\r\n", "A\r\nabcdeabcde\r\n0\r\n\r\n", "a\r\nabcdeabcde\r\n0\r\n\r\n", "5\r\nabcde\r\n000\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n", "5\r\nabcde\n0\r\n\r\n", "5\r\nabcde\r\n0\n\r\n", "5\r\nabcde\r\n0\r\n\n", "5\nabcde\n0\n\n", "5\rabcde\r\n0\r\n\r\n",
        "5\r\nabcde\r0\r\n\r\n", "5\r\nabcdef\r\n0\r\n\r\n", "5\r\nabcd\r\n0\r\n\r\n", "5\r\nabcde0\r\n\r\n", "5\r\nabcde\r\n\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0;x=y\r\n\r\n", "5\r\nabcde\r\n0 \r\n\r\n", (map {"$_$end"} @sizes), (map {"5\r\nabcde\r\n0\r\n$_\r\n"} @trailers),
        (join '', map {"1\r\nx\r\n"} 1 .. 5000) . "0\r\n\r\n", sprintf("%x\r\n%s\r\n0\r\n\r\n", 100_000, 'x' x 100_000),
        (join '', map {sprintf "%x\r\n%s\r\n", 4000, 'x' x 4000} 1 .. 50) . "0\r\n\r\n"
    ) {
        same(shown($chunks), post('Transfer-Encoding: chunked') . $chunks);
        same('and an end: ' . shown($chunks), post('Transfer-Encoding: chunked') . $chunks, how => 'end');
    }
    same('cut short: ' . shown($_), post('Transfer-Encoding: chunked') . $_, %part)
        for '', '5', "5\r\nabc", "5\r\nabcde", "5\r\nabcde\r\n5\r\nabcde", "5\r\nabcde\r\n0\r\n", "5\r\nabcde\r\n0\r\nX:", "7fffffffffffffff$end", "100000005$end";
};

subtest 'Expect' => sub {
    for my $value ('100-continue', '100-Continue', '100-continue, x', 'x', '', '200-ok', '100-continue=1', "100-continue\r\nExpect: 100-continue",
        "100-continue\r\nExpect: x") {
        my $expect = "Expect: $value";
        my $name = shown($value);
        same($name, post($expect, 'Content-Length: 5') . 'abcde');
        same("1.0: $name", request('POST /App/upload HTTP/1.0', $host, $expect, 'Content-Length: 5') . 'abcde');
        same("chunked: $name", post($expect, 'Transfer-Encoding: chunked') . "5\r\nabcde\r\n0\r\n\r\n");
        same("without a body: $name", get($expect));
        same("an empty body: $name", post($expect, 'Content-Length: 0'));
        same("what arrives: $name", request('POST /App/echo HTTP/1.1', $host, $expect, 'Content-Length: 5') . 'abcde');
    }
    same('answered early', request('POST /App/early?code=413 HTTP/1.1', $host, 'Expect: 100-continue', 'Content-Length: 5'),
        how => 'step', answers => 1);
    for my $which ('off', 'on') {
        my $client = $t->client(port => $pair->server($which)->port);
        $client->send(post('Expect: 100-continue', 'Content-Length: 5'));
        like($client->read_raw, qr{^HTTP/1.1 100 Continue\r\n\r\n$}, "$which: the client is invited");
        $client->send('abcde');
        like($client->read_response->body, qr/^5 /, "$which: and answered");
    }
};

subtest 'connections' => sub {
    my @two = (get('X: 1'), get('X: 2'));
    same('two requests at once', join('', @two), methods => ['GET', 'GET']);
    same('one after the other', $two[0], how => 'step', answers => 1);
    my $mixed = get() . post('Content-Length: 3') . 'abc' . request('HEAD /App/echo HTTP/1.1', $host)
        . post('Transfer-Encoding: chunked') . "3\r\nabc\r\n0\r\n\r\n" . request('GET /App/status?code=204 HTTP/1.1', $host)
        . request('GET /App/status?code=304 HTTP/1.1', $host) . get();
    same('a mix of them', $mixed, methods => [qw(GET POST HEAD POST GET GET GET)]);
    same('then one for httpd', get() . request('GET /nothing HTTP/1.1', $host) . get(), methods => [qw(GET GET GET)]);
    same('then a bad one', get() . "GET\r\n\r\n" . get(), methods => [qw(GET GET GET)]);
    same('then one that closes', get() . get('Connection: close') . get(), methods => [qw(GET GET GET)]);
    same('then an error that closes', get() . request('GET /App/status?code=500 HTTP/1.1', $host) . get(), methods => [qw(GET GET GET)]);
    same('a body that looks like a request', post('Content-Length: ' . length $two[0]) . $two[0]);
    same('fifty at once', get() x 50, methods => [('GET') x 50]);
    same('more than a block at once', get('X: ' . 'y' x 1000) x 60, methods => [('GET') x 60]);
    same('line ends between them', "\r\n" . get() . "\r\n" . get(), methods => [qw(GET GET)]);
    for my $name (qw(close two ever)) {
        my $one = request('GET /App/echo HTTP/1.1', "Host: $name.example");
        my $old = request('GET /App/echo HTTP/1.0', "Host: $name.example", 'Connection: keep-alive');
        same("$name.example", $one x 4, methods => [('GET') x 4]);
        same("$name.example, 1.0", $old x 4, methods => [('GET') x 4]);
        same("$name.example, and another", $one . get() . $old . get(), methods => [('GET') x 4]);
    }
};

subtest 'what mod_proxy is told' => sub {
    my @more = ('Via: 1.0 v', 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Host: h', 'X-Forwarded-Server: s');
    for my $name (qw(preserve full block bare)) {
        for my $version ('1.1', '1.0') {
            same("$name, $version", request("GET /App/echo HTTP/$version", "Host: $name.example"));
            same("$name, $version, with fields", request("GET /App/echo HTTP/$version", "Host: $name.example:80", @more));
            same("$name, $version, named", request("GET /App/echo HTTP/$version", "Host: $name.example", @more,
                'Connection: Via, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Server'));
        }
    }
};

subtest 'limits' => sub {
    my %there = (port => 2);
    my $at = 'Host: limits.example';
    same("a line of $_", request('GET /App/echo?' . 'x' x ($_ - 23) . ' HTTP/1.1', $at), %there) for 90, 98 .. 102, 200;
    same("a field of $_", request('GET /App/echo HTTP/1.1', $at, 'X: ' . 'y' x ($_ - 3)), %there) for 90, 98 .. 102, 200;
    same("$_ fields", request('GET /App/echo HTTP/1.1', $at, map {"X$_: 1"} 2 .. $_), %there) for 3 .. 7;
};

subtest 'limits of the first virtual host of an address' => sub {
    for my $row ([3, 'narrow.example'], [3, 'behind.example'], [4, 'wide.example'], [4, 'within.example']) {
        my ($port, $name) = @$row;
        my %there = (port => $port);
        my $at = "Host: $name";
        same("$name: a line of $_", request('GET /App/echo?' . 'x' x ($_ - 23) . ' HTTP/1.1', $at), %there)
            for 100, 101, 8000, 8191, 11_999 .. 12_001, 13_000;
        same("$name: a field of $_", request('GET /App/echo HTTP/1.1', $at, 'X: ' . 'y' x ($_ - 3)), %there)
            for 100, 101, 8000, 8191, 13_999 .. 14_001, 15_000;
        same("$name: $_ fields", request('GET /App/echo HTTP/1.1', $at, map {"X$_: 1"} 2 .. $_), %there)
            for 5, 6, 100, 101, 149 .. 151, 200;
    }
};

# So that the test is not one of httpd with itself.
cmp_ok($count{carried}, '>', 300, "$count{carried} requests were carried, $count{given} given to httpd");

$t->done;
