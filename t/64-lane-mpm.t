# SPDX-License-Identifier: Apache-2.0
# Failover, restarts and hand-backs of the lane in short, under each MPM, and with one and two loops.
use v5.36;

use HA::Crowd;
use HA::Exchange qw(request exchange echo upload bytes step);
use HA::Mount qw(balancer children);
use HA::Test;

use constant {RESTARTS => 3, CLIENTS => 18, ANSWERS_A_RESTART => 30};

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my %sizes = (
    event => children(2, 16),
    worker => children(2, 16),
    prefork => <<~'END',
        StartServers 6
        ServerLimit 64
        MaxRequestWorkers 64
        MinSpareServers 4
        MaxSpareServers 32
        END
);

sub server($mpm, $loops)
{
    my $own = $t->port;
    my $server = $t->httpd(
        name => "$mpm-$loops",
        mpm => $mpm,
        mpm_config => $sizes{$mpm},
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        config => join '', <<~"CONFIG", balancer('App', [$a, $b]),
            HALane Require
            HALaneThreads $loops
            HAListen 127.0.0.1:$own
            MaxKeepAliveRequests 0
            GracefulShutdownTimeout 20
            CONFIG
    );
    $t->write_file($server->root . '/htdocs/file.txt', 'a file');
    return ($server, $server->port, $own);
}

sub file
{
    return exchange(GET => '/file.txt', sub ($answer) { $answer->body eq 'a file' });
}

# Every third client is of one kind; half of each kind come to the address of the lane's own.
sub crowd($kinds, @ports)
{
    return HA::Crowd->new(
        $t,
        clients => CLIENTS,
        port => sub ($client) { $ports[int($client / @$kinds) % @ports] },
        step => sub ($client, $n) { $kinds->[$client % @$kinds]->("c$client-$n") },
    );
}

sub all_right($crowd, $what)
{
    $crowd->finish;
    my $result = $crowd->wait;
    is($result->{failed}, 0, "$what: none of $result->{steps} steps failed") or diag explain $result;
    return;
}

my @repeatable = (
    sub ($tag) { step([echo($tag)], pause => 0.01) },
    sub ($tag) { step([upload($tag, method => 'PUT')], pause => 0.02, leave => 1) },
    sub ($tag) { step([map {echo("$tag-$_")} 1 .. 3], pause => 0.05) },
);
my @long = (
    sub ($tag) { step([echo($tag)], pause => 0.02) },
    sub ($tag) { step([bytes(50_000, 'chunked', '&chunk=10000&delay=30')], pause => 0.1) },
    sub ($tag) { step([upload($tag, size => 50_000)], pieces => 5, gap => 0.03, pause => 0.1) },
);
# A connection of httpd's holds a process of prefork, so it does not last.
my @mixed = (
    sub ($tag) { step([echo("$tag-1"), file(), echo("$tag-2")], leave => 1, pause => 0.02) },
    sub ($tag) { step([upload("$tag-2"), echo("$tag-3"), file()], leave => 1, pause => 0.02) },
    sub ($tag) { step([file(), upload("$tag-4")], leave => 1, pause => 0.02) },
);

# The children that the server is about to start are told to leave before they have begun.
sub restart_while_starting($server)
{
    $t->wait_for(sub { $server->new_children }, 20, 'a child of the restarted server');
    $server->graceful;
    return;
}

sub story($server, @ports)
{
    $t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
    my @children = $server->children;

    $t->expect_log(qr/member host\w failed on \S+: (?:no connection|ended before its answer)/);
    my $crowd = crowd(\@repeatable, @ports);
    $crowd->wait_more(50);
    $a->kill;
    $t->wait_for(qr/App: member hostA: up -> down/);
    $crowd->wait_more(50);
    $a->start;
    $t->wait_for(qr/App: member hostA: down -> up/);
    $crowd->wait_more(50);
    all_right($crowd, 'an instance is killed');

    $crowd = crowd(\@mixed, @ports);
    $crowd->wait_more(300);
    all_right($crowd, 'requests of both');
    my %now = map {$_ => 1} $server->children;
    is(scalar(grep {!$now{$_}} @children), 0, 'no child has died in all that') if $server->mpm ne 'prefork';

    $crowd = crowd(\@long, @ports);
    $crowd->wait_more(30);
    for (1 .. RESTARTS) {
        $server->graceful;
        restart_while_starting($server);
        $crowd->wait_more(ANSWERS_A_RESTART);
    }
    $server->settle;
    pass('old children go away');
    all_right($crowd, 'graceful restarts');
    return;
}

# What is in flight at a graceful stop: an answer that is awaited, and a client that is idle.
sub stops($server, @ports)
{
    $_->barrier_hold for $a, $b;
    my @waiting = map {$t->client(port => $_, cookies => 0)} @ports;
    my @idle = map {$t->client(port => $_, cookies => 0)} @ports;
    $_->send(request(GET => '/App/plain')) for @waiting;
    $_->barrier_wait(1) for $a, $b;
    $_->connect for @idle;
    $t->signal($server->pid, 'WINCH');
    $t->wait_for(qr/shutting down gracefully/);
    $_->barrier_open for $a, $b;
    is($_->read_response->status, 200, 'a graceful stop: who waits is answered') for @waiting;
    is($t->wait_end($server->pid, 20), 0, 'and the server ends');
    return;
}

sub stops_at_once($server, @ports)
{
    $server->start;
    $_->barrier_hold for $a, $b;
    my @waiting = map {$t->client(port => $_, cookies => 0)} @ports;
    $_->send(request(GET => '/App/plain')) for @waiting;
    $_->barrier_wait(1) for $a, $b;
    my $begin = time;
    $server->stop;
    cmp_ok(time - $begin, '<', 10, 'a hard stop does not wait');
    is($_->read_response->status, 0, 'for those who do') for @waiting;
    $_->barrier_open for $a, $b;
    is($server->log->count(qr/exit signal/), 0, 'nobody crashed');
    $t->mark;
    return;
}

for my $run (['event', 1], ['event', 2], ['worker', 2], ['prefork', 1]) {
    my ($mpm, $loops) = @$run;
    subtest "$mpm, loops: $loops" => sub {
        my @server = server($mpm, $loops);
        story(@server);
        stops(@server);
        stops_at_once(@server);
    };
}

$t->done;
