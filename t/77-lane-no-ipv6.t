# SPDX-License-Identifier: Apache-2.0
# A host without IPv6, where a member's name has an address of IPv6 all the same: that one cannot be
# reached, which is no want of ports. Runs in a network namespace of its own.
use v5.36;

use IO::Socket::INET;
use IO::Socket::IP;

use constant {SIOCGIFFLAGS => 0x8913, SIOCSIFFLAGS => 0x8914, IFF_UP => 1, IFREQ => 'a16 s x22'};

sub loopback_up
{
    my $socket = IO::Socket::INET->new(Proto => 'udp') // return 0;
    my $request = pack IFREQ, 'lo', 0;
    ioctl($socket, SIOCGIFFLAGS, $request) or return 0;
    my ($name, $flags) = unpack IFREQ, $request;
    return ioctl($socket, SIOCSIFFLAGS, pack IFREQ, $name, $flags | IFF_UP);
}

sub without_ipv6
{
    open(my $out, '>', '/proc/sys/net/ipv6/conf/all/disable_ipv6') or return !-e '/proc/sys/net/ipv6';
    print $out "1\n";
    return close $out;
}

if (!$ENV{HA_NAMESPACE}) {
    $ENV{HA_NAMESPACE} = 1;
    exec 'unshare', '-n', $^X, (map {"-I$_"} @INC), $0 if $> == 0 && system('unshare -n true 2>/dev/null') == 0;
}

use HA::Mount qw(one_child);
use HA::Test;

my $t = HA::Test->new;
plan(skip_all => 'only root can have a network without IPv6')
    if $> != 0 || !loopback_up() || !without_ipv6() || !HA::Httpd::can_have_hosts($t);

my ($a, $b) = map {$t->app("host$_")} qw(A B);
my $ipv6 = IO::Socket::IP->new(PeerHost => '::1', PeerPort => $a->port);
ok(!$ipv6 && $!{EADDRNOTAVAIL}, 'what the system says of such an address') or diag "$!";

my $server = $t->httpd(
    modules => [qw(proxy proxy_http)],
    haproxy => 1,
    mpm_config => one_child(25),
    hosts => $t->write_file('hosts', "127.0.0.1 both.test\n::1 both.test\n"),
    config => <<~"CONFIG",
        HALane Require
        <Proxy "balancer://App">
        BalancerMember "http://both.test:${\$a->port}" route=hostA
        BalancerMember "${\$b->url}" route=hostB
        </Proxy>
        HABalancer App
        HACheck App interval=200ms
        ProxyPass "/App" "balancer://App/App"
        CONFIG
);
my $client = $t->client(port => $server->port, cookies => 0);
$t->wait_for(qr/App: member $_: unknown -> up/) for qw(hostA hostB);
is(spread($client, '/App/plain', 10), 'hostA:5 hostB:5', 'the other address serves');

$t->expect_log(qr/App: member hostA failed on \S+: no connection$|App: member hostA: .*suspect/);
$a->kill;
is(spread($client, '/App/plain', 10), 'hostB:10', 'no request fails when the member does');
$t->wait_for(qr/App: member hostA: up -> down, connect refused, /);
pass('and it is found dead, for the reason of the address that was tried first');
is($server->log->count(qr/not probed|not carried/), 0, 'nothing was too little');

$t->done;
