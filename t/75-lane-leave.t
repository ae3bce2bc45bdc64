# SPDX-License-Identifier: Apache-2.0
# Addresses of HAListen while children stay that have clients left: what is taken away listens no
# more, can be had again, and ends with a graceful stop.
use v5.36;

use IO::Socket::INET;

use HA::Exchange qw(request);
use HA::Mount qw(balancer);
use HA::Test;
use HA::Usage;

# More than the sockets take in between.
use constant {LONG_BYTES => 20_000_000};

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $own = $t->port;
my $mounts = balancer('App', [$app]) . "HALane Require\n";
my $ours = "HAListen 127.0.0.1:$own\n$mounts";

sub client
{
    return $t->client(port => $own, cookies => 0, retry => 0, timeout => 20);
}

# A client whose answer is held back; its child stays for it.
sub held
{
    $app->barrier_hold;
    my $client = client();
    $client->send(request(GET => '/App/plain'));
    $app->barrier_wait(1);
    return $client;
}

# A client of httpd's, which came to our address and does not read: a child of prefork does not
# even begin to leave before it has gone.
sub idler
{
    my $client = client();
    $client->send(request(GET => '/long'));
    $client->read_raw;
    return $client;
}

sub refuses
{
    return !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $own, Timeout => 5);
}

# Another configuration, and what Listen has of our address.
sub become($server, $config, @listen)
{
    $server->{listen} = [map {"127.0.0.1:$_"} @listen];
    $server->write_config($config);
    $server->graceful;
    return;
}

sub served
{
    my $client = client();
    my $good = $client->get('/App/plain')->status == 200;
    $client->close;
    return $good;
}

sub taken_away($server)
{
    my $idler = idler();
    my $held = held();
    become($server, $mounts);
    ok($t->wait_for(\&refuses, 5, 'the end of listening'), 'a restart that takes it away ends it');
    cmp_ok(HA::Usage::percent_within(0.5, @{$server->{old_children}}), '<', 50, 'and nothing spins');
    $app->barrier_open;
    is($held->read_response->status, 200, 'while children of before stay for their clients');
    return;
}

sub had_again($server)
{
    become($server, $ours);
    my $idler = idler();
    my $held = held();
    become($server, $mounts);
    become($server, $ours);
    $app->barrier_open;
    ok(served(), 'one that is given again at once serves');
    is($held->read_response->status, 200, 'beside a child of before');
    return;
}

# httpd closes what becomes of Listen by itself.
sub given_to_httpd($server)
{
    my $held = held();
    become($server, $mounts, $own);
    become($server, $mounts);
    ok($t->wait_for(\&refuses, 5, 'the end of listening'), 'one that went to httpd ends with Listen');
    become($server, $mounts, $own);
    $app->barrier_open;
    ok(served(), 'and httpd has it again');
    is($held->read_response->status, 200, 'all beside the child that had it');
    become($server, $ours);
    return;
}

sub stops($server)
{
    my $held = held();
    $t->signal($server->pid, 'WINCH');
    ok($t->wait_for(\&refuses, 5, 'the end of listening'), 'a graceful stop ends it');
    ok(!defined $t->ended($server->pid), 'while the server waits for its clients');
    $app->barrier_open;
    is($held->read_response->status, 200, 'who get their answers');
    is($t->wait_end($server->pid, 20), 0, 'and then it ends');
    return;
}

for my $mpm (qw(event worker prefork)) {
    subtest $mpm => sub {
        my %server = (mpm => $mpm, name => $mpm, modules => [qw(proxy proxy_http)], haproxy => 1);
        my $server = $t->httpd(%server, config => $ours);
        $t->write_file($server->root . '/htdocs/long', 'x' x LONG_BYTES);
        taken_away($server);
        had_again($server);
        given_to_httpd($server);
        stops($server);
    };
}

$t->done;
