# SPDX-License-Identifier: Apache-2.0
# An instance that hangs takes no more than its part of the threads with it, and one whose health
# page is wrong still serves when there is nobody better.
use v5.36;

use IO::Socket::INET;

use HA::Mount qw(one_child);
use HA::Test;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);

sub balancer($name, $check)
{
    return <<~"CONFIG";
        <Proxy "balancer://$name">
        BalancerMember "${\$a->url}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer $name
        HACheck $name $check
        ProxyPass "/$name" "balancer://$name/App"
        CONFIG
}

# Probes never take a member down here.
my $threads = 32;
my $proxy = $t->httpd(
    modules    => [qw(proxy proxy_http)],
    haproxy    => 1,
    mpm_config => one_child($threads),
    config => join '',
    balancer('App',   'uri=/App/health interval=1s fall=100'),
    balancer('wrong', 'uri=/no/such/page interval=100ms'),
    qq(<Location "/ha-health">\nSetHandler ha-health\n</Location>\n),
);
$t->expect_log(qr/no member for \S+: every member that could be used is at its max or has stopped to answer/);

# mod_proxy's own words about the one that is killed.
$t->expect_log(qr/AH(?:00957|01114|01102|00898|01110|10404)/);

subtest 'when all fail their check, those that answer serve' => sub {
    ok($t->wait_for(qr/wrong: member $_: unknown -> down, status 404, 3 of 3 probes failed/), "$_ is down")
        for qw(hostA hostB);
    my $client = $t->client(port => $proxy->port, cookies => 0);
    is($client->get('/ha-health/wrong')->status, 503, 'ha-health says so');
    is(join(' ', map {$client->get('/wrong/plain')->status} 1 .. 10), join(' ', (200) x 10), 'and they serve');
    is($client->get('/wrong/plain', headers => {Cookie => "zsessionid=s.$_"})->instance, $_, "$_ its sessions")
        for qw(hostA hostB);
    $t->kill('hostA');
    is(spread($client, '/wrong/plain', 10), 'hostB:10', 'one that does not answer at all gets nothing');
    $t->start('hostA');
};

subtest 'an instance that hangs leaves threads to the others' => sub {
    $t->wait_for(qr/App: member hostA: (?:unknown -> up|up, no longer suspect)/);
    my %common = (port => $proxy->port, path => '/App/plain', rate => 50);
    $a->pause;
    my $bound = $t->load(
        %common,
        count   => 400,
        timeout => 20,
        headers => {Cookie => 'zsessionid=s.hostA'},
        ok      => qr/^(?:200|503)$/
    );
    my $others = $t->load(%common, count => 400, headers => {Cookie => 'zsessionid=s.hostB'});
    my $result = $others->wait;
    is("$result->{ok} ok, $result->{failed} failed", '400 ok, 0 failed', 'sessions of the other one are served');
    ok($t->wait_for(qr/App: member hostA: up, now suspect, no answers$/), 'the log says so');
    is($t->client(port => $proxy->port)->get('/App/plain')->instance, 'hostB', 'new sessions go there too');
    $a->resume;
    $result = $bound->wait;
    is("$result->{ok} ok, $result->{failed} failed", '400 ok, 0 failed', 'its own are answered, or refused at once');
    my $held = grep {$_->{path} =~ /plain/} $a->ledger;
    cmp_ok($held, '>=', $threads * 3 / 4, 'it held three quarters of the threads');
    cmp_ok($held, '<', $threads, 'and got one more each half second, up to half of the rest');
    my $client = $t->client(port => $proxy->port, headers => {Cookie => 'zsessionid=s.hostA'});
    ok($t->wait_for(sub { $client->get('/App/plain')->status == 200 }), 'then it serves its sessions');
    ok($t->wait_for(qr/App: member hostA: (?:unknown -> up|up, no longer suspect), status 200/), 'and a probe has cleared it');
};

# --- a member whose connections this test answers itself -----------------------------------------

my $sockets = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 32, Timeout => 10) or die "listen: $!\n";
my $tunnels = $t->httpd(
    modules    => [qw(proxy proxy_http)],
    haproxy    => 1,
    mpm        => 'event',
    mpm_config => one_child(16),
    config     => <<~"CONFIG",
        <Proxy "balancer://App">
        BalancerMember "http://127.0.0.1:${\$sockets->sockport}" route=hostW upgrade=websocket
        BalancerMember "${\$b->url}" route=hostB
        ProxySet stickysession=zsessionid
        </Proxy>
        HABalancer App
        ProxyPass "/App" "balancer://App/App"
        CONFIG
);

# A client that has asked for this of hostW.
sub ask_sockets(@headers)
{
    my $client = $t->client(port => $tunnels->port, cookies => 0);
    $client->send($client->format_request(GET => '/App/plain', headers => {Cookie => 'zsessionid=s.hostW', @headers}));
    return $client;
}

# Answers the next request that comes to hostW. Its connection, undef when none came.
sub answer_sockets($bytes)
{
    while (my $end = $sockets->accept) {
        my $head = '';
        1 while $head !~ /\r\n\r\n/ && sysread($end, $head, 8192, length $head);
        # A connection without a request is a probe.
        next if $head eq '';
        syswrite $end, $bytes;
        return $end;
    }
    return undef;
}

subtest 'open tunnels are no silence' => sub {
    my @open;
    my $switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for (1 .. 12) {
        my $client = ask_sockets(Upgrade => 'websocket', Connection => 'Upgrade');
        push @open, $client, answer_sockets($switch);
        like($client->read_raw, qr/^HTTP\/1.1 101 /, 'a tunnel');
    }
    my $other = $t->client(port => $tunnels->port, cookies => 0);
    is($other->get('/App/slow?ms=600', headers => {Cookie => 'zsessionid=s.hostB'})->status, 200, 'a pause');
    my @asked = map {ask_sockets()} 1, 2;
    my @ends = map {answer_sockets("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")} @asked;
    is(join(' ', map {$_->read_response->status} @asked), '200 200', 'requests beside them are served');
    is($tunnels->log->count(qr/suspect/), 0, 'and nobody is suspected');
    $_->close for @open;
};

$t->done;
