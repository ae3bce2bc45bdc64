# SPDX-License-Identifier: Apache-2.0
# Names that begin with HA-Session or HA-Fence never cross: no client can say such a thing to an
# application, and no client is told such a thing, whatever the path, the protocol and the status.
use v5.36;

use HA::H2;
use HA::Mount qw(one_child);
use HA::Raw;
use HA::Test;
use IO::Socket::INET;

my $t = HA::Test->new;
my $FAMILY = qr/ha[-_](?:session|fence)|SECRET/i;
my @names = qw(HA-Session ha_session Ha-SESSION-data HA_Session-Data HA-Fence HA_FENCE HA-Session-Foo);

# --- the instance ---------------------------------------------------------------------------------

my @said = ('HA-Session: put; id="SECRET"; ver=1; ttl=60; parts=1', 'HA-Session-Data: 0; SECRET',
    map {"$_: SECRET"} @names[1 .. $#names]);

sub lines(@lines) { return join '', map {"$_\r\n"} @lines }

# A head that says everything, before and behind what is to be kept.
sub head($status, @fields)
{
    return lines("HTTP/1.1 $status Status", @said[0 .. 3], 'X-Kept: yes', @fields, @said[4 .. $#said], '');
}

my $five = 'Content-Length: 5';
my $chunked = 'Transfer-Encoding: chunked';
my $upgrade = "Upgrade: websocket\r\nConnection: Upgrade, HA-Session";
my $touch = 'HA-Session: touch; ttl=60';
my $del = 'HA-Session: del';
# By the end of the path: the steps, see HA::Raw.
my %answers = (
    length => [head(200, $five), 'abcde'],
    chunked => [head(200, $chunked, 'Trailer: HA-Session, X-Sum'), lines(5, 'abcde', 0, 'X-Sum: 5', @said, '')],
    closed => [head(200), 'abcde', ['close']],
    old => [head(200, $five) =~ s/1\.1/1.0/r, 'abcde', ['close']],
    named => [head(200, $five, 'Connection: HA-Session, ha_fence, HA-Session-Foo, X-Other', 'X-Other: 1'), 'abcde'],
    folded => [lines('HTTP/1.1 200 OK', 'HA-Session: put;', ' SECRET', "\tSECRET: x", 'X-Kept: yes', 'ha_fence:', ' SECRET',
        $five, 'HA-Session-Foo: x', ' X-Not: SECRET', ''), 'abcde'],
    blank => [lines('HTTP/1.1 200 OK', 'HA-Session : SECRET', "ha_fence\t: SECRET", 'X-Kept: yes', $five, ''), 'abcde'],
    bare => [head(200, $five) =~ s/\r//gr, 'abcde'],
    long => [head(200, 'HA-Session-Foo: ' . 'SECRET' x 4000, "ha_session: x\r\n " . 'SECRET' x 2000, $five), 'abcde'],
    many => [head(200, (map {"HA-Session-Data: $_; SECRET"} 0 .. 99), $five), 'abcde'],
    204 => [head(204)],
    304 => [head(304, 'ETag: "a"')],
    302 => [head(302, 'Location: /elsewhere', $five), 'abcde'],
    (map {$_ => [head($_, $five), 'abcde']} 401, 404, 500, 503),
    early => [head(103, 'Link: <x>'), head(103), head(200, $five), 'abcde'],
    hollow => [head(200, $chunked), lines(0, 'X-Sum: 0', @said, '')],
    continue => [head(100), [taken => 5], head(200, $five), 'abcde', ['close']],
    switch => [head(101, $upgrade), 'tunnel', ['close']],
    refused => [head(426, $upgrade, $five), 'abcde'],
    stored => [head(200, $five, 'Cache-Control: max-age=60', 'ETag: "a"'), 'abcde'],
    # What can be understood.
    put => [lines('HTTP/1.1 200 OK', 'HA-Session-Data: 1; QUJD', "$five\r\nHA-Session: put; ver=1; ttl=60; parts=2",
        'HA-Session-Data: 0; ' . 'A' x 7000, ''), 'abcde'],
    joined => [lines('HTTP/1.1 200 OK', "HA-Session: put;\r\n ver=1; ttl=60;\r\n  parts=2", $five, "HA-Session-Data:\r\n 0; AA,\r\n 1; AA", ''), 'abcde'],
    touched => [lines('HTTP/1.1 103 Early', $del, ''), lines('HTTP/1.1 503 Busy', $touch, $five, ''), 'abcde'],
    trailed => [lines('HTTP/1.1 200 OK', $touch, $chunked, '', 0, $del, '')],
    same => [lines('HTTP/1.1 304 OK', $touch, '')],
    twice => [lines('HTTP/1.1 200 OK', $touch, $del, $five, ''), 'abcde'],
    endless => [lines('HTTP/1.1 200 OK', $touch, 'HA-Session-Data: 0; ' . 'A' x 40_000, $five, ''), 'abcde'],
    nothing => [lines('HTTP/1.1 200 OK', 'HA-Session-Foo: x', $five, ''), 'abcde'],
    aged => [lines('HTTP/1.1 200 OK', 'X-Kept: yes', $five, 'Cache-Control: max-age=0', 'ETag: "a"', ''), 'abcde'],
    plain => [lines('HTTP/1.1 200 OK', 'X-Kept: yes', $five, 'Cache-Control: max-age=60', 'ETag: "a"', ''), 'abcde'],
);

my $instance = HA::Raw->new(
    $t, 'hostA',
    record => 1,
    early => qr{/continue$},
    answer => sub ($request) {
        my ($name) = $request->{target} =~ m{^/App/(\w+)};
        # What was stored is still good when it is asked for, but there is a session now.
        state $n = 0;
        return head(304, 'ETag: "a"') if $name eq 'aged' && ++$n == 2;
        return head(200, 'ETag: "a"', $five), 'abcde' if $name eq 'aged' && $n > 2;
        my @steps = @{$answers{$name} // $answers{plain}};
        return $request->{method} eq 'HEAD' ? grep {$_ ne 'abcde'} @steps : @steps;
    },
);
my $dead = 'http://127.0.0.1:' . $t->port;

# One that speaks SCGI and says which variables it has got.
my $scgi_port = $t->port;
$t->spawn('scgi', code => sub {
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $scgi_port, Listen => 5, ReuseAddr => 1);
    while (my $socket = $listener->accept) {
        local $/ = ':';
        read $socket, my $head, <$socket> =~ s/://r;
        my %variables = split /\0/, $head;
        print $socket head(200, 'Status: 404 Status') =~ s/^.*\r\n//r, join ' ', sort keys %variables;
    }
});

# --- the servers ----------------------------------------------------------------------------------

sub balancer($name, @members)
{
    return join "\n", qq(<Proxy "balancer://$name">), (map {"BalancerMember $_"} @members), '</Proxy>', "HABalancer $name retries=5";
}

sub mount($path, $name = 'App')
{
    return qq(ProxyPass "/$path" "balancer://$name/App"\nProxyPassReverse "/$path" "balancer://$name/App");
}

my $url = $instance->url;
my $common = join "\n", 'Protocols h2c http/1.1', 'H2EarlyHints On', balancer('App', "$url route=hostA upgrade=websocket"), mount('App'), mount('Edited'),
    <<~'CONFIG';
    <Location "/Edited">
    RequestHeader set HA-Session SECRET
    RequestHeader add ha_session_data SECRET
    RequestHeader append HA-Fence SECRET
    RequestHeader merge HA-Session-Foo SECRET
    Header set HA-Session SECRET
    Header add ha_session_data SECRET
    Header append HA-Fence SECRET
    Header always set HA-Session-Foo SECRET
    </Location>
    CONFIG
my @modules = qw(proxy proxy_http http2 headers);
my %server;
$server{lane} = $t->httpd(name => 'lane', modules => \@modules, haproxy => 1, config => "HALane Require\n$common");
# An application that speaks HTTP/2: the instance, behind a server of its own.
my $inner = $t->httpd(
    name => 'inner',
    modules => [qw(proxy proxy_http http2)],
    config => <<~"CONFIG",
    Protocols h2c http/1.1
    H2EarlyHints On
    ProxyPass "/App" "$url/App"
    CustomLog "\@ROOT\@/logs/trailers" "%{HA-Session}^ti%{ha_fence}^ti %{X-Kept}^ti" "expr=%{REQUEST_METHOD} == 'POST'"
    CONFIG
);
$server{standard} = $t->httpd(
    name => 'standard',
    modules => [@modules, qw(proxy_http2 proxy_scgi cache cache_disk env)],
    haproxy => 1,
    mpm_config => one_child(25),
    log_level => 'info haproxy:trace1',
    ports => 2,
    start => 0,
    config => join "\n", 'HALane Off', $common, mount('Over'), mount('Docs'), mount('Cached'),
    balancer('Scgi', "scgi://127.0.0.1:$scgi_port route=scgi"), mount('Scgi', 'Scgi'),
    balancer('H2c', 'h2c://127.0.0.1:' . $inner->port . ' route=h2c'), mount('H2c', 'H2c'),
    <<~"CONFIG",
    <Location "/Over">
    ProxyErrorOverride On
    </Location>
    <Location "/Docs">
    ProxyErrorOverride On
    ErrorDocument 404 /Over/length
    ErrorDocument 500 "own words"
    </Location>
    # mod_proxy takes a connection that an answer has ended for one that waits, and fails on it.
    SetEnv proxy-initial-not-pooled 1
    CacheRoot "\@ROOT\@/cache"
    CacheEnable disk /Cached
    CacheDetailHeader On
    CacheStoreExpired On
    <VirtualHost *:\@PORT2\@>
    MergeTrailers On
    ${\balancer('Two', "$dead route=dead", "$url route=hostA")}
    ${\mount('Two', 'Two')}
    ${\mount('App')}
    </VirtualHost>
    CONFIG
);
my $cache = $server{standard}->root . '/cache';
mkdir $cache;
my ($user) = $server{standard}->identity;
chown((getpwnam $user)[2, 3], $cache) if $user;
$server{standard}->start;
# What httpd says of strange answers, of members that are not there, and of a 401 without a challenge.
$t->expect_log(qr/AH\d+/, qr/Two: member dead/, qr/member \w+ failed on|suspect|retry budget/);

# All that a client is sent for these bytes, to the end of the connection.
sub sent($which, $bytes, $port = 1)
{
    my $client = HA::Client->new(port => $server{$which}->port($port), cookies => 0);
    $client->send($bytes);
    return $client->read_raw(all => 1);
}

sub request($line, @fields)
{
    return lines($line, 'Host: localhost', 'Connection: close', @fields, '');
}

# The same over HTTP/2, as a text: heads, body, trailers.
sub told($which, $method, $path, %opt)
{
    my $answer = HA::H2::request($method, $path, port => $server{$which}->port, %opt);
    my @heads = map {join('', map {"$_->[0]: $_->[1]\n"} @$_) . "\n"} @{$answer->{heads}};
    my $error = $answer->{error} ? "!$answer->{error}" : '';
    return join '', @heads, $answer->{body}, $error;
}

# --- what clients say -----------------------------------------------------------------------------

sub is_kept_from_the_application($what, $do)
{
    $instance->forget;
    $do->();
    my $came = $instance->received;
    unlike($came, $FAMILY, "$what: no name of the family arrives");
    return $came;
}

sub arrives_without($what, $do)
{
    my $came = is_kept_from_the_application($what, $do);
    like($came, qr/^X-Kept: yes\r$/mi, "$what: the rest does");
    return;
}

for my $which (qw(standard lane)) {
    subtest "$which: heads of clients" => sub {
        my @all = ('X-Kept: yes', map {"$_: SECRET"} @names);
        for my $version ('1.1', '1.0') {
            arrives_without("HTTP/$version", sub { sent($which, request("GET /App/plain HTTP/$version", @all)) });
            arrives_without("$_, HTTP/$version", sub { sent($which, request("GET /App/plain HTTP/$version", "$_: SECRET", 'X-Kept: yes')) })
                for @names;
        }
        arrives_without('named in Connection', sub {
            my $named = 'Connection: close, HA-Session, ha_session, HA-Fence';
            sent($which, lines('GET /App/plain HTTP/1.1', 'Host: localhost', $named, @all, ''));
        });
        is_kept_from_the_application('folded', sub {
            sent($which, request('GET /App/plain HTTP/1.1', 'HA-Session: put;', ' SECRET', 'X-Kept: yes', 'ha_fence:', "\tSECRET"));
        });
        is_kept_from_the_application("with a blank before its colon", sub {
            sent($which, request('GET /App/plain HTTP/1.1', 'HA-Session : SECRET', 'X-Kept: yes'));
        });
        arrives_without('a POST', sub { sent($which, request('POST /App/plain HTTP/1.1', @all, $five) . 'abcde') });
        arrives_without('set by RequestHeader', sub { sent($which, request('GET /Edited/plain HTTP/1.1', 'X-Kept: yes')) });
        arrives_without('set by RequestHeader, too', sub { sent($which, request('GET /Edited/plain HTTP/1.1', @all)) });
        arrives_without('HTTP/2', sub {
            told($which, 'GET', '/App/plain', fields => ['x-kept' => 'yes', map {lc, 'SECRET'} @names]);
        });
    };

    subtest "$which: trailers of clients" => sub {
        my @trailers = map {"$_: SECRET"} @names;
        my $post = request('POST /App/plain HTTP/1.1', 'X-Kept: yes', $chunked, 'Trailer: HA-Session');
        for my $body (lines(5, 'abcde'), '') {
            arrives_without('chunks', sub { sent($which, $post . $body . lines(0, @trailers, '')) });
        }
        arrives_without('HTTP/2', sub {
            told($which, 'POST', '/App/plain', fields => ['x-kept' => 'yes'], body => 'abcde', trailers => [map {lc, 'SECRET'} @names]);
        });
    };
}

subtest 'trailers of clients that become fields' => sub {
    my @trailers = map {"$_: SECRET"} @names;
    for my $mount (qw(App Two Two Two)) {
        my $post = request("POST /$mount/plain HTTP/1.1", 'X-Kept: yes', $chunked);
        arrives_without("MergeTrailers, /$mount", sub { sent('standard', $post . lines(5, 'abcde', 0, @trailers, ''), 2) });
    }
    my ($port) = $dead =~ /(\d+)$/;
    isnt($server{standard}->log->count(qr/AH00957.*:$port /), 0, 'one member was tried in vain');
};

# --- what instances say ---------------------------------------------------------------------------

sub is_told_without($what, $text, $status, $kept = qr/^X-Kept: yes\r?$/mi)
{
    unlike($text, $FAMILY, "$what: nothing of the family");
    like($text, qr{^(?:HTTP/1\.1 |:status: )$status\b}m, "$what: $status");
    like($text, $kept, "$what: the rest") if $kept;
    return;
}

my %statuses = (
    refused => 426,
    map({$_ => 200} qw(length chunked hollow closed old named folded blank bare long many early)),
    map({$_ => $_} grep {/^\d/} keys %answers),
);

for my $which (qw(standard lane)) {
    subtest "$which: heads and trailers of instances" => sub {
        for my $name (sort keys %statuses) {
            my $status = $statuses{$name};
            for my $line ("GET /App/$name HTTP/1.1", "GET /App/$name HTTP/1.0", "HEAD /App/$name HTTP/1.1") {
                next if $line =~ /^HEAD/ && $name =~ /^(?:closed|chunked|hollow|old)$/;
                is_told_without($line, sent($which, request($line)), $status, $status == 304 ? undef : ());
            }
            is_told_without("h2 $name", told($which, 'GET', "/App/$name"), $status, $status == 304 ? undef : ());
        }
        is_told_without('set by Header', sent($which, request('GET /Edited/length HTTP/1.1')), 200);
        is_told_without('set by Header, HTTP/2', told($which, 'GET', '/Edited/length'), 200);
    };

    subtest "$which: what comes before an answer" => sub {
        my $early = sent($which, request('GET /App/early HTTP/1.1'));
        is(() = $early =~ m{^HTTP/1\.1 103 }gm, 2, 'hints are passed on') or diag $early;
        like($early, qr/^Link: <x>\r$/m, 'with what they say');
        my $two = told($which, 'GET', '/App/early');
        like($two, qr/^:status: 103\n(?:.*\n)*?link: <x>\n/m, 'over HTTP/2, too') or diag $two;
        my $continued = sent($which, request('POST /App/continue HTTP/1.1', 'Expect: 100-continue', $five) . 'abcde');
        is_told_without('100 (Continue)', $continued, 200);
        my $switched = sent($which, lines('GET /App/switch HTTP/1.1', 'Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade', ''));
        is_told_without('101 (Switching Protocols)', $switched, 101);
        like($switched, qr/\r\n\r\ntunnel$/, 'and the tunnel is open');
    };
}

subtest 'pages of httpd in place of answers' => sub {
    for my $status (401, 404, 500, 503) {
        is_told_without("/Over/$status", sent('standard', request("GET /Over/$status HTTP/1.1")), $status, qr/<html>/);
        is_told_without("/Over/$status, HTTP/2", told('standard', 'GET', "/Over/$status"), $status, qr/<html>/);
    }
    is_told_without('a page that is proxied itself', sent('standard', request('GET /Docs/404 HTTP/1.1')), 404, qr/abcde$/);
    is_told_without('own words', sent('standard', request('GET /Docs/500 HTTP/1.1')), 500, qr/^own words/m);
};

sub stored
{
    return grep {-f} split /\0/, qx(find "$cache" -type f -print0);
}

sub asked($path)
{
    return scalar grep {$_->{what} eq 'request' && $_->{target} =~ /^\Q$path\E/} $instance->ledger;
}

subtest 'mod_cache' => sub {
    $instance->forget;
    is_told_without('a first client', sent('standard', request('GET /Cached/plain HTTP/1.1')), 200) for 1 .. 2;
    is(asked('/App/plain'), 1, 'what says nothing of a session is stored');
    my @before = stored();
    isnt(@before, 0, 'as a file');
    is_told_without('a client', sent('standard', request('GET /Cached/stored HTTP/1.1')), 200) for 1 .. 2;
    is_told_without('a client of HTTP/2', told('standard', 'GET', '/Cached/stored'), 200);
    is(asked('/App/stored'), 3, 'what says something of a session is not');
    is_deeply([stored()], \@before, 'and leaves nothing');
    is_told_without('a client', sent('standard', request('GET /Cached/aged HTTP/1.1')), 200) for 1 .. 2;
    is(asked('/App/aged'), 3, 'a stored answer is given up when there is a session now');
    is_deeply([stored()], \@before, 'and nothing left of it');
    unlike(join('', map {HA::Log->new($_)->text} @before), $FAMILY, 'nothing of the family is stored');
};

subtest 'members that speak other protocols' => sub {
    my $names = join ' ', map {lc, 'SECRET'} @names;
    my $scgi = sent('standard', request('GET /Scgi/x HTTP/1.1', map {"$_: SECRET"} @names));
    is_told_without('SCGI', $scgi, 404);
    like($scgi, qr/HTTP_HOST/, 'SCGI: the application gets its variables');
    unlike($scgi, qr/HTTP_HA/, 'SCGI: and none of the family');
    is_told_without('SCGI, HTTP/2', told('standard', 'GET', '/Scgi/x'), 404);
    for my $name (qw(length chunked hollow 404 early)) {
        my $two = told('standard', 'GET', "/H2c/$name");
        is_told_without("h2c: $name, HTTP/2", $two, $statuses{$name});
        is(() = $two =~ /^:status: 103$/mg, $name eq 'early' ? 2 : 0, "h2c: hints with $name");
        # mod_proxy_http2 passes hints on to these when they use a connection that was made for the others.
        is_told_without("h2c: $name", sent('standard', request("GET /H2c/$name HTTP/1.1")), $statuses{$name});
    }
    arrives_without('h2c', sub { sent('standard', request('GET /H2c/plain HTTP/1.1', 'X-Kept: yes', map {"$_: SECRET"} @names)) });
    my @trailers = (map({lc, 'SECRET'} @names), 'x-kept' => 'trailer');
    arrives_without('h2c, with trailers', sub {
        told('standard', 'POST', '/H2c/plain', fields => ['x-kept' => 'yes'], body => 'abcde', trailers => \@trailers);
    });
    is($t->wait_for(sub { HA::Log->new($inner->root . '/logs/trailers')->lines->[-1] }), '-- trailer', 'h2c: trailers are stripped');
};

# --- what is heard --------------------------------------------------------------------------------

subtest 'what a member says is understood before it is taken out' => sub {
    my %heard = (
        put => 'put', joined => 'put', touched => 'touch', trailed => 'touch', same => 'touch', nothing => '',
        twice => 'there is more than one HA-Session', endless => 'a field is too long', plain => undef,
    );
    my @paths = map {("/App/$_", "/Over/$_")} sort keys %heard;
    # Through HTTP/2, where a head can be told from what stands around it.
    push @paths, map {"/H2c/$_"} qw(put joined same nothing twice plain);
    for my $path (@paths) {
        $t->mark;
        sent('standard', request("GET $path HTTP/1.1"));
        my $line = $server{standard}->log->take(qr/says of its session: /);
        my $expected = $heard{$path =~ s{.*/}{}r};
        ok(defined $expected ? $line && $line =~ /: $expected$/ : !$line, "$path: " . ($expected // 'nothing')) or diag $line;
    }
};

$t->done;
