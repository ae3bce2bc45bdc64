# SPDX-License-Identifier: Apache-2.0
# What was done to proxies before, on the standard path with this module: clients that choose the
# backend, strip or inject headers, steer with forged cookies, and a child that turns on its
# parent.
use v5.36;

use HA::Manager;
use HA::Test;

my $t = HA::Test->new;
my %app = map {$_ => $t->app($_)} qw(hostA hostB);
# Nobody may be led here.
my $canary = $t->app('canary', unix => 1);
my $proxy = $t->httpd(
    haproxy => 1,
    ports => 2,
    log_level => 'info haproxy:debug',
    modules => [qw(proxy proxy_http proxy_balancer slotmem_shm lbmethod_byrequests)],
    config => <<~"END",
        <Proxy "balancer://App">
            BalancerMember "${\$app{hostA}->url}" route=hostA
            BalancerMember "${\$app{hostB}->url}" route=hostB
            ProxySet stickysession=zsessionid
        </Proxy>
        <Proxy "balancer://Own">
            BalancerMember "${\$app{hostA}->url}" route=hostA
            BalancerMember "${\$app{hostB}->url}" route=hostB
        </Proxy>
        <Proxy "balancer://Stock">
            BalancerMember "${\$canary->url}" route=hostB
            ProxySet stickysession=stockid
        </Proxy>
        ProxyPass "/App/own" "balancer://Own/App"
        ProxyPass "/App"     "balancer://App/App"
        <VirtualHost *:\@PORT2\@>
            ProxyPass "/Stock" "balancer://Stock/App"
        </VirtualHost>
        HABalancer App
        HACheck    App uri=/App/health interval=200ms timeout=150ms rise=1 fall=1
        HABalancer Own affinity=insert
        HAStateFile state
        LogFormat "%>s [%{BALANCER_SESSION_ROUTE}e] [%{BALANCER_WORKER_ROUTE}e]" routes
        CustomLog "\@ROOT\@/logs/access.log" routes
        <Location "/manager">
            SetHandler balancer-manager
        </Location>
        END
);
my $log = $proxy->log;
my $access = HA::Log->new($proxy->root . '/logs/access.log');

sub get($path, @headers)
{
    my $client = $t->client(cookies => 0, keep_alive => 0, timeout => 5);
    return $client->get($path, headers => \@headers);
}

sub with_cookie($value, $path = '/App/plain')
{
    return get($path, Cookie => $value);
}

sub operators
{
    return $log->count(qr/by an operator/);
}

$t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);

# CVE-2022-31813
subtest 'Connection cannot strip what the proxy adds' => sub {
    my @names = qw(X-Forwarded-For X-Forwarded-Host X-Forwarded-Server);
    my $head = get('/App/echo', Connection => join ', ', 'close', @names)->body;
    like($head, qr/^\Q$_\E: \S/mi, "$_ arrives") for @names;
    $head = get('/App/echo', Connection => 'close, Cookie', Cookie => 'zsessionid=s1.hostA')->body;
    unlike($head, qr/^Cookie:/mi, 'what the client adds it may strip');
};

# CVE-2011-3368, CVE-2011-4317, CVE-2021-40438
subtest 'no target leads to a backend that is not a member' => sub {
    my ($at, $unix) = ($canary->address, 'unix:' . $canary->socket);
    my @targets = (
        "\@$at/App/plain", ":\@$at/App/plain", "/App\@$at/App/plain", "/App/\@$at/plain",
        "/App:80\@$at/plain", "/App/plain\@$at", "http://$at/App/plain", "http://x\@$at/App/plain",
        "//$at/App/plain", "/App/$unix|http://x/plain", "/App/plain?$unix|http://$at/App/plain",
        "$unix|http://$at/App/plain", '/App/plain?unix:' . 'A' x 5000 . "|http://$at/App/plain",
        'balancer://Stock/App/plain', "/App/plain;zsessionid=s1.\@$at", "/App/%40$at/plain",
        "/App/plain%00\@$at", "/App/plain%0d%0aHost:%20$at", "/App/../\@$at/App/plain",
    );
    my %seen;
    for my $target (@targets) {
        my $r = get($target);
        $seen{$r->status}++;
        my $answer = $r->instance // $r->status;
        like($answer, qr/^(?:hostA|hostB|4\d\d)$/, substr "$answer: $target", 0, 70);
    }
    is(scalar($canary->ledger), 0, 'nobody got there');
    $t->expect_log(qr/AH(?:10244|00127|00026|10508|10410|01144|00126|10411)/);
};

# CVE-2015-3183, CVE-2016-8743, CVE-2022-36760
subtest 'no request is smuggled in the body of another one' => sub {
    my $inner = "GET /App/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    my $chunked = "0\r\n\r\n$inner";
    my $n = length $chunked;
    my %fields = (
        'a length and chunks' => "Content-Length: $n\r\nTransfer-Encoding: chunked",
        'two lengths' => "Content-Length: $n\r\nContent-Length: 0",
        'a blank before the colon' => "Content-Length : 0\r\nContent-Length: $n",
        'an unknown coding' => "Transfer-Encoding: xchunked\r\nContent-Length: $n",
        'a coding twice' => "Transfer-Encoding: chunked, chunked\r\nContent-Length: $n",
        'a folded coding' => "Transfer-Encoding:\r\n chunked\r\nContent-Length: $n",
        'a tab in the coding' => "Transfer-Encoding: \x0bchunked\r\nContent-Length: $n",
        'a sign in the length' => "Content-Length: +$n",
        'a bare carriage return' => "X: y\rTransfer-Encoding: chunked\r\nContent-Length: $n",
    );
    $t->expect_log(qr{AH0(?:1093|1587|1586|2420|0567|0561|0560|3506|1085|1086|1588|1592|2425)});
    $_->ledger_clear for values %app;
    for my $name (sort keys %fields) {
        my $client = $t->client(cookies => 0, timeout => 2);
        my $head = "POST /App/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        $client->send("$head$fields{$name}\r\n\r\n$chunked");
        my $status = $client->read_response('POST')->status;
        my $smuggled = grep {$_->{path} =~ m{smuggled}} map {$_->ledger} values %app;
        is($smuggled, 0, "$name: $status");
    }
    is($_->count->{malformed}, 0, 'nothing malformed reached ' . $_->name) for values %app;
};

# CVE-2012-3502
subtest 'what is left of one answer never becomes part of another' => sub {
    $t->expect_log(qr{AH(?:01102|01110|01106|01109|10404)});
    my @to_a = (Cookie => 'zsessionid=s1.hostA');
    for my $where (qw(head body)) {
        $app{hostA}->reset($where, 1);
        my $cut = get('/App/bytes?n=100000', @to_a);
        ok($cut->error || $cut->status == 502, "cut in its $where");
        is(get('/App/plain', @to_a)->body, "hostA\n", 'the next one is whole') for 1 .. 3;
    }
};

# CVE-2013-5704
subtest 'trailers stay trailers' => sub {
    my $client = $t->client(cookies => 0);
    $client->send("POST /App/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        . "Trailer: X-Forwarded-For, Cookie\r\n\r\n1\r\na\r\n0\r\n"
        . "X-Forwarded-For: 6.6.6.6\r\nCookie: zsessionid=s1.hostB\r\n\r\n");
    my $head = $client->read_response('POST')->body;
    unlike($head, qr{6\.6\.6\.6|hostB}, 'they replace no header');
};

# CVE-2012-4558 and what an operator's page may do at all
subtest 'the balancer-manager changes nothing but what it is meant to' => sub {
    my $manager = HA::Manager->new(port => $proxy->port);
    my $worker = $app{hostA}->url;
    my $before = operators();
    $t->expect_log(qr/AH10187/);
    my $nonce = $manager->nonce('App');
    my $form = "b=app&w=$worker&w_status_D=1";
    my @type = ('Content-Type' => 'application/x-www-form-urlencoded');
    my $client = $t->client(cookies => 0);
    $manager->request(POST => '', body => $form, headers => \@type);
    $manager->request(POST => '', body => "$form&nonce=1234", headers => \@type);
    $client->post('/manager', "$form&nonce=$nonce", headers => \@type);
    $client->post('/manager', "$form&nonce=$nonce",
        headers => [@type, Referer => 'http://elsewhere.example/manager']);
    $manager->post('App', $worker, w_status_X => 1, w_status_N => 'x');
    $manager->post('App', $worker, w_wr => "hostB\r\nX: y", w_rr => '<script>', w_lf => -5);
    my $shown = $manager->request(GET => "?b=app&w=$worker&nonce=%22%3E%3Cscript%3E")->body;
    unlike($shown, qr/<script>/, 'nothing is shown as it came');

    # What is taken over is taken over four times a second: a real order shows that it was.
    $manager->tell('App', $app{hostB}->url, 'standby');
    $t->wait_for(qr/App: member hostB: enabled -> standby, by an operator/);
    is(operators(), $before + 1, 'without nonce or Referer, or with unknown flags: no order');
    is(with_cookie('zsessionid=s1.hostA')->instance, 'hostA', 'a member keeps its name');
    $manager->tell('App', $app{hostB}->url, 'standby', 0);
    $t->wait_for(qr/App: member hostB: standby -> enabled, by an operator/);
};

subtest 'cookies of others are nothing to this balancer' => sub {
    my @foreign = (
        'xzsessionid=s1.hostB', 'zsessionidx=s1.hostB', 'stockid=s1.hostB', 'ZSESSIONID=s1.hostB',
        'a=zsessionid=s1.hostB', 'HAROUTE=s1.hostB',
    );
    for my $cookie (@foreign) {
        my $spread = spread($t, '/App/plain', 10, headers => [Cookie => $cookie]);
        # Bound to neither; how evenly they share is told in 20-balance.
        like($spread, qr/^hostA:\d hostB:\d$/, $cookie);
        my @both = (Cookie => "$cookie; zsessionid=s2.hostA");
        $spread = spread($t, '/App/plain', 4, headers => \@both);
        is($spread, 'hostA:4', "$cookie beside our own");
    }
    # A cookie of our name, whose route is not hostB but hostB": a session without a member.
    my %met = map {spread($t, '/App/plain', 4, headers => [Cookie => qq(a="; zsessionid=$_.hostB")]) => 1} 1 .. 12;
    is(join(' ', sort keys %met), 'hostA:4 hostB:4', 'half a quote is no route, the session goes by its id');
};

my @forged = (
    "s1.hostA\x01", "s1.hostA\tX", 's1.hostA%0d%0aSet-Cookie:%20evil=1', 's1.host"A', 's1.<script>',
    's1.' . 'A' x 4000, 's1."hostA"', 's1.hostA,evil=1', "s1.host\x7fA", "s1.\xff\xfe", 's1..', '.',
    's1.hostA evil', 's1\\.hostA', '%s%n%x.%s%n',
);

sub judge($r, $name)
{
    my @fields = grep {/^evil|^X:/i} @{$r->fields};
    is(join('', @fields), '', "$name: no field of theirs");
    my $cookies = join '|', $r->headers('Set-Cookie');
    unlike($cookies, qr/[\x00-\x1f\x7f-\xff<>"]|evil|script|domain/i, "$name: no cookie of theirs");
    return;
}

subtest 'a forged cookie comes back neither in headers nor in logs' => sub {
    for my $path ('/App/plain', '/App/own/plain') {
        my $cookie = $path =~ /own/ ? 'HAROUTE' : 'zsessionid';
        for my $i (0 .. $#forged) {
            judge(with_cookie("$cookie=$forged[$i]", $path), "$path, forged $i");
        }
    }
    is(with_cookie('HAROUTE=x.hostA', '/App/own/plain')->instance, 'hostA', 'good ones still work');
    my $line = qr/^\d+ \[[\x20-\x7e]*\] \[(?:hostA|hostB|-)\]$/;
    is(scalar(grep {!/$line/} @{$access->lines}), 0, 'the access log has a line a request');
    is($log->count(qr/[\x00-\x08\x0b-\x1f\x7f-\xff]|script|%n/), 0, 'the error log is clean');
};

subtest 'nor when its session has to move' => sub {
    $t->expect_log(qr/AH00957|AH01114|AH01102/);
    $t->kill('hostA');
    $t->wait_for(qr/App: member hostA: up -> down/);
    my @moving = (
        's1; Domain=evil.example', 'ev"il', "s\x01", 's;Path=/evil', 's%0d%0aX:%20y', '<script>',
        "s\xff", 'evil=1',
    );
    my $value = qr{[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*};
    for my $i (0 .. $#moving) {
        my $r = with_cookie("zsessionid=$moving[$i].hostA");
        ok($r->status != 500, "moving $i: answered @{[$r->status]}");
        my ($set) = $r->headers('Set-Cookie');
        next if !defined $set;
        like($set, qr{^zsessionid=$value\.hostB; Path=/App; HttpOnly$}i,
            "moving $i: a well-formed cookie");
    }
    my $secret = 'id4711secret';
    is(with_cookie("zsessionid=$secret.hostA")->instance, 'hostB', 'a good session moves');
    is($log->count(qr/$secret/), 0, 'no session is named in the error log');
    $t->start('hostA');
    $t->wait_for(qr/App: member hostA: down -> up/);
};

# The shared memory as a file, through a child that has it open.
sub memory
{
    my ($child) = $proxy->children;
    my ($fd) = grep {(readlink // '') =~ m{^/memfd:mod_haproxy}} glob "/proc/$child/fd/*";
    open(my $memory, '+<:raw', $fd // '') or return undef;
    return $memory;
}

sub scribble($memory, $byte)
{
    my $left = -s $memory;
    sysseek($memory, 0, 0);
    while ($left > 0) {
        my $n = $left < 65536 ? $left : 65536;
        $left -= syswrite $memory, join '', map {chr $byte->()} 1 .. $n;
    }
    return;
}

# CVE-2019-0211
subtest 'whatever a child writes to shared memory, the parent lives' => sub {
    plan skip_all => 'may not open the memory of a child' if !memory();
    my %fill = (
        '0xff' => sub { 0xff },
        '0x01' => sub { 0x01 },
        '0x7f' => sub { 0x7f },
        'random bytes' => sub { int rand 256 },
        'other random bytes' => sub { int rand 256 },
        'zeros' => sub { 0 },
    );
    # What the members are thought to be is anybody's guess meanwhile, and children may die of it.
    $t->expect_log(qr/no member for|retry budget|no room to share|child pid \d+ exit signal/);
    srand 4711;
    for my $name (sort keys %fill) {
        my $parent = $proxy->pid;
        my $memory = memory();
        scribble($memory, $fill{$name});
        get('/App/plain') for 1 .. 5;
        $proxy->graceful;
        ok($proxy->running, "$name: the parent lives on over a graceful restart");
        $t->wait_for(sub { spread($t, '/App/plain', 10) eq 'hostA:5 hostB:5' });
        pass("$name: and the members are found again");
        scribble($memory, $fill{$name});
        $proxy->stop;
        $t->mark;
        $proxy->start;
        ok($t->wait_for(qr/HAStateFile \S+: 4 members' states are back/),
            "$name: the state file is a good one");
    }
    is($log->count(qr/set aside/), 0, 'none was damaged');
};

$t->done;
