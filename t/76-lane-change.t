# SPDX-License-Identifier: Apache-2.0
# An address goes from HAListen to Listen and back by graceful restarts, and becomes wider or
# narrower on its way: the server serves where it is told to, and nowhere else.
use v5.36;

use IO::Socket::IP;
use List::Util qw(pairs);

use HA::Mount qw(balancer);
use HA::Test;

use constant ADDRESSES => qw(127.0.0.1 127.0.0.2 ::1);

my $t = HA::Test->new;
my $app = $t->app('hostA');
my $own = $t->port;
my $mounts = balancer('App', [$app]);
my $probe = IO::Socket::IP->new(LocalHost => "::1", LocalPort => $own, Listen => 1, ReuseAddr => 1);
my $has_six = $probe && $probe->close;
plan skip_all => 'no IPv6 here' if !$has_six;

my ($all, $four, $one, $six) = ('127.0.0.1 127.0.0.2 ::1', '127.0.0.1 127.0.0.2', '127.0.0.1', '::1');
my @story = (
    "Listen $own" => $all,
    "HAListen $own" => $all,
    "Listen $own" => $all,
    "HAListen 127.0.0.1:$own" => $one,
    "Listen 127.0.0.1:$own" => $one,
    "HAListen $own" => $all,
    "Listen 127.0.0.1:$own" => $one,
    "HAListen 127.0.0.1:$own" => $one,
    "Listen $own" => $all,
    "HAListen 0.0.0.0:$own" => $four,
    "Listen $own" => $all,
    "HAListen [::1]:$own" => $six,
    "HAListen $own" => $all,
    "HAListen 127.0.0.1:$own" => $one,
    "HAListen 0.0.0.0:$own" => $four,
    "Listen 0.0.0.0:$own" => $four,
    "HAListen $own" => $all,
    "Listen [::1]:$own" => $six,
    "HAListen $own" => $all,
    "Listen [::]:$own" => $all,
    "HAListen $own" => $all,
    "Listen 0.0.0.0:$own" => $four,
);

sub answer($address)
{
    my $socket = IO::Socket::IP->new(PeerHost => $address, PeerPort => $own, Timeout => 5) or return '';
    print $socket "GET /App/plain HTTP/1.0\r\n\r\n";
    return readline($socket) // '';
}

# Where it is served.
sub where
{
    return join ' ', grep {answer($_) =~ / 200 /} ADDRESSES;
}

# An old child of httpd may find its socket ended before it has heard of the restart.
$t->expect_log(qr/AH02179: apr_socket_accept/);

for my $mpm (qw(event worker prefork)) {
    subtest $mpm => sub {
        my %server = (mpm => $mpm, name => $mpm, modules => [qw(proxy proxy_http)], haproxy => 1);
        my $server = $t->httpd(%server, config => "HALane Require\n${mounts}HAListen $own\n");
        for my $step (pairs @story) {
            my ($line, $wanted) = @$step;
            $server->write_config("HALane Require\n$mounts$line\n");
            $server->graceful;
            # Old children of httpd may still have a socket of before.
            $server->settle;
            is(where(), $wanted, $line);
        }
        like($server->log->text, qr/HAListen :$own has become Listen $_:$own, which is not the same/, "said of $_")
            for '127\.0\.0\.1', '0\.0\.0\.0';
        like($server->log->text, qr/Listen \[::\]:$own has become HAListen 127\.0\.0\.1:$own, which/, 'both ways');
        $server->stop;
    };
}

$t->done;
