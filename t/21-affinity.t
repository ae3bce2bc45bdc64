# SPDX-License-Identifier: Apache-2.0
# Where a session goes, and what the client is told about that.
use v5.36;

use HA::Test;

my $t = HA::Test->new;
my $a = $t->app('hostA');
my $b = $t->app('hostB');
my $c = $t->app('hostC');
my $dead = 'http://127.0.0.1:' . $t->port;
my ($cert, $tls_key) = map {$t->dir("tls.$_")} qw(cert key);
my $said = qx(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \\
    -subj /CN=localhost -keyout $tls_key -out $cert 2>&1);
is($?, 0, 'a certificate') or diag $said;

# A key that the children need not read: the parent does, as root or as the one who runs the test.
sub write_key($name, @keys)
{
    my $path = $t->write_file($name, join '', map {"$_\n"} @keys);
    chmod 0600, $path;
    return $path;
}
my ($old_key, $new_key) = ('5a' x 32, 'c3' x 32);
my $key = write_key('sign.key', $old_key);

sub balancer($name, $ours, %opt)
{
    my %url = (hostA => $a->url, hostB => $b->url, hostC => $c->url, hostX => $dead);
    my @members = map {
        my ($route, $more) = /^(\S+) ?(.*)$/;
        qq(BalancerMember "$url{$route}" route=$route $more)
    } @{$opt{members} // [qw(hostA hostB)]};
    my $set = $opt{set} // 'stickysession=zsessionid';
    return join "\n", qq(<Proxy "balancer://$name">), @members, $set ? "ProxySet $set" : (), '</Proxy>',
        "HABalancer $name $ours", qq(ProxyPass "/$name" "balancer://$name/App"), '';
}

my @states = ('hostA', 'hostB', 'hostC status=+N', 'hostX status=+D');
sub configuration($more = '')
{
    return join '', (
        balancer('App', ''),
        balancer('path', '', set => 'stickysession=JSESSIONID|jsessionid'),
        balancer('states', '', members => \@states),
        balancer('moved', '', members => [qw(hostA hostX)]),
        balancer('movedpath', '', members => [qw(hostA hostX)], set => 'stickysession=ZS|zs'),
        balancer('insert', 'affinity=insert', set => ''),
        balancer('named', 'affinity=insert:WHERE', set => ''),
        balancer('insertmoved', 'affinity=insert', members => [qw(hostA hostX)], set => ''),
        balancer('signed', "affinity=insert sign=$key", set => ''),
        balancer('other', "affinity=insert sign=$key", set => ''),
        balancer('short', "affinity=insert sign=$key sign-lifetime=1s", set => ''),
        balancer('half', "affinity=insert sign=$key sign-lifetime=4s", set => ''),
        balancer('none', 'affinity=none'),
        balancer('strict', 'failover=strict', members => [qw(hostA hostX)]),
        $more,
    );
}
my $proxy = $t->httpd(
    modules => [qw(proxy proxy_http ssl headers socache_shmcb)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    ports => 2,
    config => configuration(<<~"END"),
        SSLSessionCache "shmcb:\@ROOT\@/run/tls(512000)"
        <VirtualHost *:\@PORT2\@>
            SSLEngine On
            SSLCertificateFile "$cert"
            SSLCertificateKeyFile "$tls_key"
        </VirtualHost>
        END
);
$t->expect_log(qr/AH(?:00957|01114)/, qr/AH01906|AH01909|AH02292/);

# Who answers `count` requests with this Cookie field.
sub goes($cookie, $path = '/App/plain', $count = 6)
{
    return spread($t, $path, $count, $cookie eq '' ? () : (headers => {Cookie => $cookie}));
}

sub goes_to($cookie, $route, $name)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(goes($cookie), "$route:6", $name);
}

sub goes_anywhere($cookie, $name, $path = '/App/plain')
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is(goes($cookie, $path), 'hostA:3 hostB:3', $name);
}

sub goes_one_way($cookie, $name)
{
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return like(goes($cookie), qr/^host[AB]:6$/, $name);
}

# The answer's Set-Cookie fields, to a request with this Cookie field.
sub told($path, $cookie = '', @more)
{
    my @headers = $cookie eq '' ? () : (headers => {Cookie => $cookie});
    return $t->client(cookies => 0)->get($path, @headers, @more)->headers('Set-Cookie');
}

subtest 'a session of the application stays with its instance' => sub {
    my $client = $t->client;
    my $route = $client->get('/App/')->instance;
    like($client->get('/App/')->body, qr/^$route visits=$_ /, "visit $_") for 2 .. 5;
    like($client->cookie('zsessionid'), qr/\.$route$/, 'by its own cookie');
};

subtest 'the route is what follows the last dot' => sub {
    goes_to('zsessionid=abc.hostA', 'hostA', 'an id and a route');
    goes_to('zsessionid=eyJh.eyJz.c2ln.hostB', 'hostB', 'a JSON Web Token');
    goes_to('zsessionid=s%3Aabc.c2ln+/=.hostB', 'hostB', 'a signed id');
    goes_to('zsessionid=abc.hostA.hostB', 'hostB', 'two routes: the last');
    goes_to('zsessionid=.hostB', 'hostB', 'an empty id');
    goes_to('zsessionid="abc.hostB"', 'hostB', 'quotes are not part of it');
    goes_to('zsessionid=a,b.hostB', 'hostB', 'a comma is');
    goes_anywhere('zsessionid=', 'an empty value');
};

subtest 'a session that names no member goes by its id, always to the same' => sub {
    goes_one_way('zsessionid=abc', 'no route');
    goes_one_way('zsessionid=abc.', 'an empty route');
    goes_one_way('zsessionid=abc.hosta', 'another case');
    goes_one_way('zsessionid=abc.hostC', 'a route of nobody');
    goes_one_way('zsessionid=abc.' . 'h' x 4000, 'a route of 4000 bytes');
    my %met = map { goes("zsessionid=id$_") => 1 } 1 .. 20;
    is(join(' ', sort keys %met), 'hostA:6 hostB:6', 'another id, perhaps another member');
};

subtest 'the cookie is found among others, by its whole name' => sub {
    goes_to('a=b; zsessionid=abc.hostB; c=d', 'hostB', 'in the middle');
    goes_to('zsessionid=x.hostC; zsessionid=y.hostB', 'hostB', 'two: the first that names a member');
    goes_to('zsessionid=x.hostA; zsessionid=y.hostB', 'hostA', 'two that do: the first');
    goes_anywhere('xzsessionid=abc.hostA', 'a name that only ends like ours');
    goes_anywhere('zsessionid2=abc.hostA', 'a name that only begins like it');
    goes_anywhere('ZSESSIONID=abc.hostA', 'a name in another case');
    goes_anywhere('a zsessionid=abc.hostA', 'a name with a blank');
    my $long = 'x' x 8000;
    goes_to("zsessionid=$long.hostB", 'hostB', '8 KB of id');
    goes_to("pad=$long; zsessionid=abc.hostB", 'hostB', 'behind 8 KB of another');
    my $two = [Cookie => 'a=b', Cookie => 'zsessionid=abc.hostB'];
    is(spread($t, '/App/plain', 6, headers => $two), 'hostB:6', 'in a second Cookie field');
};

subtest 'a path parameter names a member, a query never does' => sub {
    my @to = (spread($t, '/path/plain;jsessionid=abc.hostB', 6), spread($t, '/path/plain;a=b;jsessionid=abc.hostB?x=y', 6));
    is("@to", 'hostB:6 hostB:6', 'at the end, or behind another');
    is(goes('JSESSIONID=abc.hostA', '/path/plain;jsessionid=abc.hostB'), 'hostA:6', 'the cookie wins');
    goes_anywhere('', 'query: jsessionid', '/path/plain?jsessionid=abc.hostA');
    goes_anywhere('', 'query: JSESSIONID', '/path/plain?JSESSIONID=abc.hostA');
    goes_anywhere('', 'query with ;', '/path/plain?;jsessionid=abc.hostA');
    is(spread($t, '/App/plain;zsessionid=abc.hostB', 6), 'hostB:6', 'stickysession= names both');
};

subtest 'a member that cannot be used loses its sessions, one that drains keeps them' => sub {
    is(goes('zsessionid=abc.hostC', '/states/plain'), 'hostC:6', 'drained: its sessions');
    is(goes('', '/states/plain'), 'hostA:3 hostB:3', 'drained: no others');
    like(goes('zsessionid=abc.hostX', '/states/plain'), qr/^host[AB]:6$/, 'disabled: elsewhere, by its id');
    like(goes('zsessionid=abc.hostZ', '/states/plain'), qr/^host[AB]:6$/, 'unknown: by its id');
};

subtest 'on failover the client is told the new route in the same answer' => sub {
    my ($line, @more) = told('/moved/plain', 'zsessionid=abc.hostX');
    is($line, 'zsessionid=abc.hostA; Path=/moved; HttpOnly', 'id as before, new route');
    is(scalar @more, 0, 'once');
    my $answer = $t->client(cookies => 0)->get('/moved/plain', headers => {Cookie => 'zsessionid=abc.hostX'});
    is($answer->header('Cache-Control'), 'private', 'and not for others to keep');
    ($line) = told('/moved/plain', 'zsessionid="a.b.c.hostX"');
    is($line, 'zsessionid=a.b.c.hostA; Path=/moved; HttpOnly', 'dots in the id stay');
    my $client = $t->client;
    $client->set_cookie('zsessionid', 'session1.hostX', '/moved');
    $client->get('/moved/plain');
    is($client->cookie('zsessionid'), 'session1.hostA', 'the client follows');
    is_deeply([told('/moved/plain', 'zsessionid=session1.hostA')], [], 'and is not told again');
    is_deeply([told('/moved/plain', 'zsessionid=abc.hostZ')], [], 'a route of nobody is no failover');
    is_deeply([told('/moved/plain', 'zsessionid=a.b.c')], [], 'nor is a token without a route');
    is_deeply([told('/moved/plain')], [], 'nor no session');
    is_deeply([grep {/^zs=/i} told('/movedpath/plain;zs=abc.hostX')], [], 'a path cannot be rewritten in a cookie');
};

subtest 'an application that sets its own cookie has the last word' => sub {
    my $answer = $t->client(cookies => 0)->get('/moved/', headers => {Cookie => 'zsessionid=abc.hostX'});
    my @lines = $answer->headers('Set-Cookie');
    is(scalar @lines, 1, 'one cookie');
    my $reissuing = $t->app('hostR', reissue => 1, route => 'hostR');
    my $config = configuration() . qq(<Proxy "balancer://re">\nBalancerMember "${\$reissuing->url}" route=hostR\n)
        . qq(BalancerMember "$dead" route=hostX\nProxySet stickysession=zsessionid\n</Proxy>\nHABalancer re\n)
        . qq(ProxyPass "/re" "balancer://re/App"\n);
    my $other = $t->httpd(modules => [qw(proxy proxy_http)], haproxy => 1, config => $config);
    my $client = $t->client(port => $other->port, cookies => 0);
    @lines = $client->get('/re/', headers => {Cookie => 'zsessionid=session9.hostX'})->headers('Set-Cookie');
    is(scalar @lines, 1, 'one cookie when it says where the session is');
    like($lines[0], qr{^zsessionid=session9\.hostR; Path=/App}, 'its own');
    $other->stop;
};

subtest 'ProxyPassReverseCookiePath gives both cookies one path' => sub {
    my $config = qq(ProxyPassReverseCookiePath "/App" "/away"\n)
        . balancer('away', '', members => [qw(hostA hostX)]);
    my $other = $t->httpd(modules => [qw(proxy proxy_http)], haproxy => 1, config => $config);
    my $client = $t->client(port => $other->port, cookies => 0);
    like($client->get('/away/')->header('Set-Cookie'), qr{^zsessionid=\S+\.hostA; Path=/away(?:;|$)},
        "the application's own");
    is($client->get('/away/plain', headers => {Cookie => 'zsessionid=abc.hostX'})->header('Set-Cookie'),
        'zsessionid=abc.hostA; Path=/away; HttpOnly', 'the rewritten one');
    $other->stop;
};

subtest 'failover=strict never sends a session to another member' => sub {
    $_->ledger_clear for $a, $b;
    is(goes('zsessionid=abc.hostX', '/strict/plain', 3), 'status503:3', 'its member is gone: 503');
    is(scalar(grep {$_->{path} =~ /strict|plain/} $a->ledger), 0, 'and no other one saw it');
    is(goes('zsessionid=abc.hostA', '/strict/plain', 3), 'hostA:3', 'others go on');
    is(goes('', '/strict/plain', 3), 'hostA:3', 'so do new ones');
    $t->expect_log(qr/strict: no member for \S+: the session's member cannot be used and failover=strict/);
};

subtest 'affinity=none forgets sessions' => sub {
    goes_anywhere('zsessionid=abc.hostA', 'a cookie means nothing', '/none/plain');
    goes_anywhere('', 'nor a path', '/none/plain;zsessionid=abc.hostA');
    is_deeply([told('/none/plain', 'zsessionid=abc.hostX')], [], 'and no cookie is set');
};

subtest 'affinity=insert sets a cookie of our own' => sub {
    my $client = $t->client;
    my $answer = $client->get('/insert/plain');
    my $route = $answer->instance;
    my @lines = $answer->headers('Set-Cookie');
    is(scalar @lines, 1, 'one');
    like($lines[0], qr{^HAROUTE=[\w-]{22}\.$route; Path=/insert; HttpOnly; SameSite=Lax$}, 'for this path');
    is($answer->header('Cache-Control'), 'private', 'not for others to keep');
    is(spread($client, '/insert/plain', 6), "$route:6", 'it leads back');
    $answer = $client->get('/insert/plain');
    is($answer->header('Set-Cookie'), undef, 'without being set again');
    is($answer->header('Cache-Control'), undef, 'nor is an answer private then');
    like((told('/insert/plain', 'HAROUTE=abc.hostZ'))[0], qr/^HAROUTE=/, 'a route of nobody: a new one');
    is(scalar(grep {/^HAROUTE/} told('/insert/')), 1, "beside the application's cookie");
    like((told('/named/plain'))[0], qr/^WHERE=[\w-]{22}\.host[AB];/, 'under another name');
    goes_anywhere('zsessionid=abc.hostA; HAROUTE=abc.hostA', 'other names mean nothing', '/named/plain');
    is(spread($t, '/insert/plain;HAROUTE=x.hostB', 6), 'hostA:3 hostB:3', 'a path parameter means nothing');
    like((told('/insertmoved/plain', 'HAROUTE=abc.hostX'))[0], qr/^HAROUTE=[\w-]{22}\.hostA;/,
        'on failover it names the new member');
    is(scalar(grep {/^HAROUTE/} $t->client->head('/insert/plain')->headers('Set-Cookie')), 1,
        'with HEAD as well');
    is(scalar(grep {/^HAROUTE/} $t->client->get('/insert/status?code=404')->headers('Set-Cookie')), 1,
        'with an error of the application');
    is(scalar(grep {/^HAROUTE/} $t->client->get('/insert/status?code=304')->headers('Set-Cookie')), 1,
        'with a 304');
    $a->reset('head', 1);
    is_deeply([told('/insert/plain', 'HAROUTE=abc.hostA')], [], 'but not with one of the proxy');
    $t->expect_log(qr/AH(?:01102|00898|01110|10404|01106)/);

    my $port = $proxy->port(2);
    my $raw = qx(printf 'GET /insert/plain HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' \\
        | openssl s_client -quiet -connect 127.0.0.1:$port 2>/dev/null);
    like($raw, qr/^Set-Cookie: HAROUTE=\S+; Path=\/insert; HttpOnly; SameSite=Lax; Secure\r?$/m, 'Secure over TLS')
        or diag $raw;
};

# Flips one character of a text.
sub changed($text, $at)
{
    substr($text, $at, 1) = substr($text, $at, 1) eq 'x' ? 'y' : 'x';
    return $text;
}

subtest 'a connection that ends without an answer is none' => sub {
    my $log = $t->dir('cookies.log');
    my $server = $t->httpd(
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        config => qq(CustomLog "$log" "%U %{Set-Cookie}o"\n) . balancer('App', 'affinity=insert', members => ['hostA']),
    );
    $t->expect_log(qr/AH01102: error reading status line/);
    my $client = $t->client(port => $server->port, cookies => 0, retry => 0);
    is($client->get('/App/plain')->status, 200, 'the first request is answered');
    $a->reset('before', 1);
    ok($client->get('/App/broken')->nothing, 'the second one is not');
    $server->stop;
    my $said = HA::Log->new($log)->text;
    like($said, qr{^/App/plain HAROUTE=}m, 'what is answered has a cookie');
    like($said, qr{^/App/broken -$}m, 'what is not has none');
};

subtest 'a signed cookie counts only as it was made' => sub {
    my $client = $t->client;
    my $route = $client->get('/signed/plain')->instance;
    my $value = $client->cookie('HAROUTE');
    like($value, qr/^[\w-]{22}~\d+~[\w-]{22}\.$route$/, 'random, expiry, signature, route');
    is(spread($client, '/signed/plain', 6), "$route:6", 'it leads back');
    is_deeply([told('/signed/plain', "HAROUTE=$value")], [], 'and is not set again');
    my $elsewhere = $route eq 'hostA' ? 'hostB' : 'hostA';
    my %wrong = (
        'another route' => $value =~ s/$route/$elsewhere/r,
        'another random part' => changed($value, 0),
        'another expiry' => $value =~ s/~(\d+)~/'~' . ($1 + 1) . '~'/er,
        'another signature' => changed($value, index($value, '.') - 10),
        'no signature' => "abc.$route",
        'a route alone' => ".$route",
        'trailing junk' => "$value.$route",
    );
    for my $name (sort keys %wrong) {
        my $cookie = "HAROUTE=$wrong{$name}";
        goes_anywhere($cookie, "$name: counts as none", '/signed/plain');
        like((told('/signed/plain', $cookie))[0], qr/^HAROUTE=[\w-]{22}~/, "$name: a new one is set");
    }
    goes_anywhere("HAROUTE=$value", "another balancer's counts as none", '/other/plain');
};

# Seconds until the value expires, as the server's clock and ours are one.
sub left($value)
{
    return ($value =~ /~(\d+)~/)[0] - time;
}

subtest 'a signed cookie has an end, and is renewed before' => sub {
    my $client = $t->client;
    $client->get('/short/plain');
    my $value = $client->cookie('HAROUTE');
    $t->wait_for(sub { left($value) <= 0 });
    goes_anywhere("HAROUTE=$value", 'expired: counts as none', '/short/plain');

    $client = $t->client;
    my $route = $client->get('/half/plain')->instance;
    $value = $client->cookie('HAROUTE');
    is_deeply([told('/half/plain', "HAROUTE=$value")], [], 'young: left alone') if left($value) >= 3;
    $t->wait_for(sub { left($value) <= 1 });
    my $answer = $client->get('/half/plain');
    is($answer->instance, $route, 'past its half: still good');
    my $renewed = $client->cookie('HAROUTE');
    isnt($renewed, $value, 'renewed');
    like($renewed, qr/\.$route$/, 'for the same member');
    cmp_ok(left($renewed), '>=', 3, 'with a whole life');
};

subtest 'a key is replaced in two steps' => sub {
    my $client = $t->client;
    my $route = $client->get('/signed/plain')->instance;
    my $old = $client->cookie('HAROUTE');
    write_key('sign.key', $new_key, $old_key);
    $proxy->graceful;
    is(goes("HAROUTE=$old", '/signed/plain'), "$route:6", 'both keys: the old cookie is good');
    $client = $t->client;
    my $new_route = $client->get('/signed/plain')->instance;
    my $new = $client->cookie('HAROUTE');
    write_key('sign.key', $new_key);
    $proxy->graceful;
    ok($t->wait_for(sub { goes("HAROUTE=$old", '/signed/plain') eq 'hostA:3 hostB:3' }),
        'the new one alone: the old cookie counts as none');
    is(goes("HAROUTE=$new", '/signed/plain'), "$new_route:6", 'the new cookie is good');
};

$t->done;
