# SPDX-License-Identifier: Apache-2.0
# Two proxies with the same zone: whichever a request comes through, its session is where its state
# is, and what an instance that has lost it still says is refused.
use v5.36;

use HA::Crowd;
use HA::Memcached;
use HA::Shoppers;
use HA::Test;
use HA::Zone qw(cart counters without zone_httpd);

my $t = HA::Test->new;
my @apps = my ($a, $b) = map {$t->app($_, zones => 1)} qw(hostA hostB);
my @nodes = map {HA::Memcached->new($t, "memcached$_")} 1, 2;
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00898|AH00957|AH01102|AH01114/);
$t->expect_log(qr/App: memcached 127\.0\.0\.1:\d+: (?:up -> down|down -> up)/);

# The second one has the nodes in another order, which must not matter.
sub two_proxies($name, %opt)
{
    return map {
        my @own = $_ == 1 ? @nodes : reverse @nodes;
        zone_httpd($t, \@apps, name => "$name$_", nodes => \@own, %opt, zone => "budget=1s $opt{zone}");
    } 1, 2;
}

# A client of each that are one: they have the same cookies.
sub two_clients(@proxies)
{
    my %jar;
    return map {$t->client(port => $_->port, jar => \%jar)} @proxies;
}

# Two clients with a session on hostA that has tea in its cart.
sub on_host_a(@proxies)
{
    while (1) {
        my @clients = two_clients(@proxies);
        return @clients if cart($clients[0], '/App/cart?add=tea')->{instance} eq 'hostA';
    }
}

# hostA is left by both, and taken again.
sub leave_host_a(@proxies)
{
    $t->mark;
    $a->health('fail');
    $t->wait_for(qr/member hostA: \S+ -> down/) for @proxies;
    return;
}

sub take_host_a(@proxies)
{
    $a->health('ok');
    $t->wait_for(qr/member hostA: down -> up/) for @proxies;
    return;
}

for my $lane ('On', 'Off') {
    for my $recheck ('0', '1s') {
        subtest "turns, recheck=$recheck, HALane $lane" => sub {
            my @proxies = two_proxies("turns$recheck$lane", zone => "recheck=$recheck", lane => $lane);
            my @clients = two_clients(@proxies);
            my $first = cart($clients[0], '/App/cart?add=i0');
            my @items = 'i0';
            my ($from, $to) = $first->{instance} eq 'hostA' ? @apps : ($b, $a);
            my $turns = sub ($instance, $how) {
                for my $client (@clients, @clients) {
                    push @items, 'i' . @items;
                    my $cart = cart($client, "/App/cart?add=$items[-1]");
                    my $shown = "$cart->{instance} $cart->{session} $cart->{items}";
                    is($shown, join(' ', $instance->name, $first->{session}, join ',', @items), $how);
                }
            };
            $turns->($from, 'each proxy finds the session');
            without($t, $from, sub { $turns->($to, 'and finds it at the other instance') });
            $proxies[0]->graceful;
            $turns->($to, 'one is restarted gracefully');
            $proxies[0]->settle;
            without($t, $to, sub { $turns->($from, 'it moves back') });
            $proxies[0]->stop;
            $proxies[0]->start;
            $turns->($from, 'one is stopped and started');
            $proxies[0]->stop;
            $from->kill;
            $proxies[0]->start;
            $turns->($to, 'and an instance is lost meanwhile');
            $from->start;
            $_->stop for @proxies;
        };
    }
}

for my $lane ('On', 'Off') {
    subtest "one proxy takes a session over, the other one has requests at the old instance, HALane $lane" => sub {
        my @proxies = two_proxies("fence$lane", lane => $lane, zone => 'recheck=1s');
        for my $method ('GET', 'POST') {
            my ($slow, $fast) = on_host_a(@proxies);
            $a->answers_hold(1);
            $slow->send($slow->format_request($method => '/App/cart?add=late', $method eq 'POST' ? (body => 'x') : ()));
            $a->answers_wait(1);
            leave_host_a(@proxies);
            my $cart = cart($fast, '/App/cart?add=milk');
            is("$cart->{instance} $cart->{items}", 'hostB tea,milk', 'the other instance has the session');
            $a->answers_open;
            my $late = $slow->read_response($method);
            if ($method eq 'GET') {
                is($late->status, 200, 'a late answer of the old one is refused, and the request repeated');
                like($late->body, qr/^hostB .* items=tea,milk,late /, 'where the session is');
            } else {
                is($late->status, 503, 'if it may be; else there is an error');
            }
            my $want = $method eq 'GET' ? 'tea,milk,late' : 'tea,milk';
            is(cart($_, '/App/cart')->{items}, $want, 'and the session is what its owner says') for $slow, $fast;
            take_host_a(@proxies);
            is(cart($_, '/App/cart')->{instance}, 'hostB', 'also when the old one is back') for $slow, $fast;
        }
        $_->stop for @proxies;
    };
}

for my $lane ('On', 'Off') {
    subtest "a cookie from before a failover that the other proxy has seen, HALane $lane" => sub {
        for my $recheck ('0', '1s', '60s') {
            my @proxies = two_proxies("stale$recheck-$lane", lane => $lane, zone => "recheck=$recheck");
            my ($first, $second) = on_host_a(@proxies);
            my ($third, $fourth) = on_host_a(@proxies);
            is(cart($_, '/App/cart')->{items}, 'tea', "recheck=$recheck: both know the session") for $second, $fourth;
            my $old = $first->cookie('zsessionid');
            leave_host_a(@proxies);
            is(cart($_, '/App/cart?add=milk')->{items}, 'tea,milk', 'one moves it') for $first, $third;
            take_host_a(@proxies);
            my $moved = cart($fourth, '/App/cart');
            is("$moved->{instance} $moved->{items}", 'hostB tea,milk', 'with its new cookie it is found there at once');
            my $stale = $t->client(port => $proxies[1]->port);
            $stale->set_cookie(zsessionid => $old, '/');
            my $cart = cart($stale, '/App/cart?add=sugar');
            is("$cart->{instance} $cart->{items}", 'hostB tea,milk,sugar', 'what the cookie leads to is not changed by the old owner');
            like($stale->cookie('zsessionid'), qr/\.hostB$/, 'and the cookie is put right');
            $_->stop for @proxies;
        }
    };
}

for my $lane ('On', 'Off') {
    subtest "a request with such a cookie that changes nothing, HALane $lane" => sub {
        my @ways = (
            ['0', 'hostB tea,milk', 'it is never shown what the old owner has'],
            ['60s', 'hostA tea', 'it may be shown what the old owner has, for so long'],
        );
        for my $way (@ways) {
            my ($recheck, $want, $what) = @$way;
            my %zone = (zone => "recheck=$recheck", lane => $lane, counted => 1);
            my @proxies = two_proxies("unchanged$recheck-$lane", %zone);
            my ($first, $second) = on_host_a(@proxies);
            is(cart($second, '/App/cart')->{items}, 'tea', "recheck=$recheck: both know the session");
            my $old = $first->cookie('zsessionid');
            leave_host_a(@proxies);
            is(cart($first, '/App/cart?add=milk')->{items}, 'tea,milk', 'one moves it');
            take_host_a(@proxies);
            my $stale = $t->client(port => $proxies[1]->port);
            for (1 .. 5) {
                $stale->set_cookie(zsessionid => $old, '/');
                my $cart = cart($stale, '/App/cart');
                is("$cart->{status} $cart->{instance} $cart->{items}", "200 $want", $what);
            }
            is(counters($proxies[1])->{fenced}, 0, 'there is nothing to refuse in it');
            my $cart = cart($first, '/App/cart?add=sugar');
            is("$cart->{instance} $cart->{items}", 'hostB tea,milk,sugar', 'and the session stays where it is');
            is(cart($second, '/App/cart')->{items}, 'tea,milk,sugar', 'for both, with its new cookie');
            $stale->set_cookie(zsessionid => $old, '/');
            is(cart($stale, '/App/cart')->{items}, 'tea,milk,sugar', 'so that the old cookie leads there too');
            $_->stop for @proxies;
        }
    };
}

for my $lane ('On', 'Off') {
    subtest "both memcached lose all at once, HALane $lane" => sub {
        my @proxies = two_proxies("flushed$lane", lane => $lane, zone => 'recheck=0', counted => 1);
        my ($knows, $new) = on_host_a(@proxies);
        my $id = $knows->cookie('zsessionid');
        $_->flush for @nodes;
        my $cart = cart($new, '/App/cart?add=milk');
        is("$cart->{instance} $cart->{items}", 'hostA tea,milk', 'the instance holds the session');
        is(counters($proxies[1])->{unissued}, 1, 'for a proxy that never had it the id is made up');
        is(scalar $_->names, 0, 'and nothing is stored') for @nodes;
        is(cart($knows, '/App/cart?add=sugar')->{items}, 'tea,milk,sugar', 'through the one that had it');
        is(scalar $_->names, 1, 'it is stored again') for @nodes;
        is(cart($new, '/App/cart?add=fig')->{items}, 'tea,milk,sugar,fig', 'and by the other one then, too');
        is(counters($_)->{unissued}, $_ == $proxies[1] ? 1 : 0, 'which counts no more') for @proxies;
        is($knows->cookie('zsessionid'), $id, 'its cookie was never set again');
        without(
            $t, $a,
            sub {
                my $what = 'its instance is lost, and it is kept';
                is(cart($_, '/App/cart')->{items}, 'tea,milk,sugar,fig', $what) for $knows, $new;
            }
        );
        $_->stop for @proxies;
    };
}

# What this proxy remembers is from before that: only the client's cookie tells it where the session is.
for my $lane ('On', 'Off') {
    subtest "a session moves through one, then no memcached has it, HALane $lane" => sub {
        my %lost = ('both are flushed' => sub { $_->flush for @nodes }, 'both are killed' => sub { $_->kill for @nodes });
        for my $how (sort keys %lost) {
            my @proxies = two_proxies("moved$lane-" . ($how =~ s/ /-/gr), lane => $lane, zone => 'recheck=0');
            my ($first, $second) = on_host_a(@proxies);
            is(cart($second, '/App/cart')->{instance}, 'hostA', "$how: the other one knows where it was");
            leave_host_a(@proxies);
            is(cart($first, '/App/cart?add=milk')->{items}, 'tea,milk', 'it moves');
            take_host_a(@proxies);
            $lost{$how}->();
            my $cart = cart($second, '/App/cart');
            is("$cart->{instance} $cart->{items}", 'hostB tea,milk', 'the other one believes the cookie');
            $cart = cart($second, '/App/cart?add=sugar');
            is("$cart->{instance} $cart->{items}", 'hostB tea,milk,sugar', 'and goes on there');
            is(cart($first, '/App/cart')->{items}, 'tea,milk,sugar', 'as the first one does');
            if ($how =~ /flushed/) {
                my $kept = sub { is(cart($_, '/App/cart')->{items}, 'tea,milk,sugar', 'what is stored then is kept') for $second, $first };
                without($t, $b, $kept);
            } else {
                $_->start for @nodes;
            }
            $_->stop for @proxies;
        }
    };
}

for my $lane ('On', 'Off') {
    subtest "parallel requests of one session through both, HALane $lane" => sub {
        my @proxies = two_proxies("parallel$lane", lane => $lane, zone => 'recheck=1s');
        my ($client) = on_host_a(@proxies);
        my $cookie = $client->cookie('zsessionid');
        my %port = map {$_ => $proxies[$_ % 2]->port} 0 .. 7;
        my $crowd = HA::Crowd->new(
            $t,
            clients => 8,
            port => sub ($number) { $port{$number} },
            renew => 1,
            step => sub ($number, $n) {
                return undef if $n == 10;
                my $check = sub ($answer) { $answer->status == 200 ? undef : 'status ' . $answer->status };
                my $head = "GET /App/cart?add=c$number-$n HTTP/1.1\r\nHost: localhost\r\nCookie: zsessionid=$cookie\r\n\r\n";
                return {bytes => $head, answers => [[GET => $check]]};
            }
        );
        is_deeply($crowd->wait->{failures}, [], 'all are answered');
        my @all = sort 'tea', map {my $number = $_; map {"c$number-$_"} 0 .. 9} 0 .. 7;
        without(
            $t, $a,
            sub {
                my $cart = cart($client, '/App/cart');
                is($cart->{instance}, 'hostB', 'their instance is lost');
                is(join(' ', sort split /,/, $cart->{items}), "@all", 'and the other one has all that they did');
            }
        );
        $_->stop for @proxies;
    };
}

for my $lane ('On', 'Off') {
    subtest "load through both, with restarts of a proxy and of instances, HALane $lane" => sub {
        my @proxies = two_proxies("load$lane", lane => $lane, zone => 'recheck=1s');
        my @ports = map {$_->port} @proxies;
        my $shoppers = HA::Shoppers->new($t, ports => \@ports, clients => 10, rounds => 1000, twice => 1);
        $shoppers->wait_more(200);
        for my $app (@apps) {
            without($t, $app, sub { $shoppers->wait_more(100) });
            $proxies[0]->graceful;
            $shoppers->wait_more(100);
            $proxies[0]->settle;
        }
        # What mod_proxy has sent to an instance that dies then is not sent again.
        my @failures = grep {$lane eq 'On' || !/: status 502$/} @{$shoppers->finish->{failures}};
        is_deeply(\@failures, [], 'no request fails, no cart lacks anything');
        without($t, $a, sub { is($shoppers->look(port => $_), 'kept:50', 'all are found') for @ports });
        $_->stop for @proxies;
    };
}

$t->done;
