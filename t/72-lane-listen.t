# SPDX-License-Identifier: Apache-2.0
# HAListen in place of Listen: alone, and put there and back while the server runs.
use v5.36;

use IO::Socket::UNIX;

use HA::Mount qw(balancer);
use HA::Test;
use HA::Usage;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $own = $t->port;
my %server = (modules => [qw(proxy proxy_http)], haproxy => 1);
my $mounts = balancer('App', [$a, $b]) . "HALane Require\n";
my $ours = "HAListen 127.0.0.1:$own\n$mounts";

for my $mpm (qw(event worker prefork)) {
    subtest "it may be the only address of the server: $mpm" => sub {
        my $server = $t->httpd(%server, mpm => $mpm, name => "only-$mpm", ports => 0, config => $ours);
        my $client = $t->client(port => $own);
        like($server->log->text, qr/HAListen: the lane accepts by itself on 127\.0\.0\.1:$own$/m, 'named in the log');
        is($client->get('/App/plain')->status, 200, 'served');
        is($client->get('/nowhere')->status, 404, 'what is not the lane\'s by httpd');
        $client->close;
        cmp_ok(HA::Usage::percent_within(1, $server->children), '<', 10, 'and nothing spins while nobody asks');
        $server->graceful;
        $server->settle;
        is($client->get('/App/plain')->status, 200, 'after a graceful restart');
        is($client->get('/nowhere')->status, 404, 'likewise');
        $client->close;
        cmp_ok(HA::Usage::percent_within(1, $server->children), '<', 10, 'and nothing spins');
        $server->stop;
    };
}

subtest 'prefork ends spare children that only its own connections wake' => sub {
    my $spare = "StartServers 6\nMinSpareServers 1\nMaxSpareServers 3\n";
    my $server = $t->httpd(%server, mpm => 'prefork', mpm_config => $spare, name => 'spare', ports => 0, config => $ours);
    ok($t->wait_for(sub { my @left = $server->children; @left <= 3 }, 20, 'the end of spare children'), 'so many as configured are left');
    is($t->client(port => $own)->get('/nowhere')->status, 404, 'and they serve');
    $server->stop;
};

subtest 'duplicates of listeners, for ListenCoresBucketsRatio, do no harm' => sub {
    my $config = "ListenCoresBucketsRatio 1\n$ours";
    my $server = $t->httpd(%server, name => 'buckets', ports => 0, config => $config);
    my $client = $t->client(port => $own);
    is($client->get('/App/plain')->status, 200, 'served');
    is($client->get('/nowhere')->status, 404, 'by httpd too');
    $server->stop;
};

subtest 'an address goes from Listen to HAListen, and back, under load' => sub {
    my $server = $t->httpd(%server, listen => ["127.0.0.1:$own"], config => $mounts);
    my $load = $t->load(port => $own, path => '/App/plain', rate => 100, count => 100_000, keep_alive => 0);
    for my $turn (1 .. 3) {
        for my $config ($ours, $turn == 2 ? $mounts =~ s/Require/Off/r : $mounts) {
            $load->wait_progress($load->progress + 20);
            $server->{listen} = $config eq $ours ? [] : ["127.0.0.1:$own"];
            $server->write_config($config);
            $server->graceful;
            $server->settle;
        }
    }
    $load->wait_progress($load->progress + 20);
    $load->finish;
    my $result = $load->wait;
    is($result->{failed}, 0, "none of $result->{sent} failed") or diag explain $result->{failures};
    $server->stop;
};

subtest 'the log names all addresses, and says when they are of no use' => sub {
    my $server = $t->httpd(%server, ports => 1, config => "HAListen 127.0.0.1:$own\nHAListen [::1]:$own\n");
    like($server->log->text, qr/HAListen: the lane accepts by itself on 127\.0\.0\.1:$own, \[::1\]:$own, and gives all of it to httpd: no/,
        'no mount is in the lane');
    is($t->client(port => $own)->get('/nowhere')->status, 404, 'httpd answers there, without any balancer');
    $server->stop;
};

# By another process than that which the name says, as if that were in another container.
sub listening($path)
{
    return IO::Socket::UNIX->new(Local => $path, Listen => 1) // die "$path: $!\n";
}

subtest 'what a killed server has left in the runtime folder is removed' => sub {
    my $server = $t->httpd(%server, name => 'killed', config => $mounts);
    my $sockets = sub { return sort map {s{.*/}{}r} glob $server->root . '/run/*.sock' };
    my $before = $server->pid;
    $t->kill_session($before);
    $t->wait_end($before);
    is(join(' ', $sockets->()), "haproxy.$before.sock", 'its socket is left');
    my $folder = $server->root . '/run';
    my $other = listening("$folder/haproxy.4194305.sock");
    undef(my $stranger = listening("$folder/haproxy.x4194305.sock"));
    $t->expect_log(qr/AH00098: pid file .* overwritten/);
    $server->start;
    my @left = sort 'haproxy.' . $server->pid . '.sock', qw(haproxy.4194305.sock haproxy.x4194305.sock);
    is(join(' ', $sockets->()), "@left", 'the next start removes it, and nothing else');
    $server->stop;
    is(join(' ', $sockets->()), 'haproxy.4194305.sock haproxy.x4194305.sock', 'and its own at its end');
};

subtest 'an address of both is refused before it does harm' => sub {
    my $server = $t->httpd(%server, listen => ["127.0.0.1:$own"], config => $ours, start => 0);
    my ($good, $said) = $server->check;
    ok(!$good, 'httpd -t refuses it');
    like($said, qr/HAListen 127\.0\.0\.1:$own: Listen 127\.0\.0\.1:$own has that address, too: keep one/, 'and says why');
    $server->{listen} = [$own];
    $server->write_config;
    ($good, $said) = $server->check;
    like($said, qr/HAListen .*: Listen \S+ has that address, too/, 'also when Listen is for all addresses');
    $server->{listen} = ["127.0.0.1:$own"];
    $server->write_config("HAListen 0.0.0.0:$own\n$mounts");
    ($good, $said) = $server->check;
    like($said, qr/HAListen .*: Listen \S+ has that address, too/, 'or HAListen is, of IPv4');
};

$t->done;
