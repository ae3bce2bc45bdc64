# SPDX-License-Identifier: Apache-2.0
# What seldom happens to the lane: requests that are sent again are counted right, clients that cannot
# be given away make no work, and one that ends behind a long body is let go.
use v5.36;

use HA::Exchange qw(request);
use HA::Mount qw(balancer children);
use HA::Raw;
use HA::Test;
use HA::Usage;

use constant {REQUESTS => 10, NAMES => 2100};
# Of CPU time, in a second.
use constant TICKS_MAX => 40;

my $t = HA::Test->new;

# A body of which the last part goes through a pipe at once.
use constant {FIRST_BYTES => 3_000_000, LAST_BYTES => 150_000};

# One never answers but to invite a body, one does, and one begins its answer when it has a part of the body.
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
my $invite = "HTTP/1.1 100 Continue\r\n\r\n";
my $bad = HA::Raw->new($t, 'hostA', early => qr/./, answer => sub ($request) { return $invite x !!$request->{length}, ['close'] });
my $good = HA::Raw->new($t, 'hostB', early => qr/put/, answer => sub ($request) { return "${ok}right" });
my $early = HA::Raw->new($t, 'hostD', early => qr/./, answer => sub ($request) { return [taken => FIRST_BYTES], "${ok}ri", [until => 'end'], 'ght' });
my $app = $t->app('hostC');

my $proxy = $t->httpd(
    mpm => 'event',
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    log_level => 'info haproxy:debug',
    mpm_config => children(1, 16),
    config => join '', <<~'CONFIG',
        HALane Require
        KeepAliveTimeout 30
        LogFormat "%U %>s %I %O %b" sizes
        CustomLog "@ROOT@/logs/access.log" sizes
        CONFIG
        balancer('Again', [$bad, $good], check => undef),
        balancer('App', [$app], check => undef),
        balancer('Early', [$early], check => undef),
);

sub client
{
    return $t->client(port => $proxy->port, cookies => 0, retry => 0, timeout => 20);
}

sub access_log
{
    open(my $in, '<', $proxy->root . '/logs/access.log') or return '';
    local $/;
    return <$in>;
}

subtest 'an invitation that was passed on before counts, too' => sub {
    $t->expect_log(qr/Again: member hostA failed on \S+: ended before its answer$|member hostA: .*suspect/);
    my @invited;
    for my $n (1 .. 4) {
        my $client = client();
        $client->send(request(PUT => "/Again/put-$n", headers => {Expect => '100-continue', 'Content-Length' => 4}));
        my $answer = '';
        $t->wait_for(sub { $answer .= $client->read_raw; $answer =~ /right$/ }, 10, 'the answer');
        push @invited, sprintf '/Again/put-%d %d 5', $n, length $answer if $answer =~ /^\Q$invite/;
    }
    cmp_ok(scalar(@invited), '>', 0, 'clients were invited by one, and answered by the other');
    $t->wait_for(sub { (() = access_log() =~ m{^/Again/put}mg) == 4 }, 10, 'the log');
    my %logged = map {s/ 200 \d+ / /r => 1} split /\n/, access_log();
    is(join("\n", grep {!$logged{$_}} @invited), '', 'all that they got is in the log');
};

subtest 'a request that is sent again is counted once' => sub {
    my $bytes = request(GET => '/Again/x');
    my $client = client();
    for (1 .. REQUESTS) {
        $client->send($bytes);
        is($client->read_response->body, 'right', 'answered');
    }
    cmp_ok(scalar($bad->ledger), '>', 0, 'some at the second attempt');
    $t->wait_for(sub { (() = access_log() =~ m{^/Again/x}mg) == REQUESTS }, 10, 'the log');
    my %sizes = map {$_ => 1} access_log() =~ m{^/Again/x 200 (\d+) }mg;
    is(join(' ', keys %sizes), length $bytes, 'the bytes that came are those of the request');
};

# It ignores Expect, as many do.
subtest 'who sends a body without waiting for 100 has as long for it as others' => sub {
    my $deaf = HA::Raw->new($t, 'hostE', early => qr/./, answer => sub ($request) { return [until => 'never'] });
    my $server = $t->httpd(
        name => 'pace',
        modules => [qw(proxy proxy_http reqtimeout)],
        haproxy => 1,
        config => "HALane Require\nRequestReadTimeout body=1\n" . balancer('Deaf', [$deaf], check => undef),
    );
    my $client = $t->client(port => $server->port, timeout => 20);
    $client->send(request(POST => '/Deaf/x', headers => {Expect => '100-continue', 'Content-Length' => 5}) . 'ab');
    is($client->read_response->status, 408, 'he is told so');
    is($server->log->count(qr/Deaf: member/), 0, 'and the member is not blamed');
    $server->stop;
};

# Its protocol may be one in which the server speaks first.
subtest 'an address without a mount is not the lane\'s' => sub {
    my $server = $t->httpd(
        name => 'apart',
        modules => [qw(proxy proxy_http)],
        haproxy => 1,
        ports => 3,
        log_level => 'info haproxy:debug',
        config => join '', balancer('App', [$app], check => undef) =~ s/^ProxyPass.*\n//mgr, <<~'CONFIG',
            HALane Require
            <VirtualHost *:@PORT@>
            ServerName apart.example
            ProxyPass "/App" "balancer://App/App"
            </VirtualHost>
            <VirtualHost *:@PORT2@>
            ServerName bare.example
            </VirtualHost>
            CONFIG
    );
    my $given = sub { $server->log->count(qr/given back by the lane/) };
    is($t->client(port => $server->port($_))->get('/nowhere')->status, 404, 'answered') for 2, 3;
    is($given->(), 0, 'neither that of another virtual host nor that of the main server');
    is($t->client(port => $server->port(1))->get('/nowhere')->status, 404, 'nor what is none of it');
    is($given->(), 1, 'where there is a mount');
    $server->stop;
};

# A few more than are remembered, each of which stands for the same virtual host.
subtest 'a server may have any number of names' => sub {
    my $there = 'Location: ' . $app->url . '/App/there';
    $app->raw(stay => "HTTP/1.1 302 Found\r\n$there\r\nContent-Length: 0\r\n\r\n");
    $app->barrier_hold;
    my $first = client();
    $first->send(request(GET => '/App/plain', headers => {Host => 'first.example'}));
    $app->barrier_wait(1);
    my $client = client();
    my $served = grep {$client->get('/Again/x', headers => {Host => "n$_.example"})->status == 200} 1 .. NAMES;
    is($served, NAMES, 'all of them are served');
    $app->barrier_open;
    is($first->read_response->header('Location'), 'http://first.example/App/there', 'so is who came first');
    $app->raw;
    is($proxy->log->count(qr/given back by the lane/), 0, 'and all by the lane');
};

# Both come at once, and are found together: the end must not be lost behind the last part.
subtest 'a client that ends behind a long body is let go' => sub {
    my ($child) = $proxy->children;
    my $client = client();
    my $bytes = request(PUT => '/Early/x', body => 'x' x (FIRST_BYTES + LAST_BYTES));
    my $first = substr $bytes, 0, -LAST_BYTES;
    $client->send($first);
    my $answer = '';
    $t->wait_for(sub { $answer .= $client->read_raw; $answer =~ /ri$/ }, 10, 'half of the answer');
    kill 'STOP', $child;
    $client->send(substr $bytes, -LAST_BYTES);
    shutdown $client->socket, 1;
    kill 'CONT', $child;
    $early->allow('end');
    is($client->read_raw, 'ght', 'the answer goes on');
    ok($client->closed(10), 'and with it the connection ends');
};

# The old child of a restart that may open no more descriptors, and so has none to give clients with.
subtest 'clients that cannot be given away make no work' => sub {
    my ($child) = $proxy->children;
    my @idle = map {client()} 1 .. 4;
    my $held = client();
    $app->barrier_hold;
    $held->send(request(GET => '/App/plain'));
    $app->barrier_wait(1);
    is($_->get('/Again/x')->status, 200, 'served, and idle then') for @idle;
    $proxy->limit_descriptors($child, 3);
    $proxy->graceful;
    is(client()->get('/Again/x')->status, 200, 'there are others');
    cmp_ok(HA::Usage::ticks_within($child, 1), '<', TICKS_MAX, 'nothing spins');
    $_->close for @idle;
    $app->barrier_open;
    is($held->read_response->status, 200, 'a request under way is answered');
    $held->close;
    $t->wait_for(sub { !-e "/proc/$child" }, 15, 'the end of the old child');
};

$t->done;
