# SPDX-License-Identifier: Apache-2.0
# Clients and instances of the lane that are slow, silent or too many: each is in nobody's way but
# its own, has an end, and takes no more than its part.
use v5.36;

use IO::Select;
use List::Util qw(max);
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Time::HiRes qw(time);

use HA::Exchange qw(request);
use HA::Mount qw(balancer children bound faster);
use HA::Test;
use HA::Usage;

# More than kernels hold for two sockets.
use constant {SLOW => faster(200, 60), LONG_BYTES => 60_000_000, BLOCK_KB => 256};
use constant {DESCRIPTORS => 100, CLIENTS => 150};

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);

sub one_child($own, %opt)
{
    return $t->httpd(
        mpm => 'event',
        modules => [qw(proxy proxy_http reqtimeout)],
        haproxy => 1,
        mpm_config => children(1, 16),
        %opt,
        config => join '', <<~"CONFIG", balancer('App', [$a, $b], check => 'interval=200ms timeout=5s'), $opt{config} // '',
            HALane Require
            HAListen 127.0.0.1:$own
            CONFIG
    );
}

sub client($port, %opt)
{
    return $t->client(port => $port, cookies => 0, retry => 0, %opt);
}

# A client that holds back what it could read.
sub slow_client($port)
{
    my $client = client($port, timeout => 20);
    $client->connect;
    setsockopt($client->socket, SOL_SOCKET, SO_RCVBUF, 16384);
    return $client;
}

# Open connections to members, and a few more, for what a child holds.
sub connections
{
    return $a->count->{open} + $b->count->{open} + 10;
}

# Writes as much of these bytes from there on as can be written now. How many.
sub write_some($client, $bytes, $at)
{
    my $begin = $at;
    while (my $put = syswrite $client->socket, $$bytes, 65536, $at) {
        $at += $put;
    }
    return $at - $begin;
}

subtest 'slow readers and writers hold up themselves only' => sub {
    my $own = $t->port;
    my $server = one_child($own, config => "ProxyTimeout 60\n");
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my ($child) = $server->children;
    client($_)->get('/App/plain') for $server->port, $own;
    my ($before, $fresh) = (HA::Usage::resident_kb($child), HA::Usage::descriptors($child));

    $b->hang('head');
    my @ports = ($server->port, $own);
    my @readers = map {slow_client($ports[$_ % 2])} 1 .. SLOW;
    my @writers = map {slow_client($ports[$_ % 2])} 1 .. SLOW;
    $_->send(request(GET => '/App/bytes?n=' . LONG_BYTES, bound('hostA'))) for @readers;
    my $body = HA::Client::content(LONG_BYTES);
    my %upload = (headers => {Cookie => 'zsessionid=s.hostB', 'Content-Length' => LONG_BYTES});
    $_->send(request(PUT => '/App/upload', %upload)) for @writers;
    my %written;
    my $others = $t->load(port => $own, path => '/App/plain', rate => 50, count => 100_000, retry => 0, bound('hostA'));
    # Until nobody gets rid of another byte: all is full then.
    $t->wait_for(
        sub {
            my $more = 0;
            for my $writer (@writers) {
                my $at = $written{$writer} // 0;
                my $put = write_some($writer, \$body, $at);
                $written{$writer} = $at + $put;
                $more += $put;
            }
            return !$more;
        },
        40, 'writers that cannot write'
    );
    $others->wait_progress($others->progress + 50);
    pass('others are answered while all these wait');

    my $most = max values %written;
    cmp_ok($most, '<', LONG_BYTES, 'no writer got rid of its body');
    my @begun = grep {$_->{path} =~ /upload/} $b->ledger;
    is(scalar(grep {$_->{phase} eq 'head'} @begun), SLOW, 'the instance that does not read has their heads');
    my @read;
    $t->wait_for(sub { (@read = grep {$_->{path} =~ /bytes/} $a->ledger) == SLOW });
    is(scalar(grep {$_->{phase} ne 'answered'} @read), SLOW, 'and the one that answers cannot go on')
        or diag explain [grep {$_->{phase} eq 'answered'} @read];
    my $kb = HA::Usage::resident_kb($child) - $before;
    note("$kb kB for @{[2 * SLOW]} clients");
    cmp_ok($kb, '<', 2 * SLOW * faster(1.2, 4) * BLOCK_KB, 'memory is bounded: a block each');

    my $reader = shift @readers;
    is($reader->read_response->body, $body, 'who begins to read gets all of it');
    $b->release;
    my $writer = shift @writers;
    $writer->send(substr $body, $written{$writer});
    is($writer->read_response->status, 200, 'and who is read can go on');
    $others->finish;
    my $result = $others->wait;
    is($result->{failed}, 0, "others: none of $result->{sent} failed") or diag explain $result;

    $_->close for @readers, @writers;
    $t->wait_for(sub { HA::Usage::descriptors($child) <= $fresh + connections() }, 20, 'descriptors to be closed');
    pass('all is given back');
    $t->expect_log(qr/member host\w failed on \S+: /);
    $server->stop;
};

subtest 'who stops in the middle is not waited for' => sub {
    my $own = $t->port;
    my $server = one_child($own, config => <<~'CONFIG');
        Timeout 2
        KeepAliveTimeout 1
        ProxyTimeout 1
        RequestReadTimeout header=1 body=0
        CONFIG
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    for my $port ($server->port, $own) {
        my $idle = client($port);
        is($idle->get('/App/plain')->status, 200, 'a kept connection');
        ok($idle->closed(8), 'is closed when it is silent');

        my $head = client($port);
        $head->send("GET /App/plain HTTP/1.1\r\n");
        my $begin = time;
        my $more = sub { $head->send("X-More: and more\r\n"); $head->{in} .= $head->read_raw(timeout => 0.05) };
        $t->wait_for(sub { $more->() =~ /\S/ || !$head->socket }, 8, 'an end of a head that has none');
        like($head->{in}, qr/^HTTP\/1.1 408 /, 'a head that trickles: 408');
        cmp_ok(time - $begin, '>=', 0.9, 'after its time');

        my $body = client($port);
        $body->send(request(PUT => '/App/upload', headers => {'Content-Length' => 10}) . 'abc');
        is($body->read_response->status, 408, 'a body that stops: 408');

        $t->expect_log(qr/member host\w failed on \S+: (?:no answer in time|ended before)/);
        $_->hang for $a, $b;
        is(client($port)->get('/App/plain')->status, 502, 'no answer in time: 502');
        $_->release for $a, $b;

        my $cut = client($port)->get('/App/chunked?n=30&chunk=10&delay=4000');
        is($cut->error, 'closed within the body', 'an answer that stops is cut');
    }
    $server->stop;
};

# Clients that have sent these bytes to a child that has no descriptor for all of them.
sub exhaust($child, $port, $bytes)
{
    my @clients = map {client($port, timeout => 20)} 1 .. CLIENTS;
    $_->send($bytes) for @clients;
    $t->wait_for(sub { HA::Usage::descriptors($child) + HA::Usage::pipes($child) >= DESCRIPTORS - 2 }, 15, 'a child without descriptors');
    return @clients;
}

# How many have got a good answer, and those who have got nothing yet.
sub answered(@clients)
{
    my $sockets = IO::Select->new(map {$_->socket} @clients);
    my %ready = map {$_ => 1} $sockets->can_read(0);
    my @served = grep {$ready{$_->socket}} @clients;
    my @waiting = grep {!$ready{$_->socket}} @clients;
    return (scalar(grep {$_->read_response->status == 200} @served), @waiting);
}

subtest 'clients wait where no descriptor is left, and nobody is blamed' => sub {
    my $own = $t->port;
    my $server = one_child($own, descriptors => DESCRIPTORS, config => "HALaneConnections 1000\n");
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my ($child) = $server->children;
    my $fresh = HA::Usage::descriptors($child);

    # All descriptors are clients', and none is left for a member, or to tell httpd.
    $t->expect_log(qr{App: /App/plain was not carried: no descriptor, port or memory for a connection}, qr/HALaneConnections 1000: a child may have no more/);
    my @clients = exhaust($child, $own, "GET /App/plain HTTP/1.1\r\nHost: x\r\n");
    $_->send("\r\n") for @clients;
    $t->wait_for(qr/was not carried/);
    $_->close for @clients;
    my $client = client($own);
    $t->wait_for(sub { $client->get('/App/plain')->status == 200 }, 15, 'service');
    is(spread($client, '/App/plain', 10), 'hostA:5 hostB:5', 'service goes on when there are descriptors again');
    $client->close;

    @clients = exhaust($child, $own, request(GET => '/App/plain'));
    my ($at, $cpu) = (time, HA::Usage::cpu_seconds($child));
    $t->wait_for(sub { time > $at + 1 });
    my ($spent, $seconds) = (HA::Usage::cpu_seconds($child) - $cpu, time - $at);
    cmp_ok($spent, '<', 0.3 * $seconds, sprintf 'nothing spins: %.2f s in %.2f s', $spent, $seconds);
    my ($served, @waiting) = answered(@clients);
    cmp_ok($served, '>', DESCRIPTORS / 4, 'those that were accepted are served');
    is($served + @waiting, CLIENTS, 'the others wait');
    my %waits = map {$_ => 1} @waiting;
    $_->close for grep {!$waits{$_}} @clients;
    is($waiting[0]->read_response->status, 200, 'until these leave');
    $_->close for @clients;

    $t->wait_for(sub { HA::Usage::descriptors($child) <= $fresh + connections() }, 15, 'free descriptors');
    is($server->log->count(qr/-> down|suspect/), 0, 'and no member was blamed');
    my ($now) = $server->children;
    is($now, $child, 'it is the same child');
    $server->stop;
};

$t->done;
