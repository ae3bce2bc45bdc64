# SPDX-License-Identifier: Apache-2.0
# What the lane holds at most, and what becomes of those who come when it is full.
use v5.36;

use IO::Select;
use List::Util qw(max);

use HA::Client;
use HA::Mount qw(balancer bound children one_child);
use HA::Test;
use HA::Usage;

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $mounts = <<~"CONFIG";
    <Proxy "balancer://App">
    BalancerMember "${\$app->url}" route=hostA
    </Proxy>
    HABalancer App
    ProxyPass "/App" "balancer://App/App"
    CONFIG

# One child, unless said otherwise, whose lane carries the mount, with these lines before.
sub server($lines, %opt)
{
    return $t->httpd(
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        mpm => 'event',
        mpm_config => one_child(25),
        log_level => 'info haproxy:debug',
        config => "${lines}HALane On\n$mounts",
        %opt,
    );
}

# The standard path names the member that it chose for a request; the lane does not.
sub standard_requests($server)
{
    return $server->log->count(qr/App: member hostA: /);
}

# A client that keeps its connection, after a request: it, and whether the lane has carried that.
sub arrive($server, $port)
{
    my $client = $t->client(port => $port, cookies => 0, keep_alive => 1);
    my $before = standard_requests($server);
    is($client->get('/App/plain')->status, 200, 'served');
    return ($client, standard_requests($server) == $before);
}

subtest 'connections through the MPM: those beyond the limit stay on the standard path' => sub {
    my $server = server("HALaneConnections 3\nHALaneThreads 2\n");
    like($server->log->text, qr/the lane holds up to 3 connections in each child/, 'said in the log');
    my @seen;
    for (1 .. 5) {
        my ($client, $carried) = arrive($server, $server->port);
        push @seen, {client => $client, carried => $carried};
    }
    is(join(' ', map {$_->{carried} ? 'lane' : 'httpd'} @seen), 'lane lane lane httpd httpd', 'three in the lane');
    my $before = standard_requests($server);
    is($_->{client}->get('/App/plain')->status, 200, 'each goes on') for @seen;
    is(standard_requests($server) - $before, 2, 'where it was');
    $seen[1]{client}->close;
    my @more;
    $t->wait_for(sub { my ($client, $carried) = arrive($server, $server->port); push @more, $client; $carried });
    ok(1, 'and there is room when one has left');
    my ($client, $carried) = arrive($server, $server->port);
    ok(!$carried, 'for one');
    $server->stop;
};

# event asks about each request of a connection again, and may have read of it already.
subtest 'who is on the standard path stays there' => sub {
    my $server = server("HALaneConnections 1\n");
    my ($child) = $server->children;
    # At first who has looked whether the server listens may be in.
    my ($in, $carried);
    $t->wait_for(sub { ($in, $carried) = arrive($server, $server->port); $carried });
    my $others = standard_requests($server);
    my $client = $t->client(port => $server->port, cookies => 0, timeout => 5);
    my $long = $client->format_request(POST => '/App/upload', body => HA::Client::content(30_000));
    $app->barrier_hold;
    $client->send($client->format_request(GET => '/App/plain') . $long);
    $app->barrier_wait(1);
    my $before = HA::Usage::descriptors($child);
    $in->close;
    $t->wait_for(sub { HA::Usage::descriptors($child) < $before }, 10, 'room in the lane');
    $app->barrier_open;
    is($client->read_response->status, 200, 'a request is answered');
    is($client->read_response('POST')->status, 200, 'and the one behind it');
    is($client->get('/App/plain')->status, 200, 'and the next one');
    is(standard_requests($server) - $others, 3, 'there');
    $server->stop;
};

# The lowest number that is not in use.
sub lowest_free($pid)
{
    my $fd = 0;
    $fd++ while -l "/proc/$pid/fd/$fd";
    return $fd;
}

subtest 'connections to members that only wait give way' => sub {
    plan skip_all => 'httpd hands memory from thread to thread unseen by the sanitizer, when many come and go'
        if grep {$_ eq 'thread'} HA::Test::sanitizers();
    my $own = $t->port;
    my $other = $t->app('hostB');
    my $both = balancer('App', [$app, $other], check => undef);
    my $server = server('', config => "HAListen 127.0.0.1:$own\nHALane On\n$both");
    my ($child) = $server->children;
    my @clients = map {$t->client(port => $own, cookies => 0)} 1 .. 10;
    $app->barrier_hold;
    $_->send($_->format_request(GET => '/App/plain', bound('hostA'))) for @clients;
    $app->barrier_wait(10);
    $app->barrier_open;
    is(scalar(grep {$_->read_response->status == 200} @clients), 10, 'ten at once for one member');
    my $most = 1 + max(map {m{(\d+)$}} glob "/proc/$child/fd/*");
    my $before = $server->limit_descriptors($child, $most);
    my @more;
    $t->wait_for(
        sub {
            push @more, $t->client(port => $own, cookies => 0);
            $more[-1]->send('GET ');
            return lowest_free($child) >= $most;
        }
    );
    is($_->get('/App/plain', bound('hostB'))->status, 200, 'the other member is reached') for @clients[0 .. 4];
    $server->limit_descriptors($child, $before);
    is($server->log->count(qr/not carried/), 0, 'and nobody was refused');
    $_->close for @more;
    $server->stop;
};

for my $loops (1, 2) {
    subtest "addresses of the lane itself, $loops loops: those beyond the limit wait" => sub {
        my $own = $t->port;
        my $server = server("HALaneConnections 3\nHALaneThreads $loops\nHAListen 127.0.0.1:$own\n");
        my @in = map {(arrive($server, $own))[0]} 1 .. 3;
        my @waiting = map {$t->client(port => $own, cookies => 0, keep_alive => 1)} 1 .. 2;
        $_->send($_->format_request(GET => '/App/plain')) for @waiting;
        my ($child) = $server->children;
        my $before = HA::Usage::cpu_seconds($child);
        ok(!IO::Select->new(map {$_->socket} @waiting)->can_read(1), 'no answer while it is full');
        cmp_ok(HA::Usage::cpu_seconds($child) - $before, '<', 0.5, 'and nothing spins');
        is($_->get('/App/plain')->status, 200, 'who is in is served') for @in;
        $in[0]->close;
        my ($first) = IO::Select->new(map {$_->socket} @waiting)->can_read(15);
        ok($first, 'one is let in when one has left');
        ok(!IO::Select->new(grep {$_ != ($first // 0)} map {$_->socket} @waiting)->can_read(0.3), 'and not the other');
        $in[1]->close;
        is($_->read_response->status, 200, 'both are served in the end') for @waiting;
        is(standard_requests($server), 0, 'all by the lane');
        $server->stop;
    };
}

for my $loops (1, 2) {
    subtest "a full child passes on who comes, $loops loops" => sub {
        my $own = $t->port;
        my $lines = "KeepAliveTimeout 60\nHALaneConnections 1\nHALaneThreads $loops\nHAListen 127.0.0.1:$own\n";
        my $server = server($lines, mpm_config => children(4, 5));
        my $come = sub { return $t->client(port => $own, cookies => 0, timeout => 5) };
        my @clients = map {$come->()} 1 .. 4;
        for my $n (1 .. 4) {
            is($clients[$n - 1]->get('/App/plain')->status, 200, "client $n alone finds the place that is free");
        }
        cmp_ok(HA::Usage::percent_within(0.5, $server->children), '<', 50, 'nothing spins while all are full');
        # The child of the last one is the last that is woken for a client.
        for my $n (reverse 1 .. 4) {
            $clients[$n - 1]->close;
            $clients[$n - 1] = $come->();
            is($clients[$n - 1]->get('/App/plain')->status, 200, "so does who comes when client $n has left");
        }
        my $last = $come->();
        $last->send($last->format_request(GET => '/App/plain'));
        cmp_ok(HA::Usage::percent_within(0.5, $server->children), '<', 50, 'nothing spins while somebody waits');
        $clients[2]->close;
        is($last->read_response->status, 200, 'who is let in when one has left');
        $server->stop;
    };
}

subtest 'many who come and go share few places' => sub {
    my $own = $t->port;
    my $server = server("HALaneConnections 2\nHALaneThreads 2\nHAListen 127.0.0.1:$own\n");
    my @clients = map {$t->client(port => $own, cookies => 0)} 1 .. 60;
    $_->send($_->format_request(GET => '/App/plain', headers => {Connection => 'close'})) for @clients;
    is(scalar(grep {$_->read_response->status == 200} @clients), 60, 'all of them are served');
    $server->stop;
};

subtest 'a child that cannot have all of its loops has none, and serves' => sub {
    plan skip_all => 'a shell, which sets the limit, does not start with the runtime of the thread sanitizer'
        if grep {$_ eq 'thread'} HA::Test::sanitizers();
    my $own = $t->port;
    my $server = server("HALaneConnections 10\nHALaneThreads 64\nHAListen 127.0.0.1:$own\n", descriptors => 100);
    $t->expect_log(qr/no event loop in this child/);
    ok($t->wait_for(qr/no event loop in this child/), 'said in the log');
    is($t->client(port => $server->port)->get('/App/plain')->status, 200, 'served on the standard path');
    my ($child) = $server->children;
    my @threads = glob "/proc/$child/task/*";
    cmp_ok(scalar @threads, '<', 32, 'no loop runs');
    cmp_ok(HA::Usage::descriptors($child), '<', 50, 'and none has descriptors');
    $server->stop;
};

subtest 'without the directive it is half of the descriptors' => sub {
    my $server = $t->httpd(modules => [qw(proxy proxy_http)], haproxy => 1, config => "HALane On\n$mounts");
    open my $in, '<', '/proc/' . $server->pid . '/limits' or die "limits: $!\n";
    my ($most) = map {/^Max open files\s+(\d+)/} <$in>;
    my $half = int($most / 2);
    like($server->log->text, qr/the lane holds up to $half connections in each child, which may have $most descriptors/,
        'said in the log');
    $server->write_config("HALaneConnections $most\nHALane On\n$mounts");
    $server->graceful;
    like($server->log->text, qr/HALaneConnections $most: a child may have no more than $most descriptors/, 'more is warned of');
    $t->expect_log(qr/HALaneConnections $most: a child may have/);
    is($t->client(port => $server->port)->get('/App/plain')->status, 200, 'and served');
    $server->stop;
};

$t->done;
