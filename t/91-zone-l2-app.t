# SPDX-License-Identifier: Apache-2.0
# Z5 with an application that keeps its sessions by L2 (doc/zones.md): no instance has any itself, so that
# neither an instance nor a memcached takes one with it.
use v5.36;

use HA::Memcached;
use HA::Mount qw(balancer);
use HA::Test;
use HA::Zone qw(cart zone_address zone_httpd zone_token);

my $t = HA::Test->new;
my @nodes = map {HA::Memcached->new($t, "memcached$_")} 1, 2;
my ($token_file) = zone_token($t, 'App');
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)/);
$t->expect_log(qr/App: memcached 127\.0\.0\.1:\d+: (?:up -> down|down -> up)/);

# The proxy with the address asks no instance, and the proxy of the instances needs no zone.
my $address = zone_httpd(
    $t, [$t->app('nobody')],
    name => 'address',
    modules => [qw(proxy proxy_http authz_host)],
    nodes => \@nodes,
    zone => "zone=USER token=$token_file",
    check => undef,
    ports => 2,
    more => zone_address()
);
my @zones = ('-zones=l2', '-zones-url=http://127.0.0.1:' . $address->port(2) . '/zones', "-zones-token=$token_file");
my ($a, $b) = map {$t->app("host$_", args => \@zones)} qw(A B);
my $proxy = $t->httpd(modules => [qw(proxy proxy_http)], haproxy => 1, config => balancer('App', [$a, $b]) . "HALane On\n");
my $client = $t->client(port => $proxy->port);

my $first = cart($client, '/App/cart?add=tea');
is($first->{items}, 'tea', 'a session begins');
my ($from, $to) = $first->{instance} eq 'hostA' ? ($a, $b) : ($b, $a);
is(cart($client, '/App/cart?add=milk')->{items}, 'tea,milk', 'and goes on');
is(cart($client, '/App/cart')->{version}, 2, 'by a version for each change');

$from->kill;
$nodes[0]->kill;
my $second = cart($client, '/App/cart');
is($second->{instance}, $to->name, 'Z5: its instance and a memcached die, and the other instance answers');
is($second->{items}, 'tea,milk', 'with its cart');
is($second->{session}, $first->{session}, 'the same session');
is(cart($client, '/App/cart?add=rum')->{items}, 'tea,milk,rum', 'which goes on');
$from->start;
$nodes[0]->start;

# All of them are under way at once, through both instances.
my @crowd = map {my $app = $_ % 2 ? $a : $b; $app->client(cookies => 0, timeout => 30)} 1 .. 20;
my %bound = (Cookie => "zsessionid=$first->{session}");
for my $n (1 .. @crowd) {
    $crowd[$n - 1]->send($crowd[$n - 1]->format_request(GET => "/App/cart?add=x$n", headers => \%bound));
}
is(scalar(grep {$_->read_response->status == 200} @crowd), 20, 'twenty requests in one session at once are answered');
my %items = map {$_ => 1} split /,/, cart($client, '/App/cart')->{items};
is(scalar(grep {$items{"x$_"}} 1 .. 20), 20, 'and none of them undoes what another one has done');

my $login = cart($client, '/App/login');
isnt($login->{session}, $first->{session}, 'after a login the session has a new id');
ok($items{tea} && $login->{items} =~ /^tea,milk,rum,/, 'and its cart');
my $old = $t->client(port => $proxy->port);
$old->set_cookie(zsessionid => "$first->{session}.hostA");
is(cart($old, '/App/cart')->{items}, '', 'whoever knows the old id has nothing of it');
my $kept = $client->cookie('zsessionid');
is($client->get('/App/logout')->status, 200, 'a logout');
$client->set_cookie(zsessionid => $kept);
my $after = cart($client, '/App/cart');
is($after->{items}, '', 'ends the session');
isnt($after->{session}, $login->{session}, 'for good');

$_->kill for @nodes;
is($client->get('/App/cart')->status, 503, 'without any memcached there is no telling');

$t->done;
