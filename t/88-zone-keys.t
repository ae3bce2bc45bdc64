# SPDX-License-Identifier: Apache-2.0
# What is sealed stays readable while keys are changed as doc/zone-record.md says, and what was
# changed, moved or sealed with another key counts as not there.
use v5.36;

use Digest::SHA qw(hmac_sha256_hex);

use HA::Memcached;
use HA::Shoppers;
use HA::Test;
use HA::Zone qw(cart counters without zone_httpd zone_key);

my $t = HA::Test->new;
my @apps = my ($a, $b) = map {$t->app($_, zones => 1)} qw(hostA hostB);
$t->expect_log(qr/App: member host[AB] failed on|App: member host[AB]: .*(?:suspect|down)|AH00957|AH01114/);

$t->expect_log(qr/App: a record in the store counts as not there: /);

my @nodes = map {HA::Memcached->new($t, "memcached$_")} 1, 2;
my ($k1, $k2, $k3) = map {sprintf '%064x', $_} 0x5eed, 0xf00d, 0xbeef;

sub proxy_of($name, %opt)
{
    return zone_httpd($t, \@apps, name => $name, nodes => \@nodes, zone => 'recheck=0 budget=1s', %opt);
}

sub lose_each_instance($how, @shoppers)
{
    for my $app (@apps) {
        my $what = "$how, and ${\$app->name} is lost: all carts are as they were";
        without($t, $app, sub { is($_->look, 'kept:' . $_->count, $what) for @shoppers });
    }
    return;
}

# The keys that the records are sealed with, by their first hex digits.
sub sealed_with($node)
{
    my %ids = map {unpack('x4 H8', $node->get($_)) => 1} $node->names;
    return join ' ', sort keys %ids;
}

sub id_of($key)
{
    return substr hmac_sha256_hex('mod_haproxy zone key id', pack 'H*', $key), 0, 8;
}

for my $lane ('On', 'Off') {
    subtest "a key is replaced, HALane $lane" => sub {
        my $key = zone_key($t, 'zone.key', $k1);
        my @proxies = map {proxy_of("replaced$_-$lane", key => $key, lane => $lane)} 1, 2;
        my @shoppers = map {HA::Shoppers->new($t, port => $_->port, clients => 10, rounds => 1000)} @proxies;
        $_->wait_more(100) for @shoppers;
        my @steps = (
            ['can be opened' => "names $k1", $k1, $k2],
            ['seals' => "names $k1", $k2, $k1],
            ['is alone' => "names $k1", $k2],
        );
        for my $step (@steps) {
            my ($what, @lines) = @$step;
            zone_key($t, 'zone.key', @lines);
            for my $proxy (@proxies) {
                $proxy->graceful;
                $proxy->settle;
                $_->wait_more(100) for @shoppers;
            }
            next if $what ne 'seals';
            # All are written once more: as doc/zone-record.md says, the longest ttl has to pass.
            $_->wait_more(100) for @shoppers;
        }
        is_deeply($_->finish->{failures}, [], 'no request fails, no cart lacks anything') for @shoppers;
        is(sealed_with($_), id_of($k2), 'all is sealed with the new key') for @nodes;
        is(scalar $nodes[0]->names, 100, 'under the names that it had');
        lose_each_instance('the new key is alone', @shoppers);
        $_->stop for @proxies;
        $_->flush for @nodes;
    };
}

for my $lane ('On', 'Off') {
    subtest "all keys are other ones, HALane $lane" => sub {
        my $key = zone_key($t, 'zone.key', $k1);
        my $proxy = proxy_of("other-$lane", key => $key, lane => $lane);
        my @shoppers = map {HA::Shoppers->new($t, port => $proxy->port)} 1, 2;
        $_->wait for @shoppers;
        zone_key($t, 'zone.key', $k3);
        $proxy->graceful;
        $proxy->settle;
        is($shoppers[0]->look(add => 'more'), 'kept:100', 'the instances hold all');
        without(
            $t, $a,
            sub {
                is($shoppers[0]->look, 'kept:100', 'what was stored since is kept');
                like($shoppers[1]->look, qr/^kept:\d\d anew:\d\d$/, 'what was not is lost with its instance');
            }
        );
        is($b->zone_count->{error}, 0, 'which is no error');
        $proxy->stop;
        $_->flush for @nodes;
    };
}

# Two sessions on hostA, and the names of their records.
sub two_sessions($proxy)
{
    my @sessions;
    while (@sessions < 2) {
        my %old = map {$_ => 1} $nodes[0]->names;
        my $client = $t->client(port => $proxy->port);
        my $cart = cart($client, '/App/cart?add=' . (@sessions ? 'milk' : 'tea'));
        my ($name) = grep {!$old{$_}} $nodes[0]->names;
        push @sessions, {client => $client, items => $cart->{items}, name => $name, id => $cart->{session}}
            if $cart->{instance} eq 'hostA';
    }
    return @sessions;
}

sub same_everywhere($name)
{
    return $nodes[0]->get($name) eq $nodes[1]->get($name);
}

sub flipped($value, $at)
{
    substr($value, $at, 1) ^.= "\x01";
    return $value;
}

for my $lane ('On', 'Off') {
    subtest "a proxy has another key that seals, and the same that makes names, HALane $lane" => sub {
        my %way = (lane => $lane, counted => 1);
        my $first = proxy_of("first-$lane", %way, key => zone_key($t, 'zone.key', $k1));
        my $second = proxy_of("second-$lane", %way, key => zone_key($t, 'other.key', "names $k1", $k2));
        my ($session) = two_sessions($first);
        my ($client, $name) = @$session{qw(client name)};
        my $stranger = $t->client(port => $second->port);
        my $ask = sub ($query) {
            $stranger->set_cookie(zsessionid => $client->cookie('zsessionid'), '/');
            return cart($stranger, "/App/cart$query");
        };
        my $good = $nodes[0]->get($name);
        for my $query ('', '?add=milk') {
            my $before = counters($second)->{unreadable};
            my $cart = $ask->($query);
            my $shown = "$cart->{status} $cart->{session}";
            is($shown, "200 $session->{id}", 'it cannot read what is stored, and answers all the same');
            cmp_ok(counters($second)->{unreadable}, '>=', $before + @nodes, 'which is counted');
            is($_->get($name), $good, 'the record stays as it is') for @nodes;
        }
        is(counters($second)->{unissued}, 1, 'nor is the record of a session that it knows nothing of made anew');
        ok($second->log->count(qr/a record in the store counts as not there: it was sealed with a key/), 'and it is said');
        is(cart($client, '/App/cart?add=sugar')->{items}, 'tea,milk,sugar', 'the session goes on through the first');
        is(counters($first)->{unreadable}, 0, 'which finds nothing that it cannot read');
        without(
            $t, $a,
            sub {
                my $cart = $ask->('');
                is("$cart->{status} $cart->{items}", '200 ', 'its instance is lost: it begins anew there');
                isnt($cart->{session}, $session->{id}, 'under another id');
                $cart = cart($client, '/App/cart');
                is("$cart->{session} $cart->{items}", "$session->{id} tea,milk,sugar", 'and goes on through the first');
            }
        );
        $_->stop for $first, $second;
        $_->flush for @nodes;
    };
}

for my $lane ('On', 'Off') {
    my $proxy = proxy_of("flipped-$lane", lane => $lane, counted => 1);

    subtest "one copy of a record is changed, HALane $lane" => sub {
        my ($session) = two_sessions($proxy);
        my ($client, $name) = @$session{qw(client name)};
        my $good = $nodes[0]->get($name);
        my %bad = map {("byte $_ is another one" => flipped($good, $_))} 0, 3, 4, 11, 12, 23, 24, 40, length($good) - 17, -16, -1;
        $bad{'it is cut'} = substr $good, 0, -1;
        $bad{'it is longer'} = "$good ";
        $bad{'it is empty'} = '';
        $bad{'it is only a head'} = substr $good, 0, 24;
        $bad{'it is nonsense'} = 'x' x 500000;
        for my $how (sort keys %bad) {
            for my $node (@nodes) {
                $node->set($name, $bad{$how});
                my $cart = cart($client, '/App/cart');
                is("$cart->{items} $cart->{session}", "tea $session->{id}", "$how: the session goes on");
                ok(same_everywhere($name), 'and the copy is put right');
            }
        }
        is(counters($proxy)->{unreadable}, @nodes * keys %bad, 'each is counted');
        ok($proxy->log->count(qr/App: a record in the store counts as not there: it /), 'and said');
        without($t, $a, sub { is(cart($client, '/App/cart')->{items}, 'tea', 'its instance is lost, and it is kept') });
    };

    subtest "both copies are changed, HALane $lane" => sub {
        my ($stays, $moves) = two_sessions($proxy);
        for my $session ($stays, $moves) {
            $_->set($session->{name}, flipped($_->get($session->{name}), 30)) for @nodes;
        }
        is(cart($stays->{client}, '/App/cart?add=sugar')->{items}, 'tea,sugar', 'its instance holds it');
        ok(same_everywhere($stays->{name}), 'and stores it again');
        my $before = $b->zone_count;
        without(
            $t, $a,
            sub {
                is(cart($stays->{client}, '/App/cart')->{items}, 'tea,sugar', 'so that it is kept');
                my $cart = cart($moves->{client}, '/App/cart');
                is("$cart->{status} $cart->{items}", '200 ', 'what was not stored again is lost with its instance');
                isnt($cart->{session}, $moves->{id}, 'and begins anew');
            }
        );
        my $after = $b->zone_count;
        my %told = map {$_ => $after->{$_} - $before->{$_}} qw(restore none error);
        is_deeply(\%told, {restore => 1, none => 1, error => 0}, 'the other instance was told so');
    };

    subtest "records of two sessions are swapped, HALane $lane" => sub {
        my @sessions = two_sessions($proxy);
        my @names = map {$_->{name}} @sessions;
        for my $node (@nodes) {
            my @values = map {$node->get($_)} @names;
            $node->set($names[$_], $values[1 - $_]) for 0, 1;
            is(cart($_->{client}, '/App/cart')->{items}, $_->{items}, 'their instance holds them') for @sessions;
            ok($node == $nodes[1] || same_everywhere($_), 'one copy is put right') for @names;
        }
        for my $node (@nodes) {
            my @values = map {$node->get($_)} @names;
            $node->set($names[$_], $values[1 - $_]) for 0, 1;
        }
        my $neither = sub {
            for my $session (@sessions) {
                my $cart = cart($session->{client}, '/App/cart');
                is("$cart->{status} $cart->{items}", '200 ', 'neither gets the other one');
                isnt($cart->{session}, $session->{id}, 'but a new session');
            }
        };
        without($t, $a, $neither);
    };
    $proxy->stop;
}

$t->done;
