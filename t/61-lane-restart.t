# SPDX-License-Identifier: Apache-2.0
# Restarts and stops with clients of all kinds in the lane: nobody is cut off, and nothing stays.
use v5.36;

use Time::HiRes qw(time);

use HA::Client;
use HA::Crowd;
use HA::Exchange qw(request echo upload bytes step);
use HA::Mount qw(balancer children faster one_child);
use HA::Test;

use constant {RESTARTS => faster(100, 25), ANSWERS_A_RESTART => 40, LONG_BYTES => 200_000,
    HERD => faster(1500, 300)};

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $own = $t->port;
my $config = join '', <<~"CONFIG", balancer('App', [$a, $b], check => '');
    HALane Require
    HALaneThreads 2
    HAListen 127.0.0.1:$own
    KeepAliveTimeout 60
    MaxKeepAliveRequests 0
    GracefulShutdownTimeout 20
    CONFIG
my %common = (mpm => 'event', modules => [qw(proxy proxy_http)], haproxy => 1, config => $config);
my $proxy = $t->httpd(%common, mpm_config => children(2, 8) =~ s/ServerLimit 16/ServerLimit 64/r);
my @ports = ($proxy->port, $own);
my $fresh = descriptors(($proxy->children)[0]);

# --- what clients do ------------------------------------------------------------------------------

my $long = HA::Client::content(LONG_BYTES);

# An answer that takes 200 ms.
sub read_long
{
    my $chunk = LONG_BYTES / 10;
    return bytes(LONG_BYTES, 'chunked', "&chunk=$chunk&delay=20");
}

# A body that takes as long, if it is sent in ten pieces.
sub write_long($tag)
{
    return upload($tag, size => LONG_BYTES, method => $tag =~ /[147]$/ ? 'PUT' : 'POST');
}

# Every sixth client is of one kind; half of each kind come to the address of the lane's own.
my @kinds = (
    sub ($tag) { step([echo($tag)], pause => 0.01) },
    sub ($tag) { step([echo($tag)], pause => 0.5) },
    sub ($tag) { step([echo($tag)], pause => 0.02, leave => 1) },
    sub ($tag) { step([read_long()], pause => 0.05) },
    sub ($tag) { step([write_long($tag)], pause => 0.05, pieces => 10, gap => 0.02) },
    sub ($tag) { step([map {echo("$tag-$_")} 1 .. 3], pause => 0.05) },
);

sub crowd($clients)
{
    return HA::Crowd->new(
        $t,
        clients => $clients,
        port => sub ($client) { $ports[int($client / @kinds) % 2] },
        step => sub ($client, $n) { $kinds[$client % @kinds]->("c$client-$n") },
    );
}

# --- what a process holds -------------------------------------------------------------------------

sub descriptors($pid)
{
    my @fds = glob "/proc/$pid/fd/*";
    return scalar @fds;
}

sub child_count
{
    my @children = $proxy->children;
    return scalar @children;
}

sub mappings($pid)
{
    open(my $in, '<', "/proc/$pid/maps") or return 0;
    return scalar grep {/memfd|SYSV|\/dev\/shm|\/dev\/zero/} <$in>;
}

subtest 'a hundred graceful restarts are noticed by nobody' => sub {
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my $crowd = crowd(48);
    $crowd->wait_more(100);
    # What httpd itself keeps of its first restart is no leak.
    $proxy->graceful for 1 .. 2;
    $proxy->settle;
    my %before = (descriptors => descriptors($proxy->pid), mappings => mappings($proxy->pid));
    my $begin = time;
    for my $n (1 .. RESTARTS) {
        $proxy->graceful;
        $crowd->wait_more(ANSWERS_A_RESTART);
    }
    note(sprintf '%d restarts in %.1f s', RESTARTS, time - $begin);
    $proxy->settle;
    $t->wait_for(sub { child_count() == 2 }, 20, 'the end of the old children');
    pass('children of before go away');
    my %after = (descriptors => descriptors($proxy->pid), mappings => mappings($proxy->pid));
    is_deeply(\%after, \%before, 'the parent holds as many descriptors and segments as before');
    $crowd->finish;
    my $result = $crowd->wait;
    is($result->{failed}, 0, "none of $result->{steps} steps failed") or diag explain $result;
};

subtest 'a herd of idle clients goes on after restarts' => sub {
    my $herd = HA::Crowd->new(
        $t,
        clients => HERD,
        port => sub ($client) { $ports[$client % 2] },
        step => sub ($client, $n) { return $n < 2 ? step([echo("h$client-$n")], pause => 1.5) : undef },
    );
    $herd->wait_more(HERD / 2);
    $proxy->graceful;
    $herd->wait_more(HERD / 2);
    $proxy->graceful;
    my $result = $herd->wait;
    is("$result->{answers} answers, $result->{failed} failed, $result->{connections} connections",
        2 * HERD . ' answers, 0 failed, ' . HERD . ' connections', 'each on the connection that it had')
        or diag explain $result;
    $proxy->settle;
};

subtest 'when the clients have gone, nothing is left of them' => sub {
    my ($child) = $proxy->children;
    my $most = sub { $fresh + $a->count->{open} + $b->count->{open} + 5 };
    $t->wait_for(sub { descriptors($child) <= $most->() }, 15, 'descriptors to be closed');
    cmp_ok(descriptors($child), '<=', $most->(), 'a child holds what it began with, and connections to members');
};

# --- stops ----------------------------------------------------------------------------------------

sub client($port)
{
    return $t->client(port => $port, cookies => 0, retry => 0, timeout => 20);
}

# A client that has sent the first part of a request, which the rest follows.
sub begin($port, $bytes, $part)
{
    my $client = client($port);
    $client->send(substr $bytes, 0, $part);
    return $client;
}

sub held
{
    my $client = client($proxy->port);
    $client->send(request(GET => '/App/plain'));
    return $client;
}

subtest 'a graceful stop finishes what is in flight' => sub {
    my @idle = map {client($_)} @ports;
    is($_->get('/App/plain')->status, 200, 'served once, and idle then') for @idle;
    my $upload = request(PUT => '/App/upload', body => $long);
    my @uploads = map {begin($_, $upload, 100_000)} @ports;
    my $ask = request(GET => '/App/echo');
    my @heads = map {begin($_, $ask, 10)} @ports;
    my @downloads = map {client($_)} @ports;
    $_->send(request(GET => '/App/chunked?n=200000&chunk=20000&delay=100')) for @downloads;
    $_->read_raw for @downloads;
    $_->barrier_hold for $a, $b;
    my @held = map {held()} 1, 2;
    $_->barrier_wait(1) for $a, $b;

    my $begin = time;
    $t->signal($proxy->pid, 'WINCH');
    ok($_->closed(10), 'an idle client is closed') for @idle;
    $_->barrier_open for $a, $b;
    is($_->read_response->status, 200, 'one that waits is answered') for @held;
    for (@heads) {
        $_->send(substr $ask, 10);
        is($_->read_response->status, 200, 'so is half a request');
        ok($_->closed(10), 'and its connection ends');
    }
    for (@uploads) {
        $_->send(substr $upload, 100_000);
        is($_->read_response->status, 200, 'and half a body');
    }
    like($_->read_raw(all => 1), qr/\r\n0\r\n\r\n$/, 'what is being read is read to its end') for @downloads;
    is($t->wait_end($proxy->pid, 15), 0, 'then the server ends');
    cmp_ok(time - $begin, '<', 15, 'before GracefulShutdownTimeout');
};

# A child that has served its connections leaves, and its place is not free before it has gone.
# It leaves after so many connections: more than those that the next one takes over, and takes back when a
# request is for httpd, so that this one does not leave at once as well.
subtest 'the clients of an only child wait for the next one' => sub {
    my $connections = 6;
    my $server = $t->httpd(
        %common,
        name => 'single',
        config => join('', "HALane Require\nKeepAliveTimeout 60\n", balancer('App', [$a, $b], check => '')),
        mpm_config => one_child(8) . "MaxConnectionsPerChild $connections\n",
    );
    $t->write_file($server->root . '/htdocs/file.txt', 'a file');
    $t->expect_log(qr/AH03490: scoreboard is full, not at MaxRequestWorkers/);
    my ($child) = $server->children;
    my ($idle, $asks, $reads, @others) = map {client($server->port)} 1 .. $connections;
    is($idle->get('/App/plain')->status, 200, 'the child serves');
    is($_->get('/App/plain')->status, 200, 'and serves') for $asks, @others;
    $_->close for @others;
    $reads->send(request(GET => '/App/chunked?n=50000&chunk=1000&delay=100'));
    $reads->read_raw;
    my $at = time;
    $t->wait_for(sub { time > $at + 3.5 }, 5, 'the child to have found out that it is alone');
    $asks->send(request(GET => '/file.txt'));
    is($idle->get('/App/plain')->status, 200, 'who was idle is served');
    is($asks->read_response->body, 'a file', 'so is who asks httpd');
    my $end = qr/\r\n0\r\n\r\n$/;
    like($reads->read_raw(until => $end), $end, 'what is being read is read to its end');
    isnt(($server->children)[0], $child, 'by another child');
    $server->stop;
};

subtest 'a hard stop does not wait for a child that has left' => sub {
    $proxy->start;
    my $waits = client($own);
    $waits->send(request(GET => '/App/chunked?n=50000&chunk=1000&delay=500'));
    $waits->read_raw;
    $proxy->graceful;
    my $at = time;
    $t->wait_for(sub { child_count() == 3 });
    $proxy->stop;
    cmp_ok(time - $at, '<', 8, 'it ends before it has to be killed');
    is($proxy->log->count(qr/SIGKILL/), 0, 'as it does');
};

subtest 'GracefulShutdownTimeout bounds that' => sub {
    $proxy->write_config($config =~ s/^GracefulShutdownTimeout .*/GracefulShutdownTimeout 2/mr);
    $proxy->start;
    $a->barrier_hold;
    $b->barrier_hold;
    my @held = map {held()} 1, 2;
    $_->barrier_wait(1) for $a, $b;
    my $begin = time;
    $t->signal($proxy->pid, 'WINCH');
    is($t->wait_end($proxy->pid, 15), 0, 'the server ends');
    cmp_ok(time - $begin, '>=', 1.5, 'not before');
    is($_->read_response->error, 'closed before the response', 'and who waits is cut off') for @held;
    $_->barrier_open for $a, $b;
};

$t->done;
