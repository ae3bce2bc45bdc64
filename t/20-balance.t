# SPDX-License-Identifier: Apache-2.0
# How requests are spread over the members: methods, weights, status flags, sets, limits.
use v5.36;

use Time::HiRes qw(time);

use HA::Test;

my $t = HA::Test->new;
my $a = $t->app('hostA', unix => 1);
chmod 0777, $a->socket;
my $b = $t->app('hostB');
my $c = $t->app('hostC');
my ($cert, $key) = map {$t->dir("tls.$_")} qw(cert key);
my $said = qx(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \\
    -subj /CN=localhost -keyout $key -out $cert 2>&1);
is($?, 0, 'a certificate') or diag $said;
my $d = $t->app('hostD', tls => [$cert, $key]);
my $dead = 'http://127.0.0.1:' . $t->port;
my %url = (A => $a->url, B => $b->url, C => $c->url, D => $d->url, X => $dead,
    V => 'ws://' . $a->address, W => 'wss://' . $d->address, U => 'unix:' . $a->socket . '|http://localhost');

# A balancer mounted at /NAME, its members as [LETTER, arguments]; X is nobody, U is hostA's socket.
# `set` is for ProxySet, `ours` the arguments of HABalancer, or undef to leave it to httpd.
sub balancer($name, $members, %opt)
{
    my @lines = map {qq(BalancerMember "$url{$_->[0]}" route=host$_->[0] $_->[1])} @$members;
    my @ours = exists $opt{ours} && !defined $opt{ours} ? () : "HABalancer $name " . ($opt{ours} // '');
    push @ours, "HACheck $name uri=/App/health interval=100ms" if $opt{check};
    return join "\n", qq(<Proxy "balancer://$name">), @lines,
        'ProxySet stickysession=zsessionid ' . ($opt{set} // ''), '</Proxy>', @ours,
        qq(ProxyPass "/$name" "balancer://$name/App"), '';
}

sub plain(@letters) { return [map {[$_, '']} @letters] }

my $config = join '', (
    balancer('round', plain(qw(A B C))),
    balancer('weights', [['A', 'loadfactor=6'], ['B', 'loadfactor=2'], ['C', '']]),
    balancer('least', plain(qw(A B C)), ours => 'method=least'),
    balancer('latency', plain(qw(A B C)), ours => 'method=latency'),
    balancer('client', plain(qw(A B C)), ours => 'method=hash'),
    balancer('path', plain(qw(A B C)), ours => 'method=hash hash-key=path'),
    balancer('pathstandby', [['A', ''], ['B', 'status=+H'], ['C', 'lbset=1']],
        ours => 'method=hash hash-key=path'),
    balancer('sets', [['A', ''], ['B', ''], ['C', 'lbset=1']]),
    balancer('nextset', [['X', ''], ['B', 'lbset=1'], ['C', 'lbset=1']], check => 1),
    balancer('standby', [['A', ''], ['B', ''], ['C', 'status=+H']]),
    balancer('onlystandby', [['X', ''], ['C', 'status=+H']], check => 1),
    balancer('disabled', [['A', ''], ['B', ''], ['C', 'status=+D']]),
    balancer('drain', [['A', ''], ['B', ''], ['C', 'status=+N']]),
    balancer('spare', [['A', ''], ['B', ''], ['C', 'status=+R']]),
    balancer('usedspare', [['X', ''], ['B', ''], ['C', 'status=+R']], check => 1),
    balancer('stock', plain(qw(A B)), ours => undef),
    balancer('lbmethod', [['A', 'loadfactor=2'], ['B', '']], ours => undef, set => 'lbmethod=ha'),
    balancer('tls', plain('D'), check => 1),
    balancer('ws', plain('W', 'V'), check => 1),
    balancer('unix', plain('U'), check => 1),
    balancer('mixed', plain(qw(B D U)), check => 1),
    balancer('max', plain(qw(A B)), ours => 'max=5'),
    balancer('queue', plain(qw(A B)), ours => 'max=1 queue=2 queue-timeout=400ms'),
    balancer('noretries', plain(qw(X A)), ours => 'retries=0'),
    balancer('nobudget', plain(qw(X A)), ours => 'retry-budget=0'),
    balancer('retries', plain(qw(X A)), ours => ''),
);
my @modules = qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests ssl
    socache_shmcb headers);
my $tls = <<~'END';
    SSLSessionCache "shmcb:@ROOT@/run/tls(512000)"
    SSLProxyEngine On
    SSLProxyCheckPeerName Off
    END
my $proxy = $t->httpd(modules => \@modules, haproxy => 1, config => "$tls$config");
$t->expect_log(qr/AH(?:00957|01114|01167)/);

# A request of the session, by its route.
sub to($route)
{
    return (headers => {Cookie => "zsessionid=session1.host$route"});
}

subtest 'method=round takes turns by weight' => sub {
    is(spread($t, '/round/plain', 30), 'hostA:10 hostB:10 hostC:10', 'even weights share evenly');
    is(spread($t, '/weights/plain', 45), 'hostA:30 hostB:10 hostC:5', 'loadfactor is respected');
    my $load = $t->load(path => '/round/plain', rate => 600, count => 300, workers => 2)->wait;
    is_deeply($load->{instances}, {hostA => 100, hostB => 100, hostC => 100}, 'by all children together');
};

subtest 'method=least spares who is busy' => sub {
    my $both = spread($t, '/least/plain', 60);
    like($both, qr/^hostA:\d+ hostB:\d+ hostC:\d+$/, 'everybody is idle: all get some');
    $a->hang;
    my @clients = map {$t->client(cookies => 0)} 1 .. 3;
    $_->send($_->format_request(GET => '/least/plain', to('A'))) for @clients;
    $t->wait_for(sub { $a->count->{hanging} == 3 });
    like(spread($t, '/least/plain', 60), qr/^hostB:\d+ hostC:\d+$/, 'three wait at one: it gets none');
    $a->release;
    $_->read_response for @clients;
    like(spread($t, '/least/plain', 60), qr/^hostA:\d+ hostB:\d+ hostC:\d+$/, 'it gets some again');
};

subtest 'method=latency prefers who answers fast, and looks again at who did not' => sub {
    $a->slow(100);
    spread($t, '/latency/plain', 15);
    my ($slow) = spread($t, '/latency/plain', 100) =~ /hostA:(\d+)/;
    cmp_ok($slow // 0, '<=', 3, 'a slow member gets next to nothing');
    $a->slow(0);
    ok($t->wait_for(sub { (spread($t, '/latency/plain', 30) =~ /hostA:(\d+)/ && $1) >= 5 }, 15),
        'once it is fast it gets its share');
};

subtest 'method=hash keeps a key on its member' => sub {
    like(spread($t, '/client/plain', 20), qr/^host[ABC]:20$/, 'one client, one member');
    my %of;
    for my $n (1 .. 60) {
        my $who = spread($t, "/path/x$n", 1);
        $of{$who} //= $n;
        is(spread($t, "/path/x$n", 2), $who =~ s/:1/:2/r, "path $n stays") if $n <= 5;
    }
    is(join(' ', sort keys %of), 'hostA:1 hostB:1 hostC:1', 'the paths are spread over all');
    my %seen = map {spread($t, "/pathstandby/x$_", 1) => 1} 1 .. 30;
    is(join(' ', sort keys %seen), 'hostA:1', 'but neither to a standby nor to another set');
};

subtest 'sets, standbys and spares take part when they are needed' => sub {
    is(spread($t, '/sets/plain', 10), 'hostA:5 hostB:5', 'a later set gets nothing');
    is(spread($t, '/standby/plain', 10), 'hostA:5 hostB:5', 'nor does a standby');
    is(spread($t, '/spare/plain', 10), 'hostA:5 hostB:5', 'nor a spare');
    $t->wait_for(qr/$_: member hostX: \w+ -> down, connect refused/) for qw(nextset onlystandby usedspare);
    is(spread($t, '/onlystandby/plain', 10), 'hostC:10', 'the standby takes over from a dead one');
    my $half = 'hostB:5 hostC:5';
    # Each child takes note with its next request.
    ok($t->wait_for(sub { spread($t, '/nextset/plain', 10) eq $half }), 'so does the next set');
    ok($t->wait_for(sub { spread($t, '/usedspare/plain', 10) eq $half }), 'and a spare');
    is(spread($t, '/standby/plain', 4, to('C')), 'hostC:4', 'a session on a standby stays there');
};

subtest 'a disabled member gets nothing, one that drains keeps its sessions' => sub {
    is(spread($t, '/disabled/plain', 10), 'hostA:5 hostB:5', 'status=+D: no new sessions');
    unlike(spread($t, '/disabled/plain', 10, to('C')), qr/hostC/, 'status=+D: nor its old ones');
    is(spread($t, '/drain/plain', 10), 'hostA:5 hostB:5', 'status=+N: no new sessions');
    is(spread($t, '/drain/plain', 10, to('C')), 'hostC:10', 'status=+N: but its old ones');
};

subtest 'a balancer without HABalancer is left to mod_proxy_balancer' => sub {
    is(spread($t, '/stock/plain', 10), 'hostA:5 hostB:5', 'evenly');
    is(spread($t, '/stock/plain', 6, to('B')), 'hostB:6', 'with sessions');
    my $health = $proxy->log->count(qr/stock: /);
    is($health, 0, 'we say nothing of it');
};

subtest 'lbmethod=ha takes turns for mod_proxy_balancer' => sub {
    is(spread($t, '/lbmethod/plain', 12), 'hostA:8 hostB:4', 'by loadfactor');
    is(spread($t, '/lbmethod/plain', 6, to('B')), 'hostB:6', 'with sessions');
};

subtest 'members speak http, https, WebSocket and through Unix-domain sockets' => sub {
    ok($t->wait_for(qr/$_/), "checked: $_")
        for 'tls: member hostD: unknown -> up, status 200',
        'unix: member hostU: unknown -> up, status 200',
        'ws: member hostV: unknown -> up, status 200',
        'ws: member hostW: unknown -> up, status 200';
    is(spread($t, '/tls/plain', 4), 'hostD:4', 'https');
    is(spread($t, '/unix/plain', 4), 'hostA:4', 'unix');
    is(spread($t, '/mixed/plain', 12), 'hostA:4 hostB:4 hostD:4', 'all in one balancer');
    is($t->client->get('/tls/bytes?n=300000')->body, HA::Client::content(300_000), 'a body over https');
    is($t->client->get('/unix/bytes?n=300000')->body, HA::Client::content(300_000), 'and over unix');
    my $host = ($t->client->get('/unix/echo')->body =~ /^Host: (\S+)/mi)[0];
    is($host, 'localhost', 'the Host is that of the URL behind the socket');
};

subtest 'max= bounds what a member has in flight' => sub {
    $_->barrier_hold for $a, $b;
    my $load = $t->load(path => '/max/plain', rate => 5000, count => 10);
    $_->barrier_wait(5) for $a, $b;
    pass('five each are in flight');
    my $begin = time;
    is(spread($t, '/max/plain', 1), 'status503:1', 'one more is refused');
    cmp_ok(time - $begin, '<', 1, 'at once');
    $t->expect_log(qr/max: no member for \S+: every member that could be used is at its max/);
    ok($t->wait_for(qr/max: no member for .*is at its max/), 'and the log says why');
    $_->barrier_open for $a, $b;
    is($load->wait->{ok}, 10, 'the ten are answered');
    is(spread($t, '/max/plain', 4), 'hostA:2 hostB:2', 'and there is room again');
};

subtest 'nobody is refused while there is room, however many come at once' => sub {
    my %by;
    for (1 .. 20) {
        $_->barrier_hold for $a, $b;
        my $load = $t->load(path => '/max/plain', rate => 50_000, count => 10, ok => qr/./);
        $t->wait_for(sub { $load->progress + $a->count->{held} + $b->count->{held} >= 10 });
        $_->barrier_open for $a, $b;
        my $status = $load->wait->{status};
        $by{$_} += $status->{$_} for keys %$status;
    }
    is_deeply(\%by, {200 => 200}, 'ten at a time find the ten places');
};

subtest 'queue= lets requests wait for room' => sub {
    $t->expect_log(qr/queue: no member for \S+: every member that could be used is at its max/);
    $_->barrier_hold for $a, $b;
    my $load = $t->load(path => '/queue/plain', rate => 5000, count => 2);
    $_->barrier_wait(1) for $a, $b;
    my @waiting = map {$t->client(cookies => 0)} 1 .. 2;
    my $begin = time;
    $_->send($_->format_request(GET => '/queue/plain')) for @waiting;
    my $said = join ' ', map {$_->read_response->status} @waiting;
    is($said, '503 503', 'queue-timeout= ends the waiting');
    cmp_ok(time - $begin, '>=', 0.35, 'not before its time');
    cmp_ok(time - $begin, '<', 2, 'nor long after');

    # Time for the test to do its part, within the queue's.
    $_->send($_->format_request(GET => '/queue/plain')) for @waiting;
    $_->barrier_open for $a, $b;
    $said = join ' ', map {$_->read_response->status} @waiting;
    is($said, '200 200', 'those who wait are served when there is room');
    is($load->wait->{ok}, 2, 'as are those before them');
};

subtest 'a full queue refuses at once' => sub {
    $_->barrier_hold for $a, $b;
    my $load = $t->load(path => '/queue/plain', rate => 5000, count => 2);
    $_->barrier_wait(1) for $a, $b;
    my $more = $t->load(path => '/queue/plain', rate => 5000, count => 20, ok => qr/^503/)->wait;
    is($more->{status}{503}, 20, 'nobody is served');
    my $p50 = $more->{p50_ms};
    cmp_ok($p50, '<', 300, 'most did not wait');
    cmp_ok($more->{max_ms}, '>=', 350, 'two did');
    $_->barrier_open for $a, $b;
    is($load->wait->{ok}, 2, 'the others are answered');
};

subtest 'a request that finds nobody is tried elsewhere, as often as allowed' => sub {
    is(spread($t, '/retries/plain', 6), 'hostA:6', 'no client sees it');
    is(spread($t, '/noretries/plain', 6), 'hostA:5 status503:1', 'retries=0: one does');
    is(spread($t, '/nobudget/plain', 6), 'hostA:5 status503:1', 'retry-budget=0: one does');
    ok($t->wait_for(qr/$_: member hostX: unknown, now suspect, no connection$/), "$_: suspect")
        for qw(retries noretries nobudget);
    ok($t->wait_for(qr/nobudget: not tried again, the retry budget is used up/), 'the log says why');
};

subtest 'BALANCER_* are those of mod_proxy_balancer' => sub {
    my @names = map {"BALANCER_$_"} qw(NAME WORKER_NAME WORKER_ROUTE SESSION_STICKY SESSION_ROUTE
        ROUTE_CHANGED);
    my $header = 'Header always set X-Vars "' . join(' ', map {"$_=%{$_}e"} @names) . qq("\n);
    $t->expect_log(qr/AH00959: ap_proxy_connect_backend disabling worker/);
    my @servers = map {
        my $members = balancer('Vars', plain(qw(X A)), ours => $_, set => 'stickysession=zsessionid|zsid');
        $t->httpd(
            modules => [grep {!/ssl|socache/} @modules],
            haproxy => 1,
            config => "$header$members"
        );
    } undef, '';
    my @cases = (
        ['failover', '/Vars/plain', to('X')],
        ['no session', '/Vars/plain'],
        ['a session', '/Vars/plain', to('A')],
        ['a session in the path', '/Vars/plain;zsid=session1.hostA'],
        ['an unknown route', '/Vars/plain', to('Z')],
        ['a session without a route', '/Vars/plain', headers => {Cookie => 'zsessionid=session1'}],
    );
    for my $case (@cases) {
        my ($name, $path, @more) = @$case;
        my ($theirs, $ours) =
            map {$t->client(port => $_->port, cookies => 0)->get($path, @more)->header('X-Vars')} @servers;
        is($ours, $theirs, $name);
    }
    $_->stop for @servers;
};

$t->done;
