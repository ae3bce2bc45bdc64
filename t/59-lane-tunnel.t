# SPDX-License-Identifier: Apache-2.0
# Tunnels through the lane: all bytes pass, both ways, until each side has ended, and no more is held
# than has room. They hold no threads, count as requests in flight, and outlive a graceful restart.
use v5.36;

use Digest::SHA qw(sha256_hex);
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

use HA::Test;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
# A member that this test plays itself, to end as it likes.
my $own = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, Timeout => 10) or die "listen: $!\n";
my $own_url = 'http://127.0.0.1:' . $own->sockport;

sub balancer($name, $options, @members)
{
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        @{[join "\n", map {"BalancerMember $_"} @members]}
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer $name $options
        CONFIG
}

my $config = join '', <<~'CONFIG',
        LogFormat "%U %>s %b %I %O %X" sizes
        CustomLog "@ROOT@/logs/access.log" sizes
        HALane On
        CONFIG
    balancer(App => 'method=least', map {$_->url . ' route=' . $_->name . ' upgrade=ANY'} $a, $b),
    balancer(Own => '', "$own_url route=hostW upgrade=ANY"),
    balancer(Two => '', "$own_url route=hostW upgrade=ANY", $b->url . ' route=hostB upgrade=ANY'),
    balancer(Mixed => '', "$own_url route=hostW upgrade=websocket", $b->url . ' route=hostB'),
    balancer(Short => '', "$own_url route=hostW upgrade=ANY timeout=1"),
    balancer(Long => '', "$own_url route=hostW upgrade=ANY timeout=3"),
    map({qq(ProxyPass "/$_" "balancer://$_/App"\n)} qw(App Own Two Mixed)),
    qq(ProxyPassReverse "/@{['longer' x 200]}" "/short"\n);
my @server = (
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    mpm_config => <<~'CONFIG',
        StartServers 1
        ServerLimit 4
        ThreadsPerChild 25
        MaxRequestWorkers 25
        MinSpareThreads 1
        MaxSpareThreads 100
        CONFIG
);
my $proxy = $t->httpd(@server, name => 'proxy', ports => 3, config => $config . <<~'CONFIG');
    <VirtualHost *:@PORT2@>
    Timeout 1
    ProxyPass "/Short" "balancer://Short/App"
    ProxyPass "/Long" "balancer://Long/App"
    </VirtualHost>
    <VirtualHost *:@PORT3@>
    Timeout 3
    ProxyPass "/Short" "balancer://Short/App"
    </VirtualHost>
    CONFIG
my $access_log = HA::Log->new($proxy->root . '/logs/access.log');

# --- both ends of a tunnel ------------------------------------------------------------------------

my @upgrade = (Upgrade => 'websocket', Connection => 'Upgrade');
my $switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

# A client that has asked for a tunnel, with these bytes right behind its head.
sub ask($path, $early = '', %opt)
{
    my $client = $t->client(port => $opt{port} // $proxy->port, cookies => 0);
    my @cookie = $opt{route} ? (Cookie => "zsessionid=s.$opt{route}") : ();
    my $bytes = $client->format_request($opt{method} // 'GET', $path, headers => [@upgrade, @cookie]);
    $client->send($bytes . $early);
    $client->{asked} = length $bytes;
    return $client;
}

# The member's end of the next connection with a request, whose head has been read.
sub member_end
{
    while (my $socket = $own->accept) {
        $socket->blocking(0);
        my $end = HA::Client->new(socket => $socket);
        my $head = '';
        while ($head !~ /\r\n\r\n/ && (my $more = $end->read_raw) ne '') {
            $head .= $more;
        }
        $end->{head} = $head;
        # A connection without a request is a probe.
        return $end if $head ne '';
    }
    die "no request has come\n";
}

# Both ends of an open tunnel.
sub tunnel($path, %opt)
{
    my $client = ask($path, '', %opt);
    my $member = member_end();
    $member->send($switch);
    my $answer = $client->read_response;
    die "no tunnel: " . $answer->status . "\n" if $answer->status != 101;
    return ($client, $member);
}

# The next n bytes of an end.
sub bytes($end, $n)
{
    my $bytes = '';
    while (length $bytes < $n && (my $more = $end->read_raw) ne '') {
        $bytes .= $more;
    }
    return $bytes;
}

# All that still comes, and how it ends when not in order.
sub rest($end)
{
    delete $end->{error};
    my $bytes = $end->read_raw(all => 1);
    return $bytes . ($end->{error} ? "!$end->{error}" : '');
}

sub finish($end)
{
    shutdown $end->socket, 1;
    return;
}

sub reset_end($end)
{
    setsockopt $end->socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
    $end->close;
    return;
}

sub is_echoed($client, $bytes, $name)
{
    $client->send($bytes);
    return is(bytes($client, length $bytes), $bytes, $name);
}

# The next line of the access log about that path.
sub logged($path)
{
    return $t->wait_for(sub { $access_log->take(qr{^$path }) });
}

# --- what passes ----------------------------------------------------------------------------------

subtest 'bytes pass both ways' => sub {
    my $client = ask('/App/upgrade', 'early ');
    my $answer = $client->read_response;
    is($answer->status . ' ' . $answer->header('Upgrade') . ' ' . $answer->header('Connection'), '101 websocket Upgrade', 'granted');
    $client->send('and late');
    is(bytes($client, 14), 'early and late', 'bytes from before the answer and behind it');
    my $long = HA::Client::content(1_000_000);
    is_echoed($client, $long, 'a million of them');
    finish($client);
    is(rest($client), "end 1000014\n", 'and the end');
    like(logged('/App/upgrade'), qr{^/App/upgrade 101 1000026 @{[$client->{asked} + 1_000_014]} (?:10001|10002)\d\d -$}, 'in the log');
};

subtest 'what is behind the head waits for the answer' => sub {
    my $client = ask('/Own/x', 'early');
    my $member = member_end();
    like($member->{head}, qr/^GET \/App\/x .*\r\n\r\n$/s, 'the head alone');
    ok(!IO::Select->new($member->socket)->can_read(0.1), 'and nothing more');
    $member->send($switch . 'first');
    is($client->read_response->status, 101, 'the answer');
    is(bytes($member, 5), 'early', 'then it comes');
    is(bytes($client, 5), 'first', 'and what came behind the answer');
    $_->close for $client, $member;
    logged('/Own/x');

    $client = ask('/Own/x', "GET /Own/y HTTP/1.1\r\nHost: behind\r\n\r\n");
    $member = member_end();
    $member->send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    is($client->read_response->status, 403, 'without a tunnel');
    my $again = $member->read_raw;
    like($again, qr/^GET \/App\/y .*X-Forwarded-Host: behind\r\n/s, 'it is the next request');
    $member->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    is($client->read_response->body, 'ok', 'which is answered');
};

subtest 'each side ends by itself' => sub {
    my $long = HA::Client::content(3_000_000);
    for my $way ('the client', 'the member') {
        my ($client, $member) = tunnel('/Own/half');
        my ($first, $second) = $way eq 'the client' ? ($client, $member) : ($member, $client);
        $first->send('last words');
        finish($first);
        is(rest($second), 'last words', "$way ends: the other one hears it");
        my $writer = $t->spawn("writer-$$-" . $second->socket->fileno, code => sub { $second->send($long); POSIX::_exit(0) });
        is(sha256_hex(bytes($first, length $long)), sha256_hex($long), 'and goes on');
        $t->wait_end($writer);
        finish($second);
        is(rest($first), '', 'until it ends too');
        like(logged('/Own/half'), qr/ -$/, 'logged as whole');
    }
    my ($client, $member) = tunnel('/Own/both');
    $_->send('bye') for $client, $member;
    finish($_) for $client, $member;
    is(rest($client) . rest($member), 'byebye', 'both at once');
    logged('/Own/both');
    my $early = ask('/Own/early', 'all');
    finish($early);
    $member = member_end();
    $member->send($switch . 'answer');
    is(rest($member), 'all', 'an end before the answer');
    $member->close;
    like(rest($early), qr/^HTTP\/1.1 101 .*answer$/s, 'which comes all the same');
    logged('/Own/early');
};

subtest 'a loss is no end' => sub {
    my ($client, $member) = tunnel('/Own/reset');
    $member->send('x');
    is(bytes($client, 1), 'x', 'a byte');
    reset_end($member);
    is(rest($client), '!read: Connection reset by peer', 'the client sees it');
    like(logged('/Own/reset'), qr/ X$/, 'and so does the log');
    ($client, $member) = tunnel('/Own/reset');
    reset_end($client);
    is(rest($member), '!read: Connection reset by peer', 'the member too');
    like(logged('/Own/reset'), qr/ X$/, 'and the log');
    ($client, $member) = tunnel('/Own/reset');
    finish($client);
    is(rest($member), '', 'an end of the client');
    reset_end($client);
    logged('/Own/reset');
    ok(!$member->send('x'), 'and a loss behind it is one of the member too');
    ($client, $member) = tunnel('/Own/reset');
    $member->send('all');
    finish($member);
    is(rest($client), 'all', 'an end of the member');
    reset_end($member);
    logged('/Own/reset');
    is(rest($client), '', 'that is lost then has said all');
    is(scalar(grep {/suspect|failed/} @{$proxy->log->lines}), 0, 'no member is blamed');
};

# --- how much is held -----------------------------------------------------------------------------

sub resident_kb
{
    my ($child) = $proxy->children;
    open(my $in, '<', "/proc/$child/status") or die "/proc/$child/status: $!\n";
    my ($kb) = map {/^VmRSS:\s+(\d+)/ ? $1 : ()} <$in>;
    return $kb;
}

my $most = 200_000_000;
my $block = HA::Client::content(1_048_560);

# Writes until nothing more is taken for half a second. How many bytes.
sub flood($end)
{
    my $sent = 0;
    while ($sent < $most && IO::Select->new($end->socket)->can_write(0.5)) {
        my $at = $sent % length $block;
        $sent += syswrite($end->socket, $block, length($block) - $at, $at) // 0;
    }
    return $sent;
}

subtest 'who does not read holds up the other one' => sub {
    for my $way ('to the member', 'to the client') {
        my ($client, $member) = tunnel('/Own/flood');
        my ($from, $to) = $way eq 'to the member' ? ($client, $member) : ($member, $client);
        my $before = resident_kb();
        my $sent = flood($from);
        cmp_ok($sent, '<', $most, "$way: held up after $sent bytes");
        cmp_ok(resident_kb() - $before, '<', 8000, 'without much memory');
        is($t->client(port => $proxy->port)->get('/App/plain')->status, 200, 'others are served');
        finish($from);
        my ($got, $good) = (0, 1);
        while ((my $more = $to->read_raw) ne '') {
            for (my $at = 0; $at < length $more;) {
                my $from_block = substr $block, $got % length $block, length($more) - $at;
                $good &&= substr($more, $at, length $from_block) eq $from_block;
                $at += length $from_block;
                $got += length $from_block;
            }
        }
        is($got, $sent, 'all of it comes in the end');
        ok($good, 'as it was');
        $_->close for $client, $member;
        logged('/Own/flood');
    }
};

subtest 'who is lost while he is waited for' => sub {
    for my $way ('the member', 'the client') {
        my ($client, $member) = tunnel('/Own/lost');
        my ($from, $to) = $way eq 'the member' ? ($client, $member) : ($member, $client);
        flood($from);
        reset_end($to);
        is(rest($from), '!read: Connection reset by peer', "$way: it is seen");
        like(logged('/Own/lost'), qr/ X$/, 'and logged');
    }
    is(scalar(grep {/suspect|failed/} @{$proxy->log->lines}), 0, 'no member is blamed');
};

# --- time -----------------------------------------------------------------------------------------

subtest 'a silent tunnel ends after the longer of both times' => sub {
    my ($short, $short_member) = tunnel('/Short/idle', port => $proxy->port(2));
    my ($long, $long_member) = tunnel('/Long/idle', port => $proxy->port(2));
    my ($patient, $patient_member) = tunnel('/Short/patient', port => $proxy->port(3));
    my $began = time;
    $_->send('x') for $short, $long_member;
    is(bytes($short_member, 1) . bytes($long, 1), 'xx', 'a byte');
    is(rest($short), '', 'Timeout and the time of the member');
    cmp_ok(time - $began, '>=', 1, 'not before');
    is(rest($short_member), '', 'for both');
    $began = time;
    $_->send('y') for $long, $patient_member;
    is(bytes($long_member, 1) . bytes($patient, 1), 'yy', 'the other ones are open');
    is(rest($long_member), '', 'the longer time of the member');
    cmp_ok(time - $began, '>=', 3, 'not before');
    is(rest($long), '', 'for both');
    is(rest($patient), '', 'the longer Timeout');
    cmp_ok(time - $began, '>=', 3, 'not before');
    is(rest($patient_member), '', 'for both');
};

# --- members --------------------------------------------------------------------------------------

subtest 'it counts as a request in flight' => sub {
    my $client = ask('/App/upgrade');
    my $has = $client->read_response->instance;
    my $other = $has eq 'hostA' ? 'hostB' : 'hostA';
    my $plain = $t->client(port => $proxy->port, cookies => 0);
    is(spread($plain, '/App/plain', 10), "$other:10", 'the member with less to do is chosen');
    finish($client);
    is(rest($client), "end 0\n", 'it ends');
    logged('/App/upgrade');
    ok($t->wait_for(sub { spread($plain, '/App/plain', 4) =~ /$has/ }), 'and is counted no more');
};

subtest 'another member' => sub {
    $t->expect_log(qr/(?:Two|Mixed|Own): member hostW (?:failed on|.*suspect)/, qr/member hostW: /, qr/Own: no member/);
    my $client = ask('/Two/upgrade', 'behind', route => 'hostW');
    my $member = member_end();
    like($member->{head}, qr/^Upgrade: websocket\r$/m, 'one that is asked');
    $member->close;
    my $answer = $client->read_response;
    is($answer->status . ' ' . $answer->instance, '101 hostB', 'ends without an answer: the next one');
    is(bytes($client, 6), 'behind', 'nothing is lost');
    $client->close;

    $client = ask('/Two/upgrade', '', route => 'hostW', method => 'POST');
    member_end()->close;
    is($client->read_response->status, 502, 'what must not be repeated is not');

    $client = ask('/Mixed/echo', '', route => 'hostW');
    $member = member_end();
    like($member->{head}, qr/^Upgrade: websocket\r$/m, 'one that may switch');
    $member->close;
    $answer = $client->read_response;
    is($answer->status . ' ' . $answer->instance, '200 hostB', 'and one that may not');
    unlike($answer->body, qr/upgrade/i, 'is not asked to');
};

subtest 'a head that is too long' => sub {
    for my $n (30, 60) {
        my $client = ask("/Own/long$n");
        my $member = member_end();
        # What they come to for the client is 1.2 KB each.
        $member->send(join "\r\n", 'HTTP/1.1 101 Switching', 'Upgrade: websocket', ('Location: /short') x $n, '', 'behind');
        my $answer = $client->read_response;
        is($answer->status, $n == 30 ? 101 : 502, "$n locations");
        is(bytes($client, 6), 'behind', 'a tunnel') if $n == 30;
        $_->close for $client, $member;
    }
};

# --- many -----------------------------------------------------------------------------------------

subtest '200 tunnels through 25 threads' => sub {
    my @children = $proxy->children;
    is(scalar @children, 1, 'of one child');
    my $before = resident_kb();
    my $load = $t->load(rate => 100, count => 200, path => '/App/plain');
    my @clients = map {ask('/App/upgrade', "hello $_")} 1 .. 200;
    is(scalar(grep {$_->read_response->status == 101} @clients), 200, 'all are open');
    is(scalar(grep {bytes($clients[$_ - 1], length "hello $_") eq "hello $_"} 1 .. 200), 200, 'with what was sent before');
    for my $round (1 .. 5) {
        $_->send("round $round") for @clients;
        is(scalar(grep {bytes($_, 7) eq "round $round"} @clients), 200, "round $round");
    }
    my $result = $load->wait;
    is("$result->{ok} good, $result->{failed} not", '200 good, 0 not', 'requests beside them are served');
    my $long = 'x' x 30_000;
    $_->send($long) for @clients;
    is(scalar(grep {bytes($_, length $long) eq $long} @clients), 200, 'all pass a block full');
    # A sanitizer keeps what is freed.
    cmp_ok(resident_kb() - $before, '<', 8000, 'and keep none') if !HA::Test::sanitizers();
    finish($_) for @clients;
    is(scalar(grep {rest($_) =~ /^end \d+\n$/} @clients), 200, 'and all end');
};

# --- the end of a child ---------------------------------------------------------------------------

subtest 'a graceful restart' => sub {
    my $client = ask('/App/upgrade');
    is($client->read_response->status, 101, 'a tunnel');
    $proxy->graceful;
    is($t->client(port => $proxy->port)->get('/App/plain')->status, 200, 'others go on');
    is_echoed($client, 'still there', 'and so does the tunnel');
    finish($client);
    is(rest($client), "end 11\n", 'to its end');
    $proxy->settle;
    pass('which the old child has waited for');
};

subtest 'a graceful stop' => sub {
    my $hurried = $t->httpd(@server, name => 'hurried', config => "GracefulShutdownTimeout 2\n$config");
    my @clients = map {ask('/App/upgrade', '', port => $_->port)} $proxy, $hurried;
    is($_->read_response->status, 101, 'a tunnel') for @clients;
    my $began = time;
    $t->signal($_->pid, 'WINCH') for $proxy, $hurried;
    my $refused = sub ($server) { !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port) };
    ok($t->wait_for(sub { $refused->($proxy) && $refused->($hurried) }), 'nobody is let in');
    is_echoed($_, 'still there', 'but it goes on') for @clients;
    like(rest($clients[1]), qr/^(?:!read: Connection reset by peer)?$/, 'GracefulShutdownTimeout ends it');
    cmp_ok(time - $began, '>=', 2, 'not before');
    $t->wait_end($hurried->pid);
    is_echoed($clients[0], 'still there', 'without one it goes on');
    finish($clients[0]);
    is(rest($clients[0]), "end 22\n", 'to its end');
    $t->wait_end($proxy->pid);
    pass('which the server has waited for');
};

$t->done;
