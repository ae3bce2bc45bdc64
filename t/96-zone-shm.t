# SPDX-License-Identifier: Apache-2.0
# store=shm: when it is full the oldest goes and requests do not notice, restarts keep it, and a stop
# and another size begin empty.
use v5.36;

use HA::Shoppers;
use HA::Test;
use HA::Zone qw(all_serve cart counters put_fields stored without zone_httpd);

use constant {STATE_BYTES => 15000, SESSIONS => 200, FITS => 20};

my $t = HA::Test->new;
my @apps = my ($a, $b) = map {$t->app($_, zones => 1)} qw(hostA hostB);
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114/);

sub fill($proxy, %opt)
{
    my $shoppers = HA::Shoppers->new($t, port => $proxy->port, clients => 1, rounds => 1, sessions => SESSIONS, %opt);
    is_deeply($shoppers->wait->{failures}, [], 'carts are filled');
    return $shoppers;
}

for my $lane ('On', 'Off') {
    subtest "the memory is full, HALane $lane" => sub {
        my $proxy = zone_httpd($t, \@apps, name => "full-$lane", store => 'shm:1M', lane => $lane, counted => 1);
        my $client = $t->client(port => $proxy->port);
        my $early = cart($client, '/App/cart?add=early');
        $_->zone_pad(STATE_BYTES) for @apps;
        my $shoppers = fill($proxy);
        is($shoppers->look, 'kept:' . SESSIONS, 'the instances hold all');
        is(cart($client, '/App/cart?add=late')->{items}, 'early,late', 'an early session is used again');
        is_deeply([@{counters($proxy)}{qw(unprotected refused)}], [0, 0], 'all could be stored');
        my @at_a = $shoppers->at('hostA');
        my $n = @at_a;
        without(
            $t, $a,
            sub {
                is($shoppers->look(only => [@at_a[-FITS() .. -1]]), 'kept:' . FITS, 'the newest are there');
                is(cart($client, '/App/cart')->{items}, 'early,late', 'and what was changed lately');
                is($shoppers->look(only => [@at_a[0 .. 49]]), 'anew:50', 'the oldest are not');
            }
        );
        $_->zone_pad(0) for @apps;
        $proxy->stop;
    };
}

subtest 'graceful restarts' => sub {
    my $proxy = zone_httpd($t, \@apps, name => 'graceful', store => 'shm:8M');
    my $shoppers = HA::Shoppers->new($t, port => $proxy->port, clients => 10, rounds => 1000);
    for (1 .. 3) {
        $shoppers->wait_more(100);
        $proxy->graceful;
        $proxy->settle;
    }
    is_deeply($shoppers->finish->{failures}, [], 'no request fails, no cart lacks anything');
    without($t, $_, sub { is($shoppers->look, 'kept:50', 'nothing is lost') }) for @apps;
    $proxy->restart;
    without($t, $a, sub { is($shoppers->look, 'kept:50', 'nor by one that is not graceful') });
    $proxy->stop;
};

subtest 'another size' => sub {
    my $proxy = zone_httpd($t, \@apps, name => 'size', store => 'shm:8M');
    my @shoppers = map {fill($proxy, sessions => 50)} 1, 2;
    is($proxy->log->count(qr/store=shm has/), 0, 'a first start has no other size');
    $proxy->write_config($proxy->{config} =~ s/shm:8M/shm:64M/r);
    $proxy->graceful;
    like($proxy->log->take(qr/store=shm has/) // '', qr/App: store=shm has 67108864 bytes now, before 8388608: it begins empty/, 'the log says so');
    $proxy->settle;
    is($shoppers[0]->look(add => 'more'), 'kept:50', 'the instances hold their sessions');
    without(
        $t, $a,
        sub {
            is($shoppers[0]->look, 'kept:50', 'what has changed since is stored again');
            like($shoppers[1]->look, qr/^kept:\d+ anew:\d+$/, 'what has not is lost with its instance');
        }
    );
    $proxy->graceful;
    $proxy->settle;
    is($proxy->log->count(qr/store=shm has/), 1, 'the same size is not said');
    without($t, $b, sub { is($shoppers[0]->look, 'kept:50', 'and keeps all') });
    $proxy->stop;
};

# A client with a session on hostA that has this in its cart.
sub on_host_a($proxy, $item)
{
    while (1) {
        my $client = $t->client(port => $proxy->port);
        my $cart = cart($client, "/App/cart?add=$item");
        return ($client, $cart->{session}) if $cart->{instance} eq 'hostA';
    }
}

# Sessions that the instances hold are in no store then, and nobody knows that they were issued.
for my $lane ('On', 'Off') {
    subtest "a stop, HALane $lane" => sub {
        my $proxy = zone_httpd($t, \@apps, name => "stop-$lane", lane => $lane, counted => 1, zone => 'budget=1s');
        my ($client, $id) = on_host_a($proxy, 'tea');
        my ($quiet, $quiet_id) = on_host_a($proxy, 'fig');
        is(stored($proxy, $_)->status, 200, 'a session is stored') for $id, $quiet_id;
        $proxy->stop;
        $proxy->start;
        all_serve($t, $proxy, @apps);
        is(stored($proxy, $id)->status, 404, 'and not any more after a stop');
        my $cart = cart($client, '/App/cart?add=milk');
        is("@$cart{qw(instance items session)}", "hostA tea,milk $id", 'its instance holds it');
        is_deeply([@{counters($proxy)}{qw(unissued put)}], [1, 0], 'what that puts is of an id that nobody has issued');
        is(stored($proxy, $id)->status, 404, 'and is not kept');
        my $cookie = "Set-Cookie: zsessionid=$id.hostA; Path=/";
        $a->zone_say([$cookie, @{put_fields($id, 50, 'visits=0 items=tea,milk,rum')}], 1);
        is(cart($client, '/App/cart')->{status}, 200, 'the cookie is set once more');
        is_deeply([@{counters($proxy)}{qw(unissued put)}], [1, 1], 'and what is put with it counts');
        is(stored($proxy, $id)->status, 200, 'and is stored');
        without(
            $t, $a,
            sub {
                my $kept = cart($client, '/App/cart');
                is("@$kept{qw(instance items session)}", "hostB tea,milk,rum $id", 'so that it survives its instance');
                my $lost = cart($quiet, '/App/cart');
                is("$lost->{status} $lost->{items}", '200 ', 'another one, which had no cookie set, is lost with it');
                isnt($lost->{session}, $quiet_id, 'and begins anew');
            }
        );
        $proxy->stop;
    };
}

$t->done;
