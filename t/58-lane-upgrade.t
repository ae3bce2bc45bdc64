# SPDX-License-Identifier: Apache-2.0
# Requests for another protocol come to the same with the lane as without it: what reaches the
# instance, what the client is told, and whether there is a tunnel then.
use v5.36;

use HA::Pair;
use HA::Test;

my $t = HA::Test->new;
my $app = $t->app('hostA');

# One balancer and one virtual host for each value of upgrade=.
my %upgrade = (no => '', ws => 'upgrade=websocket', any => 'upgrade=ANY', none => 'upgrade=NONE', list => 'upgrade=websocket,x');
my @names = sort keys %upgrade;

sub vhost($name)
{
    my $more = $name eq 'any' ? 'Protocols h2c http/1.1' : '';
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        BalancerMember "${\$app->url}" route=hostA $upgrade{$name}
        </Proxy>
        HABalancer $name
        <VirtualHost *:\@PORT\@>
        ServerName $name.example
        $more
        ProxyPass "/App" "balancer://$name/App"
        ProxyPassReverse "/App" "balancer://$name/App"
        </VirtualHost>
        CONFIG
}

my $pair = HA::Pair->new(
    $t,
    app => $app,
    modules => [qw(proxy proxy_http env)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    off => 'SetEnv proxy-initial-not-pooled 1',
    config => join('', <<~"CONFIG", map {vhost($_)} @names),
        ServerName app.example
        UseCanonicalName Off
        ProxyTimeout 2
        \@LANE\@
        CONFIG
);
# What both say of bad answers.
$t->expect_log(qr/AH\d+/, qr/\w+: member hostA failed on|\w+: member hostA: .*suspect/);

sub request($line, $name, @fields)
{
    return join '', map {"$_\r\n"} "$line HTTP/1.1", "Host: $name.example", @fields, '';
}

my %count = (carried => 0, given => 0);

# The page about a failure is httpd's with the lane, and mod_proxy's without.
sub tidy($text)
{
    return $text =~ s{^(HTTP/1.1 502) .*?\n--\n}{$1\n}gmsr;
}

# By default our side ends behind the request: what would be asked next would go into a tunnel.
# `before` is called before each.
sub same($name, $bytes, %opt)
{
    my $before = delete $opt{before} // sub { };
    my $given = $pair->given;
    my %got;
    for my $which ('off', 'on') {
        $before->();
        $got{$which} = tidy($pair->outcome($which => $bytes, how => 'end', %opt));
    }
    $count{$pair->given > $given ? 'given' : 'carried'}++;
    is($got{on}, $got{off}, $name);
    return $got{on};
}

my @plain = ('Upgrade: websocket', 'Connection: Upgrade');

subtest 'plain requests are carried' => sub {
    for my $name (@names) {
        my $before = $pair->given;
        same($name, request('GET /App/echo', $name, @plain), how => 'pipe');
        is($pair->given, $before, "$name: carried");
    }
    my $before = $pair->given;
    same('h2c', request('GET /App/echo', 'ws', 'Upgrade: h2c', 'Connection: Upgrade'), how => 'pipe');
    is($pair->given, $before, 'a protocol that httpd does not know either');
    same('h2c', request('GET /App/echo', 'any', 'Upgrade: h2c', 'Connection: Upgrade'), how => 'pipe');
    is($pair->given, $before + 1, 'one that it does is left to it');
};

my @ways = (
    ['Upgrade: websocket', 'Connection: Upgrade'], ['upgrade: websocket', 'connection: upgrade'],
    ['Upgrade: WebSocket', 'Connection: keep-alive, Upgrade'], ['Connection: Upgrade', 'Upgrade: WEBSOCKET'],
    ['Upgrade: websocket', 'Connection: Upgrade', 'Connection: keep-alive'],
    ['Upgrade: websocket', 'Connection: Upgrade, close'], ['Upgrade: websocket'], ['Connection: Upgrade'],
    ['Upgrade: websocket', 'Connection: keep-alive'], ['Upgrade:', 'Connection: Upgrade'],
    ['Upgrade: websocket, x', 'Connection: Upgrade'], ['Upgrade: x, websocket', 'Connection: Upgrade'],
    ['Upgrade: websocket', 'Upgrade: x', 'Connection: Upgrade'], ['Upgrade: websocket,', 'Connection: Upgrade'],
    ['Upgrade: x', 'Connection: Upgrade'], ['Upgrade: websocke', 'Connection: Upgrade'],
    ['Upgrade: websocket/13', 'Connection: Upgrade'], ['Upgrade: websockets', 'Connection: Upgrade'],
    ['Upgrade: web socket', 'Connection: Upgrade'], ['Upgrade: "websocket"', 'Connection: Upgrade'],
    ['Upgrade: NONE', 'Connection: Upgrade'], ['Upgrade: *', 'Connection: Upgrade'],
    ['Upgrade: http/1.1', 'Connection: Upgrade'], ['Upgrade: TLS/1.0', 'Connection: Upgrade'],
    ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'],
    ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: eDp4', 'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Extensions: permessage-deflate', 'Origin: http://app.example'],
    ['Upgrade: websocket', 'Connection: Upgrade, Sec-WebSocket-Key', 'Sec-WebSocket-Key: eDp4'],
    ['Upgrade: websocket', 'Connection: Upgrade, (', 'X: 1'], ['Upgrade: websocket', 'Connection: Upgrade', 'Expect: 100-continue'],
    ["Upgrade: websocket\x01", 'Connection: Upgrade'], ['Upgrade : websocket', 'Connection: Upgrade'],
);

subtest 'what reaches the instance' => sub {
    for my $name (@names) {
        for my $fields (@ways) {
            my $text = join(', ', @$fields) =~ s/\x01/\\x01/r;
            same("$name: $text", request('GET /App/echo', $name, @$fields), how => 'pipe');
        }
    }
};

subtest 'a tunnel, or none' => sub {
    for my $name (@names) {
        for my $fields (@ways) {
            my $text = join(', ', @$fields) =~ s/\x01/\\x01/r;
            same("$name: $text", request('GET /App/upgrade', $name, @$fields) . 'and behind it');
        }
    }
};

subtest 'other requests' => sub {
    for my $name ('ws', 'no') {
        for my $line (qw(HEAD POST PUT DELETE OPTIONS PATCH BREW)) {
            same("$name: $line", request("$line /App/echo", $name, @plain), how => 'pipe');
        }
        for my $method (qw(GET POST PUT)) {
            same("$name: $method with a body", request("$method /App/upload", $name, @plain, 'Content-Length: 5') . 'abcde', how => 'pipe');
            same("$name: $method with chunks",
                request("$method /App/upload", $name, @plain, 'Transfer-Encoding: chunked') . "5\r\nabcde\r\n0\r\n\r\n", how => 'pipe');
            same("$name: $method of nothing", request("$method /App/echo", $name, @plain, 'Content-Length: 0'), how => 'pipe');
        }
        my $old = request('GET /App/echo', $name, @plain) =~ s/1\.1/1.0/r;
        same("$name: HTTP/1.0", $old, how => 'pipe');
        same("$name: HTTP/1.0, kept", $old =~ s/Connection: /Connection: keep-alive, /r, how => 'pipe');
        same("$name: a body and a tunnel", request('GET /App/upgrade', $name, @plain, 'Content-Length: 5') . 'abcdeand behind');
    }
};

sub answered($name, $then, $bytes, $fields = \@plain)
{
    my $shown = substr $bytes =~ s/\r\n/, /gr, 0, 90;
    my $got = same(
        "$name: $shown", request('GET /App/page', $name, @$fields),
        before => sub { $app->raw($then, $bytes, 1) },
        how => $then eq 'stay' ? 'pipe' : 'end'
    );
    $app->raw;
    return $got;
}

my $switch = "HTTP/1.1 101 Switching Protocols\r\n";

subtest 'what the instance answers' => sub {
    for my $name ('ws', 'any') {
        for my $fields (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Upgrade: WebSocket\r\nConnection: upgrade\r\n", "Upgrade: websocket\r\n",
            "Connection: Upgrade, X\r\nX: 1\r\nY: 2\r\nUpgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: close\r\n",
            "Upgrade: websocket\r\nUpgrade: x\r\nConnection: Upgrade\r\n", "Upgrade: websocket\r\nSet-Cookie: a=b\r\nX: 1\r\n",
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "Sec-WebSocket-Accept: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: chat\r\n"
        ) {
            like(answered($name, 'close', "$switch$fields\r\nthe first bytes"), qr{^HTTP/1.1 101 .*the first bytes}s, 'a tunnel');
        }
        like(answered($name, 'close', "HTTP/1.1 103 Hints\r\nLink: <x>\r\n\r\n${switch}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes"),
            qr/^interim 103.*101.*bytes/s, 'behind another interim answer');
        for my $fields ('', "Upgrade:\r\n", "Upgrade: x\r\nConnection: Upgrade\r\n", "Upgrade: websocket, x\r\nConnection: Upgrade\r\n",
            "Upgrade: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket/13\r\n") {
            like(answered($name, 'close', "$switch$fields\r\nbytes"), qr{^HTTP/1.1 502}, 'refused');
        }
    }
    for my $fields ([], ['Connection: Upgrade'], ['Upgrade: x', 'Connection: Upgrade']) {
        like(answered('ws', 'close', "${switch}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes", $fields), qr{^HTTP/1.1 502}, 'unasked');
    }
    # RFC 9110 8.6: it has no length. httpd passes it on.
    $app->raw('close', "${switch}Upgrade: websocket\r\nContent-Length: 5\r\n\r\nbytes", 1);
    unlike($pair->outcome(on => request('GET /App/page', 'ws', @plain), how => 'end'), qr/content-length/, 'a length is left out');
    like(answered('no', 'close', "${switch}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes"), qr{^HTTP/1.1 502}, 'not passed on');
};

subtest 'when it does not switch' => sub {
    my $five = "Content-Length: 5\r\n\r\nabcde";
    for my $name (@names) {
        for my $field ('', "Upgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Upgrade: x\r\nConnection: Upgrade\r\n",
            "Connection: upgrade, close\r\nUpgrade: WebSocket\r\n", "Upgrade: h2c, websocket\r\n", "Upgrade: websocket\r\nUpgrade: x\r\n") {
            for my $status (200, 403, 426, 503) {
                answered($name, 'stay', "HTTP/1.1 $status X\r\n$field$five", $_)
                    for \@plain, [], ['Connection: close'], ['Connection: keep-alive'];
            }
        }
    }
};

# So that the test is not one of httpd with itself.
cmp_ok($count{carried}, '>', 500, "$count{carried} requests were carried, $count{given} given to httpd");

$t->done;
