# SPDX-License-Identifier: Apache-2.0
# Z5: the instance dies: the next request reaches the other instance, which gets the USER zone of that
# session; same session, new route from then on. In the lane and on the standard path, with either
# store. And what becomes of a change when others keep changing its record.
use v5.36;

use IO::Select;
use IO::Socket::INET;

use HA::Client;
use HA::Memcached;
use HA::Mount qw(balancer);
use HA::Test;
use HA::Zone qw(all_serve cart counters holder record_name zone_httpd zone_key);

use constant READ_BYTES => 65536;

my $t = HA::Test->new;
my ($a, $b) = map {$t->app("host$_", zones => 1)} qw(A B);
my %app = (hostA => $a, hostB => $b);
# Instances are killed on purpose.
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114/);

sub story($proxy, $store)
{
    my $restored = counters($proxy)->{restore};
    my $client = $t->client(port => $proxy->port);
    my $first = cart($client, '/App/cart?add=tea');
    my ($from, $to) = $first->{instance} eq 'hostA' ? qw(hostA hostB) : qw(hostB hostA);
    my $second = cart($client, '/App/cart?add=milk');
    is($second->{instance}, $from, 'a session stays on its instance');
    is($second->{items}, 'tea,milk', 'which has its cart');
    is($second->{epoch}, 1, 'in its first epoch');
    is(counters($proxy)->{restore}, $restored, 'and needs no state');
    $app{$from}->kill;
    my $third = cart($client, '/App/cart');
    is($third->{status}, 200, "Z5: $from is dead, and the next request is answered");
    is($third->{instance}, $to, 'by the other instance');
    is($third->{items}, 'tea,milk', 'which has got the USER zone of the session');
    is($third->{session}, $first->{session}, 'the same session');
    cmp_ok($third->{epoch}, '>', 1, 'in a new epoch');
    is($client->cookie('zsessionid'), "$first->{session}.$to", 'with its new route');
    my $fourth = cart($client, '/App/cart?add=sugar');
    is($fourth->{instance}, $to, 'where it stays from then on');
    is($fourth->{items}, 'tea,milk,sugar', 'and goes on');
    is(counters($proxy)->{restore}, $restored + 1, 'it was given its state once, which is counted');
    $app{$from}->start;
    return;
}

for my $store ('shm', 'memcached') {
    my @nodes = $store eq 'shm' ? () : map {HA::Memcached->new($t, "memcached$_")} 1, 2;
    for my $lane ('On', 'Off') {
        subtest "$store, HALane $lane" => sub {
            my $proxy = zone_httpd($t, [$a, $b], name => "$store-$lane", lane => $lane, nodes => \@nodes, counted => 1);
            story($proxy, $store);
            $proxy->stop;
        };
    }
    for my $node (@nodes) {
        ok(scalar $node->names, 'each memcached has a copy');
        is(scalar(grep {!/^haz1:[-_0-9A-Za-z]{43}$/} $node->names), 0, 'under a name that says nothing');
    }
}

# --- others keep changing a record ----------------------------------------------------------------

# Passes on what has come to one end of a connection. While there is the file `busy`, it calls `change`
# with the name of each record that is about to be stored, before memcached hears of it. False at the end.
sub pass_on($from, $to, $busy, $change)
{
    sysread $from, my $bytes, READ_BYTES or return 0;
    my @names = -e $busy ? $bytes =~ /\bms (haz1:\S+) /g : ();
    $change->($_) for @names;
    return syswrite $to, $bytes;
}

# The same for all who connect, for ever.
sub stand_before($listener, $node, $busy, $change)
{
    my $select = IO::Select->new($listener);
    my %peer;
    while (1) {
        for my $from ($select->can_read) {
            if ($from == $listener) {
                my @ends = ($listener->accept, IO::Socket::INET->new(PeerAddr => $node->address));
                @peer{@ends} = reverse @ends;
                $select->add(@ends);
            } elsif ($peer{$from} && !pass_on($from, $peer{$from}, $busy, $change)) {
                my @ends = ($from, $peer{$from});
                $select->remove(@ends);
                delete @peer{@ends};
            }
        }
    }
    return;
}

# A proxy to whose memcached others are faster while there is a file. The proxy, and the file; `change`
# gets the memcached, and the name.
sub beside_others($name, $lane, $nodes, $change)
{
    my $busy = $t->dir("$name.busy");
    my @addresses;
    for my $node (@$nodes) {
        my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100) // die "$name: $!\n";
        push @addresses, '127.0.0.1:' . $listener->sockport;
        my $change_on = sub ($record) { $change->($node, $record) };
        $t->spawn("$name-" . $listener->sockport, code => sub { stand_before($listener, $node, $busy, $change_on) });
    }
    my $proxy = zone_httpd($t, [$a, $b], name => $name, lane => $lane, store => 'memcached:' . join(',', @addresses),
        zone => 'zone=USER,STORAGE budget=1s key=' . zone_key($t), counted => 1);
    all_serve($t, $proxy, $a, $b);
    return ($proxy, $busy);
}

# How the counters have changed: 'conflict:1 put:2'.
sub counted($proxy, $before)
{
    my $now = counters($proxy);
    return join ' ', map {"$_:" . ($now->{$_} - $before->{$_})} grep {$now->{$_} != $before->{$_}} sort keys %$now;
}

my @nodes = map {HA::Memcached->new($t, "memcached-others$_")} 1, 2;

# With nothing at its end a value is the same, and another one for a compare-and-swap.
for my $lane ('On', 'Off') {
    subtest "others keep changing a session's record, HALane $lane" => sub {
        my ($proxy, $busy) = beside_others("others-$lane", $lane, \@nodes, sub ($node, $record) { $node->ask("append $record 0 0 0", '') });
        my $client = $t->client(port => $proxy->port);
        my $first = cart($client, '/App/cart?add=tea');
        my $name = record_name($first->{session});
        my @old = map {$_->get($name)} @nodes;
        my $before = counters($proxy);
        $t->write_file($busy, '');
        is(cart($client, '/App/cart?add=milk')->{items}, 'tea,milk', 'a request is answered');
        unlink $busy;
        like(counted($proxy, $before), qr/^(?:conflict:1 )?unprotected:1$/, 'its state is given up, or there is no more time: it is counted');
        is_deeply([map {$_->get($name)} @nodes], \@old, 'and the record is as it was');
        is(cart($client, '/App/cart?add=sugar')->{items}, 'tea,milk,sugar', 'the next one');
        like(counted($proxy, $before), qr/^(?:conflict:1 )?put:1 unprotected:1$/, 'is stored');
        my ($holder) = holder($first, $a, $b);
        $holder->kill;
        is(cart($client, '/App/cart')->{items}, 'tea,milk,sugar', 'and survives its instance');
        $holder->start;
        $proxy->stop;
    };
}

subtest 'others keep changing a value' => sub {
    my $other = zone_httpd($t, [$a, $b], name => 'faster', nodes => \@nodes, zone => 'zone=STORAGE budget=1s', counted => 1);
    my $ask = sub ($proxy, $method, $body, @fields) {
        my @headers = (Authorization => 'Bearer the-token-of-App', @fields);
        return HA::Client->new(port => $proxy->port(2))->request($method, '/zones/STORAGE/n', headers => \@headers, body => $body);
    };
    my $n = 0;
    my ($proxy, $busy) = beside_others('slower', 'On', \@nodes, sub (@) { $ask->($other, PUT => ++$n, 'If-Match' => '*') });
    my $patch = sub { $ask->($proxy, PATCH => '{"a":1}', 'Content-Type' => 'application/merge-patch+json') };
    is($ask->($proxy, PUT => 0, 'If-None-Match' => '*')->status, 201, 'a value is made');
    my $before = counters($proxy);
    $t->write_file($busy, '');
    my $answer = $patch->();
    unlink $busy;
    is($answer->status, 503, 'a patch is given up when another proxy is faster each time');
    is($answer->header('Retry-After'), 1, 'but may hold later');
    like(counted($proxy, $before), qr/^(?:conflict:1 )?unprotected:1$/, 'which is counted');
    like($ask->($proxy, GET => '')->body, qr/^[1-9]\d*$/, 'the value is what the others have made of it');
    is($patch->()->status, 204, 'without them it holds');
    is($ask->($proxy, GET => '')->body, '{"a":1}', 'and makes the value');
    $_->stop for $proxy, $other;
};

$t->done;
